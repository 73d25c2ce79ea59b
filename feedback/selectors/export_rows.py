"""A project's tasks as items, oldest first: prompts, responses, current answers. Constant memory, short reads.

Read by key, a few hundred at a time, without model objects: no read holds the database's past for minutes.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from feedback.formats.items import LETTERS, PROMPT, THUMB, Candidate, Item, Said
from feedback.models import Annotation, Person, Project, Prompt, Response, Task, TaskResponse, Thumb
from feedback.rules import payloads

CHUNK = 500
HASHED = "sha256:"
UNKNOWN = " (unknown)"

_TASK = (
    "pk", "kind", "ask", "state", "annotations_wanted", "priority", "gold", "external_id", "prompt__messages",
    "prompt__source", "prompt__metadata",
)  # fmt: skip


def items(project: Project, kinds: list[str] | None = None) -> Iterator[Item]:
    """Prompts with all their tasks, in the order in which they came. Withdrawn people's answers are left out."""
    after = 0
    tasks = Task.objects.filter(project=project).exclude(state=Task.State.WITHDRAWN)
    prompts = Prompt.objects.filter(project=project).exclude(state=Prompt.State.BLOCKED).order_by("pk")
    while True:
        rows = list(
            prompts.filter(pk__gt=after).values_list("pk", "messages", "source", "external_id", "metadata")[:CHUNK]
        )
        if not rows:
            return
        after = rows[-1][0]
        keys = [row[0] for row in rows]
        by_prompt = _tasks(tasks, keys)
        bare = [key for key in keys if key not in by_prompt]
        responses, thumbs = _without_task(bare)
        for key, messages, source, external_id, metadata in rows:
            found = by_prompt.get(key)
            if found is None:
                answers = thumbs.get(key, {})
                common = {"source": source, "external_id": _told(external_id), "metadata": metadata}
                for response, said in answers.items():
                    text, model = responses[key][response]
                    found = [Item(THUMB, messages, [_candidate(text, model, source)], said, **common)]
                if not answers:
                    told = [_candidate(text, model, source) for text, model in responses.get(key, {}).values()]
                    found = [Item(PROMPT, messages, told, **common)]
            for item in found or []:
                if not kinds or item.kind in kinds:
                    yield item


def _tasks(tasks: Any, prompts: list[int]) -> dict[int, list[Item]]:
    found: dict[int, list[Item]] = defaultdict(list)
    by_key: dict[int, tuple[Item, list[str]]] = {}
    for row in tasks.filter(prompt__in=prompts).order_by("pk").values_list("prompt_id", *_TASK):
        prompt, key, kind, ask, state, wanted, priority, gold, external_id, messages, source, metadata = row
        item = Item(kind, messages, ask=ask, external_id=_told(external_id), source=source, metadata=metadata)
        item.priority, item.gold = priority, gold
        item.wanted = wanted if state == Task.State.OPEN and gold is None else None
        found[prompt].append(item)
        by_key[key] = (item, [])
    placed = TaskResponse.objects.filter(task__in=by_key).order_by("task", "position")
    for key, name, text, model, version in placed.values_list(
        "task_id", "response__public_id", "response__text", "response__model_name", "response__model_version"
    ):
        item, names = by_key[key]
        names.append(str(name))
        item.responses.append(_candidate(text, model or (f"version {version}" if version else ""), item.source))
    current = Annotation.objects.filter(task__in=by_key, assignment__current__pk__gt=0, withdrawn=False)
    current = current.extra(where=["feedback_assignment.current_id = feedback_annotation.id"])
    current = current.exclude(annotator__status=Person.Status.WITHDRAWN).order_by("pk")
    columns = ("annotator__username", "annotator__external_name", "annotator__source", "seconds")
    for key, payload, shown, username, external, source, seconds in current.values_list(
        "task_id", "payload", "shown", *columns
    ):
        item, names = by_key[key]
        letters = [LETTERS[names.index(name)] for name in shown if name in names]
        answer = payloads.unresolve(item.kind, payload, names)
        item.answers.append(Said(username or external, _trimmed(answer), letters, seconds, source))
    for item, names in by_key.values():
        if item.gold is not None:
            item.gold = _gold(item.kind, item.gold, names)
    return found


def _without_task(prompts: list[int]) -> tuple[dict[int, dict[int, tuple[str, str]]], dict[int, dict[int, list[Said]]]]:
    """Responses of prompts that have no task, and the last thumb of each person on them."""
    responses: dict[int, dict[int, tuple[str, str]]] = defaultdict(dict)
    thumbs: dict[int, dict[int, list[Said]]] = defaultdict(lambda: defaultdict(list))
    if not prompts:
        return responses, thumbs
    ready = Response.objects.filter(prompt__in=prompts, state=Response.State.READY).order_by("pk")
    for prompt, key, text, model in ready.values_list("prompt_id", "pk", "text", "model_name"):
        responses[prompt][key] = (text, model)
    last: dict[tuple[int, int], tuple[int, Said]] = {}
    given = Thumb.objects.filter(response__prompt__in=prompts, response__state=Response.State.READY).order_by("pk")
    given = given.exclude(person__status=Person.Status.WITHDRAWN)
    columns = ("person_id", "person__username", "person__external_name", "person__source", "up")
    for prompt, response, person, username, external, source, up in given.values_list(
        "response__prompt_id", "response_id", *columns
    ):
        last[response, person] = (prompt, Said(username or external, {"up": up}, source=source))
    for (response, _), (prompt, said) in last.items():
        thumbs[prompt][response].append(said)
    return responses, thumbs


def _candidate(text: str, model: str, source: str) -> Candidate:
    return Candidate(text, "" if model == f"{source or 'import'}{UNKNOWN}" else model)


def _told(external_id: str | None) -> str | None:
    """The id that somebody gave, not the hash that stands for none."""
    return None if external_id is None or external_id.startswith(HASHED) else external_id


def _trimmed(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value not in ("", {})}


def _gold(kind: str, gold: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The right answer in letters; tasks made over REST name the chosen response alone."""
    if set(gold) == {"chosen"}:
        return {"outcome": "prefer", "choice": LETTERS[names.index(gold["chosen"])], "strength": 2}
    return _trimmed(payloads.unresolve(kind, gold, names))
