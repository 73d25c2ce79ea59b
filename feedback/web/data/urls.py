"""Paths of the pages of data: corpora, imports, exports, snapshots, preferences."""

from django.urls import URLPattern, path

from feedback.web.data import corpora, exports, import_drafts, import_formats, imports, snapshots, tokenizers

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/data/", snapshots.data, name="data"),
    path("p/<slug:slug>/data/freeze/", snapshots.freeze, name="snapshot_freeze"),
    path("p/<slug:slug>/data/compare/", snapshots.compare, name="snapshot_compare"),
    path("p/<slug:slug>/data/snapshots/<uuid:snapshot_id>/", snapshots.snapshot, name="snapshot"),
    path("p/<slug:slug>/data/imports/", imports.imports, name="imports"),
    path("p/<slug:slug>/data/imports/new/", imports.request_import, name="import_new"),
    path("p/<slug:slug>/data/imports/<uuid:job_id>/", imports.one_import, name="import"),
    path("p/<slug:slug>/data/imports/<uuid:job_id>/rejected/", imports.rejected, name="import_rejected"),
    path("p/<slug:slug>/data/imports/formats/", import_formats.formats, name="import_formats"),
    path("p/<slug:slug>/data/imports/formats/<slug:format_name>/", import_formats.one_format, name="import_format"),
    path("p/<slug:slug>/data/imports/formats/<slug:format_name>/sample/", import_formats.sample, name="import_sample"),
    path("p/<slug:slug>/data/imports/drafts/<uuid:draft_id>/", import_drafts.import_draft, name="import_draft"),
    path("p/<slug:slug>/data/imports/drafts/<uuid:draft_id>/check/", import_drafts.import_check, name="import_check"),
    path(
        "p/<slug:slug>/data/imports/drafts/<uuid:draft_id>/repair/", import_drafts.import_repair, name="import_repair"
    ),
    path("p/<slug:slug>/data/imports/drafts/<uuid:draft_id>/start/", import_drafts.import_start, name="import_start"),
    path(
        "p/<slug:slug>/data/imports/drafts/<uuid:draft_id>/discard/",
        import_drafts.import_discard,
        name="import_discard",
    ),
    path("p/<slug:slug>/data/exports/", exports.exports, name="exports"),
    path("p/<slug:slug>/data/exports/new/", exports.request_export, name="export_new"),
    path("p/<slug:slug>/data/exports/<uuid:job_id>/file/", exports.export_file, name="export_file"),
    path("p/<slug:slug>/data/corpora/", corpora.corpora, name="corpora"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/", corpora.corpus, name="corpus"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/change/", corpora.change, name="corpus_change"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/upload/", corpora.upload, name="corpus_add"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/report/", corpora.request_report, name="corpus_report"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/download/", corpora.download, name="corpus_download"),
    path("p/<slug:slug>/data/corpora/<uuid:corpus_id>/documents/", corpora.documents, name="documents"),
    path("p/<slug:slug>/data/corpora/uploads/<uuid:job_id>/", corpora.one_upload, name="corpus_upload"),
    path("p/<slug:slug>/data/corpora/uploads/<uuid:job_id>/left-out/", corpora.rejected, name="corpus_rejected"),
    path("p/<slug:slug>/data/documents/<uuid:document_id>/", corpora.document, name="document"),
    path("p/<slug:slug>/models/tokens/", tokenizers.tokens, name="tokens"),
]
