"""Campaigns: what runs round after round, as a list and as a staircase."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import Campaign, Project
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.training import campaigns as campaign_selectors
from feedback.services.training import campaigns as campaign_services
from feedback.web.forms import add_error, form_status
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project
from feedback.web.training.campaign_forms import BudgetForm, CampaignForm

NEWEST = 50


@project_page(ADMIN)
def campaigns(request: HttpRequest, project: Project) -> HttpResponse:
    form = CampaignForm()
    if request.method == "POST":
        form = CampaignForm(request.POST)
    if request.method == "POST" and form.is_valid():
        try:
            made = campaign_services.create_campaign(by=person(request), project=project, **form.arguments())
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, f"“{made.name}” runs.")
            return redirect("campaign", project.slug, made.public_id)
    context = {
        "project": project,
        "form": form,
        "campaigns": campaign_selectors.campaigns_of(project)[:NEWEST],
        "live": campaign_selectors.loop_state(project),
    }
    return render(request, "feedback/training/campaigns/list.html", context, status=form_status(form))


@project_page(ADMIN)
def campaign(request: HttpRequest, project: Project, campaign_id: UUID) -> HttpResponse:
    found = _campaign_here(request, project, campaign_id)
    return _staircase(request, project, found, BudgetForm(initial={"budget": found.budget}))


@require_POST
@project_page(ADMIN)
def switch(request: HttpRequest, project: Project, campaign_id: UUID) -> HttpResponse:
    """Pause or resume."""
    found = _campaign_here(request, project, campaign_id)
    if request.POST.get("running") == "yes":
        campaign_services.resume(by=person(request), campaign=found)
        messages.success(request, f"“{found.name}” goes on.")
    else:
        campaign_services.pause(by=person(request), campaign=found)
        messages.success(request, f"“{found.name}” is paused. Training or a comparison that goes on does so.")
    return redirect("campaign", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def budget(request: HttpRequest, project: Project, campaign_id: UUID) -> HttpResponse:
    found = _campaign_here(request, project, campaign_id)
    form = BudgetForm(request.POST)
    if form.is_valid():
        try:
            campaign_services.change_budget(by=person(request), campaign=found, budget=form.cleaned_data["budget"])
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, f"The budget is {found.budget:,} labels.")
            return redirect("campaign", project.slug, found.public_id)
    return _staircase(request, project, found, form)


@require_POST
@project_page(ADMIN)
def end(request: HttpRequest, project: Project, campaign_id: UUID) -> HttpResponse:
    found = _campaign_here(request, project, campaign_id)
    campaign_services.end(by=person(request), campaign=found)
    messages.success(request, f"“{found.name}” has ended. Its versions and labels stay.")
    return redirect("campaign", project.slug, found.public_id)


def _campaign_here(request: HttpRequest, project: Project, key: UUID) -> Campaign:
    found = access.get_campaign(viewer(request), key)
    same_project(found, project)
    return found


def _staircase(request: HttpRequest, project: Project, found: Campaign, form: BudgetForm) -> HttpResponse:
    context = {
        "project": project,
        "campaign": found,
        "plan": campaign_selectors.plan_of(found),
        "columns": campaign_selectors.staircase(found),
        "waits_for": campaign_selectors.waits_for(found),
        "used": campaign_selectors.labels_used(found),
        "form": form,
    }
    return render(request, "feedback/training/campaigns/campaign.html", context, status=form_status(form))
