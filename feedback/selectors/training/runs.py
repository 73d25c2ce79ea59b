"""What a run page shows: curves, samples over steps, its place in the chain; and what training would start from."""

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from feedback.models import (
    Chain,
    Corpus,
    DatasetSnapshot,
    Evaluation,
    ModelVersion,
    PreferencePair,
    Project,
    RunPoint,
    RunSamples,
    Split,
    Stage,
    TrainingRun,
)
from feedback.rules.training import plots, run_figures
from feedback.rules.training.plots import Plot
from feedback.selectors.training.stages import NAMES

MOST_POINTS = 1500
CHAIN = (Stage.SFT, Stage.REWARD, Stage.PPO, Stage.EVALUATE)
COUNTED = 100_000


@dataclass(frozen=True)
class Stock:
    """What there is to train on and to start from now."""

    pairs_train: int
    pairs_more: bool
    newest_snapshot: DatasetSnapshot | None
    pairs_since: int
    corpora: list[Corpus]
    tokenizer: ModelVersion | None
    base: ModelVersion | None
    encoder: ModelVersion | None
    sft: ModelVersion | None
    reward: ModelVersion | None
    classifier: ModelVersion | None
    tagger: ModelVersion | None
    serving: ModelVersion | None
    active: list[Chain]

    @property
    def readers(self) -> list[ModelVersion]:
        """The newest encoder, classifier and tagger, those of them that there are."""
        return [version for version in (self.encoder, self.classifier, self.tagger) if version is not None]


def stock(project: Project, serving: ModelVersion | None) -> Stock:
    standing = PreferencePair.objects.standing().filter(project=project)
    train = standing.filter(prompt__split=Split.TRAIN).order_by()[: COUNTED + 1].count()
    snapshots = DatasetSnapshot.objects.filter(project=project, purpose=DatasetSnapshot.Purpose.FEEDBACK)
    newest = snapshots.filter(state=DatasetSnapshot.State.FROZEN).order_by("-number").first()
    since = standing.filter(created_at__gt=newest.created_at) if newest else standing
    return Stock(
        pairs_train=min(train, COUNTED),
        pairs_more=train > COUNTED,
        newest_snapshot=newest,
        pairs_since=since.order_by()[: COUNTED + 1].count(),
        corpora=list(Corpus.objects.filter(project=project).order_by("pk")[:20]),
        tokenizer=_newest(project, ModelVersion.Kind.TOKENIZER),
        base=_newest(project, ModelVersion.Kind.POLICY, Stage.PRETRAIN),
        encoder=_newest(project, ModelVersion.Kind.ENCODER),
        sft=_newest(project, ModelVersion.Kind.POLICY, Stage.SFT),
        reward=_newest(project, ModelVersion.Kind.REWARD),
        classifier=_newest(project, ModelVersion.Kind.CLASSIFIER),
        tagger=_newest(project, ModelVersion.Kind.TAGGER),
        serving=serving,
        active=list(Chain.objects.filter(project=project, state=Chain.State.ACTIVE).order_by("-pk")),
    )


def _newest(project: Project, kind: str, stage: str | None = None) -> ModelVersion | None:
    rows = ModelVersion.objects.filter(project=project, kind=kind, tainted_at=None)
    rows = rows.exclude(state__in=[ModelVersion.State.REVOKED, ModelVersion.State.REJECTED])
    return (rows.filter(stage=stage) if stage else rows).order_by("-number").first()


def made_in(version: ModelVersion) -> str:
    """How a version came to be, in a word or two."""
    return NAMES.get(version.stage, "external")


def runs_of(project: Project) -> QuerySet[TrainingRun]:
    """Runs with what a list shows of each."""
    rows = TrainingRun.objects.filter(project=project)
    return rows.select_related("job", "chain", "chain__schedule", "model_version", "snapshot", "project")


def in_chain(run: TrainingRun) -> list[TrainingRun]:
    """The runs of its chain that exist so far, in order."""
    return list(runs_of(run.project).filter(chain=run.chain_id).order_by("position"))


def plots_of(runs: Sequence[TrainingRun]) -> list[Plot]:
    """The plots of one run or several: those of their stages, and of whatever else they have reported."""
    reported: dict[str, set[str]] = {}
    for run in runs:
        names = reported.setdefault(run.stage, set())
        points = RunPoint.objects.filter(run=run).order_by("step")
        count = points.count()
        # Every step reports the same figures and measurements come now and then: a few steps tell nearly all names.
        for place in {0, 1, count // 2, count - 1} & set(range(count)):
            metrics = points.values_list("metrics", flat=True)[place]
            names |= {name for name, value in metrics.items() if _is_number(value)}
    return plots.plots(reported)


def curve(runs: Sequence[TrainingRun], plot: Plot) -> dict[str, Any]:
    """A plot as chart.js takes it, at most about `MOST_POINTS` steps a run.

    A figure that is no number at a step (NaN, infinity) is a gap there; one that is measured now and then is bridged.
    Where a point stands for several steps, its least and greatest values are drawn as a band around it.
    """
    several = len(runs) > 1
    series = []
    for run in runs:
        points = _thinned(list(RunPoint.objects.filter(run=run).order_by("step")))
        for axis, names in (("left", plot.names), ("right", plot.right)):
            series += [_series(run, points, name, axis, several) for name in names]
    drawn = [one for one in series if one.values]
    x = sorted({step for one in drawn for step in one.values})
    return {"x": x, "x_name": "step", "series": [one.at(x) for one in drawn]}


@dataclass(frozen=True)
class Series:
    """One line of a plot: figures by step, with the bounds of those that are means over several steps."""

    name: str
    axis: str
    unit: str
    sparse: bool
    values: dict[int, float]
    low: dict[int, float]
    high: dict[int, float]

    def at(self, x: list[int]) -> dict[str, Any]:
        """As chart.js takes it; null where nothing is known of a step."""
        line = {
            "name": self.name,
            "values": [self.values.get(step) for step in x],
            "axis": self.axis,
            "unit": self.unit,
            "sparse": self.sparse,
        }
        if self.low:
            line["low"] = [self.low.get(step) for step in x]
            line["high"] = [self.high.get(step) for step in x]
        return line


def _series(run: TrainingRun, points: Sequence[RunPoint], name: str, axis: str, several: bool) -> Series:
    about = run_figures.figure(name, run.stage)
    reported = sum(name in point.metrics for point in points)
    bounded = [point for point in points if _is_number(point.minima.get(name)) and _is_number(point.maxima.get(name))]
    return Series(
        name=f"run {run.number}, {_inside(about.label)}" if several else about.label,
        axis=axis,
        unit=about.unit,
        sparse=several or reported < len(points),
        values={point.step: float(point.metrics[name]) for point in points if _is_number(point.metrics.get(name))},
        low={point.step: float(point.minima[name]) for point in bounded},
        high={point.step: float(point.maxima[name]) for point in bounded},
    )


def _inside(label: str) -> str:
    """A label within a sentence: its first letter small, unless it is an abbreviation's."""
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _thinned(points: list[RunPoint]) -> list[RunPoint]:
    """Every n-th point, and always the last; measurements that came between are kept."""
    if len(points) <= MOST_POINTS:
        return points
    stride = -(-len(points) // MOST_POINTS)
    common = min(len(point.metrics) for point in points)
    last = points[-1]
    return [
        point
        for place, point in enumerate(points)
        if place % stride == 0 or len(point.metrics) > common or point is last
    ]


@dataclass(frozen=True)
class Shown:
    """One prompt and what the model in training answered to it at each of the steps shown."""

    prompt: str
    answers: list[tuple[int, str | None]]


def samples(run: TrainingRun, columns: int = 4) -> tuple[list[int], list[Shown]]:
    """The same prompts over a few steps, evenly spread, the first and the last among them."""
    steps = list(RunSamples.objects.filter(run=run).order_by("step").values_list("step", flat=True))
    if not steps:
        return [], []
    count = min(columns, len(steps))
    places = {round(i * (len(steps) - 1) / max(1, count - 1)) for i in range(count)}
    chosen = [steps[place] for place in sorted(places)]
    texts: dict[int, dict[str, str]] = {}
    prompts: dict[str, None] = {}
    for row in RunSamples.objects.filter(run=run, step__in=chosen).order_by("step"):
        for sample in row.samples:
            prompt = as_text(sample.get("prompt", ""))
            prompts.setdefault(prompt)
            texts.setdefault(row.step, {})[prompt] = str(sample.get("text", ""))
    return chosen, [Shown(prompt, [(step, texts.get(step, {}).get(prompt)) for step in chosen]) for prompt in prompts]


def as_text(prompt: Any) -> str:
    """A prompt as one text, whether it came as text or as messages."""
    if isinstance(prompt, list):
        return "\n".join(str(message.get("content", "")) for message in prompt if isinstance(message, dict))
    return str(prompt)


def chosen(project: Project, public_ids: Iterable[str], most: int = 6) -> list[TrainingRun]:
    """The project's runs among these ids, oldest first, at most so many."""
    keys = []
    for public_id in public_ids:
        try:
            keys.append(uuid.UUID(public_id))
        except ValueError:
            continue
    return list(runs_of(project).filter(public_id__in=keys[:most]).order_by("number"))


@dataclass(frozen=True)
class Place:
    """A stage of a chain and the run that does it, if it has come to that."""

    stage: str
    run: TrainingRun | None
    state: str


def places(chain: Chain, made: Sequence[TrainingRun]) -> list[Place]:
    """Every stage of the chain in order; those without a run wait, or will not come any more."""
    by_position = {run.position: run for run in made}
    later = "waiting" if chain.state == Chain.State.ACTIVE else "not run"
    found = []
    for position, stage in enumerate(chain.stages):
        run = by_position.get(position)
        found.append(Place(stage, run, run.job.status if run else later))
    return found


def final_figures(run: TrainingRun) -> list[tuple[str, Any, str]]:
    """(label, value, unit) of the figures at the run's end that are plain numbers or words."""
    found = []
    for name, value in run.metrics.items():
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            about = run_figures.figure(name, run.stage)
            found.append((about.label, value, about.unit))
    return found


def evaluation_of(run: TrainingRun) -> Evaluation | None:
    return Evaluation.objects.filter(run=run).select_related("candidate", "incumbent").first()


def made_by(run: TrainingRun) -> ModelVersion | None:
    return ModelVersion.objects.filter(run=run).first()


def settings_that_differ(runs: Sequence[TrainingRun]) -> list[tuple[str, list[Any]]]:
    """Settings with more than one value among these runs, and what each has."""
    rows: list[tuple[str, list[Any]]] = [
        ("stage", [run.stage for run in runs]),
        ("seed", [run.seed for run in runs]),
        ("snapshot", [run.snapshot.number if run.snapshot else None for run in runs]),
    ]
    names = sorted({name for run in runs for name in run.config})
    rows += [(name, [run.config.get(name) for run in runs]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]


def figures_side_by_side(runs: Sequence[TrainingRun]) -> list[tuple[str, list[Any], str]]:
    """Final figures that are numbers, a column for each run."""
    names = [name for run in runs for name, value in run.metrics.items() if _is_number(value)]
    rows = []
    for name in dict.fromkeys(names):
        about = run_figures.figure(name)
        rows.append((about.label, [run.metrics.get(name) for run in runs], about.unit))
    return rows
