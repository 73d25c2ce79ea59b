"""Prompts with figures for each, and the responses of one."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from feedback.models import Job, Project, Prompt, Response, Task

RECENT = 2_000


@dataclass(frozen=True)
class PromptRow:
    prompt: Prompt
    ready: int
    awaited: int
    failed: int
    tasks: int


def prompts_of(project: Project) -> QuerySet[Prompt]:
    return Prompt.objects.filter(project=project)


def narrowed(prompts: QuerySet[Prompt], chosen: Mapping[str, str]) -> QuerySet[Prompt] | None:
    """Prompts with the chosen state, split, source, group and text; None when nothing is chosen."""
    equal = {}
    for name in ("state", "split", "source", "group"):
        if chosen.get(name):
            equal[name] = chosen[name]
    if chosen.get("q"):
        # The column is JSON text: a quotation mark or a letter beyond ASCII is escaped in it.
        equal["messages__icontains"] = chosen["q"]
    if equal:
        return prompts.filter(**equal)
    return None


def with_figures(prompts: Sequence[Prompt]) -> list[PromptRow]:
    """Add figures to a page of prompts, with two queries."""
    states: dict[int, Counter[str]] = defaultdict(Counter)
    counted = Response.objects.filter(prompt__in=prompts).values("prompt_id", "state").annotate(n=Count("pk"))
    for row in counted:
        states[row["prompt_id"]][row["state"]] += row["n"]
    tasks = dict(
        Task.objects.filter(prompt__in=prompts)
        .values("prompt_id")
        .annotate(n=Count("pk"))
        .values_list("prompt_id", "n")
    )
    rows = []
    for prompt in prompts:
        by_state = states[prompt.pk]
        ready, failed = by_state[Response.State.READY], by_state[Response.State.FAILED]
        awaited = by_state[Response.State.QUEUED] + by_state[Response.State.RUNNING]
        rows.append(PromptRow(prompt, ready, awaited, failed, tasks.get(prompt.pk, 0)))
    return rows


def recent_sources(project: Project) -> list[str]:
    """Sources among the newest prompts: suggestions for the filter, not all there are."""
    newest = prompts_of(project).order_by("-pk").values_list("source", flat=True)[:RECENT]
    return sorted(set(filter(None, newest)))[:40]


def responses_to(prompt: Prompt) -> list[Response]:
    return list(prompt.responses.select_related("model_version__project", "author", "job").order_by("pk"))


def generation_job(project: Project) -> Job | None:
    """The job that generates the awaited responses."""
    jobs = Job.objects.filter(project=project, kind=Job.Kind.GENERATION)
    return jobs.filter(status__in=Job.ACTIVE).order_by("-pk").first() or jobs.order_by("-pk").first()
