"""What a run page shows: curves, samples over steps, its place in the chain; and what training would start from."""

import itertools
import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NotRequired, TypedDict, TypeGuard

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
from feedback.rules.json_types import JsonObject
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
        return list(filter(None, (self.encoder, self.classifier, self.tagger)))


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
            names.update(_number_names(metrics))
    return plots.plots(reported)


class Line(TypedDict):
    """One line of a plot as chart.js takes it: a value for each x, None where nothing is known of that step."""

    name: str
    values: list[float | None]
    axis: str
    unit: str
    sparse: bool
    low: NotRequired[list[float | None]]
    high: NotRequired[list[float | None]]


class Curve(TypedDict):
    x: list[int]
    x_name: str
    series: list[Line]


def curve(runs: Sequence[TrainingRun], plot: Plot) -> Curve:
    """A plot as chart.js takes it, at most about `MOST_POINTS` steps a run.

    A figure that is no number at a step (NaN, infinity) is a gap there; one that is measured now and then is bridged.
    Where a point stands for several steps, its least and greatest values are drawn as a band around it.
    """
    several = len(runs) > 1
    drawn: list[Series] = []
    steps: set[int] = set()
    for run in runs:
        points = _thinned(list(RunPoint.objects.filter(run=run).order_by("step")))
        for axis, names in (("left", plot.names), ("right", plot.right)):
            for name in names:
                series = _series(run, points, name, axis, several)
                if series.values:
                    drawn.append(series)
                    steps.update(series.values)
    x = sorted(steps)
    return {"x": x, "x_name": "step", "series": [series.at(x) for series in drawn]}


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

    def at(self, x: list[int]) -> Line:
        line: Line = {
            "name": self.name,
            "values": list(map(self.values.get, x)),
            "axis": self.axis,
            "unit": self.unit,
            "sparse": self.sparse,
        }
        if self.low:
            line["low"] = list(map(self.low.get, x))
            line["high"] = list(map(self.high.get, x))
        return line


def _series(run: TrainingRun, points: Sequence[RunPoint], name: str, axis: str, several: bool) -> Series:
    about = run_figures.figure(name, run.stage)
    label = about.label
    if several:
        label = f"run {run.number}, {_inside(label)}"
    series = Series(label, axis, about.unit, sparse=several or _is_sparse(name, points), values={}, low={}, high={})
    for point in points:
        value, low, high = point.metrics.get(name), point.minima.get(name), point.maxima.get(name)
        if _is_number(value):
            series.values[point.step] = float(value)
        if _is_number(low) and _is_number(high):
            series.low[point.step] = float(low)
            series.high[point.step] = float(high)
    return series


def _is_sparse(name: str, points: Sequence[RunPoint]) -> bool:
    """Whether a figure is measured only now and then."""
    return not all(name in point.metrics for point in points)


def _inside(label: str) -> str:
    """A label within a sentence: its first letter small, unless it is an abbreviation's."""
    if label[:2].isupper():
        return label
    return label[:1].lower() + label[1:]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number_names(metrics: JsonObject) -> list[str]:
    return [name for name, value in metrics.items() if _is_number(value)]


def _thinned(points: list[RunPoint]) -> list[RunPoint]:
    """Every n-th point, and always the last; measurements that came between are kept."""
    if len(points) <= MOST_POINTS:
        return points
    stride = -(-len(points) // MOST_POINTS)
    common = min(map(len, map(attrgetter("metrics"), points)))
    last = points[-1]
    kept = []
    for place, point in enumerate(points):
        if place % stride == 0 or len(point.metrics) > common or point is last:
            kept.append(point)
    return kept


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
    chosen = [steps[round(place * (len(steps) - 1) / max(1, count - 1))] for place in range(count)]
    answers: dict[str, dict[int, str]] = {}  # by prompt and step
    for row in RunSamples.objects.filter(run=run, step__in=chosen).order_by("step"):
        for sample in row.samples:
            prompt = as_text(sample.get("prompt", ""))
            answers.setdefault(prompt, {})[row.step] = str(sample.get("text", ""))
    shown = []
    for prompt, by_step in answers.items():
        shown.append(Shown(prompt, list(zip(chosen, map(by_step.get, chosen), strict=True))))
    return chosen, shown


def as_text(prompt: object) -> str:
    """A prompt as one text, whether it came as text or as messages."""
    if not isinstance(prompt, list):
        return str(prompt)
    contents = []
    for message in prompt:
        if isinstance(message, dict):
            contents.append(str(message.get("content", "")))
    return "\n".join(contents)


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
    later = "not run"
    if chain.state == Chain.State.ACTIVE:
        later = "waiting"
    found = []
    for position, stage in enumerate(chain.stages):
        run = by_position.get(position)
        if run is None:
            found.append(Place(stage, None, later))
        else:
            found.append(Place(stage, run, run.job.status))
    return found


def final_figures(run: TrainingRun) -> list[tuple[str, float | str, str]]:
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


def settings_that_differ(runs: Sequence[TrainingRun]) -> list[tuple[str, list[object]]]:
    """Settings with more than one value among these runs, and what each has."""
    rows: list[tuple[str, list[object]]] = [
        ("stage", list(map(attrgetter("stage"), runs))),
        ("seed", list(map(attrgetter("seed"), runs))),
        ("snapshot", list(map(_snapshot_number, runs))),
    ]
    configs: list[JsonObject] = list(map(attrgetter("config"), runs))
    for name in sorted(set(itertools.chain.from_iterable(configs))):
        rows.append((name, [config.get(name) for config in configs]))
    differing = []
    for name, values in rows:
        if any(value != values[0] for value in values):
            differing.append((name, values))
    return differing


def _snapshot_number(run: TrainingRun) -> int | None:
    if run.snapshot is None:
        return None
    return run.snapshot.number


def figures_side_by_side(runs: Sequence[TrainingRun]) -> list[tuple[str, list[object], str]]:
    """Final figures that are numbers, a column for each run."""
    names = itertools.chain.from_iterable(_number_names(run.metrics) for run in runs)
    rows = []
    for name in dict.fromkeys(names):
        about = run_figures.figure(name)
        rows.append((about.label, [run.metrics.get(name) for run in runs], about.unit))
    return rows
