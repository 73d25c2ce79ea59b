"""Tasks for admins: the list, one task, and changes of it."""

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.models import Project, Task
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import LETTERS, describe
from feedback.selectors.collection import tasks as task_selectors
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.quality import reviews
from feedback.services.collection import tasks as task_services
from feedback.web.collection.queue_policy_forms import TaskForm
from feedback.web.forms import first_error
from feedback.web.pages import Context, person, project_page
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import task_here


@project_page(ADMIN)
def tasks(request: HttpRequest, project: Project) -> HttpResponse:
    state = request.GET.get("state", "")
    if state not in Task.State.values:
        state = ""
    page = page_of(task_selectors.tasks_of(project, state), request.GET.get("after"))
    context = {
        "project": project,
        "page": page,
        "rows": task_selectors.with_progress(page.rows),
        "state": state,
        "states": Task.State.values,
        "created": len(request.session.get("tasks_created", ())),
        "query": urlencode({"state": state} if state else {}),
    }
    return render(request, "feedback/collection/tasks/list.html", context)


@project_page(ADMIN)
def task(request: HttpRequest, project: Project, task_id: UUID) -> HttpResponse:
    found = task_here(request, project, task_id)
    placed = found.placed.select_related("response__model_version", "response__author").order_by("position")
    context = {
        "project": project,
        "task": found,
        "progress": task_selectors.with_progress([found])[0],
        "responses": [(LETTERS[row.position].upper(), row.response) for row in placed],
        "assignments": task_selectors.assignments_of(found),
        **_about(found),
        "together": task_selectors.together(found),
    }
    return render(request, "feedback/collection/tasks/task.html", context)


def _about(task: Task) -> Context:
    """The gold answer of a task, its skips by reason, and the decision of a reviewer."""
    order = task_selectors.response_order(task)
    right = ""
    if task.gold is not None:
        right = task_selectors.right_answer(task, order)
    verdict = task.verdicts.select_related("reviewer").first()
    decided = ""
    if verdict is not None:
        decided = describe(task.kind, task.project.names.read(verdict.payload), order)
    return {
        "form": TaskForm.of(task),
        "skips": reviews.skips(task),
        "right": right,
        "may_be_gold": KINDS[task.kind].takes_gold,
        "verdict": verdict,
        "decided": decided,
    }


@require_POST
@project_page(ADMIN)
def withdraw(request: HttpRequest, project: Project, task_id: UUID) -> HttpResponse:
    found = task_here(request, project, task_id)
    task_services.withdraw_task(by=person(request), task=found)
    messages.success(request, "Withdrawn. This task is no longer assigned; its annotations stay.")
    return redirect("task", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def reopen(request: HttpRequest, project: Project, task_id: UUID) -> HttpResponse:
    found = task_here(request, project, task_id)
    found = task_services.reopen_task(by=person(request), task=found)
    messages.success(request, f"The task is {found.state}.")
    return redirect("task", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def change(request: HttpRequest, project: Project, task_id: UUID) -> HttpResponse:
    """Change the number of annotations and the priority of a task."""
    found = task_here(request, project, task_id)
    form = TaskForm.of(found, request.POST)
    if form.is_valid():
        task_services.change_task(by=person(request), task=found, **form.cleaned_data)
        messages.success(request, "Saved.")
    else:
        messages.error(request, first_error(form))
    return redirect("task", project.slug, found.public_id)
