"""Paths of corpora and their documents, under Data, and of the page of tokens, under Models."""

from django.urls import URLPattern, path

from feedback.web import corpora, tokenizers

corpus_pages: list[URLPattern] = [
    path("p/<slug:slug>/data/corpora/", corpora.corpora, name="corpora"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/", corpora.corpus, name="corpus"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/change/", corpora.change, name="corpus_change"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/upload/", corpora.upload, name="corpus_add"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/report/", corpora.report_again, name="corpus_report"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/download/", corpora.download, name="corpus_download"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/documents/", corpora.documents, name="documents"),
    path("p/<slug:slug>/data/corpora/uploads/<uuid:job_id>/", corpora.one_upload, name="corpus_upload"),
    path("p/<slug:slug>/data/corpora/uploads/<uuid:job_id>/left-out/", corpora.rejected, name="corpus_rejected"),
    path("p/<slug:slug>/data/documents/<uuid:document_id>/", corpora.document, name="document"),
    path("p/<slug:slug>/models/tokens/", tokenizers.tokens, name="tokens"),
]
