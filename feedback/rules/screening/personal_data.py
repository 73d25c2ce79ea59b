"""Personal data that has a form: mail and IP addresses, telephone numbers, bank accounts, cards, identity numbers.

What has a check digit is checked, so that an order number is not taken for a card. Names and postal addresses have no
form; a marker trained on people's spans finds those.
"""

import ipaddress
import re
from bisect import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

EMAIL, IBAN, CARD, NATIONAL_ID, IP, PHONE = "email", "iban", "card", "national_id", "ip", "phone"
KINDS = (EMAIL, IBAN, CARD, NATIONAL_ID, IP, PHONE)


@dataclass(frozen=True, order=True, slots=True)
class Personal:
    """What was found: start and end in Unicode characters (end exclusive), and one of KINDS."""

    start: int
    end: int
    kind: str


def find(text: str, kinds: Iterable[str] = KINDS) -> list[Personal]:
    """Personal data in `text`, by start, none overlapping another.

    Where two readings overlap, the kind that stands first in KINDS wins: a card's digits are no telephone number.
    """
    wanted = set(kinds)
    found: list[Personal] = []
    for kind, pattern, holds in _READERS:
        if kind not in wanted:
            continue
        for match in pattern.finditer(text):
            one = Personal(*match.span(), kind)
            place = bisect(found, one)
            free = (place == 0 or found[place - 1].end <= one.start) and (
                place == len(found) or one.end <= found[place].start
            )
            if free and holds(match.group()):
                found.insert(place, one)
    return found


def mask(text: str, kinds: Iterable[str] = KINDS) -> tuple[str, list[Personal]]:
    """`text` with each finding replaced by its kind in brackets, "[email]", and what was found, as in `find`."""
    found = find(text, kinds)
    pieces, last = [], 0
    for one in found:
        pieces += [text[last : one.start], f"[{one.kind}]"]
        last = one.end
    return "".join([*pieces, text[last:]]), found


def _digits(text: str) -> list[int]:
    return list(map(int, filter(str.isdigit, text)))


def _is_iban(text: str) -> bool:
    """ISO 13616: two letters, two check digits, 11 to 30 more; mod 97 is 1."""
    plain = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """13 to 19 digits that pass Luhn's test (ISO/IEC 7812-1)."""
    digits = _digits(text)
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        if place % 2:
            total += sum(divmod(2 * digit, 10))
        else:
            total += digit
    return total % 10 == 0


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback)


def _is_phone(text: str) -> bool:
    """8 to 15 digits (ITU E.164), and written as people write numbers to call: with a plus, or in groups."""
    digits = _digits(text)
    if not 8 <= len(digits) <= 15 or len(set(digits)) <= 2:
        return False
    if re.fullmatch(r"(?:19|20)\d\d[-. /]\d\d?[-. /]\d\d?", text) or re.fullmatch(
        r"\d\d?[-. /]\d\d?[-. /](?:19|20)\d\d", text
    ):
        return False  # a date
    if text.startswith(("+", "00", "(")):
        return True
    sizes = list(map(len, re.split(r"[ ./-]", text)))
    return text.startswith("0") or (3 <= len(sizes) <= 5 and min(sizes) >= 2 and max(sizes) <= 4)


_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _is_national_id(text: str) -> bool:
    """Of the United States, the United Kingdom, Italy; of Spain and France with their check."""
    plain = re.sub(r"[ -]", "", text).upper()
    if re.fullmatch(r"[XYZ]?\d{7,8}[A-Z]", plain):
        number = plain[:-1].translate(str.maketrans("XYZ", "012"))
        return len(plain) == 9 and _DNI_LETTERS[int(number) % 23] == plain[-1]
    if re.fullmatch(r"[12]\d{14}", plain):
        return 97 - int(plain[:13]) % 97 == int(plain[13:])
    if re.fullmatch(r"\d{9}", plain):
        return plain[:3] not in ("000", "666") and plain[0] != "9" and plain[3:5] != "00" and plain[5:] != "0000"
    return True  # British and Italian numbers are determined by their letters


_Reader = tuple[str, "re.Pattern[str]", Callable[[str], bool]]
_READERS: tuple[_Reader, ...] = (
    (
        EMAIL,
        re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+%-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.A),
        lambda text: True,
    ),
    (IBAN, re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{2,4}){3,8}(?![\w-])", re.A), _is_iban),
    (CARD, re.compile(r"(?<![\w.,-])[2-6](?:[ -]?\d){12,18}(?![\w-]|[.,]\d)", re.A), _is_card),
    (
        NATIONAL_ID,
        re.compile(
            r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}"  # United States
            r"|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]"  # United Kingdom
            r"|[A-Z]{6}\d\d[A-EHLMPR-T]\d\d[A-Z]\d{3}[A-Z]"  # Italy
            r"|(?:[XYZ]-?\d{7}|\d{8})-?[A-Z]"  # Spain
            r"|[12] ?\d\d ?\d\d ?\d\d ?\d{3} ?\d{3} ?\d\d)(?![\w-])",  # France
            re.A,
        ),
        _is_national_id,
    ),
    (
        IP,
        re.compile(
            r"(?<![\w.:-])(?:(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)|[0-9A-Fa-f:]{2,39}:[0-9A-Fa-f]{1,4}(?![\w:]))", re.A
        ),
        _is_ip,
    ),
    (
        PHONE,
        re.compile(
            r"(?<![\w.,/+-])(?:\+|00)?(?:\(\d{1,5}\)|\d{1,5})(?:[ ./-]{0,2}\(?\d{1,9}\)?){1,6}(?![\w-]|[.,]\d)", re.A
        ),
        _is_phone,
    ),
)
