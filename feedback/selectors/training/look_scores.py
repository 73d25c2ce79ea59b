"""The rewards of several reward versions on a run's saved responses, as its page and REST show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from feedback.models import Job, LookScore, ModelVersion, RunPoint, Stage, TrainingRun
from feedback.rules.training import looks
from feedback.selectors.training.runs import Curve, Line

NO_LOOKS = "This run saved no responses: it was not evaluated while it trained."
NO_OTHERS = (
    "This project has no other reward model. Train one, from other labels or another seed, then score the responses."
)
NOT_ENDED = "The responses can be scored when the run has ended."


@dataclass(frozen=True)
class LookScores:
    """How far the looks of a run have been scored.

    Attributes:
        scored: the run's own reward version first, then the others, oldest first.
        unscored: versions that can still score, the run's own among them.
        job: the scoring that waits or runs. failed: the newest, if it failed.
        missing: why nothing can be scored; empty where something can, or all is.
    """

    scored: list[LookScore]
    unscored: list[ModelVersion]
    job: Job | None
    failed: Job | None
    missing: str

    @property
    def others(self) -> list[LookScore]:
        return [one for one in self.scored if one.reward_version_id != one.run.reward_model_id]

    @property
    def is_waiting(self) -> bool:
        return self.job is not None

    @property
    def looks(self) -> int:
        return max((len(one.steps) for one in self.scored), default=0)


def of_run(run: TrainingRun) -> LookScores | None:
    """None for a run that saves no responses to score: of another stage, or without a reward model."""
    if run.stage != Stage.PPO or run.reward_model_id is None:
        return None
    rows = LookScore.objects.filter(run=run).select_related("reward_version", "run")
    scored = sorted(rows, key=lambda one: (one.reward_version_id != run.reward_model_id, one.reward_version.number))
    jobs = Job.objects.filter(kind=Job.Kind.LOOKS, project=run.project_id, payload__run=str(run.public_id))
    newest = jobs.order_by("-id").first()
    return LookScores(
        scored=scored,
        unscored=unscored(run),
        job=newest if newest is not None and not newest.is_final else None,
        failed=newest if newest is not None and newest.status == Job.Status.FAILED else None,
        missing=_missing(run, scored),
    )


def unscored(run: TrainingRun) -> list[ModelVersion]:
    """The run's own reward version and the newest others, those of them that have not scored its looks."""
    rows = ModelVersion.objects.filter(project=run.project_id, kind=ModelVersion.Kind.REWARD, tainted_at=None)
    rows = rows.exclude(state__in=[ModelVersion.State.REVOKED, ModelVersion.State.REJECTED])
    newest = rows.order_by("-number")[: looks.MOST_VERSIONS + 1]
    others = [version for version in newest if version.pk != run.reward_model_id][: looks.MOST_VERSIONS]
    if not others:
        return []
    own = [] if run.reward_model is None else list(rows.filter(pk=run.reward_model.pk))
    wanted = [*own, *others]
    done = set(LookScore.objects.filter(run=run).values_list("reward_version_id", flat=True))
    return [version for version in wanted if version.pk not in done]


def _missing(run: TrainingRun, scored: Sequence[LookScore]) -> str:
    if scored:
        return ""
    if not run.job.is_final:
        return NOT_ENDED
    if not RunPoint.objects.filter(run=run, metrics__has_key="selection_kl").exists():
        return NO_LOOKS
    if not unscored(run):
        return NO_OTHERS
    return ""


def curve(run: TrainingRun) -> Curve:
    """Rewards by step on the left axis, a line for each version, and KL on the right one."""
    found = of_run(run)
    scored = [] if found is None else found.scored
    x = sorted({step for one in scored for step in one.steps})
    series = [_line(_label(run, one), one.steps, one.rewards, x, "left", "sd") for one in scored]
    if scored:
        series.append(_line("KL to the reference", scored[0].steps, scored[0].kls, x, "right", "nats"))
    return {"x": x, "x_name": "step", "series": series}


def _label(run: TrainingRun, score: LookScore) -> str:
    name = str(score.reward_version)
    return f"{name}, trained against" if score.reward_version_id == run.reward_model_id else name


def _line(name: str, steps: Sequence[int], values: Sequence[float], x: Sequence[int], axis: str, unit: str) -> Line:
    by_step = dict(zip(steps, values, strict=True))
    return {"name": name, "values": [by_step.get(step) for step in x], "axis": axis, "unit": unit, "sparse": True}
