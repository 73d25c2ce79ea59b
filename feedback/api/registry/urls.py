"""Paths of the API of registry: model versions and what serves."""

from django.urls import URLPattern, path

from feedback.api.registry import model_versions

urlpatterns: list[URLPattern] = [
    path("models/", model_versions.Models.as_view()),
    path("models/given/", model_versions.ExternalModels.as_view()),
    path("models/<uuid:id>/", model_versions.OneModel.as_view()),
    path("models/<uuid:id>/promote/", model_versions.PromoteModel.as_view()),
    path("models/<uuid:id>/rollback/", model_versions.RollBackModel.as_view()),
    path("models/<uuid:id>/decide/", model_versions.DecideModel.as_view()),
    path("models/<uuid:id>/lineage/", model_versions.ModelLineage.as_view()),
]
