"""The glossary: every term that the pages explain."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.rules.platform.glossary import TERMS


def glossary(request: HttpRequest) -> HttpResponse:
    terms = sorted(TERMS.values(), key=lambda term: term.name.lower())
    return render(request, "feedback/platform/home/glossary.html", {"terms": terms})
