"""Votes of a contest: each counted once, in the order in which units were handed out, until the votes decide."""

import math
from fractions import Fraction

import pytest
from django.db.models import Count

from feedback.errors import AlreadySubmitted
from feedback.models import (
    Assignment,
    Contest,
    ContestUnit,
    ContestVote,
    Event,
    Person,
    Project,
    Task,
)
from feedback.rules.evaluation import contest_evidence
from feedback.rules.evaluation.contest_evidence import UnitResult
from feedback.selectors.evaluation import contests as figures_of
from feedback.services.collection import annotations, assignment_queue, assignments
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.evaluation import contest_supply, contest_units, contests
from feedback.services.platform import projects
from tests.evaluation.contest_story import answer, begin, crowd, fresh, run, take, vote, write
from tests.factories import make_task

pytestmark = pytest.mark.database


@pytest.fixture
def contest(project: Project, ada: Person) -> Contest:
    contest = begin(project, ada)
    write(contest)
    return contest


def test_a_unit_gets_its_number_when_it_is_handed_out(
    project: Project, ben: Person, chloe: Person, contest: Contest
) -> None:
    assert ContestUnit.objects.filter(state="ready", number=None).count() == 4
    first, second = take(project, ben), take(project, chloe)
    assert first.task_id != second.task_id
    numbers = dict(ContestUnit.objects.filter(number__isnull=False).values_list("task_id", "number"))
    assert numbers == {first.task_id: 1, second.task_id: 2}
    assert first.arm == "contest"
    assert round(first.propensity, 6) in (round(8 / 9, 6), 1.0)  # gold tasks come first, and there are none
    assert take(project, ben).pk == first.pk
    contest.refresh_from_db()
    assert contest.next_number == 3


def test_a_vote_is_counted_once(project: Project, ben: Person, contest: Contest) -> None:
    held = take(project, ben)
    annotation = annotations.submit(assignment=held, answer=answer(held, 1))
    with pytest.raises(AlreadySubmitted):
        annotations.submit(assignment=held, answer=answer(held, 0))
    counted = ContestVote.objects.get()
    assert (counted.annotation, counted.annotator, counted.halves) == (annotation, ben, 2)
    unit = ContestUnit.objects.get(task=held.task_id)
    assert (unit.state, unit.votes, unit.halves, unit.x, unit.number) == ("complete", 1, 2, 1.0, 1)
    contest.refresh_from_db()
    assert contest.evidence[0]["counts"] == [0, 0, 1] and contest.folded == [1]


@pytest.mark.parametrize(("outcome", "x"), [("tie", 0.5), ("both_bad", 0.5)])
def test_a_tie_is_half_a_win(project: Project, ben: Person, contest: Contest, outcome: str, x: float) -> None:
    held = take(project, ben)
    annotations.submit(assignment=held, answer={"outcome": outcome})
    assert ContestUnit.objects.get(task=held.task_id).x == x


def test_the_evidence_waits_for_the_unit_that_was_handed_out_first(
    project: Project, ben: Person, chloe: Person, contest: Contest
) -> None:
    slow, fast = take(project, ben), take(project, chloe)
    annotations.submit(assignment=fast, answer=answer(fast, 1))
    contest.refresh_from_db()
    assert (contest.folded, contest.evidence[0]["counts"]) == ([0], [0, 0, 0])
    assert figures_of.figures(contest).waiting == 1
    annotations.submit(assignment=slow, answer=answer(slow, 0))
    contest.refresh_from_db()
    assert (contest.folded, contest.evidence[0]["counts"]) == ([2], [1, 0, 1])
    first, second = ContestUnit.objects.filter(number__isnull=False).order_by("number")
    assert first.log_e_after is not None and second.log_e_after is not None
    assert first.log_e_after < second.log_e_after < 0


def test_three_votes_make_a_unit(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    contest = begin(project, ada, votes_per_unit=3)
    write(contest)
    (third,) = crowd(project, ada, 1)
    unit = vote(project, ben, 1)
    assert (unit.state, unit.votes, unit.x) == ("open", 1, None)
    assert vote(project, chloe, 0.5) == unit, "a unit that was begun comes before others"
    done = vote(project, third, 0)
    assert (done.pk, done.state, done.votes, done.x) == (unit.pk, "complete", 3, 0.5)
    contest.refresh_from_db()
    assert contest.evidence[0]["counts"] == [0, 0, 0, 1, 0, 0, 0]


def test_a_vote_may_change_until_its_unit_is_complete(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    contest = begin(project, ada, votes_per_unit=2)
    write(contest)
    held = take(project, ben)
    annotations.submit(assignment=held, answer=answer(held, 1))
    annotations.revise(assignment=held, answer=answer(held, 0), by=ben)
    unit = ContestUnit.objects.get(task=held.task_id)
    assert (unit.votes, unit.halves) == (1, 0)
    annotations.withdraw(assignment=held, by=ben)
    unit.refresh_from_db()
    assert (unit.votes, unit.halves, unit.state) == (0, 0, "open") and not ContestVote.objects.exists()
    assert Task.objects.get(pk=held.task_id).free_slots == 2, "somebody else is asked in his place"
    assert vote(project, chloe, 1) == unit
    (third,) = crowd(project, ada, 1)
    assert vote(project, third, 1).x == 1.0


def test_a_complete_unit_stays_whatever_becomes_of_its_vote(project: Project, ben: Person, contest: Contest) -> None:
    held = take(project, ben)
    annotations.submit(assignment=held, answer=answer(held, 1))
    annotations.revise(assignment=held, answer=answer(held, 0), by=ben)
    unit = ContestUnit.objects.get(task=held.task_id)
    assert (unit.x, unit.state) == (1.0, "complete")
    contest.refresh_from_db()
    found = figures_of.figures(contest)
    assert (found.revised, found.votes) == (1, 1)
    (now,) = found.revised_log_e
    assert found.candidates[0].log_e > 0 > now, "what the evidence would be is told"
    annotations.withdraw(assignment=held, by=ben)
    unit.refresh_from_db()
    assert (unit.x, unit.state, unit.votes) == (1.0, "complete", 1)
    assert figures_of.figures(contest).revised_log_e == [now], "a vote taken back is as bad as one against"
    assert not Task.objects.filter(contest=contest, pk=held.task_id, free_slots__gt=0).exists(), "nobody is asked again"


def test_a_skip_and_an_expiry_refill_the_place(project: Project, ben: Person, chloe: Person, contest: Contest) -> None:
    skipped = take(project, ben)
    assignments.skip(assignment=skipped, reason="unclear")
    assert take(project, chloe).task_id == skipped.task_id, "the number was given, so others wait for it"
    Assignment.objects.filter(annotator=chloe).update(held_until="2020-01-01T00:00:00Z")
    assert assignments.release_expired() == 1
    assert vote(project, chloe, 1).number == 1
    assert vote(project, ben, 1).number == 2


def test_a_unit_that_keeps_others_waiting_for_a_day_is_void(
    project: Project, ben: Person, chloe: Person, contest: Contest
) -> None:
    slow = take(project, ben)
    vote(project, chloe, 1)
    assert contest_units.void_left() == 0
    ContestUnit.objects.filter(state="complete").update(completed_at="2020-01-01T00:00:00Z")
    assert contest_units.void_left() == 1
    unit = ContestUnit.objects.get(task=slow.task_id)
    assert (unit.state, unit.why_void) == ("void", "stale")
    contest.refresh_from_db()
    assert (contest.voided, contest.folded) == (1, [2])
    stored = contest.evidence[0]
    assert (stored["counts"], stored["generous"]) == ([1, 0, 1], [0, 0, 2]), "what it lacks counts against either side"
    annotations.submit(assignment=slow, answer=answer(slow, 0))
    contest.refresh_from_db()
    assert contest.evidence[0] == stored, "an answer that comes too late changes nothing"
    assert contest_units.void_left() == 0


def test_identical_texts_need_nobody(project: Project, ada: Person) -> None:
    contest = begin(project, ada)
    write(contest, "Restart it.", "Restart it.")
    assert not Task.objects.filter(contest=contest).exists()
    assert list(ContestUnit.objects.values_list("state", "x", "votes").distinct()) == [("complete", 0.5, 0)]
    contest.refresh_from_db()
    assert contest.folded == [4] and contest.evidence[0]["counts"] == [0, 4, 0]
    assert figures_of.figures(contest).identical == 4


def test_ties_prove_nothing(project: Project, ben: Person, chloe: Person, contest: Contest) -> None:
    run(contest, [ben, chloe], [0.5] * 9)
    contest.refresh_from_db()
    evidence = contest_evidence.restore(contest.evidence[0])
    assert evidence.units == 9 and evidence.peak == 0.0
    assert contest_evidence.log_e(evidence, 0.5) == pytest.approx(0.0, abs=1e-12)


def test_failed_responses_make_a_void_unit(project: Project, ada: Person, ben: Person) -> None:
    contest = begin(project, ada)
    write(contest, ours=None)
    assert set(ContestUnit.objects.values_list("state", "why_void", "number")) == {("void", "failed", None)}
    contest.refresh_from_db()
    assert contest.voided == 4
    for _ in range(3):
        fresh(project, 4)
        contest_supply.supply(contest.pk)
        write(contest, ours=None)
    contest.refresh_from_db()
    assert contest.state == "paused", "a model that writes nothing is not asked for ever"
    assert Event.objects.get(verb="contest.paused").data == {"reason": "responses could not be generated"}
    contests.resume(by=ada, contest=contest)
    fresh(project, 4)
    assert contest_supply.supply(contest.pk) == 4, "an admin may try again"


def test_people_decide(project: Project, ada: Person, ben: Person, chloe: Person, contest: Contest) -> None:
    (third,) = crowd(project, ada, 1)
    run(contest, [ben, chloe, third], [1] * 30)
    contest.refresh_from_db()
    assert (contest.state, contest.decision) == ("decided", "promote")
    assert contest.winner is not None and contest.winner.position == 0 and contest.decided_at is not None
    *_, before, last = (point.log_e for point in figures_of.figures(contest).candidates[0].curve)
    assert last >= math.log(20) > before
    told = Event.objects.get(verb="contest.decided")
    assert told.data["decision"] == "promote" and told.data["winner"] == str(contest.winner.model_version.public_id)


def test_a_vote_after_the_decision_changes_nothing(
    project: Project, ada: Person, ben: Person, chloe: Person, contest: Contest
) -> None:
    held = take(project, ben)
    voters = crowd(project, ada, 2)
    Contest.objects.filter(pk=contest.pk).update(state="decided", decision="cap")
    annotations.submit(assignment=held, answer=answer(held, 1))
    contest.refresh_from_db()
    assert contest.evidence[0]["counts"] == [0, 0, 0] and not ContestVote.objects.exists()
    assert make_task(project) == take(project, voters[0]).task, "tasks of it are given to nobody"


def test_the_stored_evidence_is_that_of_the_units(
    project: Project, ben: Person, chloe: Person, contest: Contest
) -> None:
    run(contest, [ben, chloe], [1, 0, 0.5, 1, 1, 0, 1, 0.5, 1])
    contest.refresh_from_db()
    design = figures_of.design_of(contest.plan, 1)
    xs = [
        UnitResult(Fraction(unit.halves, 2)) for unit in ContestUnit.objects.filter(state="complete").order_by("number")
    ]
    assert contest_evidence.recompute(xs, design).stored() == contest.evidence[0]
    last = ContestUnit.objects.filter(log_e_after__isnull=False).order_by("-number").first()
    assert last is not None and last.log_e_after == contest_evidence.log_e(contest_evidence.recompute(xs, design), 0.5)


def test_who_can_read_authors_is_not_asked(
    project: Project, hana: Person, ada: Person, rosa: Person, ben: Person, contest: Contest
) -> None:
    own = make_task(project)
    for person in (ada, rosa):
        assert take(project, person).task == own
    held = take(project, ben)
    assert held.task.contest_id == contest.pk
    projects.set_member(by=hana, project=project, person=ben, role="reviewer")
    annotations.submit(assignment=held, answer=answer(held, 1))
    held.refresh_from_db()
    assert not held.counted and not ContestVote.objects.exists()
    assert Task.objects.get(pk=held.task_id).free_slots == 1, "somebody else is asked in his place"


def test_with_five_at_work_nobody_gets_more_than_a_quarter(project: Project, ada: Person, ben: Person) -> None:
    contest = begin(project, ada, prompts=40)
    others = crowd(project, ada, 4)
    write(contest)
    for person in [ben, *others[:3]]:
        vote(project, person, 0.5)
    contest_supply.supply(contest.pk)
    write(contest)
    for person in others[3:]:
        vote(project, person, 0.5)
    contest_supply.supply(contest.pk)
    write(contest)
    vote(project, ben, 0.5)
    assert isinstance(assignment_queue.next_assignment(project=project, annotator=ben), NoTask), "two of six are his"
    for person in others:
        vote(project, person, 0.5)
    votes = dict(ContestVote.objects.values_list("annotator").annotate(votes=Count("pk")))
    assert sorted(votes.values()) == [2] * 5
    assert isinstance(assignment_queue.next_assignment(project=project, annotator=ben), NoTask)
    Contest.objects.update(next_number=12)
    contest_supply.supply(contest.pk)
    write(contest)
    assert take(project, ben).task.contest_id == contest.pk, "a quarter of twelve is three"
