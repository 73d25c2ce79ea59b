"""Nothing that an annotator receives tells a task of a contest from another, nor a candidate from the incumbent."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from feedback.models import Assignment, ContestUnit, Exclusion, Person, Project, Task
from feedback.rules.collection.pairing import shown_order
from feedback.selectors.collection import desk
from feedback.services.collection import annotations
from feedback.services.evaluation import contest_supply
from tests.evaluation.contest_story import TEXT_OF_CANDIDATE, answer, begin, crowd, fresh, take, write
from tests.factories import PREFERS_A, make_task

pytestmark = pytest.mark.database

TELLING = ("contest", "arena", "candidate", "incumbent", "propensity", "model_version", "policy v")


def shape(value: Any) -> Any:
    """Names and types, without what stands in them."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


def tells_nothing(text: str) -> bool:
    return not [word for word in TELLING if word in text.lower()]


@pytest.fixture
def both(project: Project, ada: Person, ben: Person, chloe: Person) -> tuple[Assignment, Assignment]:
    """Ben holds a task of a contest, Chloe an ordinary one."""
    Project.objects.update(annotations_per_task=1)
    contest = begin(project, ada, prompts=1, fresh_only=True)
    write(contest)
    of_contest = take(project, ben)
    project.refresh_from_db()
    make_task(project, annotations_wanted=1)
    ordinary = take(project, chloe)
    assert (of_contest.task.contest_id, ordinary.task.contest_id) == (contest.pk, None)
    return of_contest, ordinary


@pytest.mark.parametrize(
    "path", ["assignments/{id}/", "projects/desk/", "assignments/?project=desk", "annotations/?project=desk"]
)
def test_rest_tells_nothing(
    both: tuple[Assignment, Assignment], client_for: Callable[..., APIClient], path: str
) -> None:
    replies = []
    for held in both:
        annotations.submit(assignment=held, answer={"outcome": "tie"})
        reply = client_for(held.annotator).get(f"/api/v1/{path.format(id=held.public_id)}")
        assert tells_nothing(reply.content.decode())
        replies.append((reply.status_code, shape(reply.json())))
    assert replies[0] == replies[1]


def test_next_and_submit_tell_nothing(
    project: Project, ada: Person, ben: Person, chloe: Person, client_for: Callable[..., APIClient]
) -> None:
    contest = begin(project, ada, prompts=1, votes_per_unit=2, fresh_only=True)
    write(contest)
    replies = []
    for person in (ben, chloe):
        client = client_for(person)
        given = client.post("/api/v1/tasks/next/", {"project": "desk"}, headers={"Idempotency-Key": "one"})
        body = {"answer": PREFERS_A, "seconds": 3}
        sent = client.post(
            f"/api/v1/assignments/{given.json()['id']}/submit/", body, headers={"Idempotency-Key": "two"}
        )
        assert (given.status_code, sent.status_code) in [(200, 201), (201, 201), (200, 200)]
        assert tells_nothing(given.content.decode()) and tells_nothing(sent.content.decode())
        replies.append([shape(given.json()), shape(sent.json()), sorted(given.headers), sorted(sent.headers)])
        if person == ben:  # the next one is an ordinary one
            ContestUnit.objects.all().delete()
            Task.objects.filter(contest=contest).update(state="withdrawn")
            make_task(project, annotations_wanted=2)
    assert replies[0] == replies[1]


@pytest.mark.parametrize("path", ["/p/desk/desk/", "/p/desk/", "/"])
def test_pages_tell_nothing(both: tuple[Assignment, Assignment], path: str) -> None:
    for held in both:
        client = Client()
        client.force_login(held.annotator)
        page = client.get(path, follow=True)
        words = page.content.decode()
        assert page.status_code == 200
        words = words[words.index("<main") :]  # the header has a link to the arena, on every page alike
        assert not [word for word in ("contest", "arena", "propensity") if word in words.lower()]


def test_reviewers_see_what_it_is_for_and_annotators_cannot_ask(
    both: tuple[Assignment, Assignment], rosa: Person, client_for: Callable[..., APIClient]
) -> None:
    held, _ = both
    task = f"/api/v1/tasks/{held.task.public_id}/"
    assert client_for(rosa).get(task).json()["arm"] == "arena"
    for path in (task, "/api/v1/tasks/?project=desk", "/api/v1/events/?project=desk"):
        assert client_for(held.annotator).get(path).status_code in (403, 404)


def test_a_side_tells_nothing(project: Project, ada: Person) -> None:
    """Of 80 tasks the candidate stands first in half, on the task and in front of the annotator."""
    contest = begin(project, ada, prompts=0)
    voters = crowd(project, ada, 4)
    first_on_task = first_shown = shown = 0
    for _ in range(20):
        fresh(project, 10)
        contest_supply.supply(contest.pk)
        write(contest)
        for unit in ContestUnit.objects.filter(state="ready").select_related("task"):
            assert unit.task is not None
            placed = list(unit.task.placed.order_by("position").values_list("response", flat=True))
            first_on_task += placed[0] == unit.candidate_response_id
            for person in voters:
                order = shown_order(placed, unit.task.public_id, person.public_id)
                first_shown += order[0] == unit.candidate_response_id
                shown += 1
            unit.delete()
        Task.objects.filter(contest=contest).update(state="withdrawn")
    tasks = Task.objects.filter(contest=contest).count()
    assert tasks == 80
    assert abs(first_on_task / tasks - 0.5) < 0.17 and abs(first_shown / shown - 0.5) < 0.09


def test_excluded_people_are_given_none(project: Project, ada: Person, ben: Person) -> None:
    contest = begin(project, ada)
    write(contest)
    own = make_task(project)
    Exclusion.objects.create(project=project, person=ben, reason="pace", hits=9, looked_at=10, since=timezone.now())
    assert take(project, ben).task == own


def test_what_is_shown_is_the_text_alone(both: tuple[Assignment, Assignment]) -> None:
    held, ordinary = both
    mine, other = (json.loads(json.dumps(desk.payload(one))) for one in (held, ordinary))
    assert shape(mine) == shape(other) and TEXT_OF_CANDIDATE in [one["text"] for one in mine["responses"]]
    assert set(mine["responses"][0]) == {"letter", "text"}
    assert answer(held, 0.5) == {"outcome": "tie"}
