"""Paths of the API of evaluation: evaluations and gates."""

from django.urls import URLPattern, path

from feedback.api.evaluation import evaluations

urlpatterns: list[URLPattern] = [
    path("models/<uuid:id>/gate/", evaluations.ModelGate.as_view()),
    path("models/<uuid:id>/evaluations/", evaluations.Evaluations.as_view()),
]
