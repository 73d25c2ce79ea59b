"""Paths of the pages of screening: what is screened and unblocked."""

from django.urls import URLPattern, path

from feedback.web.screening import screening

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/project/guard/", screening.guard, name="guard"),
    path("p/<slug:slug>/data/prompts/<uuid:prompt_id>/unblock/", screening.unblock_prompt, name="prompt_unblock"),
    path(
        "p/<slug:slug>/data/responses/<uuid:response_id>/unblock/", screening.unblock_response, name="response_unblock"
    ),
]
