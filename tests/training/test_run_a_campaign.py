"""Ada starts a campaign; it collects, trains, lets people compare, promotes or keeps, and begins again."""

import threading
from typing import Any

import pytest
from django.db import connection

from feedback.errors import Conflict, Invalid, InvalidTransition
from feedback.models import Campaign, CampaignRound, Chain, Contest, Event, Job, Person, Project
from feedback.selectors.platform import home
from feedback.selectors.training import campaigns as selectors
from feedback.services.evaluation import contest_outcomes, contest_supply
from feedback.services.evaluation.contests import Rules
from feedback.services.platform import jobs
from feedback.services.registry import model_versions
from feedback.services.training import campaigns, pipelines
from tests.evaluation.contest_story import crowd, fresh, run, write
from tests.training.campaign_story import CAP, STAGES, advance, begin, current, label, train
from workers import housekeeping

pytestmark = pytest.mark.database


def compare(found: CampaignRound, voters: list[Person], x: float) -> Contest:
    """People vote until the comparison of the round has ended, and what follows is done."""
    contest = found.contest
    assert contest is not None
    fresh(contest.project, 4)
    contest_supply.supply(contest.pk)
    write(contest)
    contest = run(contest, voters, [x] * CAP)
    contest_outcomes.apply_decisions()
    return contest


def to_comparison(campaign: Campaign, person: Person) -> CampaignRound:
    """The labels of a round, its pipeline run, and its comparison opened."""
    label(campaign.project, person, 3)
    advance(campaign)
    chain = current(campaign).chain
    assert chain is not None
    train(chain)
    advance(campaign)
    found = current(campaign)
    assert found.state == CampaignRound.State.COMPARING
    return found


def test_two_rounds_by_the_clock_alone(
    project: Project, ada: Person, ben: Person, chloe: Person, signed_in: Any, client_for: Any
) -> None:
    campaign = begin(project, ada)
    first = model_versions.serving(project)
    voters = [ben, chloe, *crowd(project, ada, 1)]
    assert selectors.waits_for(campaign) == "0 of 3 labels"
    label(project, ben, 2)
    housekeeping.tick()
    assert (
        selectors.waits_for(campaign) == "2 of 3 labels"
        and not Chain.objects.filter(project=project, kind="+".join(STAGES)).exists()
    )
    label(project, chloe, 1)
    housekeeping.tick()
    found = current(campaign)
    assert (found.state, found.number) == ("training", 1) and found.chain is not None
    assert selectors.waits_for(campaign) == "training: SFT, 0 of 4 stages done"
    policy = train(found.chain)
    for state in ("checking", "comparing"):
        housekeeping.tick()
        assert current(campaign).state == state, "one step a tick"
    contest = compare(current(campaign), voters, 1)
    assert contest.plan.promote and contest.plan.cap == CAP
    assert model_versions.serving(project) == policy != first
    advance(campaign)
    done, new = campaign.rounds.all()
    assert (done.state, done.decision, done.candidate) == ("decided", "promoted", policy)
    assert (new.state, new.number, new.after_label) == ("collecting", 2, done.last_label)

    # The second is not better: what serves stays, and the third begins.
    found = to_comparison(campaign, ben)
    compare(found, voters, 0)
    assert model_versions.serving(project) == policy
    advance(campaign)
    found.refresh_from_db()
    assert (found.state, found.decision) == ("decided", "kept")
    assert current(campaign).number == 3 and campaign.state == "running"

    one, two, three = selectors.staircase(campaign)
    assert [labels.arm for labels in one.labels] == ["arena", "given"] and one.labels[1].count == 3
    assert one.evidence is not None and one.evidence.e >= one.evidence.bar and one.evidence.voters == 3
    assert (one.serves, two.serves, three.serves) == (policy, policy, None)
    assert [version.stage for version in one.versions] == ["sft", "reward", "ppo"]
    assert one.label_count + two.label_count == selectors.labels_used(campaign), "each label is in one round"

    page = signed_in(ada).get(f"/p/desk/campaigns/{campaign.public_id}/").content.decode()
    for words in ("Round 1", "Round 3", "0 of 3 labels", "promoted", "not promoted", "E = ", "by 3 people"):
        assert words in page, words
    assert "waits for 0 of 3 labels" in signed_in(ada).get("/p/desk/").content.decode()
    told = client_for(ada).get(f"/api/v1/campaigns/{campaign.public_id}/").json()
    assert [one["decision"] for one in told["rounds"]] == ["promoted", "kept", ""]
    assert told["rounds"][0]["labels"]["given"] == 3 and told["waits_for"] == "0 of 3 labels"


def test_a_failed_run_fails_its_round_and_is_named(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada)
    for number in (1, 2):
        label(project, ben, 3)
        advance(campaign)
        chain = current(campaign).chain
        assert chain is not None
        fail(chain)
        advance(campaign)
        found = campaign.rounds.get(number=number)
        assert found.state == "failed" and found.decision == ""
        assert found.reason.endswith("(SFT) failed: The loss is not a number.")
    assert campaign.rounds.count() == 2 and campaign.state == "paused", "a third would fail as well"
    assert campaign.trouble == campaigns.FAILED_TWICE
    assert campaigns.FAILED_TWICE in " ".join(one.sentence for one in home.needs_a_person(project))
    campaigns.resume(by=ada, campaign=campaign)
    advance(campaign)
    assert (current(campaign).number, current(campaign).state, campaign.trouble) == (3, "collecting", "")


def fail(chain: Chain) -> None:
    job = jobs.claim(chain.runs.get().job_id, "train@host")
    assert job is not None
    jobs.fail(job, Job.ErrorKind.DIVERGED, "The loss is not a number.", "Lower the learning rate.")
    pipelines.advance_chain(chain)


def test_a_canceled_run_stops_its_round_and_the_next_begins(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada)
    label(project, ben, 3)
    advance(campaign)
    chain = current(campaign).chain
    assert chain is not None
    pipelines.cancel_chain(by=ada, chain=chain)
    advance(campaign)
    assert [(one.state, one.reason) for one in campaign.rounds.all()] == [
        ("stopped", campaigns.CANCELED),
        ("collecting", ""),
    ]


def test_findings_refuse_a_candidate_and_the_next_round_begins(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada, contest=Rules(cap=CAP))
    label(project, ben, 3)
    advance(campaign)
    chain = current(campaign).chain
    assert chain is not None
    train(chain)
    before = model_versions.serving(project)
    advance(campaign)
    found = campaign.rounds.get(number=1)
    assert (found.state, found.decision, found.contest) == ("decided", "refused", None)
    assert found.findings and all(one["sentence"] for one in found.findings)
    assert model_versions.serving(project) == before and not Contest.objects.exists()
    assert current(campaign).number == 2


def test_an_admin_is_asked(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    campaign = begin(project, ada, promote="ask")
    voters = [ben, chloe, *crowd(project, ada, 1)]
    before = model_versions.serving(project)
    found = to_comparison(campaign, ben)
    compare(found, voters, 1)
    advance(campaign)
    assert model_versions.serving(project) == before
    assert selectors.waits_for(campaign) == f"an admin's decision on {found.candidate}, which people prefer"
    assert found.candidate is not None
    model_versions.promote(by=ada, model_version=found.candidate, override_reason="People prefer it.")
    advance(campaign)
    found.refresh_from_db()
    assert (found.decision, current(campaign).number) == ("promoted", 2)


def test_paused_it_takes_no_step(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada)
    campaigns.pause(by=ada, campaign=campaign)
    with pytest.raises(InvalidTransition):
        campaigns.pause(by=ada, campaign=campaign)
    label(project, ben, 3)
    housekeeping.tick()
    assert current(campaign).state == "collecting" and selectors.waits_for(campaign).startswith("paused")
    campaigns.resume(by=ada, campaign=campaign)
    housekeeping.tick()
    assert current(campaign).state == "training"


def test_the_budget_is_used_up(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    """Votes are kept back for the comparison, so the second round trains on what is left, and there is no third."""
    campaign = begin(project, ada, budget=CAP + 3, contest=Rules(cap=CAP, share=1.0, preconditions="report"))
    voters = [ben, chloe, *crowd(project, ada, 1)]
    found = to_comparison(campaign, ben)
    compare(found, voters, 1)
    advance(campaign)
    found.refresh_from_db()
    assert found.decision == "promoted"
    assert campaign.state == "ended" and campaign.rounds.count() == 1 and campaign.ended_at is not None
    assert selectors.labels_used(campaign) <= CAP + 3
    with pytest.raises(InvalidTransition):
        campaigns.change_budget(by=ada, campaign=campaign, budget=5000)
    assert begin(project, ada, name="Another").state == "running"


def test_a_smaller_budget_ends_it_and_a_larger_one_goes_on(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada, after_labels=100)
    label(project, ben, 2)
    assert selectors.waits_for(campaign) == "2 of 100 labels"
    campaigns.change_budget(by=ada, campaign=campaign, budget=CAP + 5)
    assert selectors.waits_for(campaign) == "2 of 5 labels"
    with pytest.raises(Invalid, match="at least 13 labels"):
        campaigns.change_budget(by=ada, campaign=campaign, budget=CAP)
    campaigns.change_budget(by=ada, campaign=campaign, budget=CAP + 1)
    advance(campaign)
    assert current(campaign).state == "training", "two labels are more than the budget has for them"


def test_ended_by_ada_with_its_comparison(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada)
    found = to_comparison(campaign, ben)
    campaigns.end(by=ada, campaign=campaign)
    found.refresh_from_db()
    assert (found.state, found.decision) == ("stopped", "") and found.contest is not None
    assert Contest.objects.get().decision == "stopped"
    housekeeping.tick()
    assert campaign.rounds.count() == 1
    with pytest.raises(InvalidTransition):
        campaigns.end(by=ada, campaign=Campaign.objects.get())


def test_ended_by_ada_with_its_pipeline_run(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada)
    label(project, ben, 3)
    advance(campaign)
    campaigns.end(by=ada, campaign=campaign)
    chain = current(campaign).chain
    assert chain is not None and chain.state == Chain.State.CANCELLED


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"after_labels": None}, "after_labels"),
        ({"every_seconds": 600}, "after_labels"),
        ({"after_labels": None, "every_seconds": 5}, "every_seconds"),
        ({"stages": ["reward", "evaluate"]}, "stages"),
        ({"stages": ["sft"]}, "stages"),
        ({"budget": CAP}, "budget"),
        ({"contest": Rules(cap=0)}, "cap"),
        ({"config": {"kto": {}}}, "config"),
        ({"promote": "never"}, "promote"),
    ],
)
def test_a_wrong_plan_is_refused_by_its_field(project: Project, ada: Person, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        begin(project, ada, **wrong)
    assert refused.value.field == field and not Campaign.objects.exists()


def test_one_campaign_at_a_time(project: Project, ada: Person) -> None:
    begin(project, ada)
    with pytest.raises(Conflict, match="running or paused"):
        begin(project, ada, name="Another")
    with pytest.raises(Conflict, match="already exists"):
        begin(project, ada)
    assert Campaign.objects.count() == 1 == CampaignRound.objects.count()


def test_what_keeps_it_from_training_is_told_until_it_goes_on(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada, stages=["ppo", "evaluate"])
    label(project, ben, 3)
    advance(campaign)
    assert current(campaign).state == "collecting" and "starts from an SFT policy" in campaign.trouble
    assert campaign.trouble in " ".join(one.sentence for one in home.needs_a_person(project))


@pytest.mark.parametrize("step", ["_start_round", "_start_pipeline", "_check", "_open_contest", "_promoted"])
def test_a_kill_within_a_step_loses_nothing_and_does_nothing_twice(
    project: Project, ada: Person, ben: Person, chloe: Person, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The process dies after everything that the step did, before its transaction commits."""
    deaths: list[str] = []

    class Killed(BaseException):
        pass

    def die(key: int) -> bool:
        """The step, killed at its end the first time."""
        original = campaigns._take

        def take(campaign: Any, found: Any, next_step: Any, facts: Any) -> None:
            original(campaign, found, next_step, facts)
            name = campaigns._STEPS.get(next_step.action, campaigns._start_round).__name__
            if name == step and not deaths:
                deaths.append(name)
                raise Killed

        monkeypatch.setattr(campaigns, "_take", take)
        try:
            return campaigns.advance(key)
        except Killed:
            return True
        finally:
            monkeypatch.setattr(campaigns, "_take", original)

    campaign = begin(project, ada)
    voters = [ben, chloe, *crowd(project, ada, 1)]
    for _ in range(2):
        label(project, ben, 3)
        while die(campaign.pk):
            pass
        chain = current(campaign).chain
        assert chain is not None
        train(chain)
        while die(campaign.pk):
            pass
        compare(current(campaign), voters, 1)
        while die(campaign.pk):
            pass
    assert deaths == [step]
    assert [(one.number, one.decision) for one in campaign.rounds.all()] == [(1, "promoted"), (2, "promoted"), (3, "")]
    assert Chain.objects.filter(project=project, kind="+".join(STAGES)).count() == 2 == Contest.objects.count()
    ended = Event.objects.filter(verb="campaign.round_ended").count()
    assert ended == 2, "what was rolled back left no event"


@pytest.mark.django_db(transaction=True)
def test_two_clocks_at_once_take_one_step(project: Project, ada: Person, ben: Person) -> None:
    campaign = begin(project, ada)
    label(project, ben, 3)
    results: list[bool] = []
    gate = threading.Barrier(4)

    def tick() -> None:
        try:
            gate.wait()
            results.append(campaigns.advance(campaign.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]
    assert Chain.objects.filter(project=project, kind="+".join(STAGES)).count() == 1
    assert current(campaign).state == "training"
