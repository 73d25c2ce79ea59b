"""A snapshot as its page shows it: counts, annotators, uses, first rows, and differences from another."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from django.conf import settings
from django.db.models import Q, QuerySet

from feedback.models import FROZEN_SPLITS, DatasetSnapshot, Job, Project, SnapshotAnnotation, Split, TrainingRun
from feedback.rules.data.training_contract import REASONS
from feedback.rules.json_types import JsonObject
from feedback.selectors.training.runs import as_text

MOST_COMPARED = 200_000  # rows of one split; larger ones are compared by their annotations


def snapshots_of(project: Project) -> QuerySet[DatasetSnapshot]:
    return DatasetSnapshot.objects.filter(project=project).select_related("requested_by", "corpus")


def freeze_job(snapshot: DatasetSnapshot) -> Job | None:
    """The job that writes it; none when a training run writes it as its first step."""
    jobs = Job.objects.filter(project=snapshot.project_id, kind=Job.Kind.FREEZE)
    return jobs.filter(payload__snapshot=str(snapshot.public_id)).order_by("-pk").first()


def runs_on(snapshot: DatasetSnapshot) -> list[TrainingRun]:
    rows = TrainingRun.objects.filter(snapshot=snapshot).select_related("job", "model_version", "project")
    return list(rows.order_by("-number")[:50])


@dataclass(frozen=True)
class Table:
    """Counts by split (rows) and kind (columns)."""

    kinds: list[str]
    rows: list[tuple[str, list[int]]]
    total: int


def table(snapshot: DatasetSnapshot) -> Table:
    kinds = sorted(set(chain.from_iterable(snapshot.counts.values())))
    rows, total = [], 0
    for split in map(str, FROZEN_SPLITS):
        of_split = snapshot.counts.get(split, {})
        numbers = [of_split.get(kind, 0) for kind in kinds]
        rows.append((split, numbers))
        total += sum(numbers)
    return Table(kinds, rows, total)


LEFT_OUT = {
    "held_prompts": "pairs and demonstrations on prompts that the guard model blocked",
    "unscreened_prompts": "pairs and demonstrations on unscreened prompts",
    "held_out_annotators": "training rows by held-out annotators",
    "excluded_annotators": "annotations of excluded annotators (see Quality)",
    "contest_running": "annotations of a comparison of models that has not ended",
    "flagged_annotators": "annotations of people who agree too little with the others (see Quality)",
    "links_splits": "rows whose family and group belong to different splits",
    "evaluation": "documents that contain held-out prompts",
    "texts_to_label": "texts for labeling only, which are not prompts",
}


def left_out(snapshot: DatasetSnapshot) -> list[tuple[str, int]]:
    """Counts of rows that the snapshot leaves out, by reason in words."""
    counts = dict(snapshot.manifest.get("left_out", {}))
    counts.pop("unfit", None)
    rows = []
    for name, count in counts.items():
        rows.append((LEFT_OUT.get(name, name.replace("_", " ")), count))
    for name, count in snapshot.manifest.get("unfit", {}).items():
        rows.append((f"rows that cannot be trained on: {REASONS.get(name, name)}", count))
    return rows


def weighed(snapshot: DatasetSnapshot) -> int:
    """How many rows weigh less than a comparison: those of rankings."""
    lines = snapshot.manifest.get("files", {}).get("weights.jsonl", {}).get("rows", 0)
    return int(snapshot.manifest.get("weighted", lines))  # earlier manifests tell only how long the file is


@dataclass(frozen=True)
class FirstRow:
    kind: str
    hash: str
    count: int
    prompt: str
    parts: list[tuple[str, str]]


def first_rows(snapshot: DatasetSnapshot, most: int = 4) -> list[FirstRow] | None:
    """The first rows of each kind in the train file, decoded. None when the files are not on this machine."""
    try:
        rows: list[FirstRow] = []
        seen: dict[str, int] = {}
        for line in islice(_lines(snapshot, Split.TRAIN), 5_000):
            kind = line["row"].get("kind", "")
            if seen.get(kind, 0) < most // 2:
                seen[kind] = seen.get(kind, 0) + 1
                rows.append(_decoded(line))
            if len(rows) >= 2 * most:
                break
        return rows
    except OSError:
        return None


def _decoded(line: JsonObject) -> FirstRow:
    row = line["row"]
    parts = []
    for name in ("chosen", "rejected", "completion", "text"):
        if name in row:
            parts.append((name, str(row[name])[:2000]))
    if "strength" in row:
        parts.append(("strength", str(row["strength"])))
    if "label" in row:
        parts.append(("label", {True: "good", False: "bad"}[bool(row["label"])]))
    return FirstRow(row.get("kind", ""), line["hash"], line["count"], as_text(row.get("prompt", "")), parts)


def _lines(snapshot: DatasetSnapshot, split: str) -> Iterator[JsonObject]:
    path = Path(settings.DATA_DIR) / snapshot.path / f"{split}.jsonl"
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


@dataclass(frozen=True)
class Difference:
    """What the second snapshot has beyond the first, and the other way round; rows None where they were not read."""

    splits: list[tuple[str, int | None, int | None, int | None]]  # split, only in one, in both, only in other
    annotations_only_one: int
    annotations_both: int
    annotations_only_other: int
    policy: list[tuple[str, object, object]]
    counts: list[tuple[str, str, int, int]]
    added: list[FirstRow]
    gone: list[FirstRow]


def difference(one: DatasetSnapshot, other: DatasetSnapshot) -> Difference:
    """Rows are compared by hash; the files are sorted by it, so both are read once, side by side."""
    splits: list[tuple[str, int | None, int | None, int | None]] = []
    added: list[FirstRow] = []
    gone: list[FirstRow] = []
    for split in map(str, FROZEN_SPLITS):
        try:
            splits.append((split, *_merged(one, other, split, added, gone)))
        except (OSError, _TooLargeError):
            splits.append((split, None, None, None))
    both = SnapshotAnnotation.objects.filter(snapshot=one, annotation__snapshots__snapshot=other).count()
    mine, theirs = one.members.count(), other.members.count()
    counts = []
    for split in map(str, FROZEN_SPLITS):
        ours, others = one.counts.get(split, {}), other.counts.get(split, {})
        for kind in sorted({*ours, *others}):
            counts.append((split, kind, ours.get(kind, 0), others.get(kind, 0)))
    names = sorted({*one.policy, *other.policy})
    return Difference(
        splits=splits,
        annotations_only_one=mine - both,
        annotations_both=both,
        annotations_only_other=theirs - both,
        policy=[(name, one.policy.get(name), other.policy.get(name)) for name in names],
        counts=counts,
        added=added[:3],
        gone=gone[:3],
    )


class _TooLargeError(Exception):
    """More rows than are read for a page."""


def _merged(
    one: DatasetSnapshot, other: DatasetSnapshot, split: str, added: list[FirstRow], gone: list[FirstRow]
) -> tuple[int, int, int]:
    for snapshot in (one, other):
        if sum(snapshot.counts.get(split, {}).values()) > MOST_COMPARED:
            raise _TooLargeError
    left, right = _lines(one, split), _lines(other, split)
    a, b = next(left, None), next(right, None)
    only_one = same = only_other = 0
    while a is not None or b is not None:
        if a is not None and b is not None and a["hash"] == b["hash"]:
            same += 1
            a, b = next(left, None), next(right, None)
        elif b is None or (a is not None and a["hash"] < b["hash"]):
            assert a is not None
            only_one += 1
            if len(gone) < 3:
                gone.append(_decoded(a))
            a = next(left, None)
        else:
            only_other += 1
            if len(added) < 3:
                added.append(_decoded(b))
            b = next(right, None)
    return only_one, same, only_other


def pick(project: Project, numbers: list[str]) -> list[DatasetSnapshot]:
    """The project's frozen snapshots with these numbers, in the order given."""
    wanted = [int(number) for number in numbers if number.isdigit() and len(number) < 10]
    rows = snapshots_of(project).filter(Q(state=DatasetSnapshot.State.FROZEN), number__in=wanted)
    found = {row.number: row for row in rows}
    return list(filter(None, map(found.get, wanted)))
