"""The outcome of a finished import: complete, partial or nothing."""

from dataclasses import dataclass

from feedback.rules.json_types import JsonObject

COMPLETE = "complete"  # every row is in, or was in before
PARTIAL = "partial"  # some lines were refused
NOTHING = "nothing"  # no row came in, and none was there before


@dataclass(frozen=True)
class Outcome:
    """`state` is one of the constants above; the sentence has the numbers."""

    state: str
    sentence: str


def outcome_of(result: JsonObject) -> Outcome:
    """
    Args:
        result: of an import's job: read, new, before and rejected count lines; left_out what its source marks as none.
    """
    read, new, before, rejected = (int(result.get(name, 0)) for name in ("read", "new", "before", "rejected"))
    refused = f"{rejected:,} of {read:,} lines rejected"
    if new or before:
        if rejected:
            return Outcome(PARTIAL, f"Finished, {refused}.")
        return Outcome(COMPLETE, "Succeeded." if new else "Succeeded: all rows were already present.")
    why = "the file has no rows"
    if rejected:
        why = refused
    elif result.get("left_out"):
        why = "the file marks every row as excluded"
    return Outcome(NOTHING, f"Finished. Nothing was imported: {why}.")
