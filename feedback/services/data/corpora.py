"""Corpora: text for pretraining. Pages and the API create them and request uploads; workers read, clean and report."""

import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback import celery_app
from feedback.errors import Conflict, Invalid, NotFound
from feedback.formats.corpora import documents
from feedback.models import Corpus, Document, Job, Person, Project
from feedback.rules.data import languages
from feedback.rules.data.text_quality import thresholds
from feedback.rules.json_types import JsonObject
from feedback.rules.screening import personal_data
from feedback.services.data import import_folder
from feedback.services.platform import events, jobs
from feedback.services.platform.closed_projects import refuse_when_closed

FOLDER = "corpora"
MOST_AT_ONCE = 1000
UPLOAD, REPORT = "upload", "report"


def open_corpus(
    *, project: Project, by: Person, name: str, description: str = "", hold_out: str = Corpus.HoldOut.SHARE
) -> Corpus:
    """Create a corpus without documents.

    Raises:
        Invalid: no name, or an unknown way of holding out. Conflict: the name is taken.
    """
    _check(project, name, hold_out)
    try:
        with transaction.atomic():
            corpus = Corpus.objects.create(
                project=project, name=name.strip(), description=description, hold_out=hold_out
            )
            events.record("corpus.opened", corpus, actor=by)
    except IntegrityError:
        raise Conflict(
            f"A corpus named {name!r} already exists. Add documents to it, or choose another name."
        ) from None
    return corpus


def update_corpus(*, corpus: Corpus, by: Person, **changes: str) -> Corpus:
    """Change name, description, or what the next snapshot holds out of training."""
    if set(changes) - {"name", "description", "hold_out"}:
        raise Invalid("Only name, description and hold_out can be changed.")
    _check(corpus.project, changes.get("name", corpus.name), changes.get("hold_out", corpus.hold_out))
    try:
        with transaction.atomic():
            Corpus.objects.filter(pk=corpus.pk).update(**changes)
            events.record("corpus.changed", corpus, actor=by)
    except IntegrityError:
        raise Conflict("Another corpus of this project has this name.") from None
    corpus.refresh_from_db()
    return corpus


def request_upload(
    *,
    corpus: Corpus,
    by: Person,
    name: str,
    chunks: Iterable[bytes] | None = None,
    path: str = "",
    source: str = "",
    kind: str = "",
    licence: str = "",
    cleaning: JsonObject | None = None,
) -> Job:
    """Store a file, or name a folder on the server, and request a job that imports its documents.

    Args:
        chunks: the file's bytes; None when `path` names a file or folder below `inbox` in the service's data.
        source, kind, licence: of documents whose rows do not say.
        cleaning: see `cleaning_of`.

    Raises:
        Invalid: nothing to read, an unknown kind, a field that is too long, unknown cleaning.
        ProjectClosed: the project takes nothing any more.
    """
    if kind and kind not in Document.Kind.values:
        raise Invalid(f"The kind must be one of {', '.join(Document.Kind.values)}.", field="kind")
    if len(source) > 200 or len(licence) > 100:
        raise Invalid("A source has at most 200 characters, a license 100.", field="source")
    refuse_when_closed(corpus.project, "documents")
    chosen = cleaning_of(cleaning or {})
    root = "" if chunks is not None else str(import_folder.named(path).relative_to(Path(settings.DATA_DIR).resolve()))
    name = Path(name).name[:200] or "file"
    if chunks is not None and not (documents.type_of(name) or name.lower().endswith((".zip", ".gz"))):
        ends = ", ".join(sorted(documents.TYPES))
        raise Invalid(f"The file name must end in {ends}, zip or gz.", field="file")
    folder = f"{FOLDER}/{uuid.uuid4()}"
    place = Path(settings.DATA_DIR) / folder
    place.mkdir(parents=True)
    try:
        if chunks is not None:
            with (place / "upload").open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            if not (place / "upload").stat().st_size:
                raise Invalid("The file is empty.", field="file")
        payload: JsonObject = {"do": UPLOAD, "corpus": str(corpus.public_id), "folder": folder, "root": root}
        payload |= {"name": name, "source": source, "kind": kind, "licence": licence, "cleaning": chosen}
        with transaction.atomic():
            job = _job(corpus, by, payload)
            events.record("corpus.upload_requested", corpus, actor=by, job=job.public_id)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return job


class Cleaning(TypedDict):
    """The complete setting of what is dropped and masked. `thresholds` as in `text_quality.Thresholds`."""

    quality: bool
    near_duplicates: bool
    thresholds: dict[str, float]
    languages: list[str]
    mask: list[str]


def cleaning_of(given: JsonObject) -> Cleaning:
    """The complete, checked setting of what is dropped and masked.

    Args:
        given: any of quality (drop what is unfit by `thresholds`), thresholds (see rules/data/text_quality.py),
        languages
            (codes of those that are kept; none is all of them), near_duplicates, mask (kinds of personal data to mask,
            or true for all of them).

    Raises:
        Invalid: an unknown name or value.
    """
    unknown = sorted(set(given) - {"quality", "thresholds", "languages", "near_duplicates", "mask"})
    if unknown:
        raise Invalid(f"Unknown cleaning {unknown[0]!r}.", field="cleaning")
    quality, near_duplicates = given.get("quality", True), given.get("near_duplicates", True)
    if not isinstance(quality, bool) or not isinstance(near_duplicates, bool):
        raise Invalid("quality and near_duplicates are true or false.", field="cleaning")
    if not isinstance(given.get("thresholds", {}), dict):
        raise Invalid("thresholds must be an object.", field="cleaning.thresholds")
    try:
        limits = thresholds(given.get("thresholds", {}))
    except ValueError as error:
        raise Invalid(str(error), field="cleaning.thresholds") from None
    mask = given.get("mask", False)
    if mask is True:
        kinds = list(personal_data.KINDS)
    elif mask is False:
        kinds = []
    else:
        kinds = mask
    if not isinstance(kinds, list) or any(kind not in personal_data.KINDS for kind in kinds):
        raise Invalid(f"mask is true, false, or a list of {', '.join(personal_data.KINDS)}.", field="cleaning.mask")
    kept = given.get("languages", [])
    if not isinstance(kept, list) or not all(isinstance(code, str) and code in languages.NAMES for code in kept):
        codes = ", ".join(languages.NAMES)
        raise Invalid(f"languages is a list of codes among {codes}; empty keeps all.", field="cleaning.languages")
    return {
        "quality": quality,
        "near_duplicates": near_duplicates,
        "thresholds": asdict(limits),
        "languages": sorted(set(kept)),
        "mask": kinds,
    }


def request_report(*, corpus: Corpus, by: Person | None) -> Job:
    """Request a report on all documents, unless one is queued already."""
    waiting = Job.objects.filter(
        project=corpus.project, kind=Job.Kind.CORPUS, status=Job.Status.QUEUED, payload__do=REPORT
    )
    found = waiting.filter(payload__corpus=str(corpus.public_id)).first()
    return found or _job(corpus, by, {"do": REPORT, "corpus": str(corpus.public_id)})


def remove_documents(*, corpus: Corpus, by: Person, ids: Sequence[uuid.UUID], reason: str) -> int:
    """Remove documents: later snapshots leave them out, and the same text is not imported again.

    Raises:
        Invalid: none or too many named, no reason. NotFound: one is not of this corpus.
    """
    if not reason.strip() or len(reason) > 200:
        raise Invalid("Enter a reason of at most 200 characters.", field="reason")
    return _move(corpus, by, ids, "corpus.documents_removed", removed_by=by, removed_reason=reason.strip())


def restore_documents(*, corpus: Corpus, by: Person, ids: Sequence[uuid.UUID]) -> int:
    """Restore removed documents."""
    return _move(corpus, by, ids, "corpus.documents_restored", removed_at=None, removed_by=None, removed_reason="")


def rejected_file(job: Job) -> Path:
    """The records that an upload left out, as JSON Lines: file, line, reason, detail, text.

    Raises:
        NotFound: all was taken in, or the files are gone.
    """
    path = Path(settings.DATA_DIR) / job.payload.get("folder", "-") / "rejected.jsonl"
    if not path.is_file():
        raise NotFound("No documents were excluded.")
    return path


def _check(project: Project, name: str, hold_out: str) -> None:
    if not name.strip() or len(name) > 120:
        raise Invalid("A corpus needs a name of at most 120 characters.", field="name")
    if hold_out not in Corpus.HoldOut.values:
        raise Invalid(f"hold_out must be one of {', '.join(Corpus.HoldOut.values)}.", field="hold_out")
    refuse_when_closed(project, "corpora")


def _job(corpus: Corpus, by: Person | None, payload: JsonObject) -> Job:
    return jobs.create(
        kind=Job.Kind.CORPUS, queue_name=celery_app.DEFAULT, project=corpus.project, by=by, payload=payload
    )


def _move(corpus: Corpus, by: Person, ids: Sequence[uuid.UUID], verb: str, **changes: object) -> int:
    if not ids or len(ids) > MOST_AT_ONCE:
        raise Invalid(f"Name 1 to {MOST_AT_ONCE} documents.", field="documents")
    rows = Document.objects.filter(corpus=corpus, public_id__in=ids)
    with transaction.atomic():
        if rows.count() != len(set(ids)):
            raise NotFound("One of them is not a document of this corpus.")
        rows = rows.filter(removed_at__isnull="removed_at" not in changes)
        moved = rows.update(**({"removed_at": timezone.now()} | changes))
        events.record(verb, corpus, actor=by, documents=moved)
        if moved:
            request_report(corpus=corpus, by=by)
    return moved
