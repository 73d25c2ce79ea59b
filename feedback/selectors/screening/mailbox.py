"""Texts as people have filed them under labels, for comparison with a classifier."""

from typing import TypedDict

from feedback.models import Assignment, Kind, Project, Task
from feedback.rules.collection import consensus
from feedback.rules.collection.kinds.question import Payload

MOST = 30  # texts shown
LOOKED_AT = 200  # newest answers
LONGEST = 400  # characters of a text


class FiledText(TypedDict):
    """A text, its scheme, and the labels that most people gave it."""

    text: str
    scheme: str
    labels: list[str]


def filed_by_people(project: Project) -> list[FiledText]:
    """The newest labeled texts on which people agree, newest first.

    Only tasks that need no more answers, and no gold tasks: nobody who may still answer one learns what others said.
    """
    rows = Assignment.objects.filter(
        project=project,
        task__kind=Kind.CLASSIFICATION,
        task__state=Task.State.SETTLED,
        task__gold__isnull=True,
        current__withdrawn=False,
    )
    payloads: dict[int, list[Payload]] = {}
    texts: dict[int, str] = {}
    for row in rows.select_related("current", "task__prompt").order_by("-pk")[:LOOKED_AT]:
        assert row.current is not None
        payloads.setdefault(row.task_id, []).append(row.current.payload)
        response = row.task.responses.first()
        texts[row.task_id] = row.task.prompt.text if response is None else response.text
    found: list[FiledText] = []
    for task, given in payloads.items():
        agreed = consensus.majority(Kind.CLASSIFICATION, given)
        if agreed is not None and len(found) < MOST:
            filed: FiledText = {"text": texts[task][:LONGEST], "scheme": agreed["scheme"], "labels": agreed["labels"]}
            found.append(filed)
    return found
