"""The label schemes of a project, for classification and span tasks."""

import re
from operator import itemgetter

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import Conflict, DomainError, NotFound
from feedback.models import Project
from feedback.rules.collection import label_schemes
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform.access import ADMIN
from feedback.services.collection import label_schemes as label_scheme_services
from feedback.services.platform import projects as project_services
from feedback.services.platform import setting_changes
from feedback.web import named_rows
from feedback.web.collection.label_scheme_forms import LabelForm, LabelRows, NewSchemeForm, SchemeForm
from feedback.web.forms import add_error
from feedback.web.pages import person, project_page


@project_page(ADMIN)
def labels(request: HttpRequest, project: Project) -> HttpResponse:
    shown = []
    for name, scheme in sorted(project.label_scheme.items()):
        shown.append(label_schemes.complete(scheme | {"name": name}))
    context = {"project": project, "schemes": shown, "unfit": setting_changes.unfit_gold(project)}
    return render(request, "feedback/collection/projects/labels.html", context)


@project_page(ADMIN)
def new(request: HttpRequest, project: Project) -> HttpResponse:
    form = NewSchemeForm(request.POST or None)
    return _edit(request, project, form, "", [])


@project_page(ADMIN)
def scheme(request: HttpRequest, project: Project, name: str) -> HttpResponse:
    before = project.label_scheme.get(name)
    if before is None:
        raise NotFound
    form = SchemeForm(request.POST or None, initial=before)
    return _edit(request, project, form, name, before.get("labels", []))


@require_POST
@project_page(ADMIN)
def remove(request: HttpRequest, project: Project, name: str) -> HttpResponse:
    try:
        project_services.set_scheme(by=person(request), project=project, name=name, scheme=None)
    except Conflict as error:
        messages.error(request, error.sentence)
        return redirect("labels", project.slug, name)
    messages.success(request, f"{name} removed. Existing annotations stay.")
    return redirect("project_labels", project.slug)


def _edit(
    request: HttpRequest, project: Project, form: SchemeForm, name: str, before: list[JsonObject]
) -> HttpResponse:
    rows = LabelRows(
        request.POST or None,
        initial=list(map(LabelForm.values_of, before)),
        form_kwargs={"label_suffix": ""},
        prefix="label",
    )
    for row in rows.forms:
        row.earlier = _earlier_names(project, name, row.initial.get("name", ""))
    if request.method == "POST" and form.is_valid() and rows.is_valid():
        filled = named_rows.filled(rows.forms)
        called = name or form.cleaned_data["name"]
        try:
            if not name and called in project.label_scheme:
                raise Conflict(f"A scheme named {called} already exists.", field="name")
            made = form.scheme(called, [row.label() for row in filled])
            with transaction.atomic():
                _rename(request, project, name, filled)
                project_services.set_scheme(by=person(request), project=project, name=called, scheme=made)
        except DomainError as error:
            _add_row_error(form, filled, error, called)
        else:
            messages.success(request, f"{made['title']} saved. Tasks with this scheme show the new version.")
            return redirect("project_labels", project.slug)
    status = 200
    if request.method == "POST" and (form.errors or any(rows.errors)):
        status = 422
    context = {"project": project, "form": form, "rows": rows, "name": name}
    return render(request, "feedback/collection/projects/scheme.html", context, status=status)


def _earlier_names(project: Project, scheme: str, label: str) -> list[str]:
    aliases = project.renames.get("labels", {}).get(scheme, {})
    return sorted(earlier for earlier, present in aliases.items() if label and present == label)


def _rename(request: HttpRequest, project: Project, scheme: str, rows: list[LabelForm]) -> None:
    names = list(map(itemgetter("name"), project.label_scheme.get(scheme, {}).get("labels", [])))
    for old, new in named_rows.renamed(rows, names):
        label_scheme_services.rename_label(by=person(request), project=project, scheme=scheme, old=old, new=new)


def _add_row_error(form: SchemeForm, filled: list[LabelForm], error: DomainError, name: str) -> None:
    """Show an error at the field that it names, such as `label_scheme.topic.labels[1].mark.colour`."""
    field = (error.field or "").removeprefix("label_scheme.").removeprefix(f"{name}.")
    found = re.fullmatch(r"labels\[(\d+)\]\.(?:mark\.)?(\w+)", field)
    if found and found[2] in LabelForm.base_fields:
        filled[int(found[1])].add_error(found[2], error.sentence)
        form.add_error(None, "Not saved. Correct the fields marked below.")
    else:
        error.field = field
        add_error(form, error)
