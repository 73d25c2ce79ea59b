"""Paths of the API of data: corpora, imports, exports, snapshots, preferences."""

from django.urls import URLPattern, path

from feedback.api.data import corpora, exports, imports, preferences, snapshots, tokenizers

urlpatterns: list[URLPattern] = [
    path("preferences/", preferences.Preferences.as_view()),
    path("snapshots/", snapshots.Snapshots.as_view()),
    path("snapshots/<uuid:id>/", snapshots.OneSnapshot.as_view()),
    path("snapshots/<uuid:id>/rows/", snapshots.SnapshotRows.as_view()),
    path("imports/", imports.Imports.as_view()),
    path("imports/<uuid:id>/", imports.OneImport.as_view()),
    path("imports/<uuid:id>/rejected/", imports.Rejected.as_view()),
    path("exports/", exports.Exports.as_view()),
    path("exports/<uuid:id>/", exports.OneExport.as_view()),
    path("exports/<uuid:id>/file/", exports.ExportFile.as_view()),
    path("corpora/", corpora.Corpora.as_view()),
    path("corpora/<uuid:id>/", corpora.OneCorpus.as_view()),
    path("corpora/<uuid:id>/report/", corpora.CorpusReport.as_view()),
    path("corpora/<uuid:id>/download/", corpora.CorpusDownload.as_view()),
    path("corpora/<uuid:id>/uploads/", corpora.CorpusUploads.as_view()),
    path("corpus-uploads/<uuid:id>/", corpora.OneCorpusUpload.as_view()),
    path("corpus-uploads/<uuid:id>/rejected/", corpora.CorpusUploadRejected.as_view()),
    path("documents/", corpora.Documents.as_view()),
    path("documents/remove/", corpora.RemoveDocuments.as_view()),
    path("documents/restore/", corpora.RestoreDocuments.as_view()),
    path("documents/<uuid:id>/", corpora.OneDocument.as_view()),
    path("tokenize/", tokenizers.Tokenize.as_view()),
]
