"""An attacker with everything that annotators receive learns nothing about a contest, and does where something leaks.

The whole attack on 2,000 tasks over HTTP is `python -m tests.bench.blindness`. An AUC on few tasks is blunt, so what
can be told exactly is told exactly here.
"""

import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from feedback.errors import InvalidTransition
from feedback.models import Assignment, ContestUnit, Person, Project, Task
from feedback.services.collection import annotations, assignment_eligibility, assignment_queue, assignments, tasks
from feedback.services.data import snapshots
from feedback.services.evaluation import contest_outcomes, contest_supply, contests
from tests.evaluation.blindness_attack import MOMENT, UUID, Dossier, Receipt, auc_of, columns, most_telling
from tests.evaluation.blindness_world import World, open_world, tables, visit, with_leak
from tests.evaluation.contest_story import answer, begin, crowd, fresh, take, vote, write
from tests.factories import make_model, make_prompt, make_response, make_task

pytestmark = [pytest.mark.database, pytest.mark.one_database]

TASKS = 14  # of the contest, and about as many others


class InProcess:
    """Entrance by Django's own client: an annotator's session for pages, their token for the API."""

    def __init__(self, world: World, client_for: Callable[..., APIClient]) -> None:
        self.pages, self.programs = [], []
        for person in world.annotators:
            page = Client()
            page.force_login(person)
            self.pages.append(page)
            self.programs.append(client_for(person))

    def __call__(self, person: int, name: str, method: str, path: str, body: Any = None, key: str = "") -> Receipt:
        client: Any = (self.programs if path.startswith("/api/") else self.pages)[person]
        began = time.perf_counter()
        if method == "GET":
            reply = client.get(path)
        else:
            headers = {"Idempotency-Key": key} if key else {}
            data = json.dumps(body)
            reply = client.generic(method, path, data, content_type="application/json", headers=headers)
        took = (time.perf_counter() - began) * 1000
        return Receipt(name, reply.status_code, dict(reply.headers), reply.content.decode(), took)


def test_annotators_receive_the_same_of_either_kind(
    project: Project, ada: Person, client_for: Callable[..., APIClient]
) -> None:
    world = open_world(project, ada, alike=True, annotators=4)
    dossiers = visit(world, InProcess(world, client_for), TASKS)
    seen: dict[bool, set[str]] = defaultdict(set)
    headlines: dict[bool, set[str]] = defaultdict(set)
    for dossier in dossiers:
        for receipt in dossier.receipts:
            if receipt.name == "page":
                continue  # the first tasks of a desk come with the page, all others with a reply: few, of one kind
            seen[dossier.of_contest].add(f"{receipt.name} {receipt.status} {sorted(receipt.headers)}")
            if receipt.body.startswith("{"):
                seen[dossier.of_contest].update(fixed(receipt.name, json.loads(receipt.body)))
            elif receipt.name.startswith("home"):
                headlines[dossier.of_contest].add(headline(receipt.body))
    assert seen[True] == seen[False] and len(seen[True]) > 100
    # A number of open tasks would fall with an ordinary one and stay with one of the contest.
    assert headlines[True] == headlines[False] == {"10 or more tasks are open"}
    found = tables(dossiers, texts=True)
    assert sum(found.of_contest) >= TASKS and not all(found.of_contest)
    assert 0.2 < sum(found.candidate_first) / len(found.candidate_first) < 0.8
    assert most_telling(found.rows, found.of_contest, 1)[0][1] not in (0, 1)
    for leak in (
        lambda told: {"X-Arm": "arena" if told.of_contest else "random"},
        lambda told: {"ETag": f"{0 if told.of_contest else 9}0000000-0000-0000-0000-000000000000"},
    ):
        leaky = tables([with_leak(one, leak(one)) for one in dossiers], texts=True)
        assert most_telling(leaky.rows, leaky.of_contest, 1)[0][1] in (0, 1)
    sided = tables([with_leak(one, {"X-First": str(int(one.candidate_first))}) for one in dossiers], texts=True)
    assert most_telling(sided.sides, sided.candidate_first, 1)[0][1] in (0, 1)


def test_the_classifiers_find_what_two_columns_tell_together() -> None:
    rng = random.Random(1)
    rows = [{name: rng.random() for name in ("first", "second", "third", "fourth")} for _ in range(300)]
    coins = [rng.random() < 0.5 for _ in rows]
    told = [row["first"] + row["second"] > 1 for row in rows]
    assert all(abs(auc - 0.5) < 0.12 for auc in auc_of(rows, coins).values())
    assert all(auc > 0.95 for auc in auc_of(rows, told).values())


def fixed(name: str, value: Any) -> Iterator[str]:
    """Fields, their types, and the values of those that are neither ids, moments, numbers nor texts."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from fixed(f"{name}.{key}", one)
    elif isinstance(value, list):
        for one in value:
            yield from fixed(f"{name}[]", one)
    elif isinstance(value, str):
        is_text = " " in value or "<" in value or UUID.fullmatch(value) or MOMENT.match(value)
        free = is_text or name.endswith(("choice", "outcome", "username", "display_name"))
        yield f"{name} {'text' if free else value}"
    elif value is None or isinstance(value, bool):
        yield f"{name} {'' if 'answer' in name or name.endswith(('best', 'low', 'high')) else value}"
    else:
        yield f"{name} number"


def headline(page: str) -> str:
    found = re.search(r'id="start-title">(.*?)</h2>', page, re.DOTALL)
    assert found is not None
    return " ".join(found[1].split())


def test_without_texts_nothing_of_their_length_is_left() -> None:
    def received(text: str) -> Dossier:
        body = json.dumps({"responses": [{"letter": "a", "text": text}]})
        return Dossier([Receipt("next", 200, {"Content-Length": str(len(body))}, body, 1.0)], texts=(text,))

    short, long = received("one two"), received("one two three four five six")
    assert columns(short, texts=False) == columns(long, texts=False)
    assert columns(short, texts=True) != columns(long, texts=True)


def test_the_arena_stands_still_for_those_who_vote(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person, client_for: Callable[..., APIClient]
) -> None:
    """An ordinary comparison of two versions would raise its votes, one of the contest would not."""

    def votes(person: Person) -> tuple[int, int | None]:
        told = client_for(person).get("/api/v1/arena/?project=desk").json()
        return told["votes"], told["waiting"]

    Project.objects.update(annotations_per_task=1)
    contest = begin(project, ada, prompts=1, fresh_only=True)
    project.refresh_from_db()
    write(contest)
    versions = [make_model(project, ada), make_model(project, ada)]
    prompt = make_prompt(project)
    make_task(project, prompt, responses=[make_response(prompt, model_version=one) for one in versions])
    assert votes(ben) == votes(chloe) == (0, None)
    for person in (ben, chloe):
        held = take(project, person)
        annotations.submit(assignment=held, answer={"outcome": "prefer", "choice": "a", "strength": 1})
        assert votes(person) == (0, None)
    assert votes(rosa) == (1, 1)
    contests.stop(by=ada, contest=contest)
    assert (votes(ben), votes(rosa)) == ((2, None), (2, 0))


def test_a_snapshot_tells_nobody_what_it_left_out(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person, client_for: Callable[..., APIClient]
) -> None:
    """A snapshot leaves the votes of a running contest out, so that whoever sees what is in it sees which they are."""
    Project.objects.update(annotations_per_task=1)
    contest = begin(project, ada, prompts=1, fresh_only=True)
    project.refresh_from_db()
    write(contest)
    of_contest = annotations.submit(assignment=(held := take(project, ben)), answer=answer(held, 1))
    make_task(project)
    ordinary = annotations.submit(
        assignment=take(project, chloe), answer={"outcome": "prefer", "choice": "a", "strength": 1}
    )
    assert (of_contest.task.contest_id, ordinary.task.contest_id) == (contest.pk, None)
    snapshots.freeze(snapshots.request_snapshot(project=project, by=ada))

    def inside(person: Person, annotation: Any) -> int:
        return len(client_for(person).get(f"/api/v1/annotations/{annotation.public_id}/").json()["snapshots"])

    assert (inside(ben, of_contest), inside(chloe, ordinary)) == (0, 0)
    assert (inside(rosa, of_contest), inside(rosa, ordinary)) == (0, 1)
    contests.stop(by=ada, contest=contest)
    assert inside(chloe, ordinary) == 1


def test_what_was_given_back_does_not_return_at_once(project: Project, ada: Person) -> None:
    """An ordinary task that was released comes back after all others; one of a contest would betray itself."""
    contest = begin(project, ada, prompts=0, share=1.0, fresh_only=True)
    voters = crowd(project, ada, 3)
    for person in voters:
        fresh(project, 4)
        contest_supply.supply(contest.pk)
        write(contest)
        vote(project, person, 1)
    held = take(project, voters[0])
    assignments.release(assignment=held)
    assert take(project, voters[0]).task_id != held.task_id
    assert take(project, voters[1]).task_id == held.task_id, "others get what waits, before anything new"


def test_somebody_alone_gets_back_what_they_released(project: Project, ada: Person, ben: Person) -> None:
    """Nobody else would complete its unit, and after a day it would count against the candidate."""
    contest = begin(project, ada, prompts=4, fresh_only=True)
    write(contest)
    held = take(project, ben)
    assignments.release(assignment=held)
    assert take(project, ben).task_id == held.task_id


def test_who_skips_everything_begins_a_limited_number_of_units(
    project: Project, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each unit that is begun asks for the responses of another one: without a limit one person could have the
    responses of the whole cap written."""
    monkeypatch.setattr(assignment_eligibility, "MOST_BEGUN", 8)
    contest = begin(project, ada, prompts=20, fresh_only=True)
    write(contest)
    begun = 0
    for _ in range(20):
        held = assignment_queue.next_assignment(project=project, annotator=ben)
        if not isinstance(held, Assignment):
            break
        begun += 1
        assignments.skip(assignment=held, reason="other")
        contest_supply.supply(contest.pk)
        write(contest)
    assert begun == 8
    for person in crowd(project, ada, 1):
        unit = ContestUnit.objects.get(task=take(project, person).task_id)
        assert unit.number is not None and unit.number <= 8, "others go on with what was begun"


def test_a_task_that_a_contest_closed_stays_closed(project: Project, ada: Person) -> None:
    """Reopened, it would stand open for ever: its unit takes no vote, so nobody is given it."""
    contest = begin(project, ada, prompts=1, fresh_only=True)
    write(contest)
    task = Task.objects.get(contest=contest)
    contests.stop(by=ada, contest=contest)
    contest_outcomes.apply_decisions()
    with pytest.raises(InvalidTransition, match="The contest of this task has closed it"):
        tasks.reopen_task(by=ada, task=task)
    task.refresh_from_db()
    assert task.state == "withdrawn"


def test_a_task_that_its_contest_waits_for_can_be_reopened(project: Project, ada: Person, ben: Person) -> None:
    contest = begin(project, ada, prompts=1, fresh_only=True)
    write(contest)
    task = Task.objects.get(contest=contest)
    tasks.withdraw_task(by=ada, task=task)
    tasks.reopen_task(by=ada, task=task)
    assert take(project, ben).task == task
