"""Which columns of a Label Studio task are its prompt and its responses, and which response was on the left.

Columns have no order of their own: JSON keys come in any. Responses are a family: one stem and a letter or number
(answer1, answer2, …, answer10), in the natural order of these. A control that names its columns (`to_name`) is
believed before the family.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from feedback.formats.annotations.items import InvalidRow, Row, rest

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
        return rest(data, self.prompt, "items", self.list_name, *(() if self.items or self.list_name else self.names))


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
    compared = [name.strip() for name in to_name.split(",")] if "," in to_name else []
    if compared and all(name in names for name in compared):
        return Columns(prompt, compared, [data[name] for name in compared])
    lists = [name for name, value in data.items() if LISTS.fullmatch(name) and _texts(value)]
    family = _family(names)
    if len(lists) == 1 and not family:
        texts = list(data[lists[0]])
        return Columns(prompt, [f"{lists[0]}[{place}]" for place in range(len(texts))], texts, list_name=lists[0])
    if compared:
        family = _as_compared(family, compared)
    if not family:
        family = [name for name in names if ALONE.fullmatch(name)][:1]
    return Columns(prompt, family, [data[name] for name in family])


def _of_items(items: list[Any], prompt: str) -> Columns:
    if not all(isinstance(one, dict) and isinstance(one.get("body", one.get("html")), str) for one in items):
        raise InvalidRow("data.items", "It must be a list of objects with id and body.")
    names = [str(one.get("id")) for one in items]
    texts = [one.get("body", one.get("html")) for one in items]
    return Columns(prompt, names, texts, items=[rest(one, "body", "html") for one in items])


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
        listed = " and ".join(f"{stem} ({', '.join(name for *_, name in several[stem])})" for stem in sorted(several))
        raise InvalidRow("data", f"Two groups of columns may be responses: {listed}. Rename the columns that are not.")
    return [name for members in several.values() for *_, name in sorted(members)]


def _as_compared(family: list[str], compared: list[str]) -> list[str]:
    """The family in the order in which its control names its parts: txt-2,txt-1 has the second on the left.

    Raises:
        InvalidRow: those names are no columns and do not number the family either.
    """
    ends = [NUMBERED.fullmatch(name) for name in compared]
    by_end = {_end(name): name for name in family}
    found = [by_end.get(_end(name)) for name, end in zip(compared, ends, strict=True) if end]
    stems = {end.group(1) for end in ends if end}
    if len(found) != len(family) or len(stems) != 1 or None in found or len(set(found)) != len(found):
        there = ", ".join(family) or "none that looks like a response"
        raise InvalidRow(
            "annotations",
            f"Its control compares {' and '.join(compared)}, which are not columns of the task "
            f"(columns: {there}), so the left response is unknown. Name the columns answer1, answer2 … "
            "in the order shown.",
        )
    return [name for name in found if name is not None]


def _end(name: str) -> str:
    found = NUMBERED.fullmatch(name)
    return found.group(2).lstrip("_- ").lower() if found else name


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(one, str) for one in value)
