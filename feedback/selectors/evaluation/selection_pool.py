"""The pool of active selection: pairs of responses that nobody has judged, and prompts that lack responses."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from feedback.models import ModelVersion, Project, Prompt, Response, ResponseScore, Split, Task, TaskResponse
from feedback.models.prompts import FROZEN_SPLITS
from feedback.rules.data.content_hash import sha256
from feedback.rules.data.texts import as_stored
from feedback.rules.evaluation.active_selection import RESPONSES_PER_PROMPT

MOST_PROMPTS = 5_000  # newest first, so that a choice stays a matter of seconds
CHUNK = 500


@dataclass(frozen=True)
class PoolResponse:
    key: int
    public_id: UUID
    prompt: int
    text: str


@dataclass(frozen=True)
class PoolPair:
    """Two responses of a prompt. `teaches`: of a training prompt, so that it may be chosen actively."""

    prompt: int
    first: PoolResponse
    second: PoolResponse
    teaches: bool


@dataclass(frozen=True)
class SelectionPool:
    """All pairs, by prompt, and the responses in them."""

    pairs: list[PoolPair]
    responses: list[PoolResponse]

    @property
    def prompts(self) -> int:
        return len({pair.prompt for pair in self.pairs})

    @property
    def hash(self) -> str:
        """SHA-256 of the pairs by public ids of their responses, whatever their order."""
        lines = sorted(f"{pair.first.public_id} {pair.second.public_id}" for pair in self.pairs)
        return sha256("\n".join(lines))


def pool(project: Project) -> SelectionPool:
    """Pairs of the newest responses of models, 8 of a prompt, that differ and have never been in one task."""
    prompts = dict(_prompts(project).order_by("-pk").values_list("pk", "split")[:MOST_PROMPTS])
    by_prompt = _responses(project, prompts)
    compared = _compared(project, prompts)
    found: list[PoolPair] = []
    used: dict[int, PoolResponse] = {}
    for prompt in sorted(by_prompt):
        teaches = prompts[prompt] == Split.TRAIN
        for first, second in combinations(by_prompt[prompt], 2):
            if (first.key, second.key) in compared:
                continue
            found.append(PoolPair(prompt, first, second, teaches))
            used[first.key], used[second.key] = first, second
    return SelectionPool(found, [used[key] for key in sorted(used)])


def unscored(version: ModelVersion, responses: Sequence[PoolResponse]) -> list[PoolResponse]:
    """Those that this reward model has not scored yet."""
    known = set(ResponseScore.objects.filter(reward_version=version).values_list("response", flat=True))
    return [response for response in responses if response.key not in known]


def scores(version: ModelVersion) -> dict[int, list[float]]:
    """The rewards by head of every response that it has scored, by the response's key."""
    return dict(ResponseScore.objects.filter(reward_version=version).values_list("response", "heads"))


def messages_of(responses: Iterable[PoolResponse]) -> dict[int, list[dict[str, str]]]:
    """Messages of the prompts of these responses, by the prompt's key."""
    keys = sorted({response.prompt for response in responses})
    found: dict[int, list[dict[str, str]]] = {}
    for some in _chunks(keys):
        found.update(Prompt.objects.filter(pk__in=some).values_list("pk", "messages"))
    return found


def short_prompts(project: Project, version: ModelVersion) -> QuerySet[Prompt]:
    """Prompts with fewer than 8 responses of this version, written or awaited, that no task has shown; how many they
    have is `own`. The fullest come first."""
    stands = [Response.State.QUEUED, Response.State.RUNNING, Response.State.SCREENING, Response.State.READY]
    unseen = Q(responses__model_version=version, responses__state__in=stands, responses__placed=None)
    rows = _prompts(project).annotate(own=Count("responses", filter=unseen))
    return rows.filter(own__lt=RESPONSES_PER_PROMPT).order_by("-own", "pk")


def full_prompts(project: Project, version: ModelVersion) -> int:
    """How many prompts have 8 such responses."""
    return _prompts(project).count() - short_prompts(project, version).count()


def _prompts(project: Project) -> QuerySet[Prompt]:
    """Prompts whose responses may be compared: of the sources that training draws on, and of no conversation."""
    rows = Prompt.objects.filter(
        project=project, state=Prompt.State.READY, conversation=None, split__in=list(FROZEN_SPLITS)
    )
    if sources := project.training_policy.get("snapshot", {}).get("prompt_sources"):
        rows = rows.filter(source__in=sources)
    return rows


def _responses(project: Project, prompts: dict[int, str]) -> dict[int, list[PoolResponse]]:
    """The newest distinct responses of models to each prompt, oldest of them first."""
    found: dict[int, list[PoolResponse]] = defaultdict(list)
    texts: dict[int, set[str]] = defaultdict(set)
    rows = Response.objects.filter(project=project, state=Response.State.READY, author=None).exclude(text="")
    columns = rows.order_by("-pk").values_list("pk", "public_id", "prompt_id", "text")
    for key, public_id, prompt, text in columns.iterator(chunk_size=CHUNK):
        if prompt not in prompts or len(found[prompt]) >= RESPONSES_PER_PROMPT:
            continue
        stored = as_stored(text)
        if stored in texts[prompt]:
            continue
        texts[prompt].add(stored)
        found[prompt].append(PoolResponse(key, public_id, prompt, text))
    return {prompt: responses[::-1] for prompt, responses in found.items()}


def _compared(project: Project, prompts: dict[int, str]) -> set[tuple[int, int]]:
    """Pairs of responses that one task has shown, the smaller key first."""
    shown: dict[int, list[int]] = defaultdict(list)
    rows = TaskResponse.objects.filter(task__project=project).values_list("task", "task__prompt", "response")
    for task, prompt, response in rows.iterator(chunk_size=CHUNK):
        if prompt in prompts:
            shown[task].append(response)
    compared: set[tuple[int, int]] = set()
    for responses in shown.values():
        compared.update(combinations(sorted(responses), 2))
    return compared


def _chunks(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), CHUNK):
        yield keys[start : start + CHUNK]


def waiting_tasks(project: Project) -> int:
    """Chosen tasks that still wait for annotators."""
    return Task.objects.with_free_slots().filter(project=project, choice__isnull=False).count()
