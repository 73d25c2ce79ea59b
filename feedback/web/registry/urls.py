"""Paths of the pages of registry: model versions and what serves."""

from django.urls import URLPattern, path

from feedback.web.registry import model_versions, probes

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/models/", model_versions.models, name="models"),
    path("p/<slug:slug>/models/roll-back/", model_versions.roll_back, name="roll_back"),
    path("p/<slug:slug>/models/given/", model_versions.register_external, name="model_given"),
    path("p/<slug:slug>/probes/<uuid:probe_id>/", probes.probe, name="probe"),
    path("p/<slug:slug>/probes/<slug:kind>/", probes.request_probe, name="probes"),
    path("p/<slug:slug>/models/playground/", model_versions.playground, name="playground"),
    path(
        "p/<slug:slug>/models/playground/<uuid:prompt_id>/",
        model_versions.playground_responses,
        name="playground_answers",
    ),
    path("p/<slug:slug>/models/<uuid:model_id>/", model_versions.model, name="model"),
    path("p/<slug:slug>/models/<uuid:model_id>/promote/", model_versions.promote, name="promote"),
    path("p/<slug:slug>/models/<uuid:model_id>/decide/", model_versions.decide, name="model_decide"),
]
