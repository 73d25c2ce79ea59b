"""annotations: taken in, revised, taken back, flagged. Submitted annotations are never lost.

Each verb is one transaction that locks the task first, then the assignment. Pairs for training are written in it.
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from feedback.db.compiled_queries import CompiledDelete, CompiledSelect, CompiledUpdate, Param, insert
from feedback.db.unit_of_work import unit_of_work
from feedback.errors import AlreadySubmitted, Conflict, Invalid
from feedback.models import (
    Annotation,
    Assignment,
    Concern,
    Draft,
    Flag,
    Person,
    PreferencePair,
    Response,
    Task,
)
from feedback.rules.collection import label_schemes, payloads
from feedback.rules.collection.preferences import CLEAR
from feedback.rules.collection.queue_policy import TAKEN_BACK
from feedback.services.collection import member_departure
from feedback.services.collection.task_slots import (
    close_pairs,
    free_slot,
    lock,
    lowest_free_slot,
    settle,
    take_out,
    take_slot,
)
from feedback.services.evaluation import contest_votes
from feedback.services.platform import events
from feedback.services.quality import concerns, qualification

State = Assignment.State
MAX_SECONDS = 24 * 3600.0
TOLD = "Annotations of the qualification round cannot be revised, because the correct answer was shown."
MAX_DRAFT_CHARACTERS = 100_000
SUBMITTED = ("state", "counted", "current", "slot", "ahead", "sent_back")  # what an answer changes in its assignment

select_shown = CompiledSelect(
    lambda: Response.objects.filter(placed__task=Param("task")).values_list("pk", "public_id", "text")
)
mark_submitted = CompiledUpdate(
    lambda: Assignment.objects.filter(pk=Param("assignment")),
    state=State.SUBMITTED,
    counted=Param("counted"),
    current=Param("current"),
    slot=Param("slot"),
    ahead=False,
    sent_back="",
)
delete_draft = CompiledDelete(lambda: Draft.objects.filter(assignment=Param("assignment")))


def save_draft(*, assignment: Assignment, payload: object) -> Draft:
    """Keep what is being written. Drafts are kept whatever the state of the lease.

    Raises:
        Invalid: it is no object, or past all measure.
        AlreadySubmitted: the answer was sent; a draft would bring nothing back.
    """
    if not isinstance(payload, dict):
        raise Invalid("A draft must be an object.", field="payload")
    if len(str(payload)) > MAX_DRAFT_CHARACTERS:
        raise Invalid(f"A draft has at most {MAX_DRAFT_CHARACTERS} characters.", field="payload")
    with transaction.atomic():  # with the lock that an answer takes: no draft stays behind that came in beside it
        if Assignment.objects.select_for_update().get(pk=assignment.pk).state == State.SUBMITTED:
            raise AlreadySubmitted
        draft, _ = Draft.objects.update_or_create(assignment=assignment, defaults={"payload": payload})
    return draft


def submit(
    *,
    assignment: Assignment,
    answer: object,
    seconds: float | None = None,
    client: str = "api",
) -> Annotation:
    """Take an answer in, whatever became of the lease.

    If the slot is still this person's, or free while the task is open, the answer is one of the K; otherwise it is kept
    as an extra: for agreement and training, never for K. `assignment.counted` tells which. What somebody sends who was
    taken out of the project meanwhile is always an extra, and so is in a contest what may not count as a vote.

    Args:
        answer: names responses by the letters shown.
        seconds: spent on it, as the client measured; never more than the time since it was shown. None: not measured,
            so the time since then is kept, and says nothing about the annotator's pace.

    Raises:
        Invalid: the answer does not fit the task; `field` says where.
        AlreadySubmitted: this person answered already.
    """
    with unit_of_work():
        task, held = lock(assignment)
        if held.state == State.SUBMITTED:
            raise AlreadySubmitted(annotation=str(held.current.public_id) if held.current else None)
        counted, left = True, False
        if held.state != State.HELD:
            left = member_departure.has_left(held)
            counted = not left and take_slot(task)
            held.slot = None
            if counted:
                held.slot = lowest_free_slot(task)
        ballot = None if task.contest_id is None else contest_votes.ballot(task, held.annotator_id)
        place_goes_on = counted and task.contest_id is not None and not contest_votes.may_vote(held, ballot)
        if place_goes_on:
            counted, held.slot = False, None
        late = left or held.state == State.EXPIRED or held.held_until < timezone.now()
        annotation = append(task, held, answer, held.annotator, seconds, client, late=late)
        held.state, held.counted, held.current, held.ahead = State.SUBMITTED, counted, annotation, False
        held.sent_back = ""
        mark_submitted(assignment=held.pk, counted=counted, current=annotation.pk, slot=held.slot)
        if place_goes_on:
            free_slot(task)
        if counted:
            settle(task)
            if ballot is not None:
                contest_votes.count(task, ballot, annotation)
        if held.has_draft:
            delete_draft(assignment=held.pk)
        if task.training_round:
            qualification.judge(annotation=annotation, task=task)
        elif task.gold is None:
            concerns.draw_sample(held.project, task, held)
    for name in SUBMITTED:  # not read again: the rows that it refers to are at hand
        setattr(assignment, name, getattr(held, name))
    return annotation


def revise(
    *, assignment: Assignment, answer: object, by: Person, seconds: float | None = None, client: str = "api"
) -> Annotation:
    """Another answer in place of the current one. The earlier revision stays; its pairs are closed.

    Raises:
        Conflict: there is no answer to revise.
        Invalid: the answer does not fit the task.
    """
    with transaction.atomic():
        task, held = lock(assignment)
        if held.state != State.SUBMITTED or held.current is None:
            raise Conflict("There is no annotation to revise. Submit one.", code_state=held.state)
        if task.training_round:
            raise Conflict(TOLD)
        before = held.current
        close_pairs(before)
        annotation = append(task, held, answer, by, seconds, client, late=False)
        held.current = annotation
        if task.contest_id is not None:
            contest_votes.change(task, before, annotation)
        held.save(update_fields=["current"])
        events.record("annotation.revised", annotation, actor=by, revision=annotation.revision)
    assignment.refresh_from_db()
    return annotation


def withdraw(*, assignment: Assignment, by: Person) -> Annotation:
    """Take an answer back: it no longer counts or trains, its slot is free again, and its history stays."""
    with transaction.atomic():
        task, held = lock(assignment)
        if held.state != State.SUBMITTED or held.current is None:
            raise Conflict("There is no annotation to withdraw.")
        if task.training_round:
            raise Conflict(TOLD)
        row = Annotation.objects.create(
            project_id=held.project_id,
            task=task,
            assignment=held,
            annotator=by,
            kind=task.kind,
            revision=held.revisions + 1,
            payload={},
            shown=held.current.shown,
            withdrawn=True,
        )
        take_out(task, held, State.SKIPPED, TAKEN_BACK)
        events.record("annotation.withdrawn", row, actor=by)
    assignment.refresh_from_db()
    return row


def flag(*, assignment: Assignment, by: Person, reason: str) -> Flag:
    """Something is wrong with this task or answer; a reviewer will look."""
    if not reason.strip():
        raise Invalid("Describe the problem in a few words.", field="reason")
    with transaction.atomic():
        row = Flag.objects.create(assignment=assignment, person=by, reason=reason.strip()[:500])
        concerns.raise_concern(Concern.Reason.FLAGGED, assignment.task, assignment)
        events.record("assignment.flagged", row, actor=by, project=assignment.project)
    return row


def append(
    task: Task, held: Any, answer: object, by: Person, seconds: float | None, client: str, *, late: bool
) -> Annotation:
    """One more annotation row with its pairs. Call while holding the locks, with what `lock` has reported."""
    names: dict[int, str] = {}  # public ids of the responses by key
    keys: dict[str, int] = {}  # and the reverse
    texts: dict[str, str] = {}
    if held.order:
        for key, public_id, text in select_shown.all(task=task.pk):
            name = str(public_id)
            names[key], keys[name], texts[name] = name, key, text
    texts[payloads.PROMPT] = task.prompt.text
    shown = [names[key] for key in held.order]
    project = held.project
    question = payloads.Question(
        kind=task.kind,
        shown=shown,
        texts=texts,
        dimensions=project.dimensions,
        asks_reason=project.asks_reason,
        scheme=label_schemes.scheme_of(project.label_scheme, task.ask),
    )
    try:
        if isinstance(answer, dict):  # somebody who began before a rename
            answer = project.names.read(answer, task.ask.get("scheme", ""))
        payload = payloads.resolve(answer, question)
    except payloads.InvalidAnswer as error:
        raise Invalid(error.sentence, field=error.field) from None
    annotation = Annotation(
        project_id=held.project_id,
        task=task,
        assignment=held,
        annotator=by,
        kind=task.kind,
        revision=held.revisions + 1,
        payload=payload,
        shown=shown,
        late=late,
        seconds=_seconds(held, seconds),
        timed=seconds is not None and held.revisions == 0,
        blind=by.pk == held.annotator_id and not held.reads_authors,  # a correction is a reviewer's
        guideline_id=held.guidelines,
        client=client,
    )
    insert(annotation)
    pairs: list[PreferencePair] = []
    for preference in payloads.preferences_in(task.kind, payload):
        chosen, rejected = keys[preference.chosen], keys[preference.rejected]
        pairs.append(_pair(annotation, chosen, rejected, preference.strength))
    written = payloads.written_in(task.kind, payload, shown)
    if written is not None:
        # What a person wrote becomes a response of theirs, preferred to those that it was written in place of.
        response = _write_response(annotation, written.text)
        for worse in written.preferred_to:
            pairs.append(_pair(annotation, response.pk, keys[worse], CLEAR))
    for pair in pairs:
        insert(pair)
    return annotation


def _pair(annotation: Annotation, chosen: int, rejected: int, strength: int) -> PreferencePair:
    return PreferencePair(
        project_id=annotation.project_id,
        prompt_id=annotation.task.prompt_id,
        chosen_id=chosen,
        rejected_id=rejected,
        strength=strength,
        annotation=annotation,
    )


def _write_response(annotation: Annotation, text: str) -> Response:
    return Response.objects.create(
        project_id=annotation.project_id,
        prompt_id=annotation.task.prompt_id,
        text=text,
        author=annotation.annotator,
        annotation=annotation,
    )


def _seconds(held: Assignment, given: float | None) -> float:
    """What the client measured, but never more than the time since the task was shown."""
    shown = held.shown_at or held.created_at
    since = max(0.0, (timezone.now() - shown).total_seconds())
    return round(min(MAX_SECONDS, since if given is None else max(0.0, min(float(given), since))), 3)
