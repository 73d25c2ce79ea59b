"""What a run page shows: curves, samples over steps, where it stands in its chain; and what training would start from."""

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
    ModelVersion,
    PreferencePair,
    Project,
    RunPoint,
    RunSamples,
    Split,
    Stage,
    TrainingRun,
)
from feedback.rules import figures

MOST_POINTS = 1500
CHAIN = (Stage.SFT, Stage.REWARD, Stage.PPO, Stage.EVALUATE)
COUNTED = 100_000


@dataclass(frozen=True)
class StageCard:
    """A stage on the ring: what it is, what it starts from, what it makes."""

    stage: Stage
    title: str
    short: str
    needs: str
    makes: str


STAGES: tuple[StageCard, ...] = (
    StageCard(Stage.TOKENIZER, "Tokenizer", "Learns which pieces text falls into.", "a corpus", "a tokenizer"),
    StageCard(
        Stage.PRETRAIN,
        "Pretraining",
        "Learns the language by guessing the next token of the corpus, as one learns by reading.",
        "a corpus and a tokenizer",
        "a base policy",
    ),
    StageCard(
        Stage.SFT,
        "Fine-tuning (SFT)",
        "Imitates demonstrations, as an apprentice watches.",
        "demonstrations and a base policy",
        "a policy that answers",
    ),
    StageCard(
        Stage.REWARD,
        "Reward model",
        "Learns what people prefer from their comparisons, as a taster learns a palate.",
        "preference pairs and the SFT policy",
        "a model that scores responses",
    ),
    StageCard(
        Stage.PPO,
        "PPO",
        "Practises: writes, is scored by the reward model, and does more of what scored well, not straying far.",
        "prompts, the SFT policy and a reward model",
        "a candidate policy",
    ),
    StageCard(
        Stage.EVALUATE,
        "Evaluation",
        "Answers prompts it never saw and is compared with what serves now.",
        "a candidate and test prompts",
        "the evidence for promotion",
    ),
)


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
    sft: ModelVersion | None
    reward: ModelVersion | None
    serving: ModelVersion | None
    active: list[Chain]


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
        sft=_newest(project, ModelVersion.Kind.POLICY, Stage.SFT),
        reward=_newest(project, ModelVersion.Kind.REWARD),
        serving=serving,
        active=list(Chain.objects.filter(project=project, state=Chain.State.ACTIVE).order_by("-pk")),
    )


def _newest(project: Project, kind: str, stage: str | None = None) -> ModelVersion | None:
    rows = ModelVersion.objects.filter(project=project, kind=kind, tainted_at=None)
    rows = rows.exclude(state__in=[ModelVersion.State.REVOKED, ModelVersion.State.REJECTED])
    return (rows.filter(stage=stage) if stage else rows).order_by("-number").first()


def runs_of(project: Project) -> QuerySet[TrainingRun]:
    """Runs with what a list shows of each."""
    rows = TrainingRun.objects.filter(project=project)
    return rows.select_related("job", "chain", "chain__schedule", "model_version", "snapshot", "project")


def in_chain(run: TrainingRun) -> list[TrainingRun]:
    """The runs of its chain that exist so far, in order."""
    return list(runs_of(run.project).filter(chain=run.chain_id).order_by("position"))


def curves(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """Plots of one run or several: {key, title, unit, meaning, series: [{name, label, run, points: [[step, value]]}]}.

    A figure that is no number at a step (NaN, infinity) is left out there. At most `MOST_POINTS` a series.
    """
    found: dict[tuple[int, str], list[list[float]]] = {}
    for run in runs:
        for step, metrics in RunPoint.objects.filter(run=run).order_by("step").values_list("step", "metrics"):
            for name, value in metrics.items():
                if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                    found.setdefault((run.pk, name), []).append([step, value])
    several = len(runs) > 1
    drawn = []
    for plot in figures.plots(name for _, name in found):
        series = []
        for run in runs:
            for name in plot.names:
                points = found.get((run.pk, name))
                if points:
                    label = figures.figure(name).label
                    series.append(
                        {
                            "name": f"{run.number}-{name}" if several else name,
                            "label": f"run {run.number}: {label.lower()}" if several else label,
                            "points": _thinned(points),
                        }
                    )
        drawn.append(
            {"key": plot.key, "title": plot.title, "unit": plot.unit, "meaning": plot.meaning, "series": series}
        )
    return drawn


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """Every n-th point, and always the last."""
    stride = -(-len(points) // MOST_POINTS)
    thinned = points[::stride]
    return thinned if thinned[-1] == points[-1] else [*thinned, points[-1]]


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
