"""A project's tasks as items, oldest first: prompts, responses, current answers. Constant memory, short reads.

Read by key, a few hundred at a time, as plain rows: no read holds the database's past for minutes, and no objects are
made that would cost more than the database.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.db import connection

from feedback.formats.items import LETTERS, PROMPT, THUMB, Candidate, Item, Said
from feedback.models import Project
from feedback.rules import payloads

CHUNK = 500
HASHED = "sha256:"
UNKNOWN = " (unknown)"

PROMPTS = """SELECT id, messages, source, external_id, metadata, provenance FROM feedback_prompt
    WHERE project_id = %s AND id > %s AND state <> 'blocked' ORDER BY id LIMIT %s"""
TASKS = """SELECT prompt_id, id, kind, ask, state, annotations_wanted, priority, gold, explanation, training_round,
    external_id FROM feedback_task WHERE {among} AND state <> 'withdrawn' ORDER BY id"""
PLACED = """SELECT placed.task_id, CAST(response.public_id AS text), text, model_name, model_version_id
    FROM feedback_taskresponse placed JOIN feedback_response response ON response.id = placed.response_id
    WHERE {among} ORDER BY placed.task_id, position"""
ANSWERS = """SELECT said.task_id, payload, shown, seconds, username, external_name, person.source
    FROM feedback_assignment held JOIN feedback_annotation said ON said.id = held.current_id
    JOIN feedback_person person ON person.id = said.annotator_id
    WHERE {among} AND NOT withdrawn AND person.status <> 'withdrawn' ORDER BY said.id"""
RESPONSES = """SELECT prompt_id, id, text, model_name FROM feedback_response
    WHERE {among} AND state = 'ready' ORDER BY id"""
THUMBS = """SELECT response.prompt_id, response_id, person_id, up, username, external_name, person.source
    FROM feedback_response response JOIN feedback_thumb thumb ON thumb.response_id = response.id
    JOIN feedback_person person ON person.id = person_id
    WHERE {among} AND response.state = 'ready' AND person.status <> 'withdrawn' ORDER BY thumb.id"""


def items(project: Project, kinds: list[str] | None = None) -> Iterator[Item]:
    """Prompts with all their tasks, in the order in which they came. Withdrawn people's answers are left out."""
    after = 0
    while rows := _ask(PROMPTS, project.pk, after, CHUNK):
        after = rows[-1][0]
        prompts = {
            key: Item(
                PROMPT,
                _json(messages),
                external_id=_told(name),
                source=source,
                metadata=_json(metadata),
                provenance=_json(kept),
            )
            for key, messages, source, name, metadata, kept in rows
        }
        by_prompt = _tasks(prompts)
        by_prompt |= _without_task({key: one for key, one in prompts.items() if key not in by_prompt})
        for key in prompts:
            for item in by_prompt[key]:
                if not kinds or item.kind in kinds:
                    yield item


def _tasks(prompts: dict[int, Item]) -> dict[int, list[Item]]:
    found: dict[int, list[Item]] = defaultdict(list)
    by_key: dict[int, tuple[Item, list[str]]] = {}
    tasks = _among(TASKS, "prompt_id", prompts)
    for prompt, key, kind, ask, state, wanted, priority, gold, why, training, external_id in tasks:
        given = prompts[prompt]
        item = Item(kind, given.prompt, ask=_json(ask), external_id=_told(external_id), source=given.source)
        item.metadata, item.provenance = given.metadata, given.provenance
        item.priority, item.gold = priority, _json(gold)
        item.explanation, item.training_round = why, bool(training)
        item.wanted = wanted if state == "open" and gold is None else None
        found[prompt].append(item)
        by_key[key] = (item, [])
    for key, name, text, model, version in _among(PLACED, "placed.task_id", by_key):
        item, names = by_key[key]
        names.append(name)
        item.responses.append(_candidate(text, model or (f"version {version}" if version else ""), item.source))
    for key, payload, shown, seconds, *person in _among(ANSWERS, "held.task_id", by_key):
        item, names = by_key[key]
        if not item.answers:
            names[:] = map(_dashed, names)
        letters = [LETTERS[names.index(name)] for name in _json(shown) if name in names]
        answer = payloads.unresolve(item.kind, _json(payload), names)
        item.answers.append(_said(person, _trimmed(answer), letters, seconds))
    for item, names in by_key.values():
        if item.gold is not None:
            item.gold = _gold(item.kind, item.gold, [_dashed(name) for name in names])
    return found


def _without_task(prompts: dict[int, Item]) -> dict[int, list[Item]]:
    """Prompts that have no task with their responses, or with each response that has thumbs: one a person, the last."""
    responses: dict[int, dict[int, tuple[str, str]]] = defaultdict(dict)
    for prompt, key, text, model in _among(RESPONSES, "prompt_id", prompts):
        responses[prompt][key] = (text, model)
    last: dict[tuple[int, int, int], Said] = {}
    for prompt, response, person, up, *who in _among(THUMBS, "response.prompt_id", prompts):
        last[prompt, response, person] = _said(who, {"up": bool(up)})
    thumbs: dict[int, dict[int, list[Said]]] = defaultdict(lambda: defaultdict(list))
    for (prompt, response, _), said in last.items():
        thumbs[prompt][response].append(said)
    found: dict[int, list[Item]] = {}
    for key, item in prompts.items():
        found[key] = [
            Item(
                THUMB, item.prompt, [_candidate(*responses[key][response], item.source)], said,
                external_id=item.external_id, source=item.source, metadata=item.metadata, provenance=item.provenance,
            )
            for response, said in thumbs[key].items()
        ]  # fmt: skip
        if not found[key]:
            item.responses = [_candidate(text, model, item.source) for text, model in responses[key].values()]
            found[key] = [item]
    return found


def _ask(statement: str, *given: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchall()


def _among(statement: str, column: str, keys: dict[int, Any]) -> list[Any]:
    """Rows of these keys, which go as one value, however many they are.

    PostgreSQL is told between which they lie as well: so many keys alone seem to it worth reading the whole table for.
    """
    if not keys:
        return []
    if connection.vendor == "sqlite":
        among = f"{column} IN (SELECT value FROM json_each(%s))"
        return _ask(statement.format(among=among), json.dumps(list(keys)))
    among = f"{column} BETWEEN %s AND %s AND {column} = ANY(%s::bigint[])"
    return _ask(statement.format(among=among), min(keys), max(keys), f"{{{','.join(map(str, keys))}}}")


def _json(stored: str | None) -> Any:
    """JSON as it is stored: as text on both databases."""
    return {} if stored == "{}" else None if stored is None else json.loads(stored)


def _dashed(name: str) -> str:
    """A public id as payloads name it. SQLite keeps 32 digits."""
    return name if len(name) > 32 else f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"


def _said(person: list[str], answer: dict[str, Any], shown: list[str] | None = None, seconds: float = 0.0) -> Said:
    username, external, source = person
    return Said(username or external, answer, shown or [], seconds, source)


def _candidate(text: str, model: str, source: str) -> Candidate:
    return Candidate(text, "" if model == f"{source or 'import'}{UNKNOWN}" else model)


def _told(external_id: str | None) -> str | None:
    """The id that somebody gave, not the hash that stands for none."""
    return None if external_id is None or external_id.startswith(HASHED) else external_id


def _trimmed(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value not in ("", {})}


def _gold(kind: str, gold: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The right answer in letters, with its tolerance if it has one."""
    tolerance = {"tolerance": gold["tolerance"]} if gold.get("tolerance") else {}
    return _trimmed(payloads.unresolve(kind, gold, names)) | tolerance
