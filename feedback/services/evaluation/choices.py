"""Batches of active selection: requested when tasks run short, chosen by a worker, written as tasks once each."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from feedback import celery_app
from feedback.errors import Conflict, DomainError
from feedback.models import (
    Choice,
    Job,
    Kind,
    ModelVersion,
    Project,
    Prompt,
    Response,
    ResponseScore,
    Task,
    TaskResponse,
)
from feedback.rules.collection.pairing import queue_key
from feedback.rules.data.content_hash import body_hash
from feedback.rules.data.seeds import stable_seed
from feedback.rules.evaluation import active_selection as rules
from feedback.selectors.evaluation import active_selection as selectors
from feedback.selectors.evaluation import gate, selection_pool
from feedback.selectors.evaluation.selection_pool import PoolPair
from feedback.services.collection import generation
from feedback.services.evaluation import active_selection
from feedback.services.platform import events, jobs
from feedback.services.quality import doubling

FEWEST_WAITING = 10  # chosen tasks; below that the next batch is chosen
PROMPTS_AT_ONCE = 20  # that get responses in one sweep, so that one sweep stays short
AWAITED_AT_ONCE = 400  # responses under way, beyond which no more are requested
AFTER_FAILURE = timedelta(minutes=10)
CHUNK = 500


def keep_supplied() -> int:
    """Housekeeping: responses for the pool, the next batch, and replays that are due. Returns how many were requested.

    Safe to run twice at once: jobs are requested under the project's lock, and what is awaited counts as there.
    """
    requested = 0
    for project in Project.objects.filter(state=Project.State.OPEN, active_selection__on=True):
        if Kind.COMPARISON.value in project.kinds:
            requested += _supply(project)
    return requested


def _supply(project: Project) -> int:
    settings = selectors.settings_of(project)
    situation = selectors.situation(project, settings)
    if rules.replay_is_due(situation):
        return _replay_again(project)
    if rules.against_choosing(settings, situation):
        return 0
    batch = rules.batch_size(situation.labels)
    return _request_responses(project, batch) + int(request_choice(project) is not None)


def _replay_again(project: Project) -> int:
    """Request a replay unless one is under way or the last one has just failed."""
    if _just_failed(project, Job.Kind.REPLAY):
        return 0
    try:
        active_selection.request_replay(by=None, project=project)
    except DomainError:
        return 0  # one is under way, or labels were taken back
    return 1


def _request_responses(project: Project, batch: int) -> int:
    """Request responses for as many prompts as a batch has pairs, some at a time. Returns for how many."""
    version = gate.serving(project)
    if version is None or selection_pool.full_prompts(project, version) >= batch:
        return 0
    awaited = Response.objects.filter(project=project, state__in=generation.AWAITED).count()
    if awaited >= AWAITED_AT_ONCE:
        return 0
    requested = 0
    for prompt in selection_pool.short_prompts(project, version)[:PROMPTS_AT_ONCE]:
        missing = rules.RESPONSES_PER_PROMPT - prompt.own  # type: ignore[attr-defined]
        prompt.project = project
        try:
            with transaction.atomic():
                generation.request_responses(prompt=prompt, count=missing, model_version=version, make_tasks=False)
        except DomainError:
            return requested  # rolled back or closed since: the next sweep sees what is so then
        requested += 1
    return requested


def request_choice(project: Project) -> Job | None:
    """A job that chooses the next batch where chosen tasks run short; None where they do not, or one is coming."""
    wanted = max(FEWEST_WAITING, project.training_policy.get("keep_open_tasks", 0))
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        if selectors.active_job(locked, Job.Kind.CHOICE) is not None:
            return None
        if selection_pool.waiting_tasks(locked) >= wanted or _just_failed(locked, Job.Kind.CHOICE):
            return None
        if _found_nothing_new(locked):
            return None
        return jobs.create(kind=Job.Kind.CHOICE, queue_name=celery_app.GENERATE, project=locked, by=None)


def _just_failed(project: Project, kind: str) -> bool:
    last = Job.objects.filter(project=project, kind=kind).order_by("-id").first()
    if last is None or last.status not in (Job.Status.FAILED, Job.Status.CANCELLED) or last.finished_at is None:
        return False
    return last.finished_at > timezone.now() - AFTER_FAILURE


def _found_nothing_new(project: Project) -> bool:
    """Whether the last choice found no pair, and no response has come since."""
    last = Job.objects.filter(project=project, kind=Job.Kind.CHOICE).order_by("-id").first()
    if last is None or last.status != Job.Status.SUCCEEDED or last.result.get("tasks", 0):
        return False
    newer = Response.objects.filter(project=project, state=Response.State.READY, created_at__gt=last.created_at)
    return not newer.exists()


# --- what the worker stores ------------------------------------------------------------------------------


def store_scores(version: ModelVersion, heads: Mapping[int, Sequence[float]]) -> None:
    """Keep the rewards of responses by head, by the response's key. Those that are there already stay."""
    rows = [ResponseScore(reward_version=version, response_id=key, heads=list(by)) for key, by in heads.items()]
    ResponseScore.objects.bulk_create(rows, ignore_conflicts=True, batch_size=CHUNK)


@dataclass(frozen=True)
class Chosen:
    """A pair to be judged, why, and the probability with which that arm chose it, (0, 1]."""

    pair: PoolPair
    arm: str
    propensity: float


@dataclass(frozen=True)
class ChoiceTerms:
    """How a batch was chosen, see `Choice`."""

    reward_version: ModelVersion
    number: int
    acquisition: str
    random_share: float
    temperature: float
    batch: int
    cap: int
    labels: int
    pool_pairs: int
    pool_prompts: int
    pool_hash: str
    seed: int


def next_number(project: Project) -> int:
    """The number of the project's next choice, from 1."""
    last = Choice.objects.filter(project=project).order_by("-number").first()
    return 1 if last is None else last.number + 1


def seed_of(project: Project, number: int) -> int:
    return stable_seed("choice", project.public_id, number, bits=62)


def record_choice(job: Job, terms: ChoiceTerms, chosen: Sequence[Chosen]) -> Choice:
    """Store a choice and its tasks, in the transaction that ends its job: a second delivery stores nothing.

    Pairs of which a response or the prompt was blocked meanwhile become no task.

    Raises:
        Conflict: another choice of the project was stored meanwhile.
    """
    assert job.project_id is not None
    project = Project.objects.select_for_update(no_key=True).get(pk=job.project_id)
    if next_number(project) != terms.number:
        raise Conflict("Another batch was chosen meanwhile. Retry the job.")
    standing = _standing(chosen)
    choice = Choice.objects.create(project=project, job=job, **vars(terms))
    rows: list[Task] = []
    places: list[TaskResponse] = []
    for one in standing:
        task = _task(project, choice, one)
        rows.append(task)
        for position, response in enumerate((one.pair.first, one.pair.second)):
            places.append(TaskResponse(task=task, response_id=response.key, position=position))
    Task.objects.bulk_create(rows, batch_size=CHUNK)
    for place in places:
        place.task_id = place.task.pk
    TaskResponse.objects.bulk_create(places, batch_size=CHUNK)
    choice.active_tasks = sum(task.arm == rules.ACTIVE for task in rows)
    choice.random_tasks = len(rows) - choice.active_tasks
    choice.save(update_fields=["active_tasks", "random_tasks"])
    events.record("active_selection.chose", choice, actor=None, tasks=len(rows))
    return choice


def _standing(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Those whose responses and prompt may still be shown."""
    keys = sorted({key for one in chosen for key in (one.pair.first.key, one.pair.second.key)})
    ready: set[int] = set()
    for start in range(0, len(keys), CHUNK):
        rows = Response.objects.filter(
            pk__in=keys[start : start + CHUNK], state=Response.State.READY, prompt__state=Prompt.State.READY
        )
        ready.update(rows.values_list("pk", flat=True))
    return [one for one in chosen if one.pair.first.key in ready and one.pair.second.key in ready]


def _task(project: Project, choice: Choice, one: Chosen) -> Task:
    public_id = uuid.uuid4()
    names = [str(one.pair.first.public_id), str(one.pair.second.public_id)]
    wanted = project.annotations_per_task
    if one.arm == rules.RANDOM:  # selected pairs are harder: two annotations of them would tell less of people
        wanted = doubling.choose(project, *names, arm=one.arm).annotations_wanted
    return Task(
        public_id=public_id,
        project=project,
        kind=Kind.COMPARISON,
        prompt_id=one.pair.prompt,
        state=Task.State.OPEN,
        annotations_wanted=wanted,
        free_slots=wanted,
        queue_key=queue_key(0, public_id),
        arm=one.arm,
        propensity=one.propensity,
        choice=choice,
        body_hash=body_hash([str(choice.public_id), *names]),
    )
