"""Prompts: the list, new ones, and one prompt with its responses."""

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, Invalid
from feedback.models import Project, Prompt
from feedback.selectors.collection import prompts as prompt_selectors
from feedback.selectors.collection import tasks as task_selectors
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.services.collection import prompts as prompt_services
from feedback.services.registry import model_versions
from feedback.web.collection.prompt_forms import NewPromptsForm, PromptFilter
from feedback.web.forms import add_error, form_status
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import prompt_context, same_project

MAX_MORE = 8


@project_page(ADMIN)
def prompts(request: HttpRequest, project: Project) -> HttpResponse:
    form = PromptFilter(request.GET)
    form.is_valid()
    chosen = {name: value for name, value in form.cleaned_data.items() if value}
    rows = prompt_selectors.prompts_of(project)
    page = page_of(rows, request.GET.get("after"), narrowed=prompt_selectors.narrowed(rows, chosen))
    context = {
        "project": project,
        "form": form,
        "chosen": chosen,
        "query": urlencode(chosen),
        "page": page,
        "rows": prompt_selectors.with_figures(page.rows),
        "sources": prompt_selectors.recent_sources(project),
    }
    return render(request, "feedback/collection/prompts/list.html", context)


@project_page(ADMIN)
def new(request: HttpRequest, project: Project) -> HttpResponse:
    """Submit one prompt, or many pasted lines. A form that is sent twice stores its prompts once."""
    serving = model_versions.serving(project)
    if request.method == "POST":
        form = NewPromptsForm(request.POST)
        if form.is_valid():
            try:
                made = _submit(request, project, form)
            except DomainError as error:
                add_error(form, error)
            else:
                messages.success(request, f"{len(made)} prompt{pluralize(len(made))} submitted.")
                if len(made) == 1:
                    return redirect("prompt", project.slug, made[0].public_id)
                return redirect("prompts", project.slug)
    else:
        wanted = 0
        if serving:
            wanted = project.responses_per_prompt
        form = NewPromptsForm(initial={"responses_wanted": wanted, "key": NewPromptsForm.new_key()})
    context = {"project": project, "form": form, "serving": serving, "there": health.queue_now("generate")}
    return render(request, "feedback/collection/prompts/new.html", context, status=form_status(form))


def _submit(request: HttpRequest, project: Project, form: NewPromptsForm) -> list[Prompt]:
    texts = form.texts()
    made = []
    for place, text in enumerate(texts):
        try:
            prompt, _ = prompt_services.submit_prompt(
                project=project,
                by=person(request),
                messages=[{"role": "user", "content": text}],
                source="page",
                external_id=f"page:{form.cleaned_data['key']}:{place}",
                responses_wanted=form.cleaned_data["responses_wanted"],
                group=form.cleaned_data["group"].strip(),
            )
        except DomainError as error:
            if len(texts) > 1:
                error.sentence = (
                    f"Line {place + 1} of {len(texts)}: {error.sentence} The {place} lines before it are saved."
                )
            raise
        made.append(prompt)
    return made


@project_page(ADMIN)
def prompt(request: HttpRequest, project: Project, prompt_id: UUID) -> HttpResponse:
    """A prompt with its responses. The page polls until all responses are written."""
    found = access.get_prompt(viewer(request), prompt_id, ADMIN)
    same_project(found, project)
    tasks = list(task_selectors.tasks_of(project).filter(prompt=found).order_by("pk")[:50])
    context = prompt_context(project, found) | {
        "tasks": task_selectors.with_progress(tasks),
        "serving": model_versions.serving(project),
    }
    return page_or_partial(request, "collection/prompts/prompt", context)


@require_POST
@project_page(ADMIN)
def more_responses(request: HttpRequest, project: Project, prompt_id: UUID) -> HttpResponse:
    """Request more responses from the serving model."""
    found = access.get_prompt(viewer(request), prompt_id, ADMIN)
    same_project(found, project)
    try:
        count = int(request.POST.get("count", ""))
    except ValueError:
        count = 0
    if not 1 <= count <= MAX_MORE:
        raise Invalid(f"Request 1 to {MAX_MORE} responses.", field="count")
    prompt_services.want_more(prompt=found, by=person(request), count=count)
    messages.success(request, f"Requested {count} more responses.")
    return redirect("prompt", project.slug, found.public_id)
