"""A contest takes its share of the annotators' tasks, and one with several candidates asks about the promising ones."""

import math
from collections import Counter
from random import Random

import pytest

from feedback.models import Contest, ContestUnit, Person, Project
from feedback.services.collection import annotations, candidate_sources
from feedback.services.evaluation import contest_supply, contests
from feedback.services.evaluation.contests import Rules
from tests.evaluation.contest_story import REPORT, answer, begin, crowd, fresh, take, write
from tests.factories import make_model, make_task

pytestmark = pytest.mark.database


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_sources, "chance", Random(7))


@pytest.mark.usefixtures("seeded")
def test_it_takes_its_share(project: Project, ada: Person, ben: Person) -> None:
    Project.objects.update(queue_policy={"gold_share": 0})
    contest = begin(project, ada, prompts=40, share=0.25)
    for _ in range(3):
        ContestUnit.objects.filter(state="ready").update(state="open")
        contest_supply.supply(contest.pk)
        write(contest)
    ContestUnit.objects.update(state="ready")
    for _ in range(40):
        make_task(project)
    project.refresh_from_db()
    arms: Counter[tuple[str, float]] = Counter()
    for _ in range(36):
        held = take(project, ben)
        arms[held.arm, held.propensity] += 1
        annotations.submit(assignment=held, answer={"outcome": "tie"})
    assert set(arms) == {("contest", 0.25), ("queue", 0.75)}
    assert 4 <= arms["contest", 0.25] <= 14


def test_with_nothing_else_to_do_it_is_given_whatever_its_share(project: Project, ada: Person, ben: Person) -> None:
    Project.objects.update(queue_policy={"gold_share": 0})
    contest = begin(project, ada, share=0.01)
    write(contest)
    project.refresh_from_db()
    for _ in range(3):
        held = take(project, ben)
        assert held.task.contest_id == contest.pk
        annotations.submit(assignment=held, answer={"outcome": "tie"})


def test_one_who_asks_for_another_kind_gets_none(project: Project, ada: Person, ben: Person) -> None:
    from feedback.services.collection.assignment_queue import NoTask, next_assignment

    contest = begin(project, ada)
    write(contest)
    assert isinstance(next_assignment(project=project, annotator=ben, kind="rating"), NoTask)
    found = next_assignment(project=project, annotator=ben, kind="comparison")
    assert not isinstance(found, NoTask) and found.task.contest_id == contest.pk


def test_several_candidates_share_one_alpha(project: Project, ada: Person) -> None:
    make_model(project, ada, serve=True)
    candidates = [make_model(project, ada) for _ in range(3)]
    voters = crowd(project, ada, 4)
    fresh(project, 4)
    rules = Rules(preconditions=REPORT, share=1.0)
    contest = contests.open_contest(by=ada, project=project, candidates=candidates, rules=rules)
    for turn in range(200):
        contest.refresh_from_db()
        if contest.state != Contest.State.RUNNING:
            break
        if not ContestUnit.objects.filter(contest=contest, state="ready").exists():
            fresh(project, 4)
            contest_supply.supply(contest.pk)
            write(contest)
        held = take(project, voters[turn % 4])
        candidate = ContestUnit.objects.get(task=held.task_id).candidate
        x = 1 if candidate.position == 1 else turn % 2
        annotations.submit(assignment=held, answer=answer(held, x))
    assert contest.decision == "promote" and contest.winner is not None and contest.winner.position == 1
    assert contest.winner.model_version == candidates[1]
    units = ContestUnit.objects.filter(contest=contest)
    last = units.filter(candidate=contest.winner, log_e_after__isnull=False).order_by("-number").first()
    assert last is not None and last.log_e_after is not None and last.log_e_after >= math.log(3 / 0.05)
    asked = Counter(units.values_list("candidate__position", flat=True))
    assert set(asked) == {0, 1, 2} and asked[1] > max(asked[0], asked[2])
    assert all(0.1 <= one < 1 for one in units.values_list("propensity", flat=True))
