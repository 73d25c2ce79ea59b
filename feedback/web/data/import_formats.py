"""A page for each format that imports read, with a sample file."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from feedback.formats.tables import fields
from feedback.models import Project
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import import_formats
from feedback.web.pages import project_page

SHOWN = 3000  # characters of a sample on the page
BINARY = ("xlsx", "parquet")


@project_page(ADMIN)
def formats(request: HttpRequest, project: Project) -> HttpResponse:
    context = {"project": project, "formats": import_formats.FORMATS, "tables": import_formats.TABLES}
    return render(request, "feedback/data/import_formats.html", context)


@project_page(ADMIN)
def one_format(request: HttpRequest, project: Project, format_name: str) -> HttpResponse:
    """What a file of the format looks like, and what its rows become."""
    form = import_formats.by_name(format_name)
    text = ""
    if form.ends not in BINARY:
        text = form.sample().decode()[:SHOWN]
    context = {
        "project": project,
        "form": form,
        "text": text,
        "is_table": form in import_formats.TABLES,
        "columns": import_formats.COLUMNS,
        "rows": [list(row.values()) for row in import_formats.ROWS],
        "groups": list(fields.in_groups(project.dimensions)),
    }
    return render(request, "feedback/data/import_format.html", context)


@project_page(ADMIN)
def sample(request: HttpRequest, project: Project, format_name: str) -> HttpResponse:
    form = import_formats.by_name(format_name)
    response = HttpResponse(form.sample(), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="sample-{form.name}.{form.ends}"'
    return response
