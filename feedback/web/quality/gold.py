"""Gold tasks: give the right answer on the card of the desk, or take it from the annotations."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import Project
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import unresolve
from feedback.rules.collection.preferences import CLEAR
from feedback.selectors.collection import desk, tasks
from feedback.selectors.platform.access import ADMIN
from feedback.services.quality import gold as gold_services
from feedback.web.collection.queue_policy_forms import GoldForm
from feedback.web.collection.task_cards import card
from feedback.web.forms import form_status
from feedback.web.pages import person, project_page
from feedback.web.platform.admin_common import task_here
from feedback.web.quality.reviews import answer_of


@project_page(ADMIN)
def right_answer(request: HttpRequest, project: Project, task_id: UUID) -> HttpResponse:
    """The card of the desk, on which an admin gives the right answer."""
    found = task_here(request, project, task_id)
    known = found.gold or {}
    form = GoldForm(
        request.POST or None,
        initial={
            "explanation": found.explanation,
            "training_round": found.training_round,
            "tolerance": known.get("tolerance", 0),
        },
    )
    own = desk.in_own_order(found)
    seen = desk.payload(own)
    error = ""
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            answer = answer_of(request, seen)
            if values["tolerance"]:
                answer = {**answer, "tolerance": values["tolerance"]}
            gold_services.mark(
                by=person(request),
                task=found,
                answer=answer,
                explanation=values["explanation"],
                training_round=values["training_round"],
            )
        except DomainError as wrong:
            error = wrong.sentence
        else:
            messages.success(request, "Saved as gold task.")
            return redirect("task", project.slug, found.public_id)
    if known:
        seen["answer"] = unresolve(found.kind, {"strength": CLEAR, **known}, tasks.response_order(found))
    shown = card(
        request,
        own,
        seen=seen,
        action=request.path,
        ends="feedback/quality/_gold_end.html",
        form=form,
        tolerant=KINDS[found.kind].most_tolerance > 0,
        project=project,
        own=found,
    )
    context = {"project": project, "task": found, "card": shown, "error": error}
    status = form_status(form)
    if error:
        status = 422
    return render(request, "feedback/quality/gold.html", context, status=status)


@require_POST
@project_page(ADMIN)
def from_annotations(request: HttpRequest, project: Project, task_id: UUID) -> HttpResponse:
    """Take the decision of a reviewer, or else the majority of the annotations, as the right answer."""
    found = task_here(request, project, task_id)
    gold_services.mark(by=person(request), task=found)
    messages.success(request, "Saved as gold task with the consensus as gold answer.")
    return redirect("task", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def remove(request: HttpRequest, project: Project, task_id: UUID) -> HttpResponse:
    found = task_here(request, project, task_id)
    gold_services.unmark(by=person(request), task=found)
    messages.success(request, "Gold answer removed.")
    return redirect("task", project.slug, found.public_id)
