"""Gold tasks have a known right answer. They measure annotators, who cannot tell them apart, and never train."""

from collections.abc import Mapping, Sequence

from django.db import transaction

from feedback.errors import Conflict, Invalid
from feedback.models import Annotation, Assignment, Contest, Person, Project, Prompt, Response, Task, Verdict
from feedback.rules.collection import consensus, label_schemes, payloads
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import Answer
from feedback.rules.quality import gold as rules
from feedback.services.collection import task_slots
from feedback.services.platform import events
from feedback.services.quality import concerns


def checked(
    project: Project, kind: str, prompt: Prompt, responses: Sequence[Response], ask: Mapping[str, str], gold: object
) -> Answer:
    """A gold answer in letters, a for the first of `responses`, as it is stored.

    Raises:
        Invalid: the kind has no right answers, or this is none; `field` says where.
    """
    if isinstance(gold, dict):
        gold = project.names.read(gold, ask.get("scheme", ""))
    try:
        return rules.checked(gold, question(project, kind, prompt, responses, ask))
    except payloads.InvalidAnswer as error:
        raise Invalid(error.sentence, field=f"gold.{error.field}") from None


def question(
    project: Project, kind: str, prompt: Prompt, responses: Sequence[Response], ask: Mapping[str, str]
) -> payloads.Question:
    """The question of a task, with its responses in the task's own order."""
    texts = {str(one.public_id): one.text for one in responses}
    return payloads.Question(
        kind=kind,
        shown=list(texts),
        texts=texts | {payloads.PROMPT: prompt.text},
        dimensions=project.dimensions,
        scheme=label_schemes.scheme_of(project.label_scheme, ask),
    )


def responses_of(task: Task) -> list[Response]:
    """The responses of a task in its own order."""
    return [placed.response for placed in task.placed.select_related("response").order_by("position")]


def mark(
    *,
    by: Person,
    task: Task,
    answer: Answer | None = None,
    explanation: str = "",
    training_round: bool = False,
) -> Task:
    """Make a task a gold task: every annotator may answer it once, and it is no longer trained on.

    Args:
        answer: in letters of the task's own order; None takes the verdict about it, or what most of its answers say.
        training_round: whether new annotators begin with it, and are shown what is right and why.

    Raises:
        Invalid: the answer does not fit.
        Conflict: None was given, and the answers come to nothing that could be called right.
    """
    with transaction.atomic():
        locked = Task.objects.select_for_update().get(pk=task.pk)
        if locked.contest is not None and locked.contest.state in Contest.LIVE:
            raise Conflict("The task is part of a comparison of models. It can become a gold task once that has ended.")
        gold = _settled(locked) if answer is None else _given(locked, answer)
        locked.gold, locked.explanation, locked.training_round = gold, explanation.strip(), training_round
        locked.annotations_wanted, locked.free_slots = None, 1
        if locked.state != Task.State.WAITING:  # the guard reads it first
            locked.state = Task.State.OPEN
        locked.save(
            update_fields=["gold", "explanation", "training_round", "annotations_wanted", "free_slots", "state"]
        )
        concerns.close(task=locked, by=by)
        events.record("task.gold_marked", locked, actor=by)
    task.refresh_from_db()
    return task


def unmark(*, by: Person, task: Task) -> Task:
    """Make a gold task an ordinary task, which wants the project's number of annotations; those it has count."""
    with transaction.atomic():
        locked = Task.objects.select_for_update().get(pk=task.pk)
        if locked.gold is None:
            raise Conflict("This task is not a gold task.")
        live = list(locked.assignments.filter(state__in=Assignment.LIVE).order_by("-state", "pk"))  # submitted first
        wanted = max(locked.project.annotations_per_task, sum(one.state == Assignment.State.HELD for one in live))
        Assignment.objects.filter(task=locked).update(slot=None)
        live.sort(key=lambda one: one.state != Assignment.State.HELD)  # who holds it now keeps a place
        for place, one in enumerate(live, 1):
            counted = one.state == Assignment.State.SUBMITTED and place <= wanted
            slot = place if place <= wanted else None
            Assignment.objects.filter(pk=one.pk).update(slot=slot, counted=counted)
        locked.gold, locked.explanation, locked.training_round = None, "", False
        locked.annotations_wanted, locked.free_slots = wanted, max(0, wanted - len(live))
        locked.save(update_fields=["gold", "explanation", "training_round", "annotations_wanted", "free_slots"])
        task_slots.settle(locked)
        events.record("task.gold_unmarked", locked, actor=by)
    task.refresh_from_db()
    return task


def _given(task: Task, answer: Answer) -> Answer:
    return checked(task.project, task.kind, task.prompt, responses_of(task), task.ask, answer)


def _settled(task: Task) -> Answer:
    """The reviewer's verdict, or the majority of the counted annotations."""
    if not KINDS[task.kind].takes_gold:
        raise Conflict(f"A {task.kind} has no single correct answer, so it cannot be a gold task.")
    verdict = Verdict.objects.filter(task=task).first()
    if verdict is not None:
        payload: payloads.Payload | None = verdict.payload
    else:
        counted = Annotation.objects.filter(task=task, pk__in=task.assignments.filter(counted=True).values("current"))
        answers = counted.order_by("pk").values_list("payload", flat=True)
        payload = consensus.majority(task.kind, list(map(task.project.names.read, answers)))
    if payload is None:
        raise Conflict("The annotations have no majority. Set the gold answer yourself, or decide in the review.")
    return rules.without_blanks(task.kind, payload)
