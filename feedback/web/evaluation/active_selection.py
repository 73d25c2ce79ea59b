"""Active selection: its state, its settings, the replay, and the switch."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import Project
from feedback.rules.evaluation import active_selection as rules
from feedback.selectors.evaluation import active_selection as selectors
from feedback.selectors.platform import health
from feedback.selectors.platform.access import ADMIN
from feedback.services.evaluation import active_selection as services
from feedback.web.forms import PageForm, add_error, form_status
from feedback.web.pages import person, project_page


class SelectionForm(PageForm):
    """The settings of active selection."""

    acquisition = forms.ChoiceField(
        label="Select by",
        choices=list(rules.ACQUISITIONS.items()),
        help_text="How the reward model ranks pairs. Each needs a replay of its own.",
    )
    random_percent = forms.IntegerField(
        label="Random pairs, percent",
        min_value=round(100 * rules.LEAST_RANDOM),
        max_value=round(100 * rules.MOST_RANDOM),
        help_text="Share of each batch that is drawn at random. Live accuracy is measured on these pairs.",
    )


@project_page(ADMIN)
def active_selection(request: HttpRequest, project: Project) -> HttpResponse:
    settings = selectors.settings_of(project)
    initial = {"acquisition": settings.acquisition, "random_percent": round(100 * settings.random_share)}
    form = SelectionForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            services.change(
                by=person(request),
                project=project,
                acquisition=values["acquisition"],
                random_share=values["random_percent"] / 100,
            )
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, "Saved. It applies from the next batch on.")
            return redirect("active_selection", project.slug)
    status = selectors.status(project)
    life = None
    if status.replay_job is not None:
        life = health.life(status.replay_job)
    context = {"project": project, "form": form, "status": status, "life": life, "rules": rules}
    return render(request, "feedback/evaluation/active_selection.html", context, status=form_status(form))


@require_POST
@project_page(ADMIN)
def switch(request: HttpRequest, project: Project) -> HttpResponse:
    """On or off."""
    on = request.POST.get("on") == "yes"
    try:
        services.change(by=person(request), project=project, on=on)
    except DomainError as error:
        messages.error(request, error.sentence)
    else:
        messages.success(request, f"Active selection is {'on' if on else 'off'}.")
    return redirect("active_selection", project.slug)


@require_POST
@project_page(ADMIN)
def replay(request: HttpRequest, project: Project) -> HttpResponse:
    try:
        services.request_replay(by=person(request), project=project)
    except DomainError as error:
        messages.error(request, error.sentence)
    else:
        messages.success(request, "The replay is queued. It trains ten reward models.")
    return redirect("active_selection", project.slug)
