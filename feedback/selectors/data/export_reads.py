"""The reads of an export, as plain rows by key.

Reads are short, so that none keeps old row versions of the database alive for minutes. Rows are tuples: model instances
would cost more time than the database.
"""

import json
from collections.abc import Collection, Container, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from django.db import connection

from feedback.formats.annotations.items import Who

PROMPTS = """SELECT id, messages, source, external_id, metadata, provenance, family, split, "group", responses_wanted,
    CAST(public_id AS text) FROM feedback_prompt
    WHERE project_id = %s AND id > %s AND (state = 'ready' OR state = 'screened') ORDER BY id LIMIT %s"""
TASKS = """SELECT prompt_id, id, kind, ask, state, annotations_wanted, priority, gold, explanation, training_round,
    external_id FROM feedback_task WHERE {among} ORDER BY id"""
RESPONSES = """SELECT prompt_id, id, CAST(public_id AS text), text, state, model_name, model_version_id, author_id,
    annotation_id, external_id FROM feedback_response WHERE {among} ORDER BY id"""
PLACED = """SELECT task_id, response_id FROM feedback_taskresponse WHERE {among} ORDER BY task_id, position"""
ANSWERS = """SELECT given.task_id, given.id, payload, shown, seconds, given.annotator_id, held.annotator_id, counted,
late,
    given.created_at, blind FROM feedback_assignment held JOIN feedback_annotation given ON given.id = held.current_id
    WHERE {among} AND NOT withdrawn ORDER BY given.id"""
THUMBS = """SELECT response.prompt_id, response_id, person_id, token_id, up, comment, thumb.created_at
    FROM feedback_response response JOIN feedback_thumb thumb ON thumb.response_id = response.id
    WHERE {among} ORDER BY thumb.id"""
VERDICTS = """SELECT task_id, reviewer_id, payload, note, created_at FROM feedback_verdict WHERE {among}"""
PEOPLE = """SELECT id, username, external_name, source, status FROM feedback_person WHERE {among}"""
VERSIONS = """SELECT id, kind, number FROM feedback_modelversion WHERE {among}"""
EDITED = "SELECT DISTINCT family FROM feedback_familykey WHERE project_id = %s"  # families of more than one opening
OPENINGS = """SELECT messages FROM feedback_prompt WHERE project_id = %s AND substr(family, 1, 8) = substr(%s, 1, 8)
    AND family = %s ORDER BY id LIMIT 20"""
# What a project holds that no format has a place for, by why.
BESIDE: dict[str, str] = {
    "a prompt that the guard model blocked": """SELECT count(*) FROM feedback_prompt
        WHERE project_id = %s AND state = 'blocked'""",
    "a prompt that waits for the guard model": """SELECT count(*) FROM feedback_prompt
        WHERE project_id = %s AND state = 'received'""",
    "a response to a prompt that the guard model blocked or has not seen": """SELECT count(*) FROM feedback_response one
        JOIN feedback_prompt prompt ON prompt.id = one.prompt_id
        WHERE prompt.project_id = %s AND (prompt.state = 'blocked' OR prompt.state = 'received')""",
    "a thumb on a response to such a prompt": """SELECT count(*) FROM feedback_prompt prompt
        JOIN feedback_response one ON one.prompt_id = prompt.id JOIN feedback_thumb thumb ON thumb.response_id = one.id
        WHERE prompt.project_id = %s AND (prompt.state = 'blocked' OR prompt.state = 'received')""",
    "an annotation of a task on such a prompt": """SELECT count(*) FROM feedback_prompt prompt
        JOIN feedback_task task ON task.prompt_id = prompt.id JOIN feedback_assignment held ON held.task_id = task.id
        WHERE prompt.project_id = %s AND (prompt.state = 'blocked' OR prompt.state = 'received')
        AND held.current_id IS NOT NULL""",
    "a reviewer decision on a task of such a prompt": """SELECT count(*) FROM feedback_prompt prompt
        JOIN feedback_task task ON task.prompt_id = prompt.id JOIN feedback_verdict given ON given.task_id = task.id
        WHERE prompt.project_id = %s AND (prompt.state = 'blocked' OR prompt.state = 'received')""",
    "an earlier revision of an annotation": """SELECT count(*) FROM feedback_annotation given
        JOIN feedback_assignment held ON held.id = given.assignment_id
        WHERE given.project_id = %s AND (held.current_id IS NULL OR held.current_id <> given.id)""",
    "a skipped task": """SELECT count(*) FROM feedback_assignment
        WHERE project_id = %s AND state = 'skipped'""",
    "a flag on a task or annotation": """SELECT count(*) FROM feedback_flag raised
        JOIN feedback_assignment held ON held.id = raised.assignment_id WHERE held.project_id = %s""",
    "a reviewer decision on one annotation": """SELECT count(*) FROM feedback_review review
        JOIN feedback_annotation given ON given.id = review.annotation_id WHERE given.project_id = %s""",
    "a prompt's place in a conversation": """SELECT count(*) FROM feedback_prompt
        WHERE project_id = %s AND conversation_id IS NOT NULL""",
    "an annotator's exclusion from snapshots": """SELECT count(*) FROM feedback_exclusion
        WHERE project_id = %s AND lifted_at IS NULL""",
}
WITHDRAWN = "withdrawn"
Columns: TypeAlias = tuple[Any, ...]  # of a row, in the order of the statement


class PromptRow(NamedTuple):
    """A row of `PROMPTS`. JSON is text; `public_id` is as the database has it."""

    key: int
    messages: str
    source: str
    external_id: str | None
    metadata: str
    provenance: str
    family: str
    split: str
    group: str
    responses_wanted: int
    public_id: str


class TaskRow(NamedTuple):
    """A row of `TASKS`."""

    prompt: int
    key: int
    kind: str
    ask: str
    state: str
    annotations_wanted: int | None
    priority: int
    gold: str | None
    explanation: str
    training_round: bool | int
    external_id: str | None


class ThumbRow(NamedTuple):
    """A row of `THUMBS`."""

    prompt: int
    response: int
    person: int
    token: int | None
    up: bool | int
    comment: str
    created_at: datetime | str


class AnswerRow(NamedTuple):
    """A row of `ANSWERS`: a current annotation with its assignment."""

    task: int
    annotation: int
    payload: str
    shown: str
    seconds: float
    annotator: int
    holder: int  # the annotator that the task was assigned to
    counted: bool | int
    late: bool | int
    created_at: datetime | str
    blind: bool | int | None


class VerdictRow(NamedTuple):
    """A row of `VERDICTS`."""

    task: int
    reviewer: int
    payload: str
    note: str
    created_at: datetime | str


class People:
    """Names of people by key, each read once. People who have withdrawn have none."""

    def __init__(self) -> None:
        self.names: dict[int, Who | None] = {}

    def meet(self, keys: Iterable[int | None]) -> None:
        for key, username, external, source, status in among(PEOPLE, "id", _new(keys, self.names)):
            self.names[key] = None
            if status != WITHDRAWN:
                self.names[key] = Who(username or external, source)

    def __getitem__(self, key: int) -> Who | None:
        return self.names[key]


class Versions:
    """Names of model versions by key, each read once."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}

    def meet(self, keys: Iterable[int | None]) -> None:
        for key, kind, number in among(VERSIONS, "id", _new(keys, self.names)):
            self.names[key] = f"{kind} v{number}"


def _new(keys: Iterable[int | None], known: Container[int]) -> list[int]:
    """The keys that are not known yet, each once."""
    return [key for key in dict.fromkeys(keys) if key is not None and key not in known]


def beside(project: int) -> dict[str, int]:
    """Counts of what no row of an export holds, by description; those of zero are left out."""
    counts = {}
    for why, statement in BESIDE.items():
        [[count]] = fetch(statement, project)
        if count:
            counts[why] = int(count)
    return counts


def fetch(statement: str, *given: int | str) -> list[Columns]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchall()


def among(statement: str, column: str, keys: Collection[int]) -> list[Columns]:
    """Rows of these keys. The keys are one parameter, however many they are.

    PostgreSQL also gets their range: with the keys alone its planner would read the whole table.
    """
    if not keys:
        return []
    if connection.vendor == "sqlite":
        condition = f"{column} IN (SELECT value FROM json_each(%s))"
        return fetch(statement.format(among=condition), json.dumps(list(keys)))
    condition = f"{column} BETWEEN %s AND %s AND {column} = ANY(%s::bigint[])"
    return fetch(statement.format(among=condition), min(keys), max(keys), f"{{{','.join(map(str, keys))}}}")


def decoded(stored: str | None) -> Any:
    """Decode JSON, which both databases return as text."""
    if stored == "{}":
        return {}
    if stored is None:
        return None
    return json.loads(stored)


def dashed(name: str) -> str:
    """A public id with dashes, as in payloads. SQLite stores 32 digits."""
    if len(name) > 32:
        return name
    return f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"


def moment(stored: datetime | str) -> datetime:
    """Decode a time. SQLite stores text in UTC."""
    if isinstance(stored, str):
        return datetime.fromisoformat(stored).replace(tzinfo=UTC)
    return stored.astimezone(UTC)
