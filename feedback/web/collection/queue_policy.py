"""The queue policy of a project, and the qualification and limits of its members."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, NotFound
from feedback.models import Membership, Project, Task
from feedback.rules.collection.queue_policy import QueuePolicy
from feedback.selectors.platform import projects as project_selectors
from feedback.selectors.platform.access import ADMIN
from feedback.services.platform import projects
from feedback.services.quality import qualification
from feedback.web.collection.queue_policy_forms import MemberTermsForm, QueuePolicyForm
from feedback.web.forms import add_error, form_status
from feedback.web.pages import person, project_page

FIELD_OF = {"gold_share": "gold_percent", "review_share": "review_percent", "double_share": "double_percent"}


@project_page(ADMIN)
def queue_policy(request: HttpRequest, project: Project) -> HttpResponse:
    form = QueuePolicyForm(request.POST or None, initial=QueuePolicyForm.values_of(project))
    if request.method == "POST" and form.is_valid():
        try:
            projects.update_project(by=person(request), project=project, queue_policy=form.policy())
        except DomainError as error:
            name = (error.field or "").split(".")[-1]
            error.field = FIELD_OF.get(name, name)
            add_error(form, error)
        else:
            messages.success(request, "Saved. The policy applies to all tasks assigned from now on.")
            return redirect("project_queue", project.slug)
    context = {
        "project": project,
        "form": form,
        "checks": Task.objects.checks().filter(project=project)[:1000].count(),
        "round": Task.objects.of_training_round().filter(project=project)[:1000].count(),
    }
    return render(request, "feedback/collection/projects/queue.html", context, status=form_status(form))


@project_page(ADMIN)
def member(request: HttpRequest, project: Project, person_id: UUID) -> HttpResponse:
    found = _member(project, person_id)
    form = MemberTermsForm(request.POST or None, initial=MemberTermsForm.values_of(found), project=project)
    if request.method == "POST" and form.is_valid():
        try:
            projects.qualify(by=person(request), project=project, person=found.person, **form.terms())
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, f"Saved. This applies to all tasks assigned to {found.person} from now on.")
            return redirect("member", project.slug, found.person.public_id)
    context = {"project": project, "member": found, "form": form, "policy": QueuePolicy.of(project.queue_policy)}
    return render(request, "feedback/platform/projects/member.html", context, status=form_status(form))


@require_POST
@project_page(ADMIN)
def set_training(request: HttpRequest, project: Project, person_id: UUID) -> HttpResponse:
    found = _member(project, person_id)
    training = request.POST.get("training", "")
    qualification.set_training(by=person(request), project=project, person=found.person, training=training)
    if training == "waived":
        messages.success(request, f"{found.person} no longer needs the qualification round.")
    else:
        messages.success(request, f"{found.person} restarts the qualification round.")
    return redirect("member", project.slug, found.person.public_id)


def _member(project: Project, person_id: UUID) -> Membership:
    found = project_selectors.membership(project, person_id)
    if found is None:
        raise NotFound
    return found
