"""Snapshots: training data, frozen under a content hash.

A snapshot is requested in a door and written by a worker: files under temporary names first, renamed into place, then
the row is moved
from draft to frozen by a compare-and-set. Of two workers at once one wins; the other throws its copy away.
"""

import dataclasses
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from operator import itemgetter
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from feedback import celery_app
from feedback.errors import Invalid, InvalidTransition, SnapshotRevoked, SnapshotTooSmall
from feedback.models import FROZEN_SPLITS, Corpus, DatasetSnapshot, Job, Person, Project, SnapshotAnnotation
from feedback.rules.data.content_hash import SCHEMA, canonical, sha256, snapshot_hash
from feedback.rules.data.training_contract import REASONS, fault
from feedback.rules.json_types import JsonObject
from feedback.rules.quality.reliability_weights import Weighing
from feedback.selectors.data import training_rows
from feedback.selectors.data.training_queries import Policy
from feedback.selectors.data.training_rows import TrainingRow
from feedback.services.platform import events, jobs
from feedback.services.quality import exclusions, reliability
from feedback.services.quality.reliability import Measured

State = DatasetSnapshot.State
PAIR_POLICIES = ("each", "consensus")
CHUNK = 500


def request_snapshot(
    *,
    project: Project,
    by: Person | None,
    purpose: str = DatasetSnapshot.Purpose.FEEDBACK,
    policy: Mapping[str, object] | None = None,
    corpus: Corpus | None = None,
    job: bool = True,
) -> DatasetSnapshot:
    """Create a draft and (unless `job` is False) a job that freezes it.

    Args:
        policy: pairs (each or consensus), unsettled, extras, prompt_sources, held_out_annotators, accepted,
            include_excluded, weigh_annotators (off, drop or weigh); the project's own policy fills the rest.

    Raises:
        Invalid: an unknown policy, or a corpus snapshot without a corpus.
    """
    chosen = _policy(project, policy or {})
    on_corpus = purpose == DatasetSnapshot.Purpose.CORPUS
    if on_corpus and corpus is None:
        raise Invalid("Name the corpus.", field="corpus")
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        number = (DatasetSnapshot.objects.filter(project=project).aggregate(top=Max("number"))["top"] or 0) + 1
        snapshot = DatasetSnapshot.objects.create(
            project=project,
            purpose=purpose,
            corpus=corpus,
            number=number,
            policy={"hold_out": corpus.hold_out} if on_corpus and corpus else dataclasses.asdict(chosen),
            requested_by=by,
        )
        if job:
            jobs.create(
                kind=Job.Kind.FREEZE,
                queue_name=celery_app.DEFAULT,
                project=project,
                by=by,
                payload={"snapshot": str(snapshot.public_id)},
            )
        events.record("snapshot.requested", snapshot, actor=by)
    return snapshot


def freeze(snapshot: DatasetSnapshot) -> DatasetSnapshot:
    """Write the files and the hash. A frozen snapshot is returned as it is. For workers: it writes under DATA_DIR.

    Raises:
        SnapshotTooSmall: there is nothing to freeze; the snapshot is failed with that sentence.
        SnapshotRevoked, InvalidTransition: it can no longer be frozen.
    """
    snapshot.refresh_from_db()
    if snapshot.state == State.FROZEN:
        return snapshot
    if snapshot.state == State.REVOKED:
        raise SnapshotRevoked
    if snapshot.state == State.FAILED:
        raise InvalidTransition(f"This snapshot failed: {snapshot.error} Freeze a new one.")
    left_out: Counter[str] = Counter()
    unfit: Counter[str] = Counter()
    measured = None
    if snapshot.purpose == DatasetSnapshot.Purpose.FEEDBACK:
        exclusions.exclude_careless(snapshot.project)
        measured = reliability.measure(snapshot, Policy(**snapshot.policy))
    table = _table(_rows(snapshot, measured, left_out), left_out, unfit)
    if not any(table.values()):
        sentence = "There is nothing to freeze: no annotations, demonstrations or prompts. Collect some first."
        if unfit:
            reason, count = unfit.most_common(1)[0]
            sentence = f"No row can be used for training. For {count} rows: {REASONS[reason]}."
        DatasetSnapshot.objects.filter(pk=snapshot.pk, state=State.DRAFT).update(state=State.FAILED, error=sentence)
        raise SnapshotTooSmall(sentence)
    content_hash = snapshot_hash({split: _repeated(entries) for split, entries in table.items()})
    relative = f"snapshots/{content_hash[:16]}-{snapshot.public_id}"
    part = settings.DATA_DIR / "snapshots" / f".{snapshot.public_id}.{uuid.uuid4().hex[:8]}"
    try:
        manifest_sha256 = _write(part, snapshot, table, content_hash, left_out, unfit, measured)
        if measured is not None:
            reliability.keep(snapshot, measured, manifest_sha256)
        _move_to_frozen(snapshot, part, relative, table)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    snapshot.refresh_from_db()
    return snapshot


def folder_of(snapshot: DatasetSnapshot) -> Path:
    """Where a frozen snapshot's files are.

    Raises:
        SnapshotRevoked: its files were deleted.
        InvalidTransition: it is not frozen yet.
    """
    if snapshot.state == State.REVOKED:
        raise SnapshotRevoked
    if snapshot.state != State.FROZEN:
        raise InvalidTransition(f"The snapshot is {snapshot.state}; its rows are available once it is frozen.")
    return Path(settings.DATA_DIR) / snapshot.path


class Entry:
    """A distinct row: its canonical text, how often it occurs, its weight by annotator (None: what is nobody's own),
    and the annotations that it comes from."""

    __slots__ = ("annotations", "count", "kind", "text", "weights")

    def __init__(self, text: str, kind: str) -> None:
        self.text, self.kind, self.count = text, kind, 0
        self.weights: dict[int | None, Fraction] = {}
        self.annotations: list[tuple[int, str]] = []

    @property
    def weight(self) -> Fraction:
        """What the row counts each time that it occurs."""
        return sum(self.weights.values(), Fraction(0)) / self.count


Table = dict[str, dict[str, Entry]]


def _policy(project: Project, given: Mapping[str, object]) -> Policy:
    known = {field.name for field in dataclasses.fields(Policy)}
    merged = project.training_policy.get("snapshot", {}) | given
    unknown = sorted(set(merged) - known)
    if unknown:
        raise Invalid(f"Unknown policy {unknown[0]!r}; choose from {sorted(known)}.", field="policy")
    chosen = Policy(**merged)
    if chosen.pairs not in PAIR_POLICIES:
        raise Invalid(f"pairs must be one of {', '.join(PAIR_POLICIES)}.", field="policy.pairs")
    if chosen.weigh_annotators not in tuple(Weighing):
        raise Invalid(f"weigh_annotators must be one of {', '.join(Weighing)}.", field="policy.weigh_annotators")
    if chosen.pairs != "each" and chosen.held_out_annotators:
        sentence = "Held-out annotators need the pair policy “each”; a consensus has no single annotator."
        raise Invalid(sentence, field="policy.held_out_annotators")
    return chosen


def _rows(snapshot: DatasetSnapshot, measured: Measured | None, left_out: Counter[str]) -> Iterable[TrainingRow]:
    if measured is None:
        assert snapshot.corpus is not None
        hold_out = snapshot.policy.get("hold_out", Corpus.HoldOut.SHARE)
        return training_rows.corpus_rows(snapshot.corpus, hold_out, left_out)
    policy = measured.freeze_policy(Policy(**snapshot.policy))
    return training_rows.feedback_rows(snapshot.project, policy, left_out)


def _table(rows: Iterable[TrainingRow], left_out: Counter[str], unfit: Counter[str]) -> Table:
    """Distinct rows by split and hash. Rows that the trainer would refuse are counted in `unfit`, by reason."""
    table: Table = {split: {} for split in map(str, FROZEN_SPLITS)}
    for row in rows:
        if row.split not in table:
            left_out["links_splits"] += 1
            continue
        text = canonical(row.row)
        if reason := fault(json.loads(text)) or _unwritable(text):
            unfit[reason] += 1
            continue
        entry = table[row.split].setdefault(sha256(text), Entry(text, row.row["kind"]))
        entry.count += 1
        entry.weights[row.annotator] = entry.weights.get(row.annotator, Fraction(0)) + row.weight
        entry.annotations.extend(row.annotations)
    if unfit:
        left_out["unfit"] = unfit.total()
    return table


def _unwritable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape
        return "encoding"
    return ""


def _repeated(entries: dict[str, Entry]) -> list[str]:
    """The hash of each row, as often as it occurs."""
    hashes: list[str] = []
    for one, entry in entries.items():
        hashes += [one] * entry.count
    return hashes


def _write(
    part: Path,
    snapshot: DatasetSnapshot,
    table: Table,
    content_hash: str,
    left_out: Counter[str],
    unfit: Counter[str],
    measured: Measured | None,
) -> str:
    """Write files and manifest into a folder that nothing reads yet. Returns the hash of the manifest."""
    part.mkdir(parents=True)
    counts: dict[str, dict[str, int]] = {}
    files: dict[str, dict[str, str | int]] = {}
    for split, entries in table.items():
        lines = []
        tally: dict[str, int] = {}
        for one in sorted(entries):
            entry = entries[one]
            lines.append(f'{{"count":{entry.count},"hash":"{one}","row":{entry.text}}}\n')
            tally[entry.kind] = tally.get(entry.kind, 0) + entry.count
        counts[split] = dict(sorted(tally.items()))
        text = "".join(lines)
        (part / f"{split}.jsonl").write_text(text, encoding="utf-8")
        files[f"{split}.jsonl"] = {"sha256": sha256(text), "bytes": len(text.encode()), "rows": len(lines)}
    with (part / "lineage.jsonl").open("w", encoding="utf-8") as lineage:
        for entries in table.values():
            for one in sorted(entries):
                if entries[one].annotations:
                    ids = sorted(set(map(itemgetter(1), entries[one].annotations)))
                    lineage.write(json.dumps({"hash": one, "annotations": ids}) + "\n")
    distinct = _distinct(table)
    if weights := _weights(distinct, measured):
        (part / "weights.jsonl").write_text(weights, encoding="utf-8")
        size, rows = len(weights.encode()), weights.count("\n")
        files["weights.jsonl"] = {"sha256": sha256(weights), "bytes": size, "rows": rows}
    manifest: JsonObject = {
        "schema": SCHEMA,
        "hash": content_hash,
        "purpose": snapshot.purpose,
        "policy": snapshot.policy,
        "counts": counts,
        "left_out": dict(sorted(left_out.items())),
        "unfit": dict(sorted(unfit.items())),
        "weighted": sum(entry.weight != 1 for entry in distinct.values()),
        "files": files,
    }
    if measured is not None:
        of_rows = [(entry.weights, entry.count) for entry in distinct.values()]
        manifest["reliability"] = reliability.account_for(measured, of_rows)
    text = json.dumps(manifest, indent=1, sort_keys=True)
    (part / "manifest.json").write_text(text, encoding="utf-8")
    return sha256(text)


def _distinct(table: Table) -> dict[str, Entry]:
    """Entries by hash, in its order, each over all splits."""
    found: dict[str, Entry] = {}
    for entries in table.values():
        for one, entry in entries.items():
            whole = found.setdefault(one, Entry(entry.text, entry.kind))
            whole.count += entry.count
            for who, weight in entry.weights.items():
                whole.weights[who] = whole.weights.get(who, Fraction(0)) + weight
    return dict(sorted(found.items()))


def _weights(distinct: dict[str, Entry], measured: Measured | None) -> str:
    """Lines for rows that do not count plainly: hash, weight (a fraction), error (hundredths), index of the annotator.

    All integers, and apart from the rows, so that none of it is part of the content hash.
    """
    lines = []
    for one, entry in distinct.items():
        weight = entry.weight
        line: JsonObject = {"hash": one, "weight": [weight.numerator, weight.denominator]}
        if measured is not None and (error := measured.error_of(entry.weights)):
            line["error"] = error
        if measured is not None and (index := measured.index_of(entry.weights)) is not None:
            line["annotator"] = index
        if weight != 1 or len(line) > 2:
            lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    return "".join(lines)


def _move_to_frozen(snapshot: DatasetSnapshot, part: Path, relative: str, table: Table) -> None:
    """Write membership in short transactions, then move the folder, then the row: a frozen snapshot is complete."""
    met: set[int] = set()
    for entries in table.values():
        for entry in entries.values():
            met.update(map(itemgetter(0), entry.annotations))
    keys = sorted(met)
    for start in range(0, len(keys), CHUNK):
        members = [SnapshotAnnotation(snapshot=snapshot, annotation_id=key) for key in keys[start : start + CHUNK]]
        with transaction.atomic():
            # What a frozen snapshot holds is final: whoever scores a label reads there whether a model trained on it.
            draft = DatasetSnapshot.objects.select_for_update().filter(pk=snapshot.pk, state=State.DRAFT)
            if draft.first() is None:
                return
            SnapshotAnnotation.objects.bulk_create(members, ignore_conflicts=True)
    place = settings.DATA_DIR / relative
    if not place.exists():
        try:
            part.rename(place)
        except OSError:
            if not place.exists():
                raise
    # What stands in the place may be an earlier attempt's, killed before the row was moved: the row tells of that one.
    text = (place / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    with transaction.atomic():
        DatasetSnapshot.objects.filter(pk=snapshot.pk, state=State.DRAFT).update(
            state=State.FROZEN,
            content_hash=manifest["hash"],
            manifest=manifest,
            manifest_sha256=sha256(text),
            path=relative,
            frozen_at=timezone.now(),
        )
        reliability.forget_other_attempts(snapshot)
        events.record("snapshot.frozen", snapshot, actor=snapshot.requested_by)
    for left_behind in place.parent.glob(f".{snapshot.public_id}.*"):  # by an attempt that was killed
        shutil.rmtree(left_behind, ignore_errors=True)
