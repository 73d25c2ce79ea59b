"""Training: chains of stages, started by a button, a schedule or a client; one run after the other.

A chain makes its next run when one has succeeded, in one transaction with a check that the place is empty, so an end
that is reported twice moves it on once. The database refuses a second active chain of the same stages in a project.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import F, Max
from django.utils import timezone

from feedback import celery_app
from feedback.errors import ChainRunning, ContestBlocked, DomainError, InvalidTransition, ModelNotPromotable
from feedback.models import (
    Chain,
    Evaluation,
    Job,
    ModelVersion,
    Person,
    Project,
    RunAlarm,
    RunPoint,
    RunSamples,
    Schedule,
    TrainingRun,
)
from feedback.rules.json_types import JsonObject
from feedback.rules.training.stages import ON_TEXTS
from feedback.selectors.evaluation import gate
from feedback.selectors.training import plans, stage_models
from feedback.selectors.training.plans import PipelinePlan
from feedback.services.evaluation import contests
from feedback.services.platform import events, jobs
from feedback.services.training.draft_snapshots import with_snapshots

LOG_TAIL = 20_000  # characters


def start_chain(
    plan: PipelinePlan,
    *,
    by: Person | None,
    schedule: Schedule | None = None,
    due_key: str | None = None,
    looked_at: bool = False,
) -> Chain:
    """Start the planned stages one after another.

    Args:
        looked_at: a preflight check of it has passed.

    Raises:
        Invalid, NothingToTrainOn, SnapshotTooSmall, SnapshotRevoked: the first problem of the plan.
        ChainRunning: one with the same stages is queued or running.
    """
    plan.refuse_problems()
    stages = list(plan.request.stages)
    try:
        with transaction.atomic():
            request = with_snapshots(plan.request, by)
            chain = Chain.objects.create(
                project=request.project,
                stages=stages,
                kind="+".join(stages),
                config=request.config,
                seed=request.seed,
                base_model=request.base_model,
                snapshot=request.snapshot,
                corpus_snapshot=request.corpus_snapshot,
                promote=request.promote,
                schedule=schedule,
                due_key=due_key,
                requested_by=by,
                ignore_findings=list(request.ignore_findings),
                looked_at=looked_at,
            )
            _start_run(chain, 0)
            events.record("chain.started", chain, actor=by, stages=chain.kind)
    except IntegrityError:
        raise ChainRunning(stages=stages) from None
    return chain


def advance_chain(chain: Chain) -> None:
    """Called when a run of the chain ended: start the next stage, or end the chain. Safe to call twice."""
    with transaction.atomic():
        chain = Chain.objects.select_for_update(of=("self",)).select_related("project").get(pk=chain.pk)
        last = chain.runs.select_related("job").order_by("-position").first()
        if chain.state != Chain.State.ACTIVE or last is None or not last.job.is_final:
            return
        if last.job.status == Job.Status.FAILED:
            _end(chain, Chain.State.FAILED)
        elif last.job.status == Job.Status.CANCELLED or last.job.cancel_requested_at is not None:
            _end(chain, Chain.State.CANCELLED)  # perhaps it was through before it heard of it: nothing is to follow
        elif last.position + 1 < len(chain.stages):
            _start_run(chain, last.position + 1)
        else:
            _end(chain, Chain.State.SUCCEEDED)
            if chain.promote:
                _propose(chain)


def cancel_chain(*, by: Person, chain: Chain) -> None:
    """Cancel what runs; the chain ends with it, also where that was through a moment before.

    Raises:
        InvalidTransition: the chain has ended.
    """
    with transaction.atomic():
        chain = Chain.objects.select_for_update().get(pk=chain.pk)  # no next run begins meanwhile
        last = chain.runs.select_related("job").order_by("-position").first()
        if last is None or chain.state != Chain.State.ACTIVE:
            raise InvalidTransition("The pipeline run has already ended.")
        try:
            jobs.request_cancel(by=by, job=last.job)
        except InvalidTransition:
            Job.objects.filter(pk=last.job_id).update(cancel_requested_at=timezone.now())
            events.record("job.cancel_requested", last.job, actor=by)
    advance_chain(chain)


def cancel_run(*, by: Person, run: TrainingRun) -> None:
    cancel_chain(by=by, chain=run.chain)


def retry_run(*, by: Person, run: TrainingRun) -> TrainingRun:
    """A failed or canceled run again, from its last checkpoint, and the rest of its chain after it.

    Raises:
        InvalidTransition: it did not fail, or later runs of its chain exist; or it failed by its rows, which are frozen
            and would fail it again.
        ChainRunning: another chain of the same stages is at work.
    """
    if failed_by_rows(run):
        raise InvalidTransition("It failed because of snapshot rows, which never change. Restart on a new snapshot.")
    try:
        with transaction.atomic():
            chain = Chain.objects.select_for_update().get(pk=run.chain_id)
            if chain.runs.filter(position__gt=run.position).exists():
                raise InvalidTransition("Later stages of this pipeline run already ran. Start a new pipeline run.")
            Chain.objects.filter(pk=chain.pk).update(state=Chain.State.ACTIVE, finished_at=None)
            jobs.retry(by=by, job=run.job)
    except IntegrityError:
        raise ChainRunning from None
    run.refresh_from_db()
    return run


def failed_by_rows(run: TrainingRun) -> bool:
    """Whether nothing but other rows can help."""
    return run.job.status == Job.Status.FAILED and run.job.error_kind == Job.ErrorKind.DATA


def start_again(*, by: Person, run: TrainingRun) -> Chain:
    """A new chain of the stages from a failed or canceled run on, with its settings, on a snapshot frozen anew.

    What earlier stages of its chain have made is where it starts from, as the newest that fits.

    Raises:
        InvalidTransition: the run has not ended, or has ended well; or later stages of its chain ran already.
        see `start_chain`.
    """
    run.job.refresh_from_db()
    if run.job.status not in (Job.Status.FAILED, Job.Status.CANCELLED):
        raise InvalidTransition("Only a failed or canceled run can be restarted.")
    chain = run.chain
    if chain.runs.filter(position__gt=run.position).exists():
        raise InvalidTransition("Later stages of this pipeline run already ran. Start a new pipeline run.")
    return start_chain(plans.plan_pipeline(plans.request_for_rest_of(chain, run.position)), by=by)


class Point(NamedTuple):
    """Figures of a run after `step`, reported `at` so many seconds since the epoch.

    `minima` and `maxima` are empty where the figures are of one step alone.
    """

    step: int
    at: float
    metrics: JsonObject
    minima: JsonObject = {}
    maxima: JsonObject = {}


def record_cpu(run: TrainingRun, seconds: float) -> None:
    """Add the CPU time of a trainer that has ended, however it did."""
    TrainingRun.objects.filter(pk=run.pk).update(cpu_seconds=F("cpu_seconds") + seconds)


def record_points(
    run: TrainingRun,
    *,
    points: Sequence[Point] | None = None,
    samples: list[tuple[int, list[JsonObject]]] | None = None,
    alarms: list[tuple[int, str, str]] | None = None,
    log_tail: str | None = None,
) -> None:
    """What a run reported: points, (step, samples), (step, name, sentence).

    One short transaction. Written again by a resumed attempt, a step's later figures win.
    """
    rows: list[RunPoint] = []
    for step, at, metrics, minima, maxima in _last_of_each_step(points or []):
        rows.append(RunPoint(run=run, step=step, at=_time(at), metrics=metrics, minima=minima, maxima=maxima))
    with transaction.atomic():
        RunPoint.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["run", "step"],
            update_fields=["at", "metrics", "minima", "maxima"],
        )
        for step, sampled in samples or []:
            RunSamples.objects.update_or_create(run=run, step=step, defaults={"samples": sampled})
        for step, name, text in alarms or []:
            RunAlarm.objects.get_or_create(run=run, step=step, name=name, defaults={"text": text[:500]})
        if log_tail is not None:
            Job.objects.filter(pk=run.job_id).update(log_tail=log_tail[-LOG_TAIL:])


def record_result(run: TrainingRun, metrics: JsonObject) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(metrics=metrics)
    run.metrics = metrics


def record_evaluation(run: TrainingRun, *, metrics: JsonObject, samples: Sequence[Mapping[str, object]]) -> Evaluation:
    """What an evaluate run measured, kept with the version it measured."""
    assert run.base_model_id is not None
    evaluation, _ = Evaluation.objects.get_or_create(
        run=run,
        defaults={
            "project_id": run.project_id,
            "candidate_id": run.base_model_id,
            "incumbent": run.incumbent,
            "snapshot": run.snapshot,
            "metrics": metrics,
            "samples": samples,
        },
    )
    return evaluation


def _start_run(chain: Chain, position: int) -> TrainingRun:
    """The run at `position` with its job. Call while holding the chain's row, or before anybody sees it."""
    stage = chain.stages[position]
    project = chain.project
    models = stage_models.models_at_start(chain, stage, stage_models.settings_of(project, stage, chain.config))
    settings = stage_models.settings_of_run(project, stage, chain.config, models.base)
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # numbers are given one at a time
    number = (TrainingRun.objects.filter(project=project).aggregate(top=Max("number"))["top"] or 0) + 1
    job = jobs.create(kind=Job.Kind.TRAINING, queue_name=celery_app.TRAIN, project=project, by=chain.requested_by)
    return TrainingRun.objects.create(
        project=project,
        job=job,
        chain=chain,
        position=position,
        stage=stage,
        number=number,
        config=settings,
        seed=chain.seed,
        snapshot=chain.corpus_snapshot if stage in ON_TEXTS else chain.snapshot,
        base_model=models.base,
        reward_model=models.reward,
        incumbent=models.incumbent,
        guard=models.guard,
        folder=f"runs/{job.public_id}",
    )


def _end(chain: Chain, state: str) -> None:
    Chain.objects.filter(pk=chain.pk).update(state=state, finished_at=timezone.now())
    events.record(f"chain.{state}", chain, actor=chain.requested_by, stages=chain.kind)


def _propose(chain: Chain) -> None:
    """Let people compare the policy that the chain made last with what serves: it is promoted if they prefer it.

    Where that cannot begin, it waits for an admin: an event with what stands against it, and a line on the home page.
    """
    policies = ModelVersion.objects.filter(kind=ModelVersion.Kind.POLICY).select_related("project", "run__reward_model")
    version = policies.filter(run__chain=chain).order_by("-run__position").first()
    version = version or policies.filter(evaluations__run__chain=chain).first()  # it evaluated what was there
    if version is None or version.state != ModelVersion.State.CANDIDATE or (found := gate.of(version)).serves:
        return
    rules = contests.Rules(promote=True)
    try:
        contests.open_contest(by=chain.requested_by, project=chain.project, candidates=[version], rules=rules)
    except DomainError as error:
        against = list(map(attrgetter("name"), found.blocking))
        if not isinstance(error, ContestBlocked | ModelNotPromotable):
            against.append(error.code)
        events.record("model.waits_for_decision", version, actor=chain.requested_by, against=", ".join(against))


def _last_of_each_step(points: Sequence[Point]) -> list[Point]:
    """A step reported in several lines becomes one point with all their figures."""
    merged: dict[int, Point] = {}
    for point in points:
        before = merged.get(point.step)
        if before is not None:
            figures = before.metrics | point.metrics
            point = Point(point.step, point.at, figures, before.minima | point.minima, before.maxima | point.maxima)
        merged[point.step] = point
    return list(merged.values())


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.get_default_timezone())
