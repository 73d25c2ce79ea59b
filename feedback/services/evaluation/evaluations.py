"""Figures of an evaluation that need the database: accuracy by annotator, and prompts that the policy met in training.

Rows of a snapshot hold no names, so the trainer cannot compute accuracy by annotator; the annotations behind the rows
can. An annotator is held out if the reward model was trained on none of their judgments of training prompts: a
snapshot held them out, or they came later.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypedDict

from django.db.models import QuerySet

from feedback.models import Annotation, DatasetSnapshot, ModelVersion, Prompt, Split, Stage, TrainingRun
from feedback.rules.collection.kinds.registry import JUDGING
from feedback.rules.data import contamination
from feedback.rules.evaluation.intervals import clustered
from feedback.services.data import snapshots

CHUNK = 500
LONGEST_LINE = 100  # steps back to the pretrained model
Line = Mapping[str, Any]  # of a file of a run or snapshot
Outcomes = dict[int, list[float]]  # whether the reward model was right, by prompt


class Figures(TypedDict):
    """Accuracy with its interval, over `pairs` of `prompts`."""

    pairs: int
    accuracy: float
    low: float | None
    high: float | None
    prompts: int


class AnnotatorFigures(Figures):
    annotator: str
    held_out: bool


class GroupFigures(Figures):
    annotators: int


class ByAnnotator(TypedDict, total=False):
    annotators: list[AnnotatorFigures]
    held_out: GroupFigures | None
    others: GroupFigures | None


def by_annotator(run: TrainingRun, verdicts: Iterable[Line], lineage: Iterable[Line]) -> ByAnnotator:
    """Accuracy of an evaluation's reward model by annotator, on the evaluation's held-out prompts.

    Args:
        verdicts: `hash` of a row, `prompt` that its pairs share, `right` 1, ½ or 0.
        lineage: `hash` of a row and the public ids of its `annotations`.

    Returns:
        annotators: of each `annotator` (public id), `held_out`, `pairs`, `prompts`, `accuracy`, `low`,
            `high` (None of too few prompts), most pairs first.
        held_out, others: the same of both groups together, with how many `annotators` each has; None of nobody.
        Nothing at all where rows are a consensus, which is nobody's own, or where it is not known who taught the model.
    """
    taught_by = _snapshot_of(run.reward_model)
    if run.snapshot is None or run.snapshot.policy.get("pairs") != "each" or taught_by is None:
        return {}
    by_hash = {verdict["hash"]: verdict for verdict in verdicts}
    rows: list[tuple[Line, list[str]]] = []
    all_ids: list[str] = []
    for line in lineage:
        if verdict := by_hash.get(line["hash"]):
            rows.append((verdict, line["annotations"]))
            all_ids += line["annotations"]
    who = dict(_annotators(all_ids))
    known = set(map(str, _taught(taught_by).values_list("annotator__public_id", flat=True)))
    outcomes: dict[str, Outcomes] = defaultdict(lambda: defaultdict(list))
    for verdict, ids in rows:
        for annotator in set(filter(None, map(who.get, ids))):
            outcomes[annotator][verdict["prompt"]].append(verdict["right"])
    each: list[AnnotatorFigures] = []
    held_out: list[Outcomes] = []
    others: list[Outcomes] = []
    for annotator, judged in outcomes.items():
        each.append({"annotator": annotator, "held_out": annotator not in known, **_figures([judged])})
        if annotator in known:
            others.append(judged)
        else:
            held_out.append(judged)
    return {
        "annotators": sorted(each, key=lambda one: (-one["pairs"], one["annotator"])),
        "held_out": _group(held_out),
        "others": _group(others),
    }


def beginning(run: TrainingRun) -> tuple[ModelVersion | None, DatasetSnapshot | None]:
    """The pretrained ancestor of an evaluated policy, and the frozen texts whose held-out part it was measured on. None
    for what no longer exists or never did."""
    version, steps = run.base_model, 0
    while version is not None and version.stage != Stage.PRETRAIN and steps < LONGEST_LINE:
        version, steps = version.parent, steps + 1
    if version is None or version.stage != Stage.PRETRAIN or version.state == ModelVersion.State.REVOKED:
        return None, None
    texts = _snapshot_of(version)
    if texts is not None and texts.state != DatasetSnapshot.State.FROZEN:
        texts = None
    if version.pk == run.base_model_id:
        return None, texts
    return version, texts


def contaminated(run: TrainingRun, conversations: Iterable[Sequence[Mapping[str, str]]]) -> int | None:
    """How many prompts of an evaluation occur in a corpus that the candidate or its ancestors were trained on.

    A corpus leaves out what is held out at the time it is frozen, so only prompts that came later are looked for.

    Args:
        conversations: messages of each prompt.

    Returns:
        None where prompts came later and the corpus is no longer there to be read.
    """
    texts = {turn["content"] for turn in chain.from_iterable(conversations) if turn["role"] == "user"}
    met: set[str] = set()
    for corpus in _corpora_of(run.base_model):
        prompts = Prompt.objects.filter(project_id=run.project_id, created_at__gt=corpus.frozen_at)
        rows = prompts.exclude(split=Split.TRAIN).values_list("messages", flat=True).iterator(CHUNK)
        later = {turn["content"] for turn in chain.from_iterable(rows) if turn["content"] in texts} - met
        if later and corpus.state != DatasetSnapshot.State.FROZEN:
            return None
        if later:
            met |= _in_corpus(corpus, later)
    return len(met)


def _snapshot_of(version: ModelVersion | None) -> DatasetSnapshot | None:
    """The training data of a version. None for what no longer exists or never did."""
    if version is None or version.run is None:
        return None
    return version.run.snapshot


def _corpora_of(version: ModelVersion | None) -> Iterator[DatasetSnapshot]:
    """Snapshots of corpora that a version and its ancestors were trained on."""
    for _ in range(LONGEST_LINE):
        if version is None:
            return
        snapshot = _snapshot_of(version)
        if snapshot is not None and snapshot.purpose == DatasetSnapshot.Purpose.CORPUS and snapshot.frozen_at:
            yield snapshot
        version = version.parent


def _in_corpus(corpus: DatasetSnapshot, texts: set[str]) -> set[str]:
    """Those of `texts` that occur in a training document. They are searched together, then one by one."""
    together = contamination.Evaluation(texts)
    each = {text: contamination.Evaluation([text]) for text in texts}
    found: set[str] = set()
    with (snapshots.folder_of(corpus) / "train.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)["row"].get("text", "")
            if together.in_text(document):
                for text, alone in each.items():
                    if text not in found and alone.in_text(document):
                        found.add(text)
    return found


def _annotators(ids: list[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(ids), CHUNK):
        rows = Annotation.objects.filter(public_id__in=ids[start : start + CHUNK])
        for public_id, annotator in rows.values_list("public_id", "annotator__public_id"):
            yield str(public_id), str(annotator)


def _taught(snapshot: DatasetSnapshot) -> QuerySet[Annotation]:
    """Judgments of training prompts that a snapshot holds."""
    rows = Annotation.objects.filter(snapshots__snapshot=snapshot, kind__in=JUDGING)
    return rows.filter(task__prompt__split=Split.TRAIN).order_by().distinct()


def _group(people: list[Outcomes]) -> GroupFigures | None:
    if people:
        return {"annotators": len(people), **_figures(people)}
    return None


def _figures(people: list[Outcomes]) -> Figures:
    """Accuracy over all judgments of these people; pairs of a prompt form one cluster, whoever judged them."""
    prompts: Outcomes = defaultdict(list)
    for one in people:
        for prompt, right in one.items():
            prompts[prompt] += right
    values = list(chain.from_iterable(prompts.values()))
    low, high = clustered(prompts.values())
    return {
        "pairs": len(values),
        "accuracy": sum(values) / len(values),
        "low": low,
        "high": high,
        "prompts": len(prompts),
    }
