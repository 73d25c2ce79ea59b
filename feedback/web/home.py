"""Home: the ring, alive, for those who run a project; the projects and their desks for those who judge."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.models import Project
from feedback.web.doors import project_page


@login_required
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "feedback/home/projects.html")


@project_page()
def project_home(request: HttpRequest, project: Project) -> HttpResponse:
    return render(request, "feedback/home/projects.html")
