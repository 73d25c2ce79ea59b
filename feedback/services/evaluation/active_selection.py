"""Active selection: its settings, switched on and off, and replays that must show first that it saves labels here."""

import dataclasses
from collections.abc import Sequence

from django.db import transaction

from feedback import celery_app
from feedback.errors import Conflict, Invalid
from feedback.models import Job, ModelVersion, Person, Project, SelectionReplay
from feedback.rules.evaluation import active_selection as rules
from feedback.rules.evaluation.active_selection import Settings
from feedback.rules.training.policies import InvalidPolicy
from feedback.selectors.evaluation import active_selection as selectors
from feedback.services.platform import events, jobs
from feedback.services.platform.closed_projects import refuse_when_closed


def change(
    *,
    by: Person,
    project: Project,
    acquisition: str | None = None,
    random_share: float | None = None,
    on: bool | None = None,
) -> Settings:
    """Change settings, and switch on or off. What is None stays. Another acquisition needs a replay of its own.

    Raises:
        Invalid: an unknown acquisition, or a share out of bounds.
        Conflict: it is to be on, and something stands against that.
    """
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        before = selectors.settings_of(locked)
        settings = dataclasses.replace(
            before,
            acquisition=before.acquisition if acquisition is None else acquisition,
            random_share=before.random_share if random_share is None else random_share,
            on=before.on if on is None else on,
        )
        try:
            rules.check(settings.acquisition, settings.random_share)
        except InvalidPolicy as error:
            raise Invalid(error.sentence, field=error.field) from None
        if settings.on and not before.on:
            obstacles = rules.against_switching_on(selectors.situation(locked, settings))
            if obstacles:
                raise Conflict(
                    " ".join(one.sentence for one in obstacles), field="on", obstacles=[one.name for one in obstacles]
                )
        if on is not None:
            settings = dataclasses.replace(settings, off_because="")
        if settings == before:
            return settings
        _store(locked, settings)
        verb = "active_selection.changed"
        if settings.on != before.on:
            verb = "active_selection.on" if settings.on else "active_selection.off"
        events.record(verb, locked, actor=by, project=locked)
    project.active_selection = settings.stored()
    return settings


def set_back_to_random(*, project: Project, because: str) -> bool:
    """Switch it off because the evidence for it is gone: a drift alarm of the reward model, or a replay that refuses.

    Call it in the transaction that stores the evidence.

    Args:
        because: `drift_alarm` or `replay_refused`.

    Returns:
        Whether it was on.
    """
    if because not in (rules.DRIFT, rules.REPLAY_REFUSED):
        raise ValueError(f"unknown reason {because!r}")
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        settings = selectors.settings_of(locked)
        if not settings.on:
            return False
        _store(locked, dataclasses.replace(settings, on=False, off_because=because))
        events.record("active_selection.set_back", locked, actor=None, project=locked, because=because)
    return True


def request_replay(*, by: Person | None, project: Project) -> Job:
    """A job that replays the project's acquisition on its own labels.

    Raises:
        Conflict: too few labels, no reward model, or a replay waits or runs already.
        ProjectClosed: the project is closed.
    """
    refuse_when_closed(project, "replays")
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        status = selectors.status(locked)
        if status.replay_job is not None:
            raise Conflict("A replay is already queued or running.")
        if status.against_replay:
            raise Conflict(status.against_replay)
        settings = status.settings
        payload = {"acquisition": settings.acquisition, "random_share": settings.random_share}
        job = jobs.create(
            kind=Job.Kind.REPLAY, queue_name=celery_app.TRAIN, project=locked, by=by, payload=dict(payload)
        )
        events.record("active_selection.replay_requested", job, actor=by)
    return job


@dataclasses.dataclass(frozen=True)
class ReplayOutcome:
    """What a replay measured, by seed; `labels`, `pool` and `held_out` are numbers of preference pairs."""

    reward_version: ModelVersion
    labels: int
    pool: int
    held_out: int
    active_accuracy: Sequence[float]
    random_accuracy: Sequence[float]


def record_replay(job: Job, outcome: ReplayOutcome) -> SelectionReplay:
    """Store a replay, in the transaction that ends its job. Where it refuses, active selection is switched off."""
    assert job.project is not None
    difference = rules.paired_difference(outcome.active_accuracy, outcome.random_accuracy)
    learnable = rules.is_learnable(outcome.random_accuracy, outcome.held_out)
    replay = SelectionReplay.objects.create(
        project=job.project,
        job=job,
        reward_version=outcome.reward_version,
        acquisition=job.payload["acquisition"],
        random_share=job.payload["random_share"],
        labels=outcome.labels,
        pool=outcome.pool,
        held_out=outcome.held_out,
        active_accuracy=list(outcome.active_accuracy),
        random_accuracy=list(outcome.random_accuracy),
        difference=difference.mean,
        low=difference.low,
        high=difference.high,
        learnable=learnable,
    )
    events.record("active_selection.replayed", job, actor=None, project=job.project)
    figure = rules.ReplayFigure(outcome.labels, difference, learnable)
    current = selectors.settings_of(Project.objects.get(pk=job.project.pk))
    if not figure.is_better and current.acquisition == replay.acquisition:
        set_back_to_random(project=job.project, because=rules.REPLAY_REFUSED)
    return replay


def _store(project: Project, settings: Settings) -> None:
    Project.objects.filter(pk=project.pk).update(active_selection=settings.stored())
