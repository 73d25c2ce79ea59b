"""Jobs about corpora: import documents, report on them, write the demo's corpus and start training on it."""

from collections.abc import Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Q

from feedback.errors import ChainRunning, InvalidTransition
from feedback.models import Corpus, Document, Job, Project, Prompt, Split
from feedback.rules.data.content_hash import sha256
from feedback.selectors.training.plans import PipelineRequest, plan_pipeline
from feedback.services.data import corpora as services
from feedback.services.data import corpus_import
from feedback.services.data.corpus_import import Cursor
from feedback.services.platform import jobs
from feedback.services.training import pipelines
from workers.job_context import JobFailed, Lost, Outcome, PutBack, Work

CHUNK = 400  # documents in one write transaction: a few milliseconds on SQLite
WAIT_SECONDS = 1.0
ROWS = 500  # of a Parquet file held at once
NO_DEMO = "The demo corpus is not part of this installation."


def carry_out(work: Work) -> Outcome:
    """Import an upload, write a report, or (where the payload names neither) write the demo's corpus."""
    action = work.job.payload.get("do", "")
    if action == services.UPLOAD:
        return bring_in(work)
    if action == services.REPORT:
        return report(work)
    return Outcome(dict(demo(work.job)))


def bring_in(work: Work) -> Outcome:
    """Import the upload that the payload names. A corpus imports one upload at a time, so that duplicates are found."""
    payload = work.job.payload
    others = Job.objects.filter(kind=Job.Kind.CORPUS, status=Job.Status.RUNNING).exclude(pk=work.job.pk)
    others = others.filter(payload__corpus=payload["corpus"], payload__do=services.UPLOAD)
    if others.filter(Q(started_at__lt=work.job.started_at) | Q(started_at=work.job.started_at, pk__lt=work.job.pk)):
        work.pause(WAIT_SECONDS)
        raise PutBack("It waits for the upload before it.")
    try:
        for cursor in corpus_import.bring_in(work.job, parquet_rows):
            _tell(work, cursor)
            if not cursor.done:
                work.check()
    except InvalidTransition:
        raise Lost from None
    work.job.refresh_from_db(fields=["result"])
    corpus = Corpus.objects.get(public_id=payload["corpus"])
    return Outcome(work.job.result, record=lambda: services.request_report(corpus=corpus, by=work.job.requested_by))


def report(work: Work) -> Outcome:
    """Measure how diverse the documents of the corpus are, and store the figures."""
    corpus = Corpus.objects.get(public_id=work.job.payload["corpus"])

    def going_on(documents: int) -> None:
        work.say(f"{documents:,} documents processed")
        work.check()

    return Outcome(corpus_import.report(corpus, going_on))


def parquet_rows(path: Path, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a Parquet file from row `start` on, each with its number.

    Raises:
        UnreadableFile: it is not a Parquet file.
    """
    import pyarrow  # not before it is needed: it takes half a second and 60 MB
    from pyarrow import parquet

    from feedback.formats.reading import UnreadableFile

    try:
        number = 0
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=ROWS):
            if number + batch.num_rows > start:
                for place, row in enumerate(batch.to_pylist(), start=number):
                    if place >= start:
                        yield place, row
            number += batch.num_rows
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError) as error:
        raise UnreadableFile(f"It cannot be read as Parquet: {str(error)[:200]}") from None


def _tell(work: Work, cursor: Cursor) -> None:
    left = sum(cursor.left_out.values())
    text = f"{cursor.read:,} documents read: {cursor.new:,} new, {left:,} excluded"
    work.say(text, step=cursor.file, steps=max(1, cursor.files))


def demo(job: Job) -> dict[str, int]:
    """Write the demo's documents, then start the stages that the payload names.

    Safe to repeat: a document is identified by the hash of its text, and a pipeline run that is running is left alone.
    Documents that contain a prompt of the evaluation splits are not written.

    Raises:
        JobFailed: the demo world is not installed, as in the production image.
    """
    try:
        from workers.demo import corpus as demo_corpus
    except ModuleNotFoundError:
        raise JobFailed(Job.ErrorKind.CONFIG, NO_DEMO, "Upload documents on the corpora page.") from None
    project = job.project
    assert project is not None
    corpus, _ = Corpus.objects.get_or_create(
        project=project, name="Support desk corpus", defaults={"description": "Written for the demo, of mixed quality."}
    )
    held_out = _evaluation_texts(project)
    seed, wide = int(job.payload.get("seed", 0)), bool(job.payload.get("wide"))
    documents = demo_corpus.documents(seed, exclude=held_out, wide=wide)
    written = 0
    for start in range(0, len(documents), CHUNK):
        if jobs.beat(job, step=start, steps=len(documents), text="writing documents").lost:
            return {"documents": written}
        rows = []
        for document in documents[start : start + CHUNK]:
            text_hash, characters = sha256(document.text), len(document.text)
            rows.append(Document(corpus=corpus, text_hash=text_hash, characters=characters, **document.row()))
        with transaction.atomic():
            Document.objects.bulk_create(rows, ignore_conflicts=True)
        written += len(rows)
    services.request_report(corpus=corpus, by=job.requested_by)
    stages = job.payload.get("then")
    if stages:
        with suppress(ChainRunning):  # this job came twice
            plan = plan_pipeline(PipelineRequest(project, tuple(stages), seed=seed))
            pipelines.start_chain(plan, by=job.requested_by)
    return {"documents": written}


def _evaluation_texts(project: Project) -> set[str]:
    held_out = Prompt.objects.filter(project=project).exclude(split=Split.TRAIN)
    return set(map(attrgetter("text"), held_out.iterator(chunk_size=CHUNK)))
