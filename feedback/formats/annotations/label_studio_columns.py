"""Which columns of a Label Studio task are its prompt and its responses, and which response was on the left.

Columns have no order of their own: JSON keys come in any. Responses are a family: one stem and a letter or number
(answer1, answer2, …, answer10), in the natural order of these. A control that names its columns (`to_name`) is
believed before the family.
"""

import re
from dataclasses import dataclass, field
from itertools import chain

from feedback.formats.annotations.items import InvalidRow, Row, rest
from feedback.rules.json_types import is_list_of

PROMPTS = ("prompt", "question", "instruction", "input", "text")
STEMS = "answer|response|output|completion|option|candidate|reply|summary"
MEMBER = re.compile(rf"({STEMS})[_\- ]?(\d+|[a-z])", re.IGNORECASE)
ALONE = re.compile(STEMS, re.IGNORECASE)
LISTS = re.compile(rf"(?:{STEMS}|replie|summarie)s", re.IGNORECASE)
NUMBERED = re.compile(r"(.*?)(\d+|[_\- ][a-z]|[a-z])", re.IGNORECASE | re.DOTALL)


@dataclass
class Columns:
    """The prompt's column, the responses' names in order, and their texts.

    `items` and `list` tell that the responses stand in one column: objects with ids, or plain texts.
    """

    prompt: str
    names: list[str]
    texts: list[str]
    items: list[Row] = field(default_factory=list)
    list_name: str = ""

    def beside(self, data: Row) -> Row:
        """What the task holds beside its prompt and its responses."""
        columns = [self.prompt, "items", self.list_name]
        if not self.items and not self.list_name:
            columns += self.names
        return rest(data, *columns)


def of(data: Row, to_name: str = "") -> Columns:
    """
    Args:
        to_name: what the task's control says it compares, as an export tells it: names with commas between them.

    Raises:
        InvalidRow: there is no prompt, or it cannot be reported which columns are the responses, or which is the first.
    """
    prompt = next((name for name in PROMPTS if isinstance(data.get(name), str)), None)
    if prompt is None:
        raise InvalidRow("data", f"There is no prompt in it; expected under {', '.join(PROMPTS)}.")
    if isinstance(data.get("items"), list):
        return _of_items(data["items"], prompt)
    names = [name for name, value in data.items() if name != prompt and isinstance(value, str)]
    compared = list(map(str.strip, to_name.split(","))) if "," in to_name else []
    if compared and set(compared) <= set(names):
        return _named(compared, data, prompt)
    lists = [name for name, value in data.items() if LISTS.fullmatch(name) and _texts(value)]
    family = _family(names)
    if len(lists) == 1 and not family:
        texts = list(data[lists[0]])
        numbered = [f"{lists[0]}[{place}]" for place in range(len(texts))]
        return Columns(prompt, numbered, texts, list_name=lists[0])
    if compared:
        family = _as_compared(family, compared)
    if not family:
        family = [name for name in names if ALONE.fullmatch(name)][:1]
    return _named(family, data, prompt)


def _named(names: list[str], data: Row, prompt: str) -> Columns:
    return Columns(prompt, names, [data[name] for name in names])


def _of_items(items: list[object], prompt: str) -> Columns:
    found = Columns(prompt, [], [])
    for one in items:
        body = one.get("body", one.get("html")) if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(body, str):
            raise InvalidRow("data.items", "It must be a list of objects with id and body.")
        found.names.append(str(one.get("id")))
        found.texts.append(body)
        found.items.append(rest(one, "body", "html"))
    return found


def _family(names: list[str]) -> list[str]:
    """The one family among the columns, in natural order; empty where there is none.

    Raises:
        InvalidRow: there are two.
    """
    families: dict[str, list[tuple[int, str, str]]] = {}
    for name in names:
        if found := MEMBER.fullmatch(name):
            number = found.group(2)
            order = (int(number), "", name) if number.isdigit() else (0, number.lower(), name)
            families.setdefault(found.group(1).lower(), []).append(order)
    several = {stem: members for stem, members in families.items() if len(members) > 1} or families
    if len(several) > 1:
        described = []
        for stem in sorted(several):
            described.append(f"{stem} ({', '.join(_names(several[stem]))})")
        listed = " and ".join(described)
        raise InvalidRow("data", f"Two groups of columns may be responses: {listed}. Rename the columns that are not.")
    return _names(sorted(chain.from_iterable(several.values())))


def _names(members: list[tuple[int, str, str]]) -> list[str]:
    return [name for *_, name in members]


def _as_compared(family: list[str], compared: list[str]) -> list[str]:
    """The family in the order in which its control names its parts: txt-2,txt-1 has the second on the left.

    Raises:
        InvalidRow: those names are no columns and do not number the family either.
    """
    by_end = dict(zip(map(_end, family), family, strict=True))
    found: list[str] = []
    stems: set[str] = set()
    for name in compared:
        if end := NUMBERED.fullmatch(name):
            found.append(by_end.get(_end(name), ""))
            stems.add(end.group(1))
    if len(found) != len(family) or len(stems) != 1 or "" in found or len(set(found)) != len(found):
        there = ", ".join(family) or "none that looks like a response"
        raise InvalidRow(
            "annotations",
            f"Its control compares {' and '.join(compared)}, which are not columns of the task "
            f"(columns: {there}), so the left response is unknown. Name the columns answer1, answer2 … "
            "in the order shown.",
        )
    return found


def _end(name: str) -> str:
    found = NUMBERED.fullmatch(name)
    return found.group(2).lstrip("_- ").lower() if found else name


def _texts(value: object) -> bool:
    return bool(value) and is_list_of(value, str)
