"""What a column of somebody else's table can be: the fields that a mapping names."""

from collections.abc import Iterator
from dataclasses import dataclass

from feedback.formats.annotations.items import LETTERS
from feedback.rules.platform.known_names import unknown_name

PROMPT, CONTEXT, SYSTEM, CONVERSATION = "prompt", "context", "system", "conversation"
RESPONSES, CHOSEN, REJECTED = "responses", "chosen", "rejected"
CHOICE, STRENGTH, LABEL, SPANS, RATING, DEMONSTRATION, THUMB, ORDER = (
    "choice", "strength", "label", "spans", "rating", "demonstration", "thumb", "order",
)  # fmt: skip
REASON, ANNOTATOR, SECONDS, SUBMITTED = "reason", "annotator", "seconds", "submitted_at"
MODEL, METADATA, IGNORE = "model", "metadata", "ignore"
REJECTED_BECAUSE = "rejected because"  # the column that a file of rejected rows has beside its own
RATED = "rating:"  # begins the fields of single dimensions
RESPONSE_OF = {f"response_{letter}": place for place, letter in enumerate(LETTERS)}
MODEL_OF = {f"model_{letter}": place for place, letter in enumerate(LETTERS)}
ANSWERS = (CHOICE, LABEL, SPANS, RATING, DEMONSTRATION, THUMB, ORDER)
WITH_VALUES = (CHOICE, LABEL, THUMB)  # fields whose words may be spelled otherwise in the file
SEVERAL = (CONTEXT, METADATA, IGNORE, LABEL, CHOICE)  # fields that several columns may have


@dataclass(frozen=True)
class Field:
    """A field by name. `group` is the heading under which a form lists it."""

    name: str
    label: str
    group: str
    help: str = ""


TEXTS, JUDGED, PEOPLE, MORE = "Texts", "Judgments", "Who and when", "More"

FIELDS: tuple[Field, ...] = (
    Field(IGNORE, "Ignore", MORE, "The column is not imported."),
    Field(PROMPT, "Prompt or text", TEXTS, "What a response answers, or the text that is labeled."),
    Field(CONTEXT, "Input, added to the prompt", TEXTS, "Stands below the prompt, with a blank line between them."),
    Field(SYSTEM, "System message", TEXTS),
    Field(CONVERSATION, "Conversation", TEXTS, "A list of messages with role and content; the last may be a response."),
    *(Field(name, f"Response {name[-1].upper()}", TEXTS) for name in RESPONSE_OF),
    Field(RESPONSES, "Responses, as a list", TEXTS, "A JSON list of texts or of objects with a text."),
    Field(CHOSEN, "Preferred response", TEXTS),
    Field(REJECTED, "Other response", TEXTS),
    Field(CHOICE, "Which response is better", JUDGED, "a or b, 1 or 2, left or right, a model's name, tie, both bad."),
    Field(STRENGTH, "Strength of the preference", JUDGED, "0 (negligibly) to 3 (significantly)."),
    Field(ORDER, "Order of the responses", JUDGED, "From best to worst, such as b > a = c."),
    Field(LABEL, "Label", JUDGED, "A label of the scheme. Several are separated by a comma, semicolon or bar."),
    Field(SPANS, "Spans", JUDGED, "A JSON list of objects with start, end and label."),
    Field(RATING, "Rating, 1 to 5", JUDGED),
    Field(DEMONSTRATION, "Response written by a person", JUDGED),
    Field(THUMB, "Good or bad response", JUDGED, "yes or no, 1 or 0, good or bad."),
    Field(REASON, "Reason", JUDGED),
    Field(MODEL, "Model that wrote the responses", PEOPLE),
    *(Field(name, f"Model that wrote response {name[-1].upper()}", PEOPLE) for name in MODEL_OF),
    Field(ANNOTATOR, "Annotator", PEOPLE),
    Field(SECONDS, "Seconds the annotation took", PEOPLE),
    Field(SUBMITTED, "When it was submitted", PEOPLE),
    Field("external_id", "Id", MORE, "Tells rows apart: the same id is imported once."),
    Field("source", "Source", MORE),
    Field("group", "Group", MORE, "Document, conversation or customer: all of it goes to one split."),
    Field("split", "Split", MORE),
    Field("priority", "Priority", MORE),
    Field("annotations_wanted", "Annotations wanted", MORE),
    Field("explanation", "Explanation of a gold answer", MORE),
    Field(METADATA, "Keep as metadata", MORE, "Stored with the prompt under the name of the column."),
)  # fmt: skip
BY_NAME = {field.name: field for field in FIELDS}


def label_of(name: str) -> str:
    """How pages name a field."""
    if name.startswith(RATED):
        return f"Rating: {name.removeprefix(RATED)}"
    return BY_NAME[name].label if name in BY_NAME else name


def in_groups(dimensions: list[str]) -> Iterator[tuple[str, list[Field]]]:
    """Groups of fields for a select, with one rating for each dimension of the project."""
    for group in (TEXTS, JUDGED, PEOPLE, MORE):
        members = [field for field in FIELDS if field.group == group]
        if group == JUDGED:
            members += [Field(RATED + name, f"Rating: {name}", JUDGED) for name in dimensions]
        yield group, members


def check_field(name: str) -> str:
    """What is wrong with a field's name, in a sentence; empty for one that there is."""
    if name in BY_NAME or (name.startswith(RATED) and name != RATED):
        return ""
    return unknown_name(name, BY_NAME)
