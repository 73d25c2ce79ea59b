"""Tasks created from a selection of prompts, with a preview of the desk."""

from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, Invalid
from feedback.models import Project, Prompt
from feedback.rules.collection import label_schemes
from feedback.rules.collection.kinds.registry import KINDS, WITH_SCHEME
from feedback.rules.collection.pairing import PRIORITIES
from feedback.selectors.collection import desk_previews, prompts
from feedback.selectors.platform.access import ADMIN
from feedback.services.collection.creation import task_creation
from feedback.services.collection.creation.task_creation import Plan
from feedback.web.collection import task_cards
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page

FILTERS = ("q", "state", "split", "source", "group")
UNDO = "tasks_created"  # in the session: ids of the tasks that the last creation made


def selected(project: Project, given: Mapping[str, str], ids: list[str]) -> QuerySet[Prompt]:
    """The prompts that are ticked, or all that match the filter.

    Raises:
        Invalid: what is ticked is no prompt.
    """
    found = prompts.prompts_of(project).exclude(state=Prompt.State.BLOCKED)
    if ids:
        try:
            return found.filter(public_id__in=[UUID(one) for one in ids])
        except (ValueError, ValidationError):
            raise Invalid("Choose prompts of this project.", field="prompt") from None
    narrowed = prompts.narrowed(found, given)
    return found if narrowed is None else narrowed


def plan_of(project: Project, given: Mapping[str, str]) -> Plan:
    """The plan of the form, with what follows from the project where nothing is chosen yet.

    Raises:
        Invalid: a number is none.
    """
    kind = given.get("kind") or (project.kinds or list(KINDS))[0]
    scheme = given.get("scheme", "")
    fitting = label_schemes.names_of_kind(project.label_scheme, kind)
    if kind not in WITH_SCHEME:
        scheme = ""
    elif scheme not in fitting:
        scheme = fitting[0] if fitting else ""
    about = given.get("about") or task_creation.OF_PROMPT
    if kind in KINDS and KINDS[kind].fewest_responses > 0:
        about = task_creation.OF_RESPONSES
    try:
        wanted = int(given["wanted"]) if given.get("wanted") else None
        priority = int(given.get("priority") or 0)
    except ValueError:
        raise Invalid("Annotations wanted and priority are whole numbers.", field="wanted") from None
    return Plan(kind, scheme, about, wanted, priority)


@project_page(ADMIN)
def create_tasks(request: HttpRequest, project: Project) -> HttpResponse:
    """Choose what is asked of the selected prompts; the preview follows. POST creates the tasks."""
    given = request.POST if request.method == "POST" else request.GET
    ids = given.getlist("prompt")
    error, card, count, plan = "", None, 0, Plan(kind=(project.kinds or list(KINDS))[0])
    try:
        chosen = selected(project, given, ids)
        count = chosen.count()
        rows = list(chosen.order_by("-pk")[: task_creation.MOST])
        plan = plan_of(project, given)
        if request.method == "POST":
            made = task_creation.create_tasks(project=project, by=person(request), prompts=rows, plan=plan)
            request.session[UNDO] = [str(task.public_id) for task in made.tasks]
            _tell(request, made)
            return redirect("tasks", project.slug)
        task_creation.check(project, plan)
        example = task_creation.first_texts(plan, rows[:50])
        if example is not None:
            prompt, texts = example
            seen = desk_previews.preview(project, plan.kind, prompt.messages, texts, plan.ask)
            card = task_cards.preview(request, seen)
    except DomainError as problem:
        error = problem.sentence
    context = {
        "project": project,
        "plan": plan,
        "error": error,
        "card": card,
        "count": count,
        "most": task_creation.MOST,
        "ids": ids,
        "filters": [(name, given[name]) for name in FILTERS if given.get(name)],
        "query": urlencode([(name, given[name]) for name in FILTERS if given.get(name)]),
        "kinds": [KINDS[name] for name in KINDS],
        "schemes": label_schemes.names_of_kind(project.label_scheme, plan.kind),
        "chooses_about": plan.kind in KINDS and KINDS[plan.kind].fewest_responses == 0,
        "takes_scheme": plan.kind in WITH_SCHEME,
        "priorities": range(PRIORITIES),
    }
    return page_or_partial(request, "collection/tasks/new", context, 400 if error and request.method == "POST" else 200)


def _tell(request: HttpRequest, made: task_creation.Created) -> None:
    count = len(made.tasks)
    left = [f"{number} left out: {why}" for why, number in made.left_out.items()]
    sentence = " ".join([f"{count:,} task{'s' if count != 1 else ''} created.", *left])
    if count and not left:
        messages.success(request, sentence)
    else:
        messages.warning(request, sentence)


@require_POST
@project_page(ADMIN)
def undo_creation(request: HttpRequest, project: Project) -> HttpResponse:
    """Withdraw what was just created, but what annotators have begun."""
    created = request.session.pop(UNDO, [])
    count = task_creation.undo(project=project, by=person(request), created=created)
    kept = len(created) - count
    sentence = f"{count:,} task{'s' if count != 1 else ''} withdrawn."
    if kept:
        sentence += f" {kept:,} stay: annotators have begun them."
    messages.success(request, sentence)
    return redirect("tasks", project.slug)
