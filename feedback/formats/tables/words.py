"""What the words of a foreign table mean: which response is better, labels, thumbs, strengths, orders, spans."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feedback.formats.annotations.items import LETTERS, InvalidRow, Row
from feedback.formats.tables import fields
from feedback.rules.collection.preferences import CLEAR, STRENGTHS
from feedback.rules.json_types import is_list_of

TIE, BOTH_BAD = "tie", "both_bad"
TIES = ("tie", "same", "equal", "draw", "neutral", "about the same", "both good", "both", "no preference", "=")
BAD = ("both_bad", "both bad", "bothbad", "tie (bothbad)", "tie (both bad)", "neither", "none")
STEMS = ("", "response", "answer", "model", "option", "output", "completion", "assistant", "candidate", "system")
YES = ("1", "true", "yes", "y", "x", "good", "up", "positive", "👍", "like", "thumbs up", "thumbs_up", "1.0")
NO = (
    "0",
    "false",
    "no",
    "n",
    "",
    "bad",
    "down",
    "negative",
    "👎",
    "dislike",
    "thumbs down",
    "thumbs_down",
    "-1",
    "0.0",
)
STARTS, ENDS = ("start", "begin", "start_offset", "start_char", "from"), ("end", "stop", "end_offset", "end_char", "to")
NAMES = ("label", "type", "entity", "entity_group", "tag", "category", "labels")
SEPARATORS = re.compile(r"\s*[,;|]\s*")
GROUPS, TIED = re.compile(r"\s*[>,;]\s*"), re.compile(r"\s*=\s*")


def normal(word: str) -> str:
    """A word as words are compared: without case, and with one kind of gap."""
    return re.sub(r"[\s_-]+", " ", word.strip().casefold())


def _choices() -> dict[str, str]:
    known = dict.fromkeys(map(normal, TIES), TIE) | dict.fromkeys(map(normal, BAD), BOTH_BAD)
    known |= {"left": "a", "right": "b", "first": "a", "second": "b"}
    for letter in LETTERS:
        for stem in STEMS:
            known[normal(f"{stem} {letter}")] = letter
            if stem:
                known[normal(f"{stem} {LETTERS.index(letter) + 1}")] = letter
                known[f"{stem}{letter}"] = letter
                known[f"{stem}{LETTERS.index(letter) + 1}"] = letter
    return known


CHOICES = _choices()
STRENGTH_WORDS = {normal(words): strength for strength, words in STRENGTHS.items()} | {
    "much better": 3, "slightly": 1, "barely": 0, "clearly": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What a project says about the answers that a file may hold.

    Attributes:
        labels: names of the scheme's labels, by every spelling that stands for one.
        many: whether a text may have several labels.
        dimensions: what ratings are about; empty: one rating overall.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    many: bool = False
    dimensions: Sequence[str] = ()


def facts_of(scheme: Mapping[str, object], dimensions: Sequence[str]) -> Facts:
    """
    Args:
        scheme: a label scheme as a project stores it; empty for none.
    """
    labels: dict[str, str] = {}
    given = scheme.get("labels")
    for label in given if is_list_of(given, dict) else []:
        name = str(label["name"])
        labels[normal(str(label.get("title") or name))] = name
        labels[normal(name)] = name
    return Facts(labels, bool(scheme.get("many")), list(dimensions))


def choice(word: str, own: Mapping[str, str]) -> Row:
    """The outcome that a word names; `own` are the meanings that the row or its mapping gives to words."""
    key = normal(word)
    meaning = own.get(key) or CHOICES.get(key)
    if meaning in (TIE, BOTH_BAD):
        return {"outcome": meaning}
    if meaning is None or len(meaning) != 1 or meaning not in LETTERS:
        raise InvalidRow(
            fields.CHOICE, f"{word[:60]!r} names no response. Use a or b, tie or both_bad, or say what the word means."
        )
    return {"outcome": "prefer", "choice": meaning, "strength": CLEAR}


def outcome_name(column: str) -> str:
    """What a column of outcomes is about: winner_model_a is about model a."""
    name = normal(column)
    for stem in ("winner is", "winner", "preferred", "prefers", "is", "vote"):
        name = name.removeprefix(f"{stem} ")
    return name


def strength(word: str) -> int:
    key = normal(word)
    if key in STRENGTH_WORDS:
        return STRENGTH_WORDS[key]
    return whole_number(word, fields.STRENGTH)


def thumb(word: str, own: Mapping[str, str]) -> bool:
    key = normal(word)
    key = own.get(key, key)
    if key in YES:
        return True
    if key in NO and key:
        return False
    raise InvalidRow(fields.THUMB, f"{word[:60]!r} is neither yes nor no.")


def label(word: str, own: Mapping[str, str], facts: Facts) -> str:
    """The scheme's name of a label; the word itself where the scheme has none, for its rules to refuse."""
    key = normal(word)
    return own.get(key) or facts.labels.get(key) or word.strip()


def labels(given: object, own: Mapping[str, str], facts: Facts) -> list[str]:
    """Labels of one cell: a text, or a list of texts."""
    if isinstance(given, list):
        return [label(text(one, fields.LABEL), own, facts) for one in given]
    whole = text(given, fields.LABEL)
    found = label(whole, own, facts)
    if not facts.many or found in facts.labels.values():
        return [found]
    return [label(one, own, facts) for one in SEPARATORS.split(whole.strip()) if one]


def order(given: object, count: int) -> list[list[str]]:
    """Groups of letters from best to worst: `b > a = c`, a list of letters, or each response's rank."""
    if isinstance(given, str):
        given = parsed(given)
    if is_list_of(given, int) and len(given) == count:
        groups: dict[int, list[str]] = {}
        for place, rank in enumerate(given):
            groups.setdefault(rank, []).append(LETTERS[place])
        return [groups[rank] for rank in sorted(groups)]
    if is_list_of(given, str):
        given = " > ".join(given)
    if not isinstance(given, str):
        raise InvalidRow(fields.ORDER, "It must be letters from best to worst, such as b > a = c, or a list of ranks.")
    found: list[list[str]] = []
    for group in filter(None, GROUPS.split(given.strip())):
        letters: list[str] = []
        for one in TIED.split(group):
            meaning = CHOICES.get(normal(one), "")
            if len(meaning) != 1:
                raise InvalidRow(fields.ORDER, f"{one[:60]!r} names no response. Use letters, such as b > a = c.")
            letters.append(meaning)
        found.append(letters)
    return found


def spans(given: object, tokens: list[str] | None, own: Mapping[str, str], facts: Facts) -> list[Row]:
    """Spans as objects or triples, or one tag for each token."""
    if isinstance(given, str):
        given = parsed(given) if given.strip() else []
    if isinstance(given, dict):
        given = given.get("entities") or given.get("spans") or given
    if tokens is not None and is_list_of(given, str) and len(given) == len(tokens):
        return _tagged(tokens, given, own, facts)
    if not isinstance(given, list):
        raise InvalidRow(fields.SPANS, 'It must be a JSON list of {"start", "end", "label"}.')
    found: list[Row] = []
    for place, one in enumerate(given):
        start, end, name = _parts(one)
        if isinstance(name, list) and len(name) == 1:
            name = name[0]
        if not isinstance(start, int) or not isinstance(end, int) or not isinstance(name, str):
            raise InvalidRow(f"{fields.SPANS}[{place}]", "It must have start, end and label.")
        found.append({"start": start, "end": end, "label": label(name, own, facts)})
    return found


def _parts(one: object) -> tuple[object, object, object]:
    if isinstance(one, list) and len(one) == 3:
        return one[0], one[1], one[2]
    if not isinstance(one, dict):
        return None, None, None
    named = [next((one[name] for name in names if name in one), None) for names in (STARTS, ENDS, NAMES)]
    return named[0], named[1], named[2]


def _tagged(tokens: list[str], tags: list[str], own: Mapping[str, str], facts: Facts) -> list[Row]:
    """Spans of tokens joined by spaces: B- begins one, I- goes on; a bare tag goes on while it stays the same."""
    found: list[Row] = []
    place, before = 0, ""
    for token, tag in zip(tokens, tags, strict=True):
        mark, _, name = tag.partition("-") if tag[:2] in ("B-", "I-", "E-", "S-", "L-", "U-") else ("", "", tag)
        end = place + len(token)
        if tag != "O" and tag:
            if before == name and mark in ("I", "E", "L", ""):
                found[-1]["end"] = end
            else:
                found.append({"start": place, "end": end, "label": name})
        before = "" if tag == "O" else name
        place = end + 1
    for span in found:
        span["label"] = label(span["label"], own, facts)
    return found


def text(given: object, name: str) -> str:
    """A cell as text."""
    if isinstance(given, str):
        return given
    if given is None:
        return ""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return str(int(given)) if given == int(given) else str(given)
    raise InvalidRow(name, "It must be text; this is a list or an object.")


def whole_number(given: object, name: str) -> int:
    """A whole number, also spelled 4.0 as spreadsheets do."""
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    try:
        value = float(text(given, name))
        if value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise InvalidRow(name, f"{str(given)[:60]!r} is not a whole number.")


def parsed(cell: str) -> object:
    """A cell that holds JSON; the text itself where it does not."""
    if cell.lstrip()[:1] not in ("[", "{"):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
