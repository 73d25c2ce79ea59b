"""Reads of corpora, for pages, imports and snapshots."""

from collections.abc import Iterator, Sequence
from typing import TypedDict
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Substr

from feedback.models import Corpus, Document, Job, Project, Prompt, Split
from feedback.rules.data.contamination import Evaluation

CHUNK = 500
EXCERPT = 160  # characters of a document that a list shows
HASHES = 500  # in one query: SQLite takes no more than some thousand parameters


def evaluation(project: Project) -> Evaluation:
    """All user messages of the project's selection and test prompts."""
    held_out = Prompt.objects.filter(project=project, split__in=(Split.SELECTION, Split.TEST))
    return Evaluation(_user_messages(held_out))


def _user_messages(prompts: QuerySet[Prompt]) -> Iterator[str]:
    for messages in prompts.values_list("messages", flat=True).iterator(chunk_size=CHUNK):
        for message in messages:
            if message["role"] == "user":
                yield message["content"]


def signatures(corpus: Corpus) -> Iterator[tuple[UUID, bytes]]:
    """Of all documents that have one, the removed included: what was taken out is not to come back in another dress."""
    rows = Document.objects.filter(corpus=corpus).exclude(signature=None).order_by("pk")
    for public_id, sketch in rows.values_list("public_id", "signature").iterator(chunk_size=CHUNK):
        yield public_id, bytes(sketch or b"")


def by_hash(corpus: Corpus, hashes: Sequence[str]) -> dict[str, tuple[UUID, bool]]:
    """Existing texts among these: hash -> public id, and whether the document was removed."""
    rows = Document.objects.filter(corpus=corpus, text_hash__in=hashes)
    found = {}
    for text_hash, public_id, removed_at in rows.values_list("text_hash", "public_id", "removed_at"):
        found[text_hash] = (public_id, removed_at is not None)
    return found


def texts(corpus: Corpus) -> Iterator[tuple[str, str, str, str]]:
    """Text, source, kind and license of all documents that are not removed, oldest first."""
    rows = Document.objects.standing().filter(corpus=corpus).order_by("pk")
    yield from rows.values_list("text", "source", "document_kind", "licence").iterator(chunk_size=CHUNK)


def listed(corpus: Corpus, *, removed: bool = False) -> QuerySet[Document]:
    """Documents for a list: without their texts, which may be long, but with an excerpt."""
    rows = Document.objects.filter(corpus=corpus, removed_at__isnull=not removed)
    return rows.defer("text", "signature", "messages").annotate(excerpt=Substr("text", 1, EXCERPT))


def uploads(corpus: Corpus) -> QuerySet[Job]:
    rows = Job.objects.filter(project=corpus.project_id, kind=Job.Kind.CORPUS, payload__corpus=str(corpus.public_id))
    return rows.filter(payload__do="upload").select_related("requested_by").order_by("-pk")


def reports_waiting(corpus: Corpus) -> QuerySet[Job]:
    rows = Job.objects.filter(project=corpus.project_id, kind=Job.Kind.CORPUS, status__in=Job.ACTIVE)
    return rows.filter(payload__do="report", payload__corpus=str(corpus.public_id))


def left_out(uploads: Sequence[Job]) -> dict[str, int]:
    """Counts of records that these uploads left out, by reason."""
    total: dict[str, int] = {}
    for job in uploads:
        for reason, count in job.result.get("left_out", {}).items():
            total[reason] = total.get(reason, 0) + count
    return dict(sorted(total.items(), key=lambda entry: (-entry[1], entry[0])))


class DocumentRow(TypedDict):
    """A document as the file of a download holds it, and as an upload takes it."""

    id: str
    name: str
    text: str
    source: str
    kind: str
    licence: str


def rows(corpus: Corpus) -> Iterator[DocumentRow]:
    """Standing documents as a download holds them, by key: no cursor is open while a slow client reads."""
    last = 0
    while found := list(Document.objects.standing().filter(corpus=corpus, pk__gt=last).order_by("pk")[:100]):
        yield from map(as_row, found)
        last = found[-1].pk


def as_row(document: Document) -> DocumentRow:
    return {
        "id": str(document.public_id),
        "name": document.name,
        "text": document.text,
        "source": document.source,
        "kind": document.document_kind,
        "licence": document.licence,
    }
