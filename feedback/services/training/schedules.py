"""What starts when: every T seconds, or after N new pairs, and at once when labels drift from the reward model.

Each due time starts its chain exactly once, and so does each drift alarm for a schedule that trains a reward model.
"""

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback.errors import ChainRunning, Conflict, DomainError, Invalid
from feedback.models import Chain, Person, PreferencePair, Project, Schedule, Stage
from feedback.rules.training.policies import PipelineConfig
from feedback.rules.training.stages import ordered
from feedback.selectors.evaluation import live_accuracy
from feedback.selectors.training import plans
from feedback.selectors.training.plans import PipelineRequest
from feedback.services.platform import events
from feedback.services.training import pipelines

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 60
OUR_FAULT = "An internal error occurred; the worker log has the details. The schedule retries when it is next due."


def create_schedule(
    *,
    by: Person | None,
    project: Project,
    name: str,
    stages: list[str],
    every_seconds: int | None = None,
    after_pairs: int | None = None,
    config: PipelineConfig | None = None,
    promote: bool = False,
) -> Schedule:
    """A rule that starts a chain.

    Raises:
        Invalid: not exactly one of every_seconds (>= 60) and after_pairs (>= 1), or unknown stages.
        Conflict: the name is taken.
    """
    if (every_seconds is None) == (after_pairs is None):
        raise Invalid("Set either an interval in seconds or a number of new pairs.", field="every_seconds")
    if every_seconds is not None and every_seconds < SHORTEST_SECONDS:
        raise Invalid(f"The interval must be at least {SHORTEST_SECONDS} seconds.", field="every_seconds")
    if after_pairs is not None and after_pairs < 1:
        raise Invalid("The number of new pairs must be at least 1.", field="after_pairs")
    request = PipelineRequest(project=project, stages=tuple(stages), config=config or {}, promote=promote)
    for problem in plans.request_problems(request):
        raise problem
    due = timezone.now() + timedelta(seconds=every_seconds) if every_seconds else None
    try:
        with transaction.atomic():
            schedule = Schedule.objects.create(
                project=project,
                name=name,
                stages=ordered(stages),
                every_seconds=every_seconds,
                after_pairs=after_pairs,
                config=request.config,
                promote=promote,
                next_due_at=due,
                pairs_at_last_start=pairs_so_far(project),
                created_by=by,
            )
            events.record("schedule.created", schedule, actor=by)
    except IntegrityError:
        raise Conflict(f"A schedule named {name!r} already exists.", field="name") from None
    return schedule


def set_enabled(*, by: Person, schedule: Schedule, enabled: bool) -> Schedule:
    """Switch on or off. Switched on, time and pairs count from now."""
    changes: dict[str, object] = {"enabled": enabled}
    if enabled:
        changes |= {"pairs_at_last_start": pairs_so_far(schedule.project), "trouble": ""}
        if schedule.every_seconds:
            changes["next_due_at"] = timezone.now() + timedelta(seconds=schedule.every_seconds)
    with transaction.atomic():
        Schedule.objects.filter(pk=schedule.pk).update(**changes)
        events.record("schedule.enabled" if enabled else "schedule.disabled", schedule, actor=by)
    schedule.refresh_from_db()
    return schedule


def delete_schedule(*, by: Person, schedule: Schedule) -> None:
    with transaction.atomic():
        events.record("schedule.deleted", schedule, actor=by)
        schedule.delete()


def start_due(now: datetime | None = None) -> list[Chain]:
    """Start what is due. However many beats call it at once, each due time starts one chain.

    The due time is moved on by a compare-and-set in the transaction that makes the chain; the chain carries the due
    time as a unique key. A chain of the same stages still at work lets the due time pass until it has ended.
    """
    now = now or timezone.now()
    started = []
    for schedule in Schedule.objects.filter(enabled=True).select_related("project", "created_by"):
        try:
            if (key := _due_key(schedule, now)) is not None and (chain := _start(schedule, key, now)):
                started.append(chain)
        except Exception:  # one project's trouble is no reason to leave the others waiting
            log.exception("schedule %s could not start", schedule.public_id)
            _tell(schedule, OUR_FAULT)
    return started


def pairs_so_far(project: Project) -> int:
    """Pairs ever written in the project; closed ones too, so that the count never falls."""
    return PreferencePair.objects.filter(project=project).count()


def _due_key(schedule: Schedule, now: datetime) -> str | None:
    if Stage.REWARD in schedule.stages and (alarm := live_accuracy.unanswered_alarm(schedule)):
        return live_accuracy.due_key(alarm)
    if schedule.every_seconds is not None:
        due = schedule.next_due_at
        return due.isoformat() if due is not None and due <= now else None
    new = pairs_so_far(schedule.project) - schedule.pairs_at_last_start
    assert schedule.after_pairs is not None
    return f"pairs {schedule.pairs_at_last_start}" if new >= schedule.after_pairs else None


def _start(schedule: Schedule, key: str, now: datetime) -> Chain | None:
    try:
        with transaction.atomic():
            mine = Schedule.objects.filter(pk=schedule.pk, enabled=True)
            if schedule.every_seconds is not None:
                moved = mine.filter(next_due_at=schedule.next_due_at).update(
                    next_due_at=_next_due(schedule, now), trouble=""
                )
            else:
                moved = mine.filter(pairs_at_last_start=schedule.pairs_at_last_start).update(
                    pairs_at_last_start=pairs_so_far(schedule.project), trouble=""
                )
            if not moved:
                return None  # another beat was quicker
            request = PipelineRequest(
                project=schedule.project,
                stages=tuple(schedule.stages),
                config=schedule.config,
                promote=schedule.promote,
            )
            plan = plans.plan_pipeline(request)
            return pipelines.start_chain(plan, by=schedule.created_by, schedule=schedule, due_key=key)
    except ChainRunning:
        return None  # rolled back: still due, started when the present chain has ended
    except DomainError as error:
        _tell(schedule, error.sentence)
        return None


def _next_due(schedule: Schedule, now: datetime) -> datetime:
    """When a timed schedule that starts now is due again. Due times that were missed (the machine slept) are not made
    up for; one that starts before its time counts from now."""
    assert schedule.every_seconds is not None and schedule.next_due_at is not None
    every = timedelta(seconds=schedule.every_seconds)
    if schedule.next_due_at > now:
        return now + every
    return schedule.next_due_at + every * ((now - schedule.next_due_at) // every + 1)


def _tell(schedule: Schedule, sentence: str) -> None:
    """A schedule that cannot start says why, on its page; a timed one tries again at its next due time."""
    changes: dict[str, object] = {"trouble": sentence[:500]}
    if schedule.every_seconds is not None:
        changes["next_due_at"] = timezone.now() + timedelta(seconds=schedule.every_seconds)
    Schedule.objects.filter(pk=schedule.pk).update(**changes)
