"""Bring a corpus in, as a job: the demo's, and the training that follows it."""

from contextlib import suppress

from django.db import transaction

from feedback.errors import ChainRunning
from feedback.models import Corpus, Document, Job, Project, Prompt, Split
from feedback.rules.canonical import sha256
from feedback.services import jobs, training
from workers.demo import corpus as demo_corpus

CHUNK = 400  # documents in one write transaction: a few milliseconds on SQLite


def bring_in(job: Job) -> dict[str, int]:
    """Write the documents that the job's payload names, then start the stages it asks for.

    Safe to repeat: a document is known by its text's hash, and a chain that runs already is left alone. Documents that
    touch what evaluation asks are never written.
    """
    project = job.project
    assert project is not None
    corpus, _ = Corpus.objects.get_or_create(
        project=project, name="Support desk corpus", defaults={"description": "Written for the demo, of mixed quality."}
    )
    held_out = _evaluation_texts(project)
    documents = demo_corpus.documents(0, exclude=held_out)
    written = 0
    for start in range(0, len(documents), CHUNK):
        if jobs.beat(job, step=start, steps=len(documents), text="writing documents").lost:
            return {"documents": written}
        with transaction.atomic():
            Document.objects.bulk_create(
                [
                    Document(corpus=corpus, text_hash=sha256(document.text), **document.row())
                    for document in documents[start : start + CHUNK]
                ],
                ignore_conflicts=True,
            )
        written += len(documents[start : start + CHUNK])
    stages = job.payload.get("then")
    if stages:
        with suppress(ChainRunning):  # this job came twice
            training.start_chain(project=project, by=job.requested_by, stages=stages)
    return {"documents": written}


def _evaluation_texts(project: Project) -> set[str]:
    held_out = Prompt.objects.filter(project=project).exclude(split=Split.TRAIN)
    return {prompt.text for prompt in held_out.iterator(chunk_size=CHUNK)}
