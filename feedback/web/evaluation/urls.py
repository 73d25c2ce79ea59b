"""Paths of the pages of evaluation: evaluations and gates."""

from django.urls import URLPattern, path

from feedback.web.evaluation import evaluations

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/models/evaluations/<uuid:evaluation_id>/", evaluations.evaluation, name="evaluation"),
    path(
        "p/<slug:slug>/models/evaluations/<uuid:evaluation_id>.json",
        evaluations.evaluation_json,
        name="evaluation_json",
    ),
]
