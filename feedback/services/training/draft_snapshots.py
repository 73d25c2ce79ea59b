"""Snapshots that a pipeline will read: drafts, which its first run freezes."""

from dataclasses import replace

from django.db.models import Exists, OuterRef

from feedback.models import Corpus, DatasetSnapshot, Document, Person, Project
from feedback.rules.training.stages import LABELED, ON_TEXTS
from feedback.selectors.training.plans import PipelineRequest
from feedback.services.data import snapshots

FEEDBACK, CORPUS = DatasetSnapshot.Purpose.FEEDBACK, DatasetSnapshot.Purpose.CORPUS


def with_snapshots(request: PipelineRequest, by: Person | None) -> PipelineRequest:
    """The request on snapshots, new ones where it names none. Labeled texts are the rows' own.

    Texts are those of `corpus`, by default of the newest corpus that holds any.
    """
    if request.corpus_snapshot is not None:
        return request
    stages, project = set(request.stages), request.project
    reads_texts, labeled = bool(stages & ON_TEXTS), request.texts == LABELED
    rows = request.snapshot
    if rows is None and (stages - ON_TEXTS or (reads_texts and labeled)):
        rows = snapshots.request_snapshot(project=project, by=by, purpose=FEEDBACK, job=False)
    texts = None
    if reads_texts and labeled:
        texts = rows
    elif reads_texts:
        corpus = request.corpus or _newest_corpus(project)
        texts = snapshots.request_snapshot(project=project, by=by, purpose=CORPUS, corpus=corpus, job=False)
    return replace(request, snapshot=rows, corpus_snapshot=texts)


def _newest_corpus(project: Project) -> Corpus | None:
    holding = Document.objects.standing().filter(corpus=OuterRef("pk"))
    return Corpus.objects.filter(Exists(holding), project=project).order_by("-id").first()
