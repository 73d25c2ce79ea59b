"""The registry as pages show it: the family tree, a version's report card, what served when, evaluations."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from django.db.models import QuerySet

from feedback.models import Deployment, Evaluation, Job, ModelVersion, Project, Response
from feedback.rules.json_types import JsonObject
from feedback.rules.training import run_figures
from feedback.selectors.training.runs import as_text

TREE = 200  # versions drawn: a project that trains every few minutes has thousands
SAMPLES = 12
MATRIX = 16  # classes; more do not fit a page
BASELINE = "baseline"
BY_CLASS = ("per_class", "confusion")
DRAWN = {"reliability", "lengths", "by_annotator", "held_out_texts"}  # what the page of the evaluation draws
DRAWN |= {"added", "checked"}  # and that of a model from elsewhere
DRAWN |= {"milestones"}  # steps whose weights are kept: a slider of the course
DRAWN |= {"kl_to"}  # which model KL is measured from: the label of KL says it, and the gate reads it


@dataclass
class Branch:
    """A version with those that were trained from it, oldest first."""

    version: ModelVersion
    serving: bool
    children: list["Branch"] = field(default_factory=list)


def versions_of(project: Project, kind: str = "") -> QuerySet[ModelVersion]:
    rows = ModelVersion.objects.filter(project=project).select_related(
        "project", "parent", "run__snapshot", "run__reward_model", "run__job"
    )
    if kind in ModelVersion.Kind.values:
        return rows.filter(kind=kind)
    return rows


def family(project: Project, serving: ModelVersion | None) -> tuple[list[Branch], bool]:
    """Roots of the newest `TREE` versions (reward models and policies), and whether older ones were left out.

    A version whose parent is not drawn is a root itself.
    """
    rows = versions_of(project).exclude(kind=ModelVersion.Kind.TOKENIZER).order_by("-pk")
    newest = list(rows[: TREE + 1])
    drawn = sorted(newest[:TREE], key=attrgetter("pk"))
    branches = {version.pk: Branch(version, version == serving) for version in drawn}
    roots: list[Branch] = []
    for branch in branches.values():
        parent = branches.get(branch.version.parent_id or 0)
        if parent is None:
            roots.append(branch)
        else:
            parent.children.append(branch)
    return roots, len(newest) > TREE


GROUPS = {  # titles that differ from the name in the metrics
    "policy": "Candidate",
    "incumbent": "Serving model",
    "restart_losses": "Validation loss by restart",
    "annotator_temperatures": "Temperature by annotator",
}


@dataclass(frozen=True)
class Measured:
    """A figure of a report card, with its interval where there is one."""

    label: str
    value: object
    unit: str = ""
    low: float | None = None
    high: float | None = None
    share: bool = False
    meaning: str = ""

    @property
    def is_number(self) -> bool:
        return isinstance(self.value, int | float) and not isinstance(self.value, bool)


def report_card(metrics: JsonObject) -> list[tuple[str, list[Measured]]]:
    """Metrics in groups: those at the top, and each nested group under its own name.

    `x_low` and `x_high`, or {"value"|"rate"|"mean", "low", "high"}, become the interval of `x`.
    """
    groups: dict[str, list[Measured]] = defaultdict(list)
    for name, value in metrics.items():
        if name == BASELINE or name.endswith(BY_CLASS) or name in DRAWN:
            continue  # drawn beside each other: see `beside_baseline` and `by_class`
        if isinstance(value, dict):
            title = GROUPS.get(name) or name.replace("_", " ").capitalize()
            middle = _middle(value)
            if "low" in value and middle is not None:
                groups[""].append(_measured(run_figures.figure(name), middle, value.get("low"), value.get("high")))
            else:
                groups[title].extend(_group(value))
        elif not name.endswith(("_low", "_high")) and value is not None:
            low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
            groups[""].append(_measured(run_figures.figure(name), value, low, high))
    return [(title, groups[title]) for title in sorted(groups, key=bool) if groups[title]]


def _middle(interval: JsonObject) -> object:
    """The estimate that an interval is of; None where there is none."""
    for key in ("value", "rate", "mean", "win_rate"):
        if key in interval:
            return interval[key]
    return None


def asked_for(project: Project, most: int = 5) -> list[Job]:
    """Models from elsewhere that are on their way, or could not be taken, newest first."""
    rows = Job.objects.filter(project=project, kind=Job.Kind.ADOPT).exclude(status=Job.Status.SUCCEEDED)
    return list(rows.order_by("-id")[:most])


@dataclass(frozen=True)
class Beside:
    """A classifier or tagger beside the plain method that was trained on the same rows.

    Attributes:
        figure: what both are judged by, and on which split. ours, theirs: in [0, 1]; theirs None where there is none.
        name: of the plain method. rows: [(label, ours, theirs)] of the other figures that both have.
    """

    figure: str
    split: str
    ours: float
    theirs: float | None
    name: str
    rows: list[tuple[str, float, float]]

    @property
    def beaten(self) -> bool:
        """Whether the plain method is better."""
        return self.theirs is not None and self.theirs > self.ours


def beside_baseline(version: ModelVersion) -> Beside | None:
    """The figures of a classifier or tagger with the baseline's, on test if there is one, else on selection."""
    wanted = {ModelVersion.Kind.CLASSIFIER: "macro_f1", ModelVersion.Kind.TAGGER: "f1"}.get(version.kind)  # type: ignore[call-overload]
    metrics, baseline = version.metrics, version.metrics.get(BASELINE) or {}
    split = _judged_on(metrics, wanted)
    if wanted is None or split is None:
        return None
    rows = []
    for name in ("accuracy", "micro_f1", "precision", "recall", "exact_texts"):
        figure = f"{split}_{name}"
        if figure in metrics and name in baseline:
            rows.append((run_figures.figure(figure, version.stage).label, metrics[figure], baseline[name]))
    label = {"macro_f1": "macro F1", "f1": "span F1"}[wanted]
    return Beside(label, split, metrics[f"{split}_{wanted}"], baseline.get(wanted), baseline.get("name", ""), rows)


def _judged_on(metrics: JsonObject, figure: str | None) -> str | None:
    """The split that a figure is taken from: test if it was measured there, else selection; None if on neither."""
    for split in ("test", "selection"):
        if f"{split}_{figure}" in metrics:
            return split
    return None


@dataclass(frozen=True)
class Cell:
    """Texts of one class that were given another or the same; `shade` from 0 to 4 is their share of the row."""

    given: str
    texts: int
    shade: int


class ClassRow(NamedTuple):
    name: str
    precision: float
    recall: float
    f1: float
    support: int
    baseline_f1: float | None


class MatrixRow(NamedTuple):
    expected: str
    cells: list[Cell]


class Mistake(NamedTuple):
    expected: str
    given: str
    texts: int


@dataclass(frozen=True)
class ByClass:
    """Figures of a classifier or tagger by class.

    Attributes:
        rows: by support, largest first.
        matrix: the confusion matrix, if each text has one label and the classes fit a page.
        confused: the most frequent mistakes.
    """

    split: str
    rows: list[ClassRow]
    matrix: list[MatrixRow]
    confused: list[Mistake]


def by_class(version: ModelVersion) -> ByClass | None:
    metrics = version.metrics
    split = _judged_on(metrics, "per_class")
    if split is None:
        return None
    figures_of = metrics[f"{split}_per_class"]
    names = sorted(figures_of, key=lambda name: (-figures_of[name]["support"], name))
    theirs = (metrics.get(BASELINE) or {}).get("per_class") or {}
    confusion = metrics.get(f"{split}_confusion") or {}
    rows = []
    for name in names:
        one, baseline = figures_of[name], (theirs.get(name) or {}).get("f1")
        rows.append(ClassRow(name, one["precision"], one["recall"], one["f1"], one["support"], baseline))
    matrix = []
    if confusion and len(names) <= MATRIX:
        matrix = [MatrixRow(name, _cells(confusion.get(name, {}), names)) for name in names]
    mistakes = sorted(_mistakes(confusion), key=lambda mistake: (-mistake.texts, mistake))
    return ByClass(split=split, rows=rows, matrix=matrix, confused=mistakes[:10])


def _mistakes(confusion: dict[str, dict[str, int]]) -> Iterator[Mistake]:
    for expected, cells in confusion.items():
        for given, texts in cells.items():
            if given != expected:
                yield Mistake(expected, given, texts)


def _cells(given: dict[str, int], names: Sequence[str]) -> list[Cell]:
    total = max(1, sum(given.values()))
    cells = []
    for name in names:
        texts = given.get(name, 0)
        cells.append(Cell(name, texts, min(4, texts * 5 // total)))
    return cells


def _group(metrics: JsonObject) -> list[Measured]:
    found = []
    for name, value in metrics.items():
        if name.endswith(("_low", "_high")) or value is None or name in DRAWN:
            continue
        if isinstance(value, dict):
            parts = [f"{key}: {_short(inner)}" for key, inner in value.items()]
            found.append(_measured(run_figures.evaluated(name, metrics), ", ".join(parts)))
        else:
            low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
            found.append(_measured(run_figures.evaluated(name, metrics), value, low, high))
    return found


def _measured(
    about: run_figures.Figure, value: object, low: float | None = None, high: float | None = None
) -> Measured:
    return Measured(about.label, value, about.unit, low, high, about.share, about.meaning)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def evaluations_of(version: ModelVersion) -> list[Evaluation]:
    rows = version.evaluations.select_related("incumbent", "run", "snapshot")
    return list(rows.order_by("-pk")[:20])


@dataclass(frozen=True)
class SideBySide:
    """One prompt with the texts of candidate and incumbent, for people to look at."""

    prompt: str
    candidate: list[str]
    incumbent: list[str]


def side_by_side(evaluation: Evaluation) -> list[SideBySide]:
    """Samples by prompt. Takes {"prompt", "model", "text"} rows, or {"prompt", "candidate", "incumbent"}."""
    found: dict[str, dict[str, list[str]]] = {}
    for sample in evaluation.samples:
        if not isinstance(sample, dict):
            continue
        texts = found.setdefault(as_text(sample.get("prompt", "")), {"candidate": [], "incumbent": []})
        if sample.get("model") in texts:
            texts[sample["model"]].append(str(sample.get("text", "")))
        for name in ("candidate", "incumbent"):
            value = sample.get(name)
            if isinstance(value, list):
                texts[name].extend(map(str, value))
            elif value is not None:
                texts[name].append(str(value))
    rows = []
    for prompt, texts in islice(found.items(), SAMPLES):
        rows.append(SideBySide(prompt, texts["candidate"][:2], texts["incumbent"][:2]))
    return rows


def deployments_of(project: Project, most: int = 20) -> list[Deployment]:
    rows = Deployment.objects.filter(project=project).select_related("model_version", "deployed_by")
    return list(rows.order_by("-pk")[:most])


def rolls_back_to(history: Sequence[Deployment]) -> ModelVersion | None:
    """What a roll back would serve: the last version that served, was not rolled back from, and is still fit."""
    unfit = (ModelVersion.State.REJECTED, ModelVersion.State.REVOKED)
    spent = {deployment.model_version_id for deployment in history if deployment.rolled_back}
    for deployment in history:
        version, serving = deployment.model_version, history[0].model_version
        if version == serving or version.pk in spent or version.tainted_at or version.state in unfit:
            continue
        return version
    return None


def policies(project: Project, most: int = 50) -> list[ModelVersion]:
    """Policies that can answer a prompt, newest first."""
    rows = ModelVersion.objects.filter(project=project, kind=ModelVersion.Kind.POLICY)
    return list(rows.exclude(state=ModelVersion.State.REVOKED).order_by("-number")[:most])


def written_by(version: ModelVersion, most: int = 5) -> list[Response]:
    """The newest responses it wrote, in whatever project page asks."""
    rows = Response.objects.filter(project=version.project_id, model_version=version, state=Response.State.READY)
    return list(rows.select_related("prompt").order_by("-pk")[:most])
