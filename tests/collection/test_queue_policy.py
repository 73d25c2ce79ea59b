"""Who is given what: checks mixed in, kinds by weight, what a member may do, how much in a day. Each says why."""

import random
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from feedback.errors import Invalid
from feedback.models import Annotation, Assignment, Person, Project, QueueCursor, Task
from feedback.services.collection import annotations, assignment_queue, candidate_sources
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.platform import projects
from tests.factories import PREFERS_A, make_task, take
from tests.kinds import make_kind

pytestmark = pytest.mark.database

GOLD = {"outcome": "prefer", "choice": "a"}
ANSWERS: dict[str, Any] = {"comparison": PREFERS_A, "rating": {"ratings": {"truthful": 4}}}


@pytest.fixture(autouse=True)
def told_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance that is the same in every run."""
    monkeypatch.setattr(candidate_sources, "chance", random.Random(7))


def set_policy(project: Project, by: Person, **policy: Any) -> None:
    projects.update_project(by=by, project=project, queue_policy=policy)


def do_all(project: Project, person: Person) -> list[Assignment]:
    """Everything this person is given, in order."""
    done = []
    while isinstance(found := assignment_queue.next_assignment(project=project, annotator=person), Assignment):
        annotations.submit(assignment=found, answer=ANSWERS[found.task.kind])
        done.append(found)
    return done


def nothing_for(project: Project, person: Person, **options: Any) -> NoTask:
    found = assignment_queue.next_assignment(project=project, annotator=person, **options)
    assert isinstance(found, NoTask), found
    return found


class TestLooking:
    def test_who_finds_nothing_writes_nothing(self, project: Project, ben: Person) -> None:
        annotations.submit(assignment=take_new(project, ben), answer=PREFERS_A)
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert nothing_for(project, ben).reason == "all_seen"
        said = [query["sql"].split()[0] for query in seen.captured_queries]
        assert set(said) == {"SELECT"} and len(said) <= 6, said

    def test_who_asks_again_within_the_minute_writes_nothing(self, project: Project, ben: Person) -> None:
        held = take_new(project, ben)
        with CaptureQueriesContext(connection) as seen:
            assert take(project, ben) == held
        assert {query["sql"].split()[0] for query in seen.captured_queries} == {"SELECT"}


def take_new(project: Project, person: Person) -> Assignment:
    make_task(project)
    return take(project, person)

    def test_what_cannot_be_claimed_is_passed_over(self, project: Project, ada: Person, ben: Person) -> None:
        """A check without room, which no service makes, neither stops the queue nor is given."""
        set_policy(project, ada, gold_share=1)
        make_task(project, gold=GOLD)
        Task.objects.update(free_slots=0)
        assert nothing_for(project, ben).reason == "no_tasks"


class TestChecks:
    def test_mixed_in_at_their_share_never_two_in_a_row_each_once(
        self, project: Project, ada: Person, ben: Person
    ) -> None:
        set_policy(project, ada, gold_share=0.25)
        for _ in range(60):
            make_task(project)
        checks = {make_task(project, gold=GOLD).pk for _ in range(40)}
        done = do_all(project, ben)
        is_check = [one.task_id in checks for one in done]
        assert len({one.task_id for one in done}) == len(done)
        assert is_check.count(False) == 60, "the ordinary ones are all done"
        assert 12 <= is_check.count(True) <= 28, "20 of 80 is the share asked for"
        assert not any(a and b for a, b in pairwise(is_check))
        assert {one.arm for one in done if one.task_id in checks} == {"gold"}
        assert {one.arm for one in done if one.task_id not in checks} == {"queue"}
        chances = {round(one.propensity, 4) for one in done if one.task_id in checks}
        assert chances == {0.3333}

    def test_everybody_meets_them_in_another_order(
        self, project: Project, ada: Person, ben: Person, chloe: Person
    ) -> None:
        set_policy(project, ada, gold_share=1)
        checks = [make_task(project, gold=GOLD).pk for _ in range(8)]
        mine, theirs = ([one.task_id for one in do_all(project, person)] for person in (ben, chloe))
        assert sorted(mine) == sorted(theirs) == sorted(checks)
        assert mine != theirs
        assert nothing_for(project, ben).reason == "no_tasks"

    def test_none_without_a_share(self, project: Project, ada: Person, ben: Person) -> None:
        set_policy(project, ada, gold_share=0)
        check, ordinary = make_task(project, gold=GOLD), make_task(project)
        assert [one.task_id for one in do_all(project, ben)] == [ordinary.pk]
        assert check.assignments.count() == 0

    def test_the_queue_stands_in_where_no_check_is_left(self, project: Project, ada: Person, ben: Person) -> None:
        """It would have been its turn in any case: its propensity is 1."""
        set_policy(project, ada, gold_share=0.3)
        for _ in range(12):
            make_task(project)
        given = {round(one.propensity, 4) for one in do_all(project, ben)}
        assert given == {0.5714, 1.0}


class TestKinds:
    def test_mixed_by_weight(self, project: Project, ada: Person, ben: Person) -> None:
        for _ in range(40):
            make_kind(project, "comparison")
            make_kind(project, "rating")
        set_policy(project, ada, kind_weights={"comparison": 1, "rating": 3})
        first = []
        for _ in range(40):
            found = take(project, ben)
            annotations.submit(assignment=found, answer=ANSWERS[found.task.kind])
            first.append(found)
        counts = Counter(one.task.kind for one in first)
        assert 24 <= counts["rating"] <= 36 and counts["comparison"] == 40 - counts["rating"]
        # Five more kinds have no tasks; a draw that names one of them falls through to those that have.
        assert all(one.arm == "queue" and 0 < one.propensity <= 1 for one in first)
        assert set(QueueCursor.objects.values_list("kind", flat=True)) == {"", "comparison", "rating"}

    def test_a_weight_of_nothing_is_never_given_out(self, project: Project, ada: Person, ben: Person) -> None:
        make_kind(project, "rating")
        set_policy(project, ada, kind_weights={"rating": 0})
        assert nothing_for(project, ben).reason == "all_seen"

    def test_what_is_urgent_comes_before_the_draw(self, project: Project, ada: Person, ben: Person) -> None:
        for _ in range(4):
            make_kind(project, "rating")
        set_policy(project, ada, kind_weights={"comparison": 1, "rating": 100})
        urgent = make_task(project, priority=5)
        project.refresh_from_db()
        found = take(project, ben)
        assert (found.task_id, found.arm) == (urgent.pk, "priority")


class TestMembers:
    def test_only_what_one_is_qualified_for(self, project: Project, ada: Person, ben: Person, chloe: Person) -> None:
        make_kind(project, "comparison")
        projects.qualify(by=ada, project=project, person=ben, qualified={"kinds": ["rating"]}, daily_limit=None)
        why = nothing_for(project, ben)
        assert why.reason == "not_qualified" and "Ask an admin" in why.sentence
        assert nothing_for(project, ben, kind="comparison").reason == "not_qualified"
        assert take(project, chloe).task.kind == "comparison"
        rating = make_kind(project, "rating")
        assert take(project, ben).task_id == rating.pk

    def test_label_schemes_too(self, project: Project, ada: Person, ben: Person) -> None:
        make_kind(project, "classification", scheme="folder")
        topic = make_kind(project, "classification", scheme="topic")
        projects.qualify(by=ada, project=project, person=ben, qualified={"schemes": ["topic"]}, daily_limit=None)
        found = take(project, ben)
        assert found.task_id == topic.pk
        annotations.submit(assignment=found, answer={"labels": ["device"]})
        assert nothing_for(project, ben).reason == "all_seen"

    def test_a_day_has_its_limit_and_the_next_day_begins_anew(self, project: Project, ada: Person, ben: Person) -> None:
        for _ in range(4):
            make_task(project)
        set_policy(project, ada, daily_limit=2)
        annotations.submit(assignment=take(project, ben), answer=PREFERS_A)
        held = take(project, ben)
        assert nothing_for(project, ben, ahead=True).reason == "daily_limit", "what is held counts"
        annotations.submit(assignment=held, answer=PREFERS_A)
        why = nothing_for(project, ben)
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        assert (why.reason, "00:00 UTC" in why.sentence) == ("daily_limit", True)
        assert abs(why.retry_after - (midnight - timezone.now()).total_seconds()) < 30

        Annotation.objects.update(created_at=timezone.now() - timedelta(days=1))
        assert take(project, ben)

    def test_a_member_may_have_a_limit_of_their_own(self, project: Project, ada: Person, ben: Person) -> None:
        make_task(project)
        make_task(project)
        set_policy(project, ada, daily_limit=1)
        projects.qualify(by=ada, project=project, person=ben, qualified={}, daily_limit=2)
        assert len(do_all(project, ben)) == 2

    def test_a_paused_project_takes_what_is_held(self, project: Project, ada: Person, ben: Person) -> None:
        held = take_new(project, ben)
        projects.set_state(by=ada, project=project, state="paused")
        assert nothing_for(project, ben).reason == "project_paused"
        annotations.submit(assignment=held, answer=PREFERS_A)
        assert held.counted


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"gold_share": 0.5}, "gold_share"),
        ({"gold_share": True}, "gold_share"),
        ({"kind_weights": {"poem": 1}}, "kind_weights.poem"),
        ({"kind_weights": {"rating": 1.5}}, "kind_weights.rating"),
        ({"daily_limit": 0}, "daily_limit"),
        ({"training_pass": 101}, "training_pass"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(project: Project, ada: Person, policy: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        set_policy(project, ada, **policy)
    assert caught.value.field == f"queue_policy.{field}"
    project.refresh_from_db()
    assert project.queue_policy == {}
