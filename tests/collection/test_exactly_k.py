"""Each task gets exactly K counted annotations from K different people, whatever everybody does at once.

Real threads on a real database: they take, skip, let expire, send late and send twice, by a seeded schedule.
"""

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from feedback.db.unit_of_work import unit_of_work
from feedback.errors import AlreadySubmitted, DomainError
from feedback.models import Annotation, Assignment, IdempotencyRecord, Person, PreferencePair, Project, Task
from feedback.services.collection import annotations, assignment_queue, assignments
from feedback.services.collection.assignment_claim import Overtaken, claim
from feedback.services.collection.assignment_eligibility import Eligibility
from feedback.services.platform import people, projects
from tests.factories import PREFERS_A, make_task, take

pytestmark = pytest.mark.database

ANNOTATORS, TASKS, K = 8, 24, 3


@pytest.fixture
def crowd(project: Project, hana: Person) -> list[Person]:
    crowd = [
        people.create_person(by=hana, username=f"annotator-{n}", password="a-long-password-for-tests")
        for n in range(ANNOTATORS)
    ]
    for person in crowd:
        projects.set_member(by=hana, project=project, person=person, role="annotator")
    return crowd


class Worker:
    """One annotator with habits: answers mostly, sometimes skips, dawdles past the lease, or sends twice."""

    def __init__(self, project: Project, person: Person, seed: int) -> None:
        self.project, self.person = project, person
        self.chance = random.Random(seed)
        self.acknowledged: list[Any] = []
        self.failures: list[BaseException] = []

    def work(self) -> None:
        try:
            for _ in range(400):
                assignment = assignment_queue.next_assignment(
                    project=self.project, annotator=self.person, ahead=self.chance.random() < 0.3
                )
                if isinstance(assignment, assignment_queue.NoTask):
                    if assignment.reason in ("no_tasks", "all_seen"):
                        return
                    continue
                self.treat(assignment)
        except BaseException as failure:  # noqa: BLE001 - told by the test's own thread
            self.failures.append(failure)
        finally:
            connection.close()

    def treat(self, assignment: Assignment) -> None:
        draw = self.chance.random()
        if draw < 0.05:
            with suppress(DomainError):
                assignments.skip(assignment=assignment, reason="unclear")
        elif draw < 0.15:
            Assignment.objects.filter(pk=assignment.pk, state="held").update(held_until=timezone.now() - timedelta(1))
            assignments.release_expired()
            if draw < 0.10:
                self.send(assignment)  # late
        elif draw < 0.2:
            assignments.release(assignment=assignment)
        else:
            self.send(assignment)
            if draw < 0.4:
                with pytest.raises(AlreadySubmitted):
                    annotations.submit(assignment=assignment, answer=PREFERS_A)

    def send(self, assignment: Assignment) -> None:
        annotation = annotations.submit(assignment=assignment, answer=PREFERS_A)
        self.acknowledged.append(annotation.public_id)


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [0, 1])
def test_everybody_at_once(project: Project, crowd: list[Person], seed: int) -> None:
    for _ in range(TASKS):
        make_task(project, annotations_wanted=K)
    workers = [Worker(project, person, seed * 100 + n) for n, person in enumerate(crowd)]
    threads = [threading.Thread(target=worker.work) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert [failure for worker in workers for failure in worker.failures] == []

    for task in Task.objects.filter(project=project):
        counted = Assignment.objects.filter(task=task, counted=True)
        people_who_count = set(counted.values_list("annotator", flat=True))
        assert len(people_who_count) == counted.count() <= K
        live = Assignment.objects.filter(task=task, state__in=Assignment.LIVE, slot__isnull=False).count()
        assert live + task.free_slots == K
        assert (task.state == Task.State.SETTLED) == (counted.count() == K)
    settled = Task.objects.filter(project=project, state=Task.State.SETTLED).count()
    assert settled >= TASKS * 0.8, "the crowd is large enough to finish nearly all"

    acknowledged = [public_id for worker in workers for public_id in worker.acknowledged]
    assert Counter(Annotation.objects.values_list("public_id", flat=True)) == Counter(acknowledged)
    assert PreferencePair.objects.count() == len(acknowledged)
    assert not Assignment.objects.filter(current=None, state="submitted").exists()
    seen_twice = Assignment.objects.values("task", "annotator").distinct().count() != Assignment.objects.count()
    assert not seen_twice


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_a_newcomer_is_given_a_task_while_others_take_the_first_ones(project: Project, ben: Person) -> None:
    """The others take the eight next tasks again and again, each time while the newcomer waits to claim one of them."""
    for _ in range(170):
        make_task(project)
    arrived, began, rounds = threading.Event(), threading.Event(), [0]

    def take_the_first_ones() -> None:
        try:
            while not arrived.is_set() and rounds[0] < 20:
                with unit_of_work():
                    first = Task.objects.with_free_slots().filter(project=project).order_by("queue_key")
                    Task.objects.filter(pk__in=list(first.values_list("pk", flat=True)[:8])).update(free_slots=0)
                    began.set()
                    time.sleep(0.3 if rounds[0] == 0 else 0.05)  # the newcomer reads and waits meanwhile
                rounds[0] += 1
        finally:
            connection.close()

    others = threading.Thread(target=take_the_first_ones)
    others.start()
    assert began.wait(10)
    given = assignment_queue.next_assignment(project=project, annotator=ben)
    passed = rounds[0]
    arrived.set()
    others.join(timeout=60)
    assert isinstance(given, Assignment)
    assert passed <= 4


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_one_person_in_many_tabs_holds_two_tasks_at_most(project: Project, ben: Person) -> None:
    for _ in range(6):
        make_task(project)
    got: list[Any] = []

    def tab(ahead: bool) -> None:
        try:
            got.append(assignment_queue.next_assignment(project=project, annotator=ben, ahead=ahead))
        finally:
            connection.close()

    tabs = [threading.Thread(target=tab, args=(n % 2 == 0,)) for n in range(8)]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join(timeout=600)
    assert len(got) == 8
    # One, where all who asked ahead came before those who asked for what to do now.
    assert Assignment.objects.filter(annotator=ben, state="held").count() in (1, 2)
    for ahead in (False, True):
        assignment_queue.next_assignment(project=project, annotator=ben, ahead=ahead)
    assert Assignment.objects.filter(annotator=ben, state="held").count() == 2
    assert Task.objects.filter(project=project, free_slots=F("annotations_wanted") - 1).count() == 2


@pytest.mark.parametrize("shared", [False, True], ids=["in its own transaction", "in a shared one"])
def test_a_tab_that_was_overtaken_keeps_no_slot(project: Project, ben: Person, shared: bool) -> None:
    """What it had taken is given back, also where the transaction goes on."""
    for _ in range(4):
        make_task(project)
    take(project, ben)
    late = Eligibility(project, ben, None, timezone.now())
    other_tab = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True)
    assert isinstance(other_tab, Assignment)
    free = sum(Task.objects.values_list("free_slots", flat=True))
    with unit_of_work() if shared else transaction.atomic(), suppress(Overtaken):
        claim(late, ahead=True)
        pytest.fail("two tabs were given a task by one cursor")
    assert sum(Task.objects.values_list("free_slots", flat=True)) == free
    assert Assignment.objects.filter(annotator=ben).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_submit_is_kept_before_anybody_is_waited_for(
    project: Project, ben: Person, client_for: Any, submit: Any
) -> None:
    """The only other task is locked by somebody. Ben's annotation is committed, and then the task is waited for."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no locks of rows")
    client = client_for(ben)
    make_task(project)
    held = take(project, ben)
    other = make_task(project)
    replies: list[Any] = []

    def send() -> None:
        try:
            replies.append(submit(client, {"id": held.public_id}, PREFERS_A, key="once", next=True))
        finally:
            connection.close()

    sender = threading.Thread(target=send)
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=other.pk)
        sender.start()
        sender.join(timeout=2)
        assert sender.is_alive(), "it waits for the task"
        assert Annotation.objects.filter(assignment=held).count() == 1
        kept = IdempotencyRecord.objects.get(key="once")
        assert kept.reply is not None
        assert (kept.status, kept.reply["counted"], kept.reply.get("next")) == (201, True, None)
    sender.join(timeout=60)
    (reply,) = replies
    assert (reply.status_code, reply.json()["counted"]) == (201, True)
    assert Assignment.objects.get(public_id=reply.json()["next"]["id"]).task == other
    kept.refresh_from_db()
    assert kept.reply == reply.json()
    assert Annotation.objects.filter(assignment=held).count() == 1
