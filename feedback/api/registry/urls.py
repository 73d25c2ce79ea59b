"""Paths of the API of registry: model versions and what serves."""

from django.urls import URLPattern, path

from feedback.api.registry import model_versions

urlpatterns: list[URLPattern] = [
    path("models/", model_versions.Models.as_view()),
    path("models/given/", model_versions.GivenModels.as_view()),
    path("models/<uuid:id>/", model_versions.OneModel.as_view()),
    path("models/<uuid:id>/promote/", model_versions.Promote.as_view()),
    path("models/<uuid:id>/rollback/", model_versions.RollBack.as_view()),
    path("models/<uuid:id>/decide/", model_versions.Decide.as_view()),
    path("models/<uuid:id>/lineage/", model_versions.Lineage.as_view()),
]
