"""Keeping responses and tasks in supply: what a lost message or a dead worker left behind, and fresh tasks before the
queue runs dry.

A project's training_policy may say `{"keep_open_tasks": 40}`: while fewer tasks than that wait for somebody, the
serving model is requested more responses, to the prompts it has answered least, of the sources that training draws on.
Where active selection chooses, `services.evaluation.choices` does this instead.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from feedback import celery_app
from feedback.errors import DomainError
from feedback.models import Job, Kind, Project, Prompt, Response, Task
from feedback.models.prompts import TO_COME
from feedback.selectors.evaluation import active_selection
from feedback.services.collection import generation
from feedback.services.platform import jobs
from feedback.services.registry import model_versions

State = Response.State
POLICY_KEY = "keep_open_tasks"
MOST_AT_ONCE = 20  # prompts per sweep and project, so that one sweep stays short
ORPHAN_SECONDS = 20
ABANDONED = "The generation job ended without this response."


def abandon(job: Job) -> int:
    """A generation job ended without success: say so on what it had taken, and on what waited for it.

    Otherwise a prompt would wait for ever, or the next sweep would queue again what a person has just canceled.
    """
    waited = Q(state__in=generation.AWAITED, job=job)
    if job.status in (Job.Status.FAILED, Job.Status.CANCELLED) and not job.payload.get(generation.LIVE):
        waited |= Q(state=State.QUEUED, job=None, created_at__lte=job.finished_at or timezone.now())
    reason = job.error or ("It was canceled." if job.status == Job.Status.CANCELLED else ABANDONED)
    abandoned = Response.objects.filter(waited, TO_COME, project=job.project).select_related("prompt")
    for response in abandoned:
        generation.fail_response(response, reason)
    return len(abandoned)


def pick_up_orphans() -> int:
    """Responses that nobody is going to write: a job is made for queued ones, those of ended jobs are failed."""
    ended = Job.objects.filter(
        kind=Job.Kind.GENERATION, status__in=Job.FINAL, responses__state__in=generation.AWAITED
    ).distinct()
    count = sum(map(abandon, ended))
    before = timezone.now() - timedelta(seconds=ORPHAN_SECONDS)
    waiting = Project.objects.filter(
        pk__in=Response.objects.filter(state=State.QUEUED, job=None, created_at__lt=before).values("project_id")
    )
    active = generation.batch_jobs(*Job.ACTIVE)
    for project in waiting.exclude(pk__in=active.filter(project__isnull=False).values("project_id")):
        jobs.create(kind=Job.Kind.GENERATION, queue_name=celery_app.GENERATE, project=project, by=None)
        count += 1
    return count


def top_up() -> int:
    """Request responses where tasks are running short. Returns for how many prompts. Safe to run twice at once:
    what is awaited already counts as there."""
    requested = 0
    for project in Project.objects.filter(state=Project.State.OPEN):
        wanted = project.training_policy.get(POLICY_KEY)
        if isinstance(wanted, int) and wanted > 0 and Kind.COMPARISON in project.kinds:
            requested += _top_up(project, wanted)
    return requested


def _top_up(project: Project, wanted: int) -> int:
    version = model_versions.serving(project)
    if version is None or active_selection.chooses(project):
        return 0
    open_tasks = Task.objects.with_free_slots().filter(project=project, annotations_wanted__isnull=False)
    there = open_tasks.values("pk")[:wanted].count()
    awaited = project.prompts.filter(responses__state__in=[*generation.AWAITED, State.SCREENING]).distinct()
    short = min(wanted - there - awaited.count(), MOST_AT_ONCE)
    if short <= 0:
        return 0
    by_this_version = Count("responses", filter=Q(responses__model_version=version))
    candidates = project.prompts.filter(state=Prompt.State.READY, conversation=None)
    if sources := project.training_policy.get("snapshot", {}).get("prompt_sources"):
        candidates = candidates.filter(source__in=sources)
    prompts: list[Prompt] = list(
        candidates.exclude(pk__in=awaited.values("pk"))
        .annotate(answered=by_this_version)
        .order_by("answered", "?")[:short]
    )
    requested = 0
    for prompt in prompts:
        prompt.project = project
        try:
            with transaction.atomic():
                generation.request_responses(prompt=prompt, count=project.responses_per_prompt, model_version=version)
                requested += 1
        except DomainError:
            return requested  # rolled back or closed since: the next sweep sees what is so then
    return requested
