"""Responses wanted of a model: asked for here, written by the generate worker, joined into tasks when all are there."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from feedback import queue
from feedback.errors import NoServingModel
from feedback.models import Job, Kind, ModelVersion, Person, Prompt, Response, Task
from feedback.rules.pairing import disjoint_pairs
from feedback.rules.seeds import stable_seed
from feedback.services import jobs, registry, tasks

DEFAULT_SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48}
SEED_BITS = 31  # what every generator takes
State = Response.State


def request_responses(
    *,
    prompt: Prompt,
    count: int,
    by: Person | None = None,
    model_version: ModelVersion | None = None,
    make_tasks: bool = True,
) -> list[Response]:
    """Queue `count` responses of the serving model (or of `model_version`), each with its own seed.

    Call inside a transaction. A generation job of the project is made unless one is queued already: it takes whatever
    is queued when it starts.

    Raises:
        NoServingModel: nothing serves the project and no GENERATION_URL is set.
    """
    version = model_version or registry.serving(prompt.project)
    if version is None and not settings.GENERATION_URL:
        raise NoServingModel
    sampling = DEFAULT_SAMPLING | prompt.project.sampling | {"make_tasks": make_tasks}
    first = prompt.responses.count()
    responses = Response.objects.bulk_create(
        Response(
            project_id=prompt.project_id,
            prompt=prompt,
            state=State.QUEUED,
            model_version=version,
            model_name="" if version else settings.GENERATION_MODEL,
            sampling=sampling,
            seed=stable_seed("response", prompt.public_id, first + place, bits=SEED_BITS),
        )
        for place in range(count)
    )
    waiting = Job.objects.filter(project_id=prompt.project_id, kind=Job.Kind.GENERATION, status=Job.Status.QUEUED)
    if not waiting.exists():
        jobs.create(kind=Job.Kind.GENERATION, queue_name=queue.GENERATE, project=prompt.project, by=by)
    return responses


def claim_batch(job: Job, limit: int = 64) -> list[Response]:
    """Responses for this job to write now: queued ones, and its own that an earlier attempt left running.

    Each is claimed by a compare-and-set, so two jobs never write the same one.
    """
    assert job.project_id is not None
    wanted = Q(state=State.QUEUED) | Q(state=State.RUNNING, job=job)
    rows = (
        Response.objects.filter(wanted, project_id=job.project_id)
        .select_related("prompt", "model_version")
        .order_by("model_version_id", "pk")[:limit]
    )
    return [row for row in rows if Response.objects.filter(wanted, pk=row.pk).update(state=State.RUNNING, job=job)]


def finish_response(response: Response, *, text: str, finish_reason: str, tokens: int | None) -> bool:
    """Write a response's text, once. Returns False when it was written before."""
    with transaction.atomic():
        written = Response.objects.filter(pk=response.pk, state=State.RUNNING).update(
            state=State.READY, text=text, finish_reason=finish_reason, tokens=tokens, error=""
        )
        if written:
            join(response.prompt, make_tasks=bool(response.sampling.get("make_tasks", True)))
    return bool(written)


def fail_response(response: Response, error: str) -> None:
    with transaction.atomic():
        if Response.objects.filter(pk=response.pk, state__in=[State.RUNNING, State.QUEUED]).update(
            state=State.FAILED, error=error[:500]
        ):
            join(response.prompt, make_tasks=bool(response.sampling.get("make_tasks", True)))


def join(prompt: Prompt, *, make_tasks: bool) -> list[Task]:
    """When no response of the prompt is awaited any more: the prompt is ready, and its new responses meet in tasks.

    Responses of the same text never meet: there would be nothing to judge.
    """
    locked = Prompt.objects.select_for_update(of=("self",)).select_related("project").get(pk=prompt.pk)
    if locked.responses.filter(state__in=[State.QUEUED, State.RUNNING]).exists():
        return []
    Prompt.objects.filter(pk=prompt.pk).update(state=Prompt.State.READY)
    project = locked.project
    if not make_tasks or Kind.COMPARISON not in project.kinds:
        return []
    # Demonstrations and other texts that people wrote meet nobody here: what is asked about is what models write.
    unplaced = locked.responses.filter(state=State.READY, placed=None, author=None).exclude(text="").order_by("pk")
    fresh = [response for response in unplaced if response.sampling.get("make_tasks", True)]
    pairs = disjoint_pairs(fresh, locked.public_id, len(fresh))
    return [
        tasks.create_task(
            project=project, by=None, kind=Kind.COMPARISON, prompt=locked, responses=list(pair), arm="random"
        )[0]
        for pair in pairs
        if pair[0].text != pair[1].text
    ]
