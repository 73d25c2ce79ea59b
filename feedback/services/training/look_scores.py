"""Scoring a run's saved responses with the project's other reward versions: requested by a person, done by a worker."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from feedback import celery_app
from feedback.errors import Conflict, Invalid
from feedback.models import Job, LookScore, ModelVersion, Person, Project, TrainingRun
from feedback.selectors.training import look_scores as selectors
from feedback.services.platform import events, jobs
from feedback.services.platform.closed_projects import refuse_when_closed

WRONG_STAGE = "Only a PPO run saves responses that other reward models can score."


@dataclass(frozen=True)
class Look:
    """Mean reward and KL of the responses of one look; `responses` of them."""

    step: int
    reward: float
    kl: float
    responses: int


def request(*, by: Person, run: TrainingRun) -> Job:
    """A job that scores what is not scored yet.

    Raises:
        Invalid: the run saves no responses to score.
        Conflict: nothing is left to score, or the scoring waits or runs already.
        ProjectClosed: the project is closed.
    """
    refuse_when_closed(run.project, "scores")
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=run.project_id)
        found = selectors.of_run(run)
        if found is None:
            raise Invalid(WRONG_STAGE)
        if found.job is not None:
            raise Conflict("The scoring is already queued or running.")
        if found.missing or not found.unscored:
            raise Conflict(found.missing or "Every reward model of this project has scored these responses.")
        payload = {"run": str(run.public_id)}
        job = jobs.create(
            kind=Job.Kind.LOOKS, queue_name=celery_app.GENERATE, project=project, by=by, payload=dict(payload)
        )
        events.record("run.looks_requested", job, actor=by)
    return job


def store(run: TrainingRun, version: ModelVersion, looks: Sequence[Look]) -> None:
    """Keep what one version makes of the looks. What is kept already stays: another attempt has scored the same."""
    LookScore.objects.get_or_create(
        run=run,
        reward_version=version,
        defaults={
            "steps": [look.step for look in looks],
            "rewards": [round(look.reward, 4) for look in looks],
            "kls": [round(look.kl, 4) for look in looks],
            "responses": sum(look.responses for look in looks),
        },
    )
