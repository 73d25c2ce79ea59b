"""The qualification round: gold tasks that new annotators do first; after each they see the right answer and why."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from feedback.errors import Invalid
from feedback.models import Annotation, Assignment, Membership, Person, Project, Task
from feedback.rules.collection.payloads import Answer, unresolve
from feedback.rules.collection.queue_policy import QueuePolicy
from feedback.services.collection.task_slots import lock, take_out
from feedback.services.platform import events

State = Membership.Training


@dataclass(frozen=True)
class QualificationVerdict:
    """The result that an annotator sees after an answer in the qualification round. `answer` is in their letters."""

    right: bool
    answer: Answer
    explanation: str
    training: str  # needed, passed or failed, after this answer
    answered: int
    needed: int


def judge(*, annotation: Annotation, task: Task) -> None:
    """Judge an answer of the qualification round: passed, failed, or continue. Call in the submit's transaction.

    Passed when of the last `training_tasks` answers as many are right as the project asks; failed when the round's
    tasks are used up before. A round with fewer tasks than that is passed on all of them.
    """
    member = Membership.objects.filter(project_id=task.project_id, person_id=annotation.annotator_id).first()
    if member is None or member.training not in (State.NEEDED, State.FAILED):
        return
    policy = QueuePolicy.of(task.project.queue_policy)
    outcomes = _answers(member)
    total = Task.objects.of_training_round().filter(project_id=task.project_id).count()
    needed = min(policy.training_tasks, max(total, 1))
    if not needed:
        return
    if len(outcomes) >= needed and 100 * sum(outcomes[-needed:]) >= policy.training_pass * needed:
        _set(member, State.PASSED, member.person)
        _let_go(member)
    elif len(outcomes) >= total:
        _set(member, State.FAILED, member.person)


def _let_go(member: Membership) -> None:
    """Tasks of the round that they hold ahead are theirs no more. None has slots to free; one that is being answered
    this moment in another tab is left to it."""
    held = Assignment.objects.filter(
        project=member.project_id, annotator=member.person_id, task__training_round=True, state=Assignment.State.HELD
    )
    keys = [one.pk for one in held.select_for_update(skip_locked=True, of=("self",))]
    Assignment.objects.filter(pk__in=keys, state=Assignment.State.HELD).update(state=Assignment.State.RELEASED)


def verdict_of(assignment: Assignment) -> QualificationVerdict | None:
    """The result of an answer; None outside the qualification round."""
    task, current = assignment.task, assignment.current
    if not task.training_round or task.gold is None or current is None:
        return None
    member = Membership.objects.filter(project_id=task.project_id, person_id=assignment.annotator_id).first()
    policy = QueuePolicy.of(task.project.queue_policy)
    names = task.project.names
    gold = {"reason": "", "strength": 2} | names.read(task.gold)
    return QualificationVerdict(
        right=names.right(current.payload, task.gold) is not False,
        answer=unresolve(task.kind, gold, current.shown),
        explanation=task.explanation,
        training=member.training if member else State.NEEDED,
        answered=len(_answers(member)) if member else 0,
        needed=policy.training_tasks,
    )


def set_training(*, by: Person, project: Project, person: Person, training: str) -> Membership:
    """Waive the round for a member, or (needed) let them start it over.

    Starting over gives the tasks of the round again; the answers to them stays in their history.

    Raises:
        Invalid: it is neither.
    """
    if training not in (State.WAIVED, State.NEEDED):
        raise Invalid("Waive the qualification round (waived), or restart it (needed).", field="training")
    with transaction.atomic():
        member = Membership.objects.select_for_update().get(project=project, person=person)
        if training == State.NEEDED:
            done = Assignment.objects.filter(
                project=project, annotator=person, task__training_round=True, state=Assignment.State.SUBMITTED
            )
            for assignment in done.order_by("task_id"):
                task, held = lock(assignment)
                take_out(task, held, Assignment.State.RELEASED)
        _set(member, State(training), by)
    return member


def _set(member: Membership, training: State, by: Person) -> None:
    member.training = training
    member.trained_at = None if training == State.NEEDED else timezone.now()
    member.save(update_fields=["training", "trained_at"])
    events.record(f"member.training_{training}", member.person, actor=by, project=member.project)


def _answers(member: Membership) -> list[bool]:
    """Whether each current answer of the round is right, oldest first."""
    rows = Annotation.objects.filter(
        project_id=member.project_id,
        annotator_id=member.person_id,
        task__training_round=True,
        pk__in=Assignment.objects.filter(
            project_id=member.project_id, annotator_id=member.person_id, current__isnull=False
        ).values("current"),
    )
    names = member.project.names
    outcomes: list[bool] = []
    for payload, gold in rows.order_by("pk").values_list("payload", "task__gold"):
        right = names.right(payload, gold or {})
        if right is not None:
            outcomes.append(right)
    return outcomes
