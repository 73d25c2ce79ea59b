"""Training: chains of stages, started by a button, a schedule or a client; one run after the other.

A chain makes its next run when one has succeeded, in one transaction with a check that the place is empty, so an end
that is told twice moves it on once. The database refuses a second active chain of the same stages in a project.
"""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from feedback import queue
from feedback.errors import (
    ChainRunning,
    Invalid,
    InvalidTransition,
    NothingToTrainOn,
    SnapshotRevoked,
    SnapshotTooSmall,
)
from feedback.models import (
    Chain,
    Corpus,
    DatasetSnapshot,
    Document,
    Evaluation,
    Job,
    ModelVersion,
    Person,
    PreferencePair,
    Project,
    RunAlarm,
    RunPoint,
    RunSamples,
    Schedule,
    Stage,
    TrainingRun,
)
from feedback.rules import policies
from feedback.services import events, jobs, registry, snapshots

ORDER = [stage.value for stage in Stage]
ON_CORPUS = {Stage.TOKENIZER.value, Stage.PRETRAIN.value}
DEFAULT_PRESET = "small"
LOG_TAIL = 20_000  # characters
KIND_OF_STAGE = {
    Stage.TOKENIZER.value: ModelVersion.Kind.TOKENIZER,
    Stage.PRETRAIN.value: ModelVersion.Kind.POLICY,
    Stage.SFT.value: ModelVersion.Kind.POLICY,
    Stage.REWARD.value: ModelVersion.Kind.REWARD,
    Stage.PPO.value: ModelVersion.Kind.POLICY,
}


def start_chain(
    *,
    project: Project,
    by: Person | None,
    stages: list[str],
    config: dict[str, Any] | None = None,
    seed: int = 0,
    base_model: ModelVersion | None = None,
    snapshot: DatasetSnapshot | None = None,
    promote: bool = False,
    schedule: Schedule | None = None,
    due_key: str | None = None,
) -> Chain:
    """Start stages one after another, in the order of the ring.

    Args:
        config: settings by stage, {"ppo": {"kl_coef": 0.05}}; "preset" chooses the base values.
        base_model: what the first stage starts from; by default the newest model that fits.
        snapshot: a frozen snapshot of feedback; by default a new one is frozen when the first run starts.
        promote: serve the new policy if its evaluation says it is better.

    Raises:
        Invalid: an unknown stage or one named twice, settings for a stage that is not in the chain.
        NothingToTrainOn, SnapshotTooSmall, SnapshotRevoked: what it needs is not there; the sentence says what to do.
        ChainRunning: one with the same stages is queued or running.
    """
    stages = ordered(stages)
    config = config or {}
    stray = sorted(set(config) - set(stages) - {"preset"})
    if stray:
        raise Invalid(f"There are settings for {stray[0]!r}, which is not in this chain.", field="config")
    try:
        policies.check_config(config)
    except policies.InvalidPolicy as error:
        raise Invalid(error.sentence, field=error.field) from None
    if snapshot is not None and snapshot.state == DatasetSnapshot.State.REVOKED:
        raise SnapshotRevoked
    _check_start(project, stages, base_model, snapshot)
    try:
        with transaction.atomic():
            chain = Chain.objects.create(
                project=project,
                stages=stages,
                kind="+".join(stages),
                config=config,
                seed=seed,
                base_model=base_model,
                snapshot=snapshot or _feedback_snapshot(project, by, stages),
                corpus_snapshot=_corpus_snapshot(project, by, stages),
                promote=promote,
                schedule=schedule,
                due_key=due_key,
                requested_by=by,
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
        if last.job.status != Job.Status.SUCCEEDED:
            _end(chain, Chain.State.FAILED if last.job.status == Job.Status.FAILED else Chain.State.CANCELLED)
        elif last.position + 1 < len(chain.stages):
            _start_run(chain, last.position + 1)
        else:
            _end(chain, Chain.State.SUCCEEDED)
            if chain.promote:
                _promote_if_better(chain)


def cancel_chain(*, by: Person, chain: Chain) -> None:
    """Cancel what runs; the chain ends with it."""
    last = chain.runs.select_related("job").order_by("-position").first()
    if last is None or chain.state != Chain.State.ACTIVE:
        raise InvalidTransition("The chain has ended; there is nothing to cancel.")
    jobs.request_cancel(by=by, job=last.job)
    advance_chain(chain)


def cancel_run(*, by: Person, run: TrainingRun) -> None:
    cancel_chain(by=by, chain=run.chain)


def retry_run(*, by: Person, run: TrainingRun) -> TrainingRun:
    """A failed or cancelled run again, from its last checkpoint, and the rest of its chain after it.

    Raises:
        InvalidTransition: it did not fail, or later runs of its chain exist.
        ChainRunning: another chain of the same stages is at work.
    """
    try:
        with transaction.atomic():
            chain = Chain.objects.select_for_update().get(pk=run.chain_id)
            if chain.runs.filter(position__gt=run.position).exists():
                raise InvalidTransition("Later stages of its chain ran already. Start a new chain.")
            Chain.objects.filter(pk=chain.pk).update(state=Chain.State.ACTIVE, finished_at=None)
            jobs.retry(by=by, job=run.job)
    except IntegrityError:
        raise ChainRunning from None
    run.refresh_from_db()
    return run


def record_points(
    run: TrainingRun,
    *,
    points: list[tuple[int, float, dict[str, Any]]] | None = None,
    samples: list[tuple[int, list[dict[str, Any]]]] | None = None,
    alarms: list[tuple[int, str, str]] | None = None,
    log_tail: str | None = None,
) -> None:
    """What a run reported: (step, seconds since the epoch, metrics), (step, samples), (step, name, sentence).

    One short transaction. Written again by a resumed attempt, a step's later figures win.
    """
    with transaction.atomic():
        RunPoint.objects.bulk_create(
            [
                RunPoint(run=run, step=step, at=_time(at), metrics=metrics)
                for step, at, metrics in _last_of_each_step(points or [])
            ],
            update_conflicts=True,
            unique_fields=["run", "step"],
            update_fields=["at", "metrics"],
        )
        for step, rows in samples or []:
            RunSamples.objects.update_or_create(run=run, step=step, defaults={"samples": rows})
        for step, name, text in alarms or []:
            RunAlarm.objects.get_or_create(run=run, step=step, name=name, defaults={"text": text[:500]})
        if log_tail is not None:
            Job.objects.filter(pk=run.job_id).update(log_tail=log_tail[-LOG_TAIL:])


def record_result(run: TrainingRun, metrics: dict[str, Any]) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(metrics=metrics)
    run.metrics = metrics


def record_evaluation(run: TrainingRun, *, metrics: dict[str, Any], samples: list[dict[str, Any]]) -> Evaluation:
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


def ordered(stages: list[str]) -> list[str]:
    unknown = [stage for stage in stages if stage not in ORDER]
    if unknown:
        raise Invalid(f"Unknown stage {unknown[0]!r}; choose from {', '.join(ORDER)}.", field="stages")
    if not stages or len(set(stages)) != len(stages):
        raise Invalid("Name at least one stage, and each once.", field="stages")
    return sorted(stages, key=ORDER.index)


def _check_start(
    project: Project, stages: list[str], base_model: ModelVersion | None, snapshot: DatasetSnapshot | None
) -> None:
    """Cheap checks before anything is queued: what a stage starts from must be there, or come before it."""
    chosen = set(stages)
    if chosen & ON_CORPUS and not Document.objects.filter(corpus__project=project).exists():
        raise NothingToTrainOn("This project has no corpus. Add documents before training a tokenizer or a base model.")
    if (
        Stage.PRETRAIN in chosen
        and Stage.TOKENIZER not in chosen
        and base_model is None
        and not _newest(project, Stage.TOKENIZER)
    ):
        raise NothingToTrainOn("Pretraining needs a tokenizer. Run the tokenizer stage first, or with it.")
    if (
        Stage.SFT in chosen
        and Stage.PRETRAIN not in chosen
        and base_model is None
        and not _newest(project, Stage.PRETRAIN)
    ):
        raise NothingToTrainOn("SFT needs a base model. Run tokenizer and pretraining first, or give one.")
    if (
        chosen & {Stage.REWARD, Stage.PPO}
        and Stage.SFT not in chosen
        and base_model is None
        and not _newest(project, Stage.SFT)
    ):
        raise NothingToTrainOn("Reward model and PPO start from an SFT policy. Run SFT first, or with them.")
    if Stage.PPO in chosen and Stage.REWARD not in chosen and not _newest(project, Stage.REWARD):
        raise NothingToTrainOn("PPO needs a reward model. Run the reward stage first, or with it.")
    if (
        Stage.EVALUATE in chosen
        and chosen == {Stage.EVALUATE}
        and base_model is None
        and not _newest(project, Stage.PPO, Stage.SFT)
    ):
        raise NothingToTrainOn("There is no policy to evaluate yet.")
    if snapshot is None and Stage.REWARD in chosen:
        pairs = PreferencePair.objects.standing().filter(project=project, prompt__split="train")[:2].count()
        if pairs < 2:
            raise SnapshotTooSmall(
                "A reward model needs preference pairs on training prompts, and there are fewer than two. "
                "Judge some tasks first."
            )


def _newest(project: Project, *stages: str) -> ModelVersion | None:
    """The newest usable version that one of these stages made."""
    unfit = [ModelVersion.State.REJECTED, ModelVersion.State.REVOKED]
    versions = ModelVersion.objects.filter(project=project, stage__in=stages, tainted_at=None)
    return versions.exclude(state__in=unfit).order_by("-id").first()


def _feedback_snapshot(project: Project, by: Person | None, stages: list[str]) -> DatasetSnapshot | None:
    if not set(stages) - ON_CORPUS:
        return None
    return snapshots.request_snapshot(project=project, by=by, purpose=DatasetSnapshot.Purpose.FEEDBACK, job=False)


def _corpus_snapshot(project: Project, by: Person | None, stages: list[str]) -> DatasetSnapshot | None:
    if not set(stages) & ON_CORPUS:
        return None
    corpus = Corpus.objects.filter(project=project).order_by("-id").first()
    return snapshots.request_snapshot(
        project=project, by=by, purpose=DatasetSnapshot.Purpose.CORPUS, corpus=corpus, job=False
    )


def _start_run(chain: Chain, position: int) -> TrainingRun:
    """The run at `position` with its job. Call while holding the chain's row, or before anybody sees it."""
    stage = chain.stages[position]
    made = {
        run.stage: run.model_version
        for run in chain.runs.select_related("model_version").filter(position__lt=position)
        if hasattr(run, "model_version")
    }
    project = chain.project
    given = chain.base_model if position == 0 else None

    def start_from(*stages: str) -> ModelVersion | None:
        return given or next((made[s] for s in stages if s in made), None) or _newest(project, *stages)

    base = reward = incumbent = None
    if stage == Stage.PRETRAIN:
        base = start_from(Stage.TOKENIZER)
    elif stage == Stage.SFT:
        base = start_from(Stage.PRETRAIN)
    elif stage in (Stage.REWARD, Stage.PPO):
        base = start_from(Stage.SFT)
    elif stage == Stage.EVALUATE:
        base = start_from(Stage.PPO, Stage.SFT)
        incumbent = base.parent if base and base.stage == Stage.PPO else registry.serving(project)
        incumbent = None if incumbent == base else incumbent
    if stage in (Stage.PPO, Stage.EVALUATE):
        reward = made.get(Stage.REWARD) or _newest(project, Stage.REWARD)
    settings = {"preset": chain.config.get("preset") or project.training_policy.get("preset", DEFAULT_PRESET)}
    settings |= project.training_policy.get("stages", {}).get(stage, {}) | chain.config.get(stage, {})
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # numbers are given one at a time
    number = (TrainingRun.objects.filter(project=project).aggregate(top=Max("number"))["top"] or 0) + 1
    job = jobs.create(kind=Job.Kind.TRAINING, queue_name=queue.TRAIN, project=project, by=chain.requested_by)
    return TrainingRun.objects.create(
        project=project,
        job=job,
        chain=chain,
        position=position,
        stage=stage,
        number=number,
        config=settings,
        seed=chain.seed,
        snapshot=chain.corpus_snapshot if stage in ON_CORPUS else chain.snapshot,
        base_model=base,
        reward_model=reward,
        incumbent=incumbent,
        folder=f"runs/{job.public_id}",
    )


def _end(chain: Chain, state: str) -> None:
    Chain.objects.filter(pk=chain.pk).update(state=state, finished_at=timezone.now())
    events.record(f"chain.{state}", chain, actor=chain.requested_by, stages=chain.kind)


def _promote_if_better(chain: Chain) -> None:
    """Serve the new policy if the lower end of its win rate's interval lies above one half.

    The judge is the reward model, which PPO was trained to please; people's votes on held-out prompts weigh more, and
    whoever switches this on should look at them.
    """
    evaluation = Evaluation.objects.filter(run__chain=chain).select_related("candidate").first()
    if evaluation is None:
        return
    low = (evaluation.metrics.get("reward_model_win_rate") or {}).get("low")
    better = low is not None and low > 0.5
    Evaluation.objects.filter(pk=evaluation.pk).update(decision="promoted" if better else "kept_incumbent")
    if better:
        note = f"Its win rate by the reward model is at least {low:.3f} (95 %)."
        registry.promote(by=chain.requested_by, model_version=evaluation.candidate, note=note)


def _last_of_each_step(points: list[tuple[int, float, dict[str, Any]]]) -> list[tuple[int, float, dict[str, Any]]]:
    """A step reported in several lines becomes one point with all their figures."""
    merged: dict[int, tuple[int, float, dict[str, Any]]] = {}
    for step, at, metrics in points:
        before = merged[step][2] if step in merged else {}
        merged[step] = (step, at, before | metrics)
    return list(merged.values())


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.get_default_timezone())
