"""Many annotators at once: every unit one number, every vote once, and one order of the evidence."""

import random
import threading
from fractions import Fraction
from typing import Any

import pytest
from django.db import connection

from feedback.db.unit_of_work import WouldWait, unit_of_work
from feedback.errors import AlreadySubmitted
from feedback.models import Assignment, Contest, ContestUnit, ContestVote, Person, Project
from feedback.rules.evaluation import contest_evidence
from feedback.rules.evaluation.contest_evidence import UnitResult
from feedback.selectors.evaluation import contests as figures_of
from feedback.services.collection import annotations, assignment_queue
from feedback.services.evaluation import contest_supply
from tests.evaluation.contest_story import answer, begin, crowd, write

pytestmark = pytest.mark.database
VOTERS = 6


class Voter:
    """Votes until there is nothing left: twice at once, and with the next task asked for in the same transaction."""

    def __init__(self, project: Project, person: Person, seed: int) -> None:
        self.project, self.person, self.chance = project, person, random.Random(seed)
        self.failures: list[BaseException] = []

    def work(self) -> None:
        try:
            for _ in range(40):
                held = assignment_queue.next_assignment(project=self.project, annotator=self.person)
                if not isinstance(held, Assignment):
                    return
                self.vote(held)
        except BaseException as failure:  # noqa: BLE001 - told by the test's own thread
            self.failures.append(failure)
        finally:
            connection.close()

    def vote(self, held: Assignment) -> None:
        said = answer(held, self.chance.choice([0, 0.5, 1]))
        try:
            with unit_of_work():
                annotations.submit(assignment=held, answer=said)
                if self.chance.random() < 0.5:
                    assignment_queue.next_assignment(project=self.project, annotator=self.person, ahead=True)
        except WouldWait:
            annotations.submit(assignment=held, answer=said)
        with pytest.raises(AlreadySubmitted):
            annotations.submit(assignment=held, answer=said)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("votes_per_unit", [1, 2])
def test_everybody_votes_at_once(project: Project, ada: Person, votes_per_unit: int) -> None:
    contest = begin(project, ada, prompts=30, votes_per_unit=votes_per_unit)
    people = crowd(project, ada, VOTERS)
    for _ in range(5):
        ContestUnit.objects.filter(contest=contest, state="ready").update(state="open")
        contest_supply.supply(contest.pk)
        write(contest)
    ContestUnit.objects.filter(contest=contest, state="open", number=None).update(state="ready")
    units = ContestUnit.objects.filter(contest=contest).count()
    assert units >= 20
    voters = [Voter(project, person, seed) for seed, person in enumerate(people)]
    threads = [threading.Thread(target=voter.work) for voter in voters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert [failure for voter in voters for failure in voter.failures] == []

    contest.refresh_from_db()
    numbered = ContestUnit.objects.filter(number__isnull=False).order_by("number")
    assert list(numbered.values_list("number", flat=True)) == list(range(1, contest.next_number))
    complete = list(ContestUnit.objects.filter(state="complete").order_by("number"))
    assert all(unit.votes == votes_per_unit for unit in complete)
    assert ContestVote.objects.count() == sum(ContestUnit.objects.values_list("votes", flat=True))
    counted = Assignment.objects.filter(task__contest=contest, counted=True).count()
    assert ContestVote.objects.count() == counted
    design = figures_of.design_of(contest.plan, 1)
    folded = [unit for unit in complete if unit.log_e_after is not None]
    evidence = contest_evidence.start(design)
    for unit in folded:
        evidence = contest_evidence.fold(evidence, UnitResult(Fraction(unit.halves, 2 * votes_per_unit)), design)
        assert unit.log_e_after == contest_evidence.log_e(evidence, 0.5)
    assert evidence.stored() == contest.evidence[0] and len(folded) >= 15


@pytest.mark.django_db(transaction=True)
def test_two_supplies_at_once_ask_for_nothing_twice(project: Project, ada: Person) -> None:
    contest = begin(project, ada, prompts=30)
    ContestUnit.objects.update(state="open")
    failures: list[Any] = []

    def work() -> None:
        try:
            contest_supply.supply(contest.pk)
        except BaseException as failure:  # noqa: BLE001 - told by the test's own thread
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert failures == []
    assert ContestUnit.objects.filter(state="preparing").count() == 4
    assert Contest.objects.get().plan.project == project
