"""Imports documents into a corpus, as a job: reads, cleans and counts them in batches. For workers.

Each batch is one transaction: its documents and the place in the files up to which they go. Killed anywhere, the job
goes on from that place, and what comes out is what would have come out. What is left out is reported with its reason.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from feedback.errors import Invalid, NotFound
from feedback.formats import reading, unpacking
from feedback.formats.corpora import documents
from feedback.formats.corpora.documents import ReadParquet, Row, UnreadableRow
from feedback.formats.json_lines import json_line
from feedback.formats.reading import Record
from feedback.models import Corpus, Document, Job
from feedback.rules.data import languages, near_duplicates, text_quality
from feedback.rules.data.contamination import Evaluation
from feedback.rules.data.content_hash import sha256
from feedback.rules.data.diversity import Diversity
from feedback.rules.data.near_duplicates import Neighbors
from feedback.rules.screening import personal_data
from feedback.selectors.data import corpora as corpus_selectors
from feedback.services.platform import jobs
from feedback.services.platform.closed_projects import refuse_when_closed

BATCH, BATCH_BYTES = 200, 4 * 2**20
KEPT_TEXT = 500  # characters of what was left out that are kept
CHUNK = 500
DUPLICATE, NEAR, EVALUATION, UNREADABLE = "duplicate", "near_duplicate", "evaluation", "unreadable"


@dataclass
class Cursor:
    """The progress of an upload, and counts of what it has read. Stored in the job's result."""

    file: int = 0
    files: int = 0
    offset: int = 0
    line: int = 1
    header: list[str] | None = None
    unpacked: int = 0
    read: int = 0
    new: int = 0
    characters: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)
    rejected_bytes: int = 0
    done: bool = False


@dataclass
class Found:
    """A record of a file: a document to write, or the reason why it is left out."""

    file: str
    line: int
    row: Row | None = None
    reason: str = ""
    detail: str = ""
    of: str = ""
    text_hash: str = ""
    signature: bytes = b""
    masked: Counter[str] = field(default_factory=Counter)
    excerpt: str = ""


def bring_in(job: Job, parquet: ReadParquet) -> Iterator[Cursor]:
    """Import an upload. Yields after every batch that was written.

    Raises:
        Invalid: what was uploaded is gone, or cannot be read at all.
        InvalidTransition: the job is another attempt's by now; nothing of the last batch was written.
    """
    corpus = Corpus.objects.select_related("project").filter(public_id=job.payload["corpus"]).first()
    if corpus is None:
        raise NotFound("The corpus was deleted.")
    refuse_when_closed(corpus.project, "documents")
    cursor = Cursor(**job.result) if job.result else Cursor()
    if not cursor.done:
        yield from _Upload(job, corpus, cursor, parquet).run()
    for name in ("upload", "part", "unpacked"):  # what was masked must not stay readable beside it
        (Path(settings.DATA_DIR) / job.payload["folder"] / name).unlink(missing_ok=True)


class _Upload:
    def __init__(self, job: Job, corpus: Corpus, cursor: Cursor, parquet: ReadParquet) -> None:
        self.job, self.corpus, self.cursor, self.parquet = job, corpus, cursor, parquet
        self.folder = Path(settings.DATA_DIR) / job.payload["folder"]
        self.cleaning = job.payload["cleaning"]
        self.limits = text_quality.Thresholds(**self.cleaning["thresholds"])
        self.evaluation: Evaluation = corpus_selectors.evaluation(corpus.project)
        self.neighbors, self.known = Neighbors(), []  # type: Neighbors, list[UUID]
        if self.cleaning["near_duplicates"]:
            for public_id, sketch in corpus_selectors.signatures(corpus):
                self._met(public_id, sketch)

    def run(self) -> Iterator[Cursor]:
        files = self._files()
        self.cursor.files = len(files)
        batch: list[Found] = []
        weight = 0
        for place in range(self.cursor.file, len(files)):
            name, problem = files[place]
            for record, header in self._records(place, name, problem):
                found = self._looked_at(name, record)
                batch.append(found)
                if found.row is not None:
                    weight += len(found.row.text)
                if len(batch) >= BATCH or weight >= BATCH_BYTES:
                    here = replace(self.cursor, file=place, offset=record.end, line=record.next_line, header=header)
                    self._commit(batch, here)
                    batch, weight = [], 0
                    yield self.cursor
            if len(batch) >= BATCH // 2 or place + 1 == len(files):
                self._commit(batch, replace(self.cursor, file=place + 1, offset=0, line=1, header=None))
                batch, weight = [], 0
                yield self.cursor
        self._commit([], replace(self.cursor, done=True))
        yield self.cursor

    def _files(self) -> list[tuple[str, str]]:
        """Names of the files to read, each with its problem. Stored, so that a later attempt numbers them alike."""
        kept = self.folder / "files.json"
        if not kept.is_file():
            names = self._uploaded_files()
            if not names:
                raise Invalid("It contains no readable file.")
            part = kept.with_suffix(".part")
            part.write_text(json.dumps(names))
            part.replace(kept)
        return [(name, problem) for name, problem in json.loads(kept.read_text())]

    def _uploaded_files(self) -> list[tuple[str, str]]:
        if self.job.payload["root"]:
            root = Path(settings.DATA_DIR) / self.job.payload["root"]
            if not root.is_dir():
                return [(root.name, "")]
            return [(name, "") for name in documents.below(root)]
        if self._is_zip():
            try:
                return list(documents.members(self.folder / "upload"))
            except reading.UnreadableFile as error:
                raise Invalid(str(error)) from None
        if not (self.folder / "upload").is_file():
            raise Invalid("The uploaded file was deleted. Upload it again.")
        return [(self.job.payload["name"], "")]

    def _is_zip(self) -> bool:
        upload = self.folder / "upload"
        return upload.is_file() and self.job.payload["name"].lower().endswith(".zip")

    def _records(self, place: int, name: str, problem: str) -> Iterator[tuple[Record, list[str] | None]]:
        """Records of a file from the cursor on, each with the header that a table needs to resume."""
        offset, line = 0, 1
        header: list[str] | None = None
        if self.cursor.file == place:
            offset, line, header = self.cursor.offset, self.cursor.line, self.cursor.header
        path: Path | None = None
        plain = name[:-3] if name.lower().endswith(".gz") else name
        kind = documents.type_of(plain)
        if not problem and not kind:
            problem = f"Its file type is not one of {', '.join(sorted(documents.TYPES))}; it was not read."
        if not problem:
            path, problem = self._plain(name)
        if path is not None and not (problem and kind not in (documents.LINES, documents.TABLE)):
            try:
                for record in documents.records(path, kind, self.parquet, header=header, offset=offset, line=line):
                    if kind == documents.TABLE and header is None and isinstance(record.value, dict):
                        header = list(record.value)
                    yield record, header
                    offset, line = record.end, record.next_line
            except reading.UnreadableFile as error:
                problem = str(error)
        if problem:
            yield Record(line, offset, line, b"", error=problem), header

    def _plain(self, name: str) -> tuple[Path | None, str]:
        """The unpacked file, as far as it can be read, and the problem that stopped it."""
        if self._is_zip():
            upload = self.folder / "upload"
            most = min(unpacking.MOST, max(unpacking.HARMLESS, unpacking.MOST_TIMES * upload.stat().st_size))
            written, problem = documents.extract(upload, name, self.folder / "part", most - self.cursor.unpacked)
            self.cursor.unpacked += written
            path = self.folder / "part"
        elif self.job.payload["root"]:
            root = Path(settings.DATA_DIR) / self.job.payload["root"]
            path, problem = root, ""
            if root.is_dir():
                path = root / name
            if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
                return None, "It no longer exists."
        else:
            path, problem = self.folder / "upload", ""
        if not problem and name.lower().endswith(".gz"):
            problem = unpacking.unpack(path, self.folder / "unpacked")
            path = self.folder / "unpacked"
        if not path.is_file():
            return None, problem
        return path, problem

    def _looked_at(self, file: str, record: Record) -> Found:
        """Check a record by rules that need no database."""
        found = Found(file, record.line, excerpt=record.raw.decode(errors="replace")[:KEPT_TEXT])
        try:
            if record.error:
                raise UnreadableRow("", record.error)
            row = documents.row_of(record.value)
            found.row = self._completed(file, record.line, row)
        except UnreadableRow as error:
            found.reason, found.detail = UNREADABLE, error.sentence
            return found
        text = text_quality.normalized(found.row.text)
        if self.cleaning["mask"]:
            text, what = personal_data.mask(text, self.cleaning["mask"])
            found.masked.update(map(attrgetter("kind"), what))
        found.row = Row(text, found.row.name, found.row.source, found.row.kind, found.row.licence)
        found.excerpt = text[:KEPT_TEXT]
        if fault := self._fault(text):
            found.reason, found.detail = fault
        elif line := self.evaluation.in_text(text):
            found.reason, found.detail = EVALUATION, f"It contains a held-out prompt: “{line[:100]}”."
        else:
            found.text_hash = sha256(text)
            found.signature = near_duplicates.signature(text)
        return found

    def _fault(self, text: str) -> tuple[str, str] | None:
        """Why a text is left out for what it is like: a reason, and a sentence."""
        fault: tuple[str, str] | None = None
        if self.cleaning["quality"]:
            fault = text_quality.fault(text, self.limits)
        fault = fault or languages.fault(text, self.cleaning.get("languages", []))
        if fault is None and not text.strip():
            return text_quality.TOO_SHORT, "It is empty."
        return fault

    def _completed(self, file: str, line: int, row: Row) -> Row:
        payload = self.job.payload
        plain = documents.type_of(file.removesuffix(".gz"))
        kind = row.kind or payload["kind"] or documents.USUAL_KIND[plain]
        if kind not in Document.Kind.values:
            raise UnreadableRow(
                "kind", f"Its kind is {kind[:50]!r}; it must be one of {', '.join(Document.Kind.values)}."
            )
        name = row.name or file
        if not row.name and plain in (documents.LINES, documents.TABLE, documents.PARQUET):
            name = f"{file} line {line}"
        source = row.source or payload["source"] or payload["name"]
        licence = row.licence or payload["licence"] or "unknown"
        return Row(row.text, _without_nul(name)[-200:], _without_nul(source)[:200], kind, _without_nul(licence)[:100])

    def _commit(self, batch: list[Found], moved: Cursor) -> None:
        """Write documents and cursor in one transaction. `moved` is the cursor at the place where the batch ends."""
        made: list[Document] = []
        masked = Counter(moved.masked)
        for document, found in self._sorted_out(batch):
            made.append(document)
            masked.update(found.masked)
            moved.characters += document.characters
        refused = [found for found in batch if found.reason]
        left_out = Counter(moved.left_out)
        left_out.update(map(attrgetter("reason"), refused))
        moved.read += len(batch)
        moved.new += len(made)
        moved.left_out, moved.masked = dict(sorted(left_out.items())), dict(sorted(masked.items()))
        moved.rejected_bytes = self._tell(refused)
        with transaction.atomic():
            refuse_when_closed(self.corpus.project, "documents", read_again=True)
            Document.objects.bulk_create(made)
            jobs.keep(self.job, asdict(moved))
        self.cursor = moved

    def _sorted_out(self, batch: list[Found]) -> list[tuple[Document, Found]]:
        """The new records of a batch as rows to write; the others get the document that they duplicate."""
        hashes = [one.text_hash for one in batch if one.text_hash]
        there = corpus_selectors.by_hash(self.corpus, hashes)
        good = []
        for one in batch:
            if one.reason or one.row is None:
                continue
            if same := there.get(one.text_hash):
                public_id, removed = same
                one.reason, one.of = DUPLICATE, str(public_id)
                one.detail = f"The same text as document {public_id}{', which was removed' if removed else ''}."
                continue
            if self.cleaning["near_duplicates"] and (near := self.neighbors.nearest(one.signature)):
                one.reason, one.of = NEAR, str(self.known[near[0]])
                one.detail = f"{near[1]:.0%} the same five-word sequences as document {one.of}."
                continue
            document = Document(
                public_id=uuid4(),
                corpus=self.corpus,
                text=one.row.text,
                source=one.row.source,
                document_kind=one.row.kind,
                licence=one.row.licence,
                text_hash=one.text_hash,
                name=one.row.name,
                characters=len(one.row.text),
                signature=one.signature,
                upload=self.job,
            )
            there[one.text_hash] = (document.public_id, False)
            if self.cleaning["near_duplicates"]:
                self._met(document.public_id, one.signature)
            good.append((document, one))
        return good

    def _met(self, public_id: UUID, sketch: bytes) -> None:
        self.neighbors.add(len(self.known), sketch)
        self.known.append(public_id)

    def _tell(self, refused: list[Found]) -> int:
        """Append left-out records to their file, after cutting off what an uncommitted attempt wrote."""
        if not refused:
            return self.cursor.rejected_bytes
        path = self.folder / "rejected.jsonl"
        path.touch()
        with path.open("r+b") as file:
            file.truncate(self.cursor.rejected_bytes)
            file.seek(self.cursor.rejected_bytes)
            for one in refused:
                row = {"file": one.file, "line": one.line, "reason": one.reason, "detail": one.detail, "of": one.of}
                file.write(json_line(row | {"text": one.excerpt}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            return file.tell()


def _without_nul(text: str) -> str:
    return text.replace("\x00", "")


def report(corpus: Corpus, going_on: Callable[[int], None] | None = None) -> dict[str, int]:
    """Measure the diversity of all documents. `going_on` gets the number read so far and may raise to stop."""
    diversity = Diversity()
    for number, row in enumerate(corpus_selectors.texts(corpus), start=1):
        text, source, kind, licence = row
        diversity.add(text, kind=kind, source=source, licence=licence)
        if going_on and number % CHUNK == 0:
            going_on(number)
    Corpus.objects.filter(pk=corpus.pk).update(report=diversity.report(), reported_at=timezone.now())
    return {"documents": diversity.documents}
