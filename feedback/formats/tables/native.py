"""Whether a file is in one of the formats that need no mapping: its first rows say so, and are read to be sure."""

from collections.abc import Callable, Sequence

from feedback.formats.annotations.items import Defaults, InvalidRow, Row
from feedback.formats.annotations.touchstone_csv import COLUMNS
from feedback.formats.annotations.touchstone_jsonl import FIELDS
from feedback.formats.catalog import FORMATS, JSON
from feedback.formats.tables import layout
from feedback.formats.tables.layout import Layout
from feedback.rules.json_types import is_list_of

MOST_LOOKED_AT = 10


def _messages(row: Row, name: str) -> bool:
    return is_list_of(row.get(name), dict) and bool(row[name])


def _transcript(row: Row, name: str) -> bool:
    return isinstance(row.get(name), str) and "Human:" in row[name][:20]


SIGNS: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("openassistant", lambda row: bool({"message_tree_id", "thread_id"} & row.keys())),
    ("openassistant", lambda row: row.keys() >= {"message_id", "role"}),
    ("label-studio", lambda row: isinstance(row.get("data"), dict) and "annotations" in row),
    ("argilla", lambda row: isinstance(row.get("fields"), dict) and ("responses" in row or "suggestions" in row)),
    ("hh", lambda row: _transcript(row, "chosen") and _transcript(row, "rejected")),
    ("touchstone", lambda row: "prompt" in row and ("responses" in row or "kind" in row) and row.keys() <= FIELDS),
    ("openai", lambda row: row.keys() >= {"input", "preferred_output", "non_preferred_output"}),
    ("pandalm", lambda row: row.keys() >= {"instruction", "response1", "response2"}),
    ("llmbar", lambda row: row.keys() >= {"input", "output_1", "output_2", "label"} and "prompt" not in row),
    ("self-instruct", lambda row: "instruction" in row and "instances" in row),
    ("taskmaster", lambda row: row.keys() >= {"text", "reward"} or row.keys() >= {"pref", "neg"}),
    ("trl", lambda row: "chosen" in row and "rejected" in row and (_messages(row, "chosen") or row.keys() <= {
        "prompt", "chosen", "rejected", "margin"})),
    ("trl", lambda row: row.keys() == {"messages"} and _messages(row, "messages")),
    ("trl", lambda row: row.keys() <= {"prompt", "completion", "label"} and row.keys() >= {"prompt", "completion"}),
)  # fmt: skip


def format_of(known: Layout, rows: Sequence[object]) -> str:
    """The name of the format that reads these rows as they are; empty when they need a mapping."""
    given = [row for row in rows if isinstance(row, dict)][:MOST_LOOKED_AT]
    if not given:
        return ""
    if known.container == layout.CSV:
        ours = {*known.columns} <= {*COLUMNS} and "prompt" in known.columns
        return "touchstone-csv" if ours and known.delimiter == "," and known.header else ""
    for name, fits in SIGNS:
        if all(map(fits, given)) and _reads(name, given):
            return name
    return ""


def _reads(name: str, rows: Sequence[Row]) -> bool:
    """Whether the format's reader takes at least half of the rows."""
    form = FORMATS[name]
    if form.read is None or form.container != JSON:
        return False
    good = 0
    for row in rows:
        try:
            good += bool(list(form.read(row, Defaults())))
        except (InvalidRow, ValueError, TypeError, KeyError, AttributeError):
            continue
    return 2 * good >= len(rows)
