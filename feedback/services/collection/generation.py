"""Responses wanted of a model: requested here, written by the generate worker, joined into tasks when all are there.

Where somebody waits in front of them (a conversation, a completion, the playground) they are *live*: they have a job of
their own, which lets a batch stand still rather than wait behind it.
"""

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from feedback import celery_app
from feedback.errors import Conflict, NoServingModel
from feedback.models import Job, Kind, ModelVersion, Person, Project, Prompt, Response, Stage, Task
from feedback.models.prompts import TO_COME
from feedback.rules.collection.pairing import disjoint_pairs
from feedback.rules.data import texts
from feedback.rules.data.seeds import stable_seed
from feedback.rules.json_types import JsonObject
from feedback.rules.platform.sentences import without_paths
from feedback.selectors.screening import guard_models
from feedback.selectors.training import stage_models
from feedback.services.collection import conversation_turns, generation_quota, tasks
from feedback.services.evaluation import contest_units
from feedback.services.platform import jobs
from feedback.services.quality import doubling
from feedback.services.registry import model_versions
from feedback.services.screening import arrivals

LIVE = "live"  # in a job's payload: somebody waits for it
DEFAULT_SAMPLING: JsonObject = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48, "best_of": 1}
SEED_BITS = 31  # what every generator takes
State = Response.State
AWAITED = (State.QUEUED, State.RUNNING)


def request_responses(
    *,
    prompt: Prompt,
    count: int,
    by: Person | None = None,
    model_version: ModelVersion | None = None,
    make_tasks: bool = True,
    live: bool = False,
    sampling: JsonObject | None = None,
    seed: int | None = None,
) -> list[Response]:
    """Queue `count` responses of the serving model (or of `model_version`), each with its own seed.

    Call inside a transaction. A generation job of the project is made unless one is queued already: it takes whatever
    is queued when it starts. Live responses have a job of their own.

    Args:
        sampling: over the project's own settings: temperature, top_p, top_k, max_new_tokens, stop (texts), best_of.
        seed: what the seeds of the responses follow from, >= 0; by default the prompt and their number.

    Raises:
        Conflict: the prompt is blocked.
        NoServingModel: nothing serves the project and no GENERATION_URL is set.
        TooManyRequests: `by` has as much waiting as one person may.
    """
    if prompt.state == Prompt.State.BLOCKED:
        raise Conflict("The guard model blocked this prompt, so no responses are generated. An admin can unblock it.")
    version = model_version or model_versions.serving(prompt.project)
    if version is None and not settings.GENERATION_URL:
        raise NoServingModel
    sampling = _judged(prompt.project, DEFAULT_SAMPLING | prompt.project.sampling | (sampling or {}))
    sampling |= {"make_tasks": make_tasks}
    first = prompt.responses.count()
    origin: list[object] = ["given", seed]
    if seed is None:
        origin = [prompt.public_id]
    live = live or prompt.conversation_id is not None
    generation_quota.check(prompt.project, by, live=live, count=count)
    job = _job(prompt.project, by, payload={LIVE: True}) if live else None
    responses: list[Response] = []
    for place in range(first, first + count):
        response = Response(
            project_id=prompt.project_id,
            prompt=prompt,
            state=State.QUEUED,
            requested_by=by,
            model_version=version,
            model_name="" if version else settings.GENERATION_MODEL,
            sampling=sampling,
            seed=stable_seed("response", *origin, place, bits=SEED_BITS),
            job=job,
        )
        responses.append(response)
    Response.objects.bulk_create(responses)
    if not live and not batch_jobs(Job.Status.QUEUED).filter(project_id=prompt.project_id).exists():
        _job(prompt.project, by)
    return responses


def _judged(project: Project, sampling: JsonObject) -> JsonObject:
    """Sampling with the reward model that will choose the best of several, by its public id in `judge`.

    One is drawn where there is nothing to choose from or by: greedy answers are all the same, and a reward model may
    have been revoked since the project was set up. What was done stands in the response.
    """
    several = sampling["best_of"] > 1 and sampling["temperature"] > 0
    judge = stage_models.newest(project, Stage.REWARD) if several else None
    if judge is None:
        return sampling | {"best_of": 1}
    return sampling | {"judge": str(judge.public_id)}


def can_be_asked(project: Project) -> bool:
    """Whether a response can be requested: a model serves the project, or a server answers for all of them."""
    return bool(settings.GENERATION_URL) or model_versions.serving(project) is not None


def batch_jobs(*status: str) -> QuerySet[Job]:
    """Generation jobs that write whatever is queued in their project."""
    found = Job.objects.filter(kind=Job.Kind.GENERATION, status__in=status)
    return found.exclude(payload__has_key=LIVE)


def live_jobs() -> list[int]:
    """Keys of the live jobs that wait for a worker, oldest first. Cheap: requested several times a second."""
    kinds = (Job.Kind.GENERATION, Job.Kind.PROBE)
    waiting = Job.objects.filter(status=Job.Status.QUEUED, queue=celery_app.GENERATE, kind__in=kinds)
    return [key for key, payload in waiting.order_by("pk").values_list("pk", "payload") if payload.get(LIVE)]


def _job(project: Project, by: Person | None, payload: JsonObject | None = None) -> Job:
    return jobs.create(
        kind=Job.Kind.GENERATION, queue_name=celery_app.GENERATE, project=project, by=by, payload=payload or {}
    )


def claim_batch(job: Job, limit: int = 64) -> list[Response]:
    """Responses for this job to write now: its own (a live job's; what an earlier attempt left running), and for a job
    of batches whatever is queued in the project.

    Each is claimed by a compare-and-set, so two jobs never write the same one.
    """
    assert job.project_id is not None
    wanted = Q(state__in=AWAITED, job=job)
    if not job.payload.get(LIVE):
        wanted |= Q(state=State.QUEUED, job=None)
    rows = (
        Response.objects.filter(wanted, TO_COME, project_id=job.project_id)
        .select_related("prompt__project", "model_version", "project")
        .order_by("model_version_id", "pk")[:limit]
    )
    claimed: list[Response] = []
    for row in rows:
        if Response.objects.filter(wanted, pk=row.pk).update(state=State.RUNNING, job=job):
            claimed.append(row)
    return claimed


def finish_response(
    response: Response, *, text: str, finish_reason: str, tokens: int | None, prompt_tokens: int | None = None
) -> bool:
    """Write a response's text, once. Returns False when it was written before."""
    with transaction.atomic():
        written = Response.objects.filter(pk=response.pk, state=State.RUNNING).update(
            state=arrivals.written_state(response.prompt.project),
            text=text,
            finish_reason=finish_reason,
            tokens=tokens,
            prompt_tokens=prompt_tokens,
            error="",
        )
        if written:
            if guard_models.of(response.prompt.project).guard:
                arrivals.ask_worker(response.prompt.project)
            join(response.prompt, make_tasks=bool(response.sampling.get("make_tasks", True)))
    return bool(written)


def fail_response(response: Response, error: str, code: str = "") -> None:
    """
    Args:
        code: why asking again cannot help, such as context_length_exceeded; empty where it may.
    """
    with transaction.atomic():
        sentence = without_paths(error)[:500]  # scrubbed before it is cut, so that no half of a path stays
        failed = Response.objects.filter(pk=response.pk, state__in=AWAITED)
        if failed.update(state=State.FAILED, error=sentence, error_code=code):
            join(response.prompt, make_tasks=bool(response.sampling.get("make_tasks", True)))


def join(prompt: Prompt, *, make_tasks: bool) -> list[Task]:
    """When no response of the prompt is awaited any more, nor looked at by the guard: the prompt is ready, and its new
    responses meet in tasks.

    Responses of the same text never meet: there would be nothing to judge. A turn of a conversation is its person's.
    """
    locked = Prompt.objects.select_for_update(of=("self",)).select_related("project").get(pk=prompt.pk)
    if locked.responses.filter(state__in=[*AWAITED, State.SCREENING]).exists():
        return []
    Prompt.objects.filter(pk=prompt.pk).update(state=Prompt.State.READY)
    contest_units.meet(locked)
    project = locked.project
    if locked.conversation_id is not None:
        task = conversation_turns.make_task(locked)
        return [task] if task else []
    if not make_tasks or Kind.COMPARISON not in project.kinds:
        return []
    # Demonstrations and other texts that people wrote meet nobody here: what is requested about is what models write.
    unplaced = locked.responses.filter(state=State.READY, placed=None, author=None).exclude(text="").order_by("pk")
    fresh = [response for response in unplaced if response.sampling.get("make_tasks", True)]
    pairs = disjoint_pairs(fresh, locked.public_id, len(fresh))
    made: list[Task] = []
    for pair in pairs:
        if texts.same(pair[0].text, pair[1].text):
            continue
        choice = doubling.choose(project, pair[0].public_id, pair[1].public_id, arm="random")
        task, _ = tasks.create_task(
            project=project,
            by=None,
            kind=Kind.COMPARISON,
            prompt=locked,
            responses=list(pair),
            annotations_wanted=choice.annotations_wanted,
            arm=choice.arm,
            propensity=choice.propensity,
            follows=True,
        )
        made.append(task)
    return made
