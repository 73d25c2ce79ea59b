"""The desk: one task on it, the next one ready, keys for everything."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.models import Project
from feedback.web.doors import project_page


@project_page()
def desk(request: HttpRequest, project: Project) -> HttpResponse:
    return render(request, "feedback/home/projects.html")
