"""Paths of the API of screening: what is screened and unblocked."""

from django.urls import URLPattern, path

from feedback.api.screening import screening

urlpatterns: list[URLPattern] = [
    path("projects/<slug:project>/screening/", screening.Screening.as_view()),
    path("prompts/<uuid:id>/unblock/", screening.UnblockPrompt.as_view()),
    path("responses/<uuid:id>/unblock/", screening.UnblockResponse.as_view()),
]
