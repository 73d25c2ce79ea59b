"""Housekeeping: tasks that the clock sends every few seconds. Each is safe when two workers run it at once."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from django.utils import timezone

from feedback.celery_app import CONTEST, FORGOTTEN, SWEEP, TICK, app
from feedback.models import Chain, Job, WorkerProcess
from feedback.services.collection import assignments, task_supply
from feedback.services.evaluation import choices, contest_outcomes, contest_supply, contest_units, live_accuracy
from feedback.services.platform import account_mail, idempotency, jobs
from feedback.services.quality import exclusions, reviews
from feedback.services.registry import probes
from feedback.services.screening import screening
from feedback.services.training import campaigns, pipelines, schedules

log = logging.getLogger(__name__)

EXPIRED_AT_ONCE = 200
FORGET_WORKERS_AFTER = timedelta(hours=1)
DOUBT_EVERY = timedelta(hours=1)
EXCLUDE_EVERY = timedelta(minutes=10)

_doubted_at: datetime | None = None
_excluded_at: datetime | None = None


@app.task(name=SWEEP)
def sweep_task() -> None:
    sweep()


@app.task(name=TICK)
def tick_task() -> None:
    tick()


@app.task(name=CONTEST)
def contest_task(key: int) -> None:
    look_after_contest(key)


@app.task(name=FORGOTTEN)
def password_forgotten_task(person_key: int) -> None:
    account_mail.send_reset(person_key)


def look_after_contest(key: int) -> None:
    """Announced when a contest needs units, or has ended. Housekeeping does the same where a message was lost."""
    contest_outcomes.apply_one(key)
    contest_supply.supply(key)


def tick() -> None:
    """Start the pipeline runs that are due by their schedules, and take the next steps of campaigns."""
    _each([start_scheduled, campaigns.advance_all])


def start_scheduled() -> None:
    for chain in schedules.start_due():
        log.info("schedule %s started chain %s", chain.schedule_id, chain.public_id)


def sweep() -> None:
    """Handle silent jobs, lost messages, expired assignments, interrupted pipeline runs, responses without a job,
    batches of active selection, and contests.

    A part that fails does not keep the others from running.
    """
    parts: list[Callable[[], object]] = [
        jobs.sweep,
        release_expired,
        advance_left_chains,
        task_supply.pick_up_orphans,
        task_supply.top_up,
        choices.keep_supplied,
        screening.pick_up,
        contest_units.void_left,
        contest_outcomes.apply_decisions,
        contest_supply.supply_all,
        live_accuracy.pick_up,
        forget_gone_workers,
        idempotency.forget_old,
        probes.forget_old,
        doubt_unreliable,
        exclude_careless,
    ]
    _each(parts)


def _each(parts: Sequence[Callable[[], object]]) -> None:
    """Call all of them even if some fail; the first error is raised at the end."""
    first_error: Exception | None = None
    for part in parts:
        try:
            part()
        except Exception as error:
            log.exception("housekeeping: %s failed", getattr(part, "__name__", part))
            first_error = first_error or error
    if first_error is not None:
        raise first_error


def release_expired() -> None:
    while assignments.release_expired(EXPIRED_AT_ONCE) >= EXPIRED_AT_ONCE:
        pass


def doubt_unreliable() -> None:
    """Run `reviews.doubt_unreliable` once an hour and process: its figures take a second or two in a large project."""
    global _doubted_at
    now = timezone.now()
    if _doubted_at is None or now - _doubted_at >= DOUBT_EVERY:
        since, _doubted_at = _doubted_at or now - DOUBT_EVERY, now
        reviews.doubt_unreliable(since)


def exclude_careless() -> None:
    """Reads every timed annotation of projects in which somebody is at work: once in ten minutes is often enough, since
    a freeze looks for itself."""
    global _excluded_at
    now = timezone.now()
    if _excluded_at is None or now - _excluded_at >= EXCLUDE_EVERY:
        since, _excluded_at = _excluded_at or now - EXCLUDE_EVERY, now
        exclusions.exclude_where_busy(since)


def advance_left_chains() -> int:
    """Advance pipeline runs whose last run has ended and whose worker was killed before it could advance them."""
    left = Chain.objects.filter(state=Chain.State.ACTIVE).exclude(runs__job__status__in=Job.ACTIVE)
    _each([partial(pipelines.advance_chain, chain) for chain in left])
    return len(left)


def forget_gone_workers() -> None:
    WorkerProcess.objects.filter(seen_at__lt=timezone.now() - FORGET_WORKERS_AFTER).delete()
