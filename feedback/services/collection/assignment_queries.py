"""The statements behind every task that is given out, compiled once (`feedback.db.compiled_queries`)."""

from typing import Any, NamedTuple

from django.db.models import Case, Count, Exists, F, FilteredRelation, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from feedback.db.compiled_queries import CompiledSelect, CompiledUpdate, Param
from feedback.models import (
    Annotation,
    Assignment,
    Contest,
    ContestUnit,
    Exclusion,
    Membership,
    Person,
    Project,
    QueueCursor,
    Response,
    Task,
)
from feedback.selectors.collection.blindness import authors_readable, has_a_hand_in

LOOK_AHEAD = 8  # candidates fetched at once: somebody may take the first one meanwhile
NOBODY = 0  # a key that no person has
LAST = (1 << 63) - 1  # behind every queue key

State = Assignment.State


def unseen(tasks: QuerySet[Task], project: Any, annotator: Any, blind: Any) -> QuerySet[Task]:
    """Those of a project that this annotator may still be given.

    Args:
        blind: the annotator once more, if they may read no authors but those of their own prompts; else `NOBODY`.
    """
    mine = Assignment.objects.filter(
        task=OuterRef("pk"), annotator=annotator, state__in=[State.HELD, State.SUBMITTED, State.SKIPPED]
    )
    # A turn of a conversation is nobody's but its person's, who goes on with it in the conversation.
    tasks = tasks.filter(project=project, prompt__conversation=None).exclude(Exists(mine))
    # Nobody judges what they requested models for or wrote themselves; annotators nothing whose authors they may read.
    tasks = tasks.exclude(prompt__created_by=annotator, prompt__responses_wanted__gt=0)
    return tasks.exclude(authors_readable(blind, "prompt__")).exclude(has_a_hand_in(annotator))


def stretch(tasks: QuerySet[Task], after: Any, upto: Any) -> QuerySet[Task, tuple[int, int]]:
    """Keys and places of the first of them in a stretch of the queue."""
    found = tasks.filter(queue_key__gt=after, queue_key__lte=upto).order_by("queue_key")
    return found.values_list("pk", "queue_key")[:LOOK_AHEAD]


class RunningContest(NamedTuple):
    """A contest of the project, as far as the queue reads it."""

    key: int
    share: float
    votes_per_unit: int
    next_number: int


class Voter(NamedTuple):
    """Somebody in a contest: whether they are excluded, how many annotators are at work, how many units these were
    given, and how many units wait for votes, whoever was given them."""

    excluded: bool
    at_work: int
    units: int
    begun: int


class Seen(NamedTuple):
    """What the queue reads of an annotator: their membership (None of a site admin without one), their cursors by kind,
    and the contest that runs in the project."""

    member: Membership | None
    cursors: dict[str, QueueCursor]
    contest: RunningContest | None


def read_annotator(project: Project, annotator: Person) -> Seen:
    rows = _select_annotator.all(project=project.pk, annotator=annotator.pk)
    member: Membership | None = None
    cursors: dict[str, QueueCursor] = {}
    contest: RunningContest | None = None
    for row in rows:
        seat, cursor_values, contest_values = row[: len(SEAT)], row[len(SEAT) : -len(CONTEST)], row[-len(CONTEST) :]
        if member is None and seat[0] is not None:
            member = Membership(**dict(zip(SEAT, seat, strict=True)))
        if cursor_values[0]:
            cursor = QueueCursor(**dict(zip(CURSOR, cursor_values, strict=True)))
            cursors[cursor.kind] = cursor
        if contest_values[0]:
            contest = RunningContest(*contest_values)
    return Seen(member, cursors, contest)


def _number_of(rows: QuerySet[Any], group: str) -> Coalesce:
    """How many there are, for each row of a query around it; they have `group` in common."""
    counted = rows.order_by().values(group).annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(counted), 0)


def _find_unseen(tasks: QuerySet[Task]) -> QuerySet[Task, tuple[int, int]]:
    tasks = unseen(tasks, Param("project"), Param("annotator"), Param("blind"))
    return stretch(tasks, Param("after"), Param("upto"))


find_in_queue = CompiledSelect(lambda: _find_unseen(Task.objects.with_free_slots()))
find_of_kind = CompiledSelect(lambda: _find_unseen(Task.objects.with_free_slots().filter(kind=Param("kind"))))
_lately = Annotation.objects.filter(
    revision=1, annotator=OuterRef("person"), project=OuterRef("project"), created_at__gte=Param("since")
)
_at_work = Membership.objects.filter(Exists(_lately), project=OuterRef("project"), role=Membership.Role.ANNOTATOR)
_units = Assignment.objects.filter(
    annotator=Param("annotator"), state__in=Assignment.LIVE, task__contest=OuterRef("pk")
)
_exclusions = Exclusion.objects.filter(project=OuterRef("project"), person=Param("annotator"), lifted_at__isnull=True)
_begun = ContestUnit.objects.filter(contest=OuterRef("pk"), state=ContestUnit.State.OPEN)
select_voter = CompiledSelect(  # as `Voter` has it
    lambda: (
        Contest.objects.filter(pk=Param("contest"))
        .annotate(
            excluded=Exists(_exclusions),
            at_work=_number_of(_at_work, "project"),
            given=_number_of(_units, "annotator"),
            begun=_number_of(_begun, "contest"),
        )
        .values_list("excluded", "at_work", "given", "begun")
    )
)
_given_back = Assignment.objects.filter(task=OuterRef("pk"), annotator=Param("annotator"))
select_of_contest = CompiledSelect(  # those begun before others, so that no unit keeps later ones waiting
    lambda: (
        unseen(Task.objects.of_contests(), Param("project"), Param("annotator"), Param("annotator"))
        .filter(contest=Param("contest"), contest_unit__state__in=["ready", "open"])
        .annotate(given_back=Exists(_given_back))
        .order_by(F("contest_unit__number").asc(nulls_last=True), "queue_key")
        .values_list("pk", "queue_key", "contest_unit__number", "given_back")[: 2 * LOOK_AHEAD]
    )
)
find_in_qualification_round = CompiledSelect(lambda: _find_unseen(Task.objects.of_training_round()))


def _first_free(skip_locked: bool) -> Any:
    keys: Any = [Param(f"key{place}") for place in range(LOOK_AHEAD)]
    tasks = Task.objects.filter(pk__in=keys, state=Task.State.OPEN, free_slots__gt=0)
    return tasks.order_by("queue_key").select_for_update(skip_locked=skip_locked).values("pk")[:1]


def _take(skip_locked: bool) -> CompiledUpdate:
    """Takes a slot of the first task that has one. Tasks without K have room for everybody."""
    left = Case(When(annotations_wanted=None, then=F("free_slots")), default=F("free_slots") - 1)
    return CompiledUpdate(lambda: Task.objects.filter(pk=Subquery(_first_free(skip_locked))), free_slots=left)


take_slot = _take(skip_locked=True)  # what others are claiming this moment is skipped
take_slot_waiting = _take(skip_locked=False)
give_slot_back = CompiledUpdate(
    lambda: Task.objects.filter(pk=Param("task"), annotations_wanted__isnull=False), free_slots=F("free_slots") + 1
)
select_task = CompiledSelect(
    lambda: (
        Task.objects.select_related("prompt")
        .filter(pk=Param("task"))
        .annotate(
            mine=Subquery(Assignment.objects.filter(task=OuterRef("pk"), annotator=Param("annotator")).values("pk"))
        )
    )
)
select_texts = CompiledSelect(
    lambda: Response.objects.filter(placed__task=Param("task")).order_by("placed__position").values_list("pk", "text")
)
SEAT = ("role", "qualified", "daily_limit", "training")  # what the queue reads of a membership
CURSOR = ("pk", "kind", "queue_key", "epoch", "check_last", "given")
CONTEST = ("pk", "plan__share", "plan__votes_per_unit", "next_number")
_select_annotator = CompiledSelect(  # one row for each cursor, or one without; at most one contest runs in a project
    lambda: (
        Project.objects.order_by()
        .annotate(
            seat=FilteredRelation("memberships", condition=Q(memberships__person=Param("annotator"))),
            cursor=FilteredRelation("queuecursor", condition=Q(queuecursor__annotator=Param("annotator"))),
            contest=FilteredRelation("contests", condition=Q(contests__state="running")),
        )
        .filter(pk=Param("project"))
        .values_list(
            *(f"seat__{name}" for name in SEAT),
            *(f"cursor__{name}" for name in CURSOR),
            *(f"contest__{name}" for name in CONTEST),
        )
    )
)
select_held = CompiledSelect(
    lambda: (
        Assignment.objects.select_related("task")
        .filter(
            project=Param("project"),
            annotator=Param("annotator"),
            state=State.HELD,
            held_until__gt=Param("now"),
            task__prompt__conversation=None,
        )
        .order_by("ahead", "pk")
    )
)
show = CompiledUpdate(
    lambda: Assignment.objects.filter(pk=Param("assignment"), state=State.HELD),
    ahead=False,
    held_until=Param("until"),
    shown_at=Param("shown"),
)
move_cursor = CompiledUpdate(
    lambda: QueueCursor.objects.filter(pk=Param("cursor"), given=Param("before")),
    given=Param("given"),
    check_last=Param("check"),
    queue_key=Param("place"),
    epoch=Param("epoch"),
)
