"""Paths of imports and exports, under Data."""

from django.urls import URLPattern, path

from feedback.web import transfers

transfer_pages: list[URLPattern] = [
    path("p/<slug:slug>/data/imports/", transfers.imports, name="imports"),
    path("p/<slug:slug>/data/imports/new/", transfers.bring_in, name="import_new"),
    path("p/<slug:slug>/data/imports/<uuid:job_id>/", transfers.one_import, name="import"),
    path("p/<slug:slug>/data/imports/<uuid:job_id>/rejected/", transfers.rejected, name="import_rejected"),
    path("p/<slug:slug>/data/exports/", transfers.exports, name="exports"),
    path("p/<slug:slug>/data/exports/new/", transfers.write_out, name="export_new"),
    path("p/<slug:slug>/data/exports/<uuid:job_id>/file/", transfers.export_file, name="export_file"),
]
