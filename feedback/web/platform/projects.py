"""Projects: the list, a new one, settings, members and guidelines."""

import secrets
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, Forbidden, NotFound
from feedback.models import Membership, Person, Project
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import projects as project_selectors
from feedback.selectors.platform.access import ADMIN, projects_for
from feedback.services.collection import label_schemes
from feedback.services.collection.generation import DEFAULT_SAMPLING
from feedback.services.platform import account_links, account_mail, people
from feedback.services.platform import projects as project_services
from feedback.web import named_rows
from feedback.web.forms import add_error, form_status
from feedback.web.named_rows import DimensionForm, DimensionRows
from feedback.web.pages import Context, person, project_page, viewer
from feedback.web.platform.people import link_context
from feedback.web.platform.project_forms import (
    GuidelinesForm,
    MemberForm,
    MemberInvitationForm,
    NewPersonForm,
    NewProjectForm,
    ProjectForm,
)

STATE_WORDS = {
    Project.State.OPEN: "Tasks are assigned.",
    Project.State.PAUSED: "No new tasks are assigned; current assignments can be submitted.",
    Project.State.CLOSED: "No new prompts, tasks or assignments.",
}


@login_required
def projects(request: HttpRequest) -> HttpResponse:
    """The projects of the viewer."""
    seats = project_selectors.seats(viewer(request), projects_for(viewer(request)))
    return render(request, "feedback/platform/projects/list.html", {"seats": seats})


@login_required
def new(request: HttpRequest) -> HttpResponse:
    if not person(request).is_site_admin:
        raise Forbidden("Only site admins create projects. Ask a site admin.")
    if request.method == "POST":
        form = NewProjectForm(request.POST)
        if form.is_valid():
            try:
                project = project_services.open_project(by=person(request), **form.changes())
            except DomainError as error:
                add_error(form, error)
            else:
                messages.success(request, f"{project.name} created. Next: guidelines, members, prompts.")
                return redirect("project_guidelines", project.slug)
    else:
        defaults = {"kinds": ["comparison"], "annotations_per_task": 1, "responses_per_prompt": 2, "preset": "small"}
        form = NewProjectForm(initial=DEFAULT_SAMPLING | defaults)
    return render(request, "feedback/platform/projects/new.html", {"form": form}, status=form_status(form))


@project_page(ADMIN)
def settings(request: HttpRequest, project: Project) -> HttpResponse:
    form = ProjectForm(request.POST or None, initial=ProjectForm.values_of(project, DEFAULT_SAMPLING))
    rows = DimensionRows(
        request.POST or None,
        initial=[{"name": name, "was": name} for name in project.dimensions],
        prefix="dimension",
    )
    if request.method == "POST" and form.is_valid() and rows.is_valid():
        try:
            _save(request, project, form.changes(project), named_rows.filled(rows.forms))
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, "Saved. Existing prompts and tasks keep their settings.")
            return redirect("project", project.slug)
    status = form_status(form)
    if request.method == "POST" and not rows.is_valid():
        status = 422
    states = [(state, state.label, STATE_WORDS[state]) for state in Project.State]
    context = {
        "project": project,
        "form": form,
        "dimension_rows": rows,
        "states": states,
        "state_words": STATE_WORDS[Project.State(project.state)],
    }
    return render(request, "feedback/platform/projects/settings.html", context, status=status)


def _save(request: HttpRequest, project: Project, changes: JsonObject, rows: list[DimensionForm]) -> None:
    """Save the settings and the dimensions. A row with a changed name renames the dimension in all annotations."""
    with transaction.atomic():
        for old, new in named_rows.renamed(rows, project.dimensions):
            label_schemes.rename_dimension(by=person(request), project=project, old=old, new=new)
        names = [row.cleaned_data["name"] for row in rows]
        project_services.update_project(by=person(request), project=project, **changes, dimensions=names)


@require_POST
@project_page(ADMIN)
def set_state(request: HttpRequest, project: Project) -> HttpResponse:
    project = project_services.set_state(by=person(request), project=project, state=request.POST.get("state", ""))
    messages.success(request, f"{project.name} is {project.state}. {STATE_WORDS[Project.State(project.state)]}")
    return redirect("project", project.slug)


@project_page(ADMIN)
def guidelines(request: HttpRequest, project: Project) -> HttpResponse:
    versions = list(project.guidelines.select_related("created_by"))
    newest, text = None, ""
    if versions:
        newest = versions[0]
        text = newest.text
    form = GuidelinesForm(request.POST or None, initial={"text": text})
    if request.method == "POST" and form.is_valid():
        try:
            version = project_services.publish_guidelines(
                by=person(request), project=project, text=form.cleaned_data["text"]
            )
        except DomainError as error:
            add_error(form, error)
        else:
            if newest is not None and version.pk == newest.pk:
                messages.info(request, "The text equals the newest version; nothing was published.")
            else:
                messages.success(request, f"Version {version.number} published. Annotators see it from now on.")
            return redirect("project_guidelines", project.slug)
    context = {
        "project": project,
        "form": form,
        "versions": versions,
        "newest": newest,
        "readers": project_selectors.readers(project, newest),
    }
    return render(request, "feedback/platform/projects/guidelines.html", context, status=form_status(form))


@project_page(ADMIN)
def members(request: HttpRequest, project: Project) -> HttpResponse:
    return _members(request, project)


def _members(request: HttpRequest, project: Project, status: int = 200, **more: object) -> HttpResponse:
    """The page of the members. `more` replaces forms of the page or shows a new account."""
    context: Context = {
        "project": project,
        "members": project_selectors.members(project),
        "roles": Membership.Role.choices,
        "training_tasks": project.queue_policy.get("training_tasks", 0),
        "add_form": MemberForm(),
        "person_form": NewPersonForm(auto_id="new_%s"),
        "invite_form": MemberInvitationForm(auto_id="invite_%s"),
        "can_mail": account_mail.can_send(),
    }
    response = render(request, "feedback/platform/projects/members.html", context | more, status=status)
    if "password" in more or "address" in more:
        response["Cache-Control"] = "no-store"
    return response


@require_POST
@project_page(ADMIN)
def add_member(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a person who has an account."""
    form = MemberForm(request.POST)
    if form.is_valid():
        found = project_selectors.by_username(form.cleaned_data["username"])
        if found is None:
            form.add_error("username", "No user has this username. Check the spelling, or create the user below.")
        else:
            try:
                project_services.set_member(
                    by=person(request), project=project, person=found, role=form.cleaned_data["role"]
                )
            except DomainError as error:
                add_error(form, error)
            else:
                messages.success(request, f"{found} is now {form.cleaned_data['role']} in {project.name}.")
                return redirect("project_members", project.slug)
    return _members(request, project, 422, add_form=form)


@require_POST
@project_page(ADMIN)
def create_person(request: HttpRequest, project: Project) -> HttpResponse:
    """Create an account with a random password, which is shown only once."""
    form = NewPersonForm(request.POST, auto_id="new_%s")
    if form.is_valid():
        password = secrets.token_urlsafe(12)
        try:
            made = people.create_person(
                by=person(request),
                username=form.cleaned_data["username"],
                password=password,
                display_name=form.cleaned_data["display_name"],
                generated=True,
            )
            project_services.set_member(
                by=person(request), project=project, person=made, role=form.cleaned_data["role"]
            )
        except DomainError as error:
            add_error(form, error)
        else:
            return _members(request, project, made=made, password=password)
    return _members(request, project, 422, person_form=form)


@require_POST
@project_page(ADMIN)
def invite(request: HttpRequest, project: Project) -> HttpResponse:
    """Create an account whose owner sets the password by a link, which is shown only once."""
    form = MemberInvitationForm(request.POST, auto_id="invite_%s")
    if form.is_valid():
        try:
            link, secret = account_links.invite(by=person(request), project=project, **form.cleaned_data)
        except DomainError as error:
            add_error(form, error)
        else:
            return _members(request, project, 201, **link_context(request, link, secret))
    return _members(request, project, 422, invite_form=form)


@require_POST
@project_page(ADMIN)
def renew_invitation(request: HttpRequest, project: Project, person_id: UUID) -> HttpResponse:
    """A new link for a member who has not used the first one."""
    link, secret = account_links.create_link(by=person(request), person=_member(project, person_id))
    return _members(request, project, 201, **link_context(request, link, secret))


@require_POST
@project_page(ADMIN)
def set_role(request: HttpRequest, project: Project, person_id: UUID) -> HttpResponse:
    member = _member(project, person_id)
    role = request.POST.get("role", "")
    project_services.set_member(by=person(request), project=project, person=member, role=role)
    messages.success(request, f"{member} is now {role} in {project.name}.")
    return redirect("project_members", project.slug)


@require_POST
@project_page(ADMIN)
def remove_member(request: HttpRequest, project: Project, person_id: UUID) -> HttpResponse:
    member = _member(project, person_id)
    project_services.remove_member(by=person(request), project=project, person=member)
    messages.success(request, f"{member} no longer has access to {project.name}. Their annotations stay.")
    return redirect("project_members", project.slug)


def _member(project: Project, person_id: UUID) -> Person:
    membership = project_selectors.membership(project, person_id)
    if membership is None:
        raise NotFound
    return membership.person
