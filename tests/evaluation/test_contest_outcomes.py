"""What a decision leads to: the winner serves without an override, the incumbent stays, or an admin is waited for."""

import random
from fractions import Fraction
from typing import Any

import pytest

from feedback.errors import GateBlocks
from feedback.models import Contest, ContestUnit, ContestVote, Deployment, Event, Person, Project, Task
from feedback.rules.evaluation import contest_evidence
from feedback.rules.evaluation.contest_evidence import UnitResult
from feedback.selectors.data import training_queries
from feedback.selectors.evaluation import contests as figures_of
from feedback.selectors.evaluation import gate
from feedback.selectors.platform import home
from feedback.services.evaluation import contest_outcomes
from feedback.services.registry import model_versions
from tests.evaluation.contest_story import begin, crowd, run, write
from tests.evaluation.test_open_a_contest import evaluate
from tests.factories import make_model, make_snapshot
from workers import housekeeping

pytestmark = pytest.mark.database
NO_GUARD = "safety_no_guard"  # the project has none, so that nothing could be tested; the finding only warns


def decided(project: Project, ada: Person, voters: list[Person], xs: list[float], **rules: Any) -> Contest:
    contest = begin(project, ada, **rules)
    write(contest)
    return run(contest, voters, xs)


def names(contest: Contest) -> list[str]:
    version = contest.plan.candidates.get().model_version
    return [one.name for one in gate.of(version).findings]


def test_the_winner_serves_without_an_override(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    contest = begin(project, ada, promote=True)
    candidate = contest.plan.candidates.get().model_version
    evaluate(candidate, contest.plan.incumbent)
    assert names(contest) == ["no_human_judge", NO_GUARD]
    assert "gate" not in [one.kind for one in home.needs_a_person(project)], "people are asked, so no admin is"
    write(contest)
    run(contest, [ben, chloe, *crowd(project, ada, 1)], [1] * 30)
    assert names(contest) == [NO_GUARD]
    assert model_versions.serving(project) == contest.plan.incumbent, "the vote itself promotes nothing"
    contest_outcomes.apply_decisions()
    deployment = Deployment.objects.get(project=project, until=None)
    assert (deployment.model_version, deployment.override_reason, deployment.findings) == (candidate, "", [])
    assert (deployment.deployed_by, deployment.note) == (ada, "People preferred it in a contest.")
    contest.refresh_from_db()
    assert contest.applied_at is not None and contest.refusal == []
    (evaluation,) = contest.evaluations.all()
    assert evaluation.decision == "promoted"
    contest_outcomes.apply_one(contest.pk)
    assert Deployment.objects.filter(model_version=candidate).count() == 1


def test_the_incumbent_is_kept(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    contest = decided(project, ada, [ben, chloe], [0] * 40, promote=True)
    assert contest.decision == "give_up"
    contest_outcomes.apply_decisions()
    assert model_versions.serving(project) == contest.plan.incumbent
    assert "people_prefer_the_incumbent" in names(contest)
    candidate = contest.plan.candidates.get().model_version
    with pytest.raises(GateBlocks, match="People prefer policy v1: policy v2 won 0 %"):
        model_versions.promote(by=ada, model_version=candidate)
    model_versions.promote(by=ada, model_version=candidate, override_reason="It is a demonstration.")
    deployment = Deployment.objects.get(project=project, until=None)
    assert deployment.override_reason and "people_prefer_the_incumbent" in [one["name"] for one in deployment.findings]


def test_what_the_votes_do_not_show_stays_unproven(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    contest = decided(project, ada, [ben, chloe], [1, 0] * 5, cap=8)
    assert contest.decision == "cap" and "not_shown_better" in names(contest)


def test_two_voters_are_too_few_for_an_automatic_promotion(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    contest = begin(project, ada, promote=True)
    candidate = contest.plan.candidates.get().model_version
    evaluate(candidate, contest.plan.incumbent)
    write(contest)
    run(contest, [ben, chloe], [1] * 30)
    contest_outcomes.apply_decisions()
    assert model_versions.serving(project) == contest.plan.incumbent
    contest.refresh_from_db()
    assert [one["name"] for one in contest.refusal] == ["fewer_than_three_voters"]
    assert Event.objects.get(verb="model.waits_for_decision").data == {"against": "fewer_than_three_voters"}
    assert names(contest) == ["fewer_than_three_voters", NO_GUARD], "an admin may promote it without a reason"
    assert model_versions.promote(by=ada, model_version=candidate).override_reason == ""


def test_findings_that_block_keep_the_winner_waiting(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    contest = begin(project, ada, promote=True)
    candidate = contest.plan.candidates.get().model_version
    write(contest)
    run(contest, [ben, chloe, *crowd(project, ada, 1)], [1] * 30)
    contest.plan.preconditions = "block"
    contest.plan.save()
    contest_outcomes.apply_decisions()
    contest.refresh_from_db()
    assert [one["name"] for one in contest.refusal] == ["not_evaluated"]
    assert model_versions.serving(project) == contest.plan.incumbent
    model_versions.promote(by=ada, model_version=candidate, override_reason="People decided.")


def test_with_findings_for_information_only_the_votes_decide_visibly(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    contest = begin(project, ada, promote=True)
    write(contest)
    run(contest, [ben, chloe, *crowd(project, ada, 1)], [1] * 30)
    contest_outcomes.apply_decisions()
    deployment = Deployment.objects.get(project=project, until=None)
    assert deployment.model_version == contest.plan.candidates.get().model_version
    assert deployment.override_reason == contest_outcomes.OVERRIDE
    assert [one["name"] for one in deployment.findings] == ["not_evaluated"]


def test_what_serves_has_changed_between_decision_and_promotion(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    contest = begin(project, ada, promote=True)
    other = make_model(project, ada)
    write(contest)
    run(contest, [ben, chloe, *crowd(project, ada, 1)], [1] * 30)
    contest.plan.preconditions = "block"
    contest.plan.save()
    model_versions.promote(by=ada, model_version=other, override_reason="It is urgent.")
    contest_outcomes.apply_decisions()
    contest.refresh_from_db()
    assert model_versions.serving(project) == other and "no_human_judge" in [one["name"] for one in contest.refusal]


def test_votes_train_only_after_the_decision(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    contest = begin(project, ada, cap=4)
    write(contest)
    run(contest, [ben, chloe], [1, 0, 1])
    policy = training_queries.Policy()
    assert training_queries.standing_pairs(project, policy).count() == 0
    assert make_snapshot(project, ada).manifest["left_out"]["contest_running"] == 3
    run(contest, [ben, chloe], [1])
    assert contest.plan.project_id == project.pk and Contest.objects.get().state == "decided"
    assert training_queries.standing_pairs(project, policy).count() == 4
    assert "contest_running" not in make_snapshot(project, ada).manifest["left_out"]


def test_a_kill_between_decision_and_promotion_is_healed(
    project: Project, ada: Person, ben: Person, chloe: Person, knocks: list[object]
) -> None:
    """No message of a decision arrives, and housekeeping finds it."""
    contest = begin(project, ada, promote=True)
    write(contest)
    run(contest, [ben, chloe, *crowd(project, ada, 1)], [1] * 30)
    assert model_versions.serving(project) == contest.plan.incumbent
    housekeeping.sweep()
    assert model_versions.serving(project) == contest.plan.candidates.get().model_version
    assert not Task.objects.filter(contest=contest, state="open").exists()


def test_the_service_decides_as_the_pure_rules_do(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    voters = [ben, chloe, *crowd(project, ada, 1)]
    found = [as_the_rules_do(project, ada, voters, 1, rate) for rate in (0.9, 0.5, 0.1)]
    found += [as_the_rules_do(project, ada, voters, 3, rate) for rate in (0.9, 0.5)]
    assert found[0] == "promote" and "cap" in found


@pytest.mark.long
def test_forty_contests_decide_as_the_pure_rules_do(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    voters = [ben, chloe, *crowd(project, ada, 1)]
    found = []
    for votes_per_unit in (1, 3):
        found += [as_the_rules_do(project, ada, voters, votes_per_unit, 0.05 + 0.9 * n / 19) for n in range(20)]
    assert len(found) == 40 and set(found) == {"promote", "give_up", "cap"}


def as_the_rules_do(project: Project, ada: Person, voters: list[Person], votes_per_unit: int, rate: float) -> str:
    """A contest on given votes: decision, the unit that decides and the evidence are those of the rules."""
    rng = random.Random(f"{votes_per_unit} {rate}")
    xs = [float(rng.random() < rate) for _ in range(24 * votes_per_unit)]
    contest = begin(project, ada, votes_per_unit=votes_per_unit, cap=20 * votes_per_unit)
    run(contest, voters, xs)
    contest.refresh_from_db()
    given = [xs[start : start + votes_per_unit] for start in range(0, len(xs), votes_per_unit)]
    results = [UnitResult(Fraction(int(2 * sum(group)), 2 * votes_per_unit)) for group in given]
    replayed = contest_evidence.replay([(0, one) for one in results], figures_of.design_of(contest.plan, 1))
    complete = ContestUnit.objects.filter(contest=contest, state="complete").count()
    assert (contest.decision, complete) == (replayed.decision.outcome, replayed.units)
    assert contest.evidence == [one.stored() for one in replayed.evidences]
    assert ContestVote.objects.filter(unit__contest=contest).count() == replayed.units * votes_per_unit
    contest_outcomes.apply_one(contest.pk)
    return contest.decision
