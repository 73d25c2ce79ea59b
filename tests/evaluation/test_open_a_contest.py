"""A contest is opened with a plan that never changes, paused, resumed and stopped; findings may block it."""

from typing import Any

import pytest

from feedback.errors import (
    Conflict,
    ContestBlocked,
    ContestRunning,
    Invalid,
    InvalidTransition,
    ModelNotPromotable,
    NoServingModel,
    ProjectClosed,
)
from feedback.models import (
    Chain,
    Contest,
    ContestPlan,
    ContestUnit,
    Evaluation,
    Event,
    Job,
    ModelVersion,
    Person,
    Project,
    Response,
    Task,
)
from feedback.services.collection.generation import AWAITED
from feedback.services.evaluation import contest_outcomes, contest_supply, contests
from feedback.services.evaluation.contests import Rules
from feedback.services.registry import model_versions
from feedback.services.training import pipelines
from tests.evaluation.contest_story import REPORT, begin, fresh, run, two_policies, write
from tests.factories import make_model, make_prompt, make_prompt_in

pytestmark = pytest.mark.database

SOUND: dict[str, Any] = {
    "prompts": 20,
    "policy": {"eos_rate": 0.95, "entropy": 0.8, "repetition": 0.03, "length": 18.0},
    "incumbent": {"eos_rate": 0.9, "entropy": 1.3, "repetition": 0.02, "length": 16.0},
}


def evaluate(candidate: ModelVersion, incumbent: ModelVersion, **changes: Any) -> Evaluation:
    return Evaluation.objects.create(
        project=candidate.project, candidate=candidate, incumbent=incumbent, metrics=SOUND | changes
    )


def names(findings: list[dict[str, str]]) -> list[str]:
    return [one["name"] for one in findings]


def test_a_plan_says_all_that_decides(project: Project, ada: Person) -> None:
    incumbent, candidate = two_policies(project, ada)
    evaluate(candidate, incumbent)
    contest = contests.open_contest(by=ada, project=project, candidates=[candidate], rules=Rules(cap=300, promote=True))
    plan = ContestPlan.objects.get()
    assert (plan.incumbent, plan.opened_by, plan.promote, plan.preconditions) == (incumbent, ada, True, "block")
    assert (plan.alpha, plan.null_mean, plan.futility_mean, plan.futility_limit) == (0.05, 0.5, 0.525, 10.0)
    assert (plan.cap, plan.votes_per_unit, plan.share, len(plan.bets)) == (300, 1, 0.5, 16)
    assert plan.sampling == {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48, "best_of": 1}
    assert [one.model_version for one in plan.candidates.all()] == [candidate]
    assert (contest.state, contest.findings, contest.next_number, contest.folded) == ("running", [], 1, [0])
    assert Event.objects.get(verb="contest.opened").actor == ada


def test_findings_block_a_contest_or_are_kept_with_it(project: Project, ada: Person) -> None:
    incumbent, candidate = two_policies(project, ada)
    with pytest.raises(ContestBlocked) as refused:
        contests.open_contest(by=ada, project=project, candidates=[candidate])
    assert names(refused.value.extra["findings"]) == ["not_evaluated"]
    evaluate(candidate, incumbent, policy=SOUND["policy"] | {"eos_rate": 0.5, "length": 40.0})
    with pytest.raises(ContestBlocked) as refused:
        contests.open_contest(by=ada, project=project, candidates=[candidate])
    assert names(refused.value.extra["findings"]) == ["eos_rate"] and "The EOS rate is 50 %" in refused.value.sentence
    assert not Contest.objects.exists() and not ContestPlan.objects.exists()
    contest = contests.open_contest(by=ada, project=project, candidates=[candidate], rules=Rules(preconditions=REPORT))
    assert names(contest.findings) == ["eos_rate", "length"]


def test_what_cannot_compete_is_refused(project: Project, other_project: Project, ada: Person, dan: Person) -> None:
    elsewhere = make_model(other_project, dan)
    alone = make_model(project, ada)  # the first policy serves at once

    def refused(error: type[Exception], *candidates: ModelVersion, **rules: Any) -> None:
        with pytest.raises(error):
            contests.open_contest(
                by=ada, project=project, candidates=candidates, rules=Rules(**({"preconditions": REPORT} | rules))
            )

    refused(Conflict, alone)
    refused(Invalid, elsewhere)
    refused(Invalid)
    refused(Invalid, make_model(project, ada, stage="reward"))
    candidate = make_model(project, ada)
    refused(Invalid, candidate, candidate)
    for name, value in [("share", 0), ("share", 1.5), ("cap", 0), ("votes_per_unit", 0), ("alpha", 1.0)]:
        refused(Invalid, candidate, **{name: value})
    refused(Invalid, candidate, preconditions="ignore")
    ModelVersion.objects.filter(pk=candidate.pk).update(state="revoked")
    refused(ModelNotPromotable, candidate)
    last = make_model(project, ada)
    Project.objects.filter(pk=project.pk).update(state="closed")
    project.refresh_from_db()
    refused(ProjectClosed, last)
    Project.objects.filter(pk=project.pk).update(state="open")
    project.refresh_from_db()
    project.deployments.all().delete()
    refused(NoServingModel, last)
    assert not ContestPlan.objects.exists()


def test_one_contest_runs_at_a_time(project: Project, ada: Person) -> None:
    contest = begin(project, ada)
    other = make_model(project, ada)
    with pytest.raises(ContestRunning):
        contests.open_contest(by=ada, project=project, candidates=[other], rules=Rules(preconditions=REPORT))
    contests.pause(by=ada, contest=contest)
    with pytest.raises(ContestRunning):
        contests.open_contest(by=ada, project=project, candidates=[other], rules=Rules(preconditions=REPORT))
    contests.stop(by=ada, contest=contest)
    contests.open_contest(by=ada, project=project, candidates=[other], rules=Rules(preconditions=REPORT))
    assert ContestPlan.objects.count() == 2


def test_people_are_not_asked_until_they_say_yes(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    contest = begin(project, ada, cap=4)
    write(contest)
    contest = run(contest, [ben, chloe], [1, 0, 1, 0, 1])
    assert contest.decision == "cap"
    candidate = contest.plan.candidates.get().model_version
    with pytest.raises(Conflict, match="already compared"):
        contests.open_contest(by=ada, project=project, candidates=[candidate], rules=Rules(preconditions=REPORT))


def test_paused_and_resumed(project: Project, ada: Person) -> None:
    contest = begin(project, ada)
    with pytest.raises(InvalidTransition):
        contests.resume(by=ada, contest=contest)
    assert contests.pause(by=ada, contest=contest).state == "paused"
    with pytest.raises(InvalidTransition):
        contests.pause(by=ada, contest=contest)
    fresh(project, 20)
    assert contest_supply.supply(contest.pk) == 0
    assert contests.resume(by=ada, contest=contest).state == "running"
    verbs = Event.objects.filter(object_type="Contest").order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["contest.opened", "contest.paused", "contest.resumed"]


def test_stopping_takes_tasks_and_requests_away(project: Project, ada: Person) -> None:
    contest = begin(project, ada)
    write(contest)
    ContestUnit.objects.filter(state="ready").first().delete()  # type: ignore[union-attr]
    fresh(project, 1)
    assert contest_supply.supply(contest.pk) == 1
    assert Response.objects.filter(state__in=AWAITED).count() == 2
    stopped = contests.stop(by=ada, contest=contest)
    assert (stopped.state, stopped.decision) == ("stopped", "stopped")
    contest_outcomes.apply_decisions()
    assert not Response.objects.filter(state__in=AWAITED).exists()
    assert set(Task.objects.filter(contest=contest).values_list("state", flat=True)) == {"withdrawn"}
    assert set(ContestUnit.objects.values_list("state", "why_void")) == {("void", "contest_over")}
    assert contest_outcomes.apply_decisions() == 0
    with pytest.raises(InvalidTransition):
        contests.stop(by=ada, contest=contest)


def test_a_few_units_ahead_and_never_beyond_the_cap(project: Project, ada: Person) -> None:
    contest = begin(project, ada, prompts=20, cap=5)
    assert ContestUnit.objects.count() == 4 and contest_supply.supply(contest.pk) == 0
    write(contest)
    ContestUnit.objects.update(state="open")
    assert contest_supply.supply_all() == 1, "five votes are all that is asked for"
    assert Job.objects.filter(kind="generation").count() == 1
    sampling = Response.objects.filter(state="queued").values_list("sampling", flat=True)
    assert all(one["make_tasks"] is False for one in sampling)


def test_only_prompts_that_no_version_can_have_met_are_fresh(project: Project, ada: Person) -> None:
    text = "My camera is dusty."
    fresh_before = fresh(project, 2)
    make_prompt(project, text)
    contest = begin(project, ada, prompts=1, fresh_only=True)
    make_prompt(project, text)
    assert contest_supply.supply(contest.pk) == 0, "a relative of an older prompt is no news"
    (unit,) = ContestUnit.objects.all()
    assert unit.round == 0 and unit.prompt not in fresh_before


def test_without_fresh_prompts_it_passes_over_the_held_out_ones(project: Project, ada: Person) -> None:
    held_out = [make_prompt_in(project, "test") for _ in range(3)]
    contest = begin(project, ada, prompts=0)
    rounds = list(ContestUnit.objects.order_by("pk").values_list("round", "prompt"))
    assert [one for one, _ in rounds] == [1, 1, 1, 2], "each once before one comes again"
    assert {prompt for round, prompt in rounds if round == 1} == {prompt.pk for prompt in held_out}
    assert contest_supply.supply(contest.pk) == 0


def test_a_promotion_ends_what_competes_with_the_version_before(project: Project, ada: Person) -> None:
    contest = begin(project, ada)
    write(contest)
    other = make_model(project, ada)
    model_versions.promote(by=ada, model_version=other, override_reason="It is urgent.")
    contest.refresh_from_db()
    assert (contest.state, contest.decision) == ("stopped", "incumbent_changed")
    contest_outcomes.apply_decisions()
    assert not Task.objects.filter(contest=contest, state="open").exists()


def test_the_opponent_is_what_serves_and_neither_the_first_policy_nor_the_candidate_s_parent(
    project: Project, ada: Person
) -> None:
    """A policy that beats the first one may still be worse than the best so far."""
    first, best = make_model(project, ada, serve=True), make_model(project, ada)
    model_versions.promote(by=ada, model_version=best, override_reason="It is better.")
    later = make_model(project, ada)
    later.parent = first
    later.save()
    make_prompt_in(project, "test")
    contest = contests.open_contest(by=ada, project=project, candidates=[later], rules=Rules(preconditions=REPORT))
    assert contest.plan.incumbent == best
    contest_supply.supply(contest.pk)
    units = ContestUnit.objects.values_list("candidate_response__model_version", "incumbent_response__model_version")
    assert set(units) == {(later.pk, best.pk)}
    contests.stop(by=ada, contest=contest)
    with pytest.raises(Conflict):
        contests.open_contest(by=ada, project=project, candidates=[best], rules=Rules(preconditions=REPORT))


def test_a_roll_back_ends_it_too(project: Project, ada: Person) -> None:
    make_model(project, ada, serve=True)
    contest = begin(project, ada)
    model_versions.roll_back(by=ada, project=project)
    contest.refresh_from_db()
    assert (contest.state, contest.decision) == ("stopped", "incumbent_changed")


def test_it_stops_when_its_candidate_is_rejected(project: Project, ada: Person) -> None:
    contest = begin(project, ada)
    model_versions.decide(by=ada, model_version=contest.plan.candidates.get().model_version, state="rejected")
    contest.refresh_from_db()
    assert (contest.state, contest.decision) == ("stopped", "stopped")


def test_a_chain_asks_people(project: Project, ada: Person) -> None:
    incumbent, candidate = two_policies(project, ada)
    assert candidate.run is not None
    chain = candidate.run.chain
    Chain.objects.filter(pk=chain.pk).update(state="active", promote=True, stages=["sft"])
    pipelines.advance_chain(chain)
    waits = Event.objects.get(verb="model.waits_for_decision")
    assert waits.data == {"against": "no_human_judge, not_evaluated"} and not Contest.objects.exists()
    evaluate(candidate, incumbent)
    Chain.objects.filter(pk=chain.pk).update(state="active")
    pipelines.advance_chain(chain)
    contest = Contest.objects.get()
    assert contest.plan.promote and contest.plan.candidates.get().model_version == candidate
    assert Event.objects.filter(verb="model.waits_for_decision").count() == 1
