"""How many statements an answer costs. The numbers may only fall; what they are made of is in
`feedback.db.compiled_queries`."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from feedback.models import Person, Project, Task
from feedback.services.collection import annotations, assignment_queue, exhausted_candidates
from feedback.services.collection.assignment_queue import NoTask
from tests.factories import PREFERS_A, make_task, take

pytestmark = pytest.mark.database

# Next, submit, and submit that brings the next, by how many answers a task wants. Begin and commit are counted; in
# tests they are a savepoint's.
COST = {1: (12, 12, 20), 2: (13, 12, 21)}


def post(client: APIClient, path: str, body: Any, key: str = "") -> Any:
    headers: Any = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    reply = client.post(path, body, **headers)
    assert reply.status_code in (200, 201), reply.content
    return reply.json()


@pytest.fixture
def counted(ben: Person, client_for: Callable[..., APIClient]) -> Callable[..., tuple[int, Any]]:
    """`counted(path, body, key)`: how many statements the request took, and its reply."""
    client = client_for(ben)

    def send(path: str, body: Any, key: str = "") -> tuple[int, Any]:
        with CaptureQueriesContext(connection) as seen:
            reply = post(client, f"/api/v1/{path}", body, key)
        return len(seen), reply

    return send


@pytest.mark.database
@pytest.mark.parametrize("wanted", COST)
def test_what_an_answer_costs(project: Project, counted: Callable[..., tuple[int, Any]], wanted: int) -> None:
    for _ in range(4):
        make_task(project, annotations_wanted=wanted)
    Task.objects.update(queue_key=F("pk"))  # in their order, so that nobody comes round to the queue's start
    Project.objects.update(queue_policy={"gold_share": 0})
    _, held = counted("tasks/next/", {"project": project.slug})
    counted(f"assignments/{held['id']}/submit/", {"answer": PREFERS_A}, "first")  # its cursor is there from now on
    asked, held = counted("tasks/next/", {"project": project.slug})
    both, reply = counted(f"assignments/{held['id']}/submit/", {"answer": PREFERS_A, "next": True}, "second")
    said, _ = counted(f"assignments/{reply['next']['id']}/submit/", {"answer": PREFERS_A}, "third")
    assert (asked, said, both) == COST[wanted]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks are many."""
    cache.clear()
    monkeypatch.setattr(
        exhausted_candidates,
        "select_waiting_past_many",
        exhausted_candidates.CompiledSelect(lambda: Task.objects.values_list("pk")[1:2]),
    )


def nothing(project: Project, person: Person) -> tuple[str, int]:
    with CaptureQueriesContext(connection) as seen:
        found = assignment_queue.next_assignment(project=project, annotator=person)
    assert isinstance(found, NoTask), found
    return found.reason, len(seen)


@pytest.mark.database
@pytest.mark.usefixtures("many")
def test_who_has_seen_all_is_not_taken_through_all_again(project: Project, ben: Person, chloe: Person) -> None:
    for _ in range(2):
        make_task(project, annotations_wanted=2)
        annotations.submit(assignment=take(project, ben), answer=PREFERS_A)
    polls = [nothing(project, ben) for _ in range(3)]
    assert [reason for reason, _ in polls] == ["all_seen"] * 3
    assert polls[2][1] == 3  # who asks, what they hold, which task is the newest
    new = make_task(project)
    assert take(project, ben).task == new
    assert isinstance(take(project, chloe).task, Task)
