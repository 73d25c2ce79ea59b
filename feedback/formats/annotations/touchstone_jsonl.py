"""Our own JSON Lines: one prompt a line with everything that belongs to it. Nothing is left out.

    {"kind": "comparison", "prompt": "…" or [{"role", "content"}], "responses": ["…" or {"text", "model"}],
     "answers": [{"annotator": "ben", "answer": {"outcome": "prefer", "choice": "a", "strength": 2},
                  "shown": ["b", "a"], "seconds": 12.5, "source": "desk"}],
     "gold": {…an answer…}, "explanation": "…why it is right…", "training_round": true, "ask": {"scheme": "topic"},
     "external_id": "7", "source": "…", "metadata": {…}, "provenance": {…}, "priority": 0, "annotations_wanted": 3,
     "group": "…its document, conversation or customer…", "split": "test", "family": "…what it is an edit of…"}

Only `prompt` must be there; without a kind, two responses are a comparison, more are ranked, none are just a prompt.

An answer may tell more: `submitted_at`, `counted` (false: beyond those wanted), `late`, `corrected_by` (a reviewer). So
may a response: `author` (a person), `external_id`, `blocked`. A row may have `thumbs` ([{"response": 0, "annotator",
"up", "comment", "given_at"}]), a `verdict` ({"reviewer", "answer", "note", "decided_at"}), a `state` (withdrawn or
aside), `responses_wanted`, `prompt_external_id` where the prompt's is not the task's, and an `id`, which tells it from
another row that is the same, word for word.

A prompt with several tasks, or with responses that its task does not show, is of kind prompt and has `tasks`: each
names its `responses` by their places, from 0. A response that an answer wrote says so: `answer_of` [task, answer].
"""

from collections.abc import Iterator

from feedback.formats.annotations import provenance, touchstone_parts
from feedback.formats.annotations.item_kinds import kind_for
from feedback.formats.annotations.items import (
    PROMPT,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Row,
    an_object,
    conversation,
    need,
)
from feedback.formats.annotations.touchstone_parts import TASK_FIELDS, listed

OF_PROMPT = ("source", "metadata", "provenance", "group", "split", "family", "responses_wanted", "id")
FIELDS = {"prompt", "prompt_external_id", "thumbs", "tasks", *OF_PROMPT, *TASK_FIELDS}


def read(row: object, defaults: Defaults) -> Iterator[Item]:
    given = an_object(row)
    unknown = given.keys() - FIELDS
    if unknown:
        raise InvalidRow(min(unknown), f"Unknown field; a row has {', '.join(sorted(FIELDS))}.")
    if "prompt" not in given:
        raise InvalidRow("prompt", "It is missing (text or a list of messages).")
    rows = listed(given, "responses")
    responses = [touchstone_parts.candidate(one, place, defaults) for place, one in enumerate(rows)]
    tasks = listed(given, "tasks")
    kind = PROMPT if tasks else kind_for(len(responses))
    item = Item(given.get("kind") or kind, conversation(given["prompt"]))
    item.responses = responses
    touchstone_parts.fill_task(item, given, "", len(responses), defaults)
    if given.get("metadata") is not None:
        item.metadata = need(given, "metadata", dict)
    if given.get("provenance") is not None:
        item.provenance = provenance.checked(given["provenance"], len(responses))
    for name in ("source", "group", "split", "family", "id"):
        if given.get(name) is not None:
            setattr(item, name, need(given, name, str))
    if given.get("prompt_external_id") is not None:
        item.prompt_id = need(given, "prompt_external_id", str)
    if given.get("responses_wanted") is not None:
        item.responses_wanted = need(given, "responses_wanted", int)
    for place, one in enumerate(tasks):
        item.tasks.append(touchstone_parts.task(one, place, len(responses), defaults))
    for place, one in enumerate(listed(given, "thumbs")):
        item.thumbs.append(touchstone_parts.thumb(one, f"thumbs[{place}]", len(responses), defaults))
    yield item


def write(item: Item) -> Iterator[Row | LeftOut]:
    row: Row = {"kind": item.kind, "prompt": item.prompt}
    if item.responses:
        row["responses"] = list(map(touchstone_parts.candidate_row, item.responses))
    touchstone_parts.task_row(item, row)
    for name in OF_PROMPT:
        if value := getattr(item, name):
            row[name] = value
    if item.prompt_id is not None:
        row["prompt_external_id"] = item.prompt_id
    if item.tasks:
        row["tasks"] = list(map(touchstone_parts.placed_task_row, item.tasks))
    if item.thumbs:
        row["thumbs"] = list(map(touchstone_parts.thumb_row, item.thumbs))
    yield row
