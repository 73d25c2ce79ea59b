"""Campaigns: rounds of collecting, training and comparing that go on without anybody.

`advance` reads where a campaign stands and takes at most one step, in one transaction that holds the campaign's row.
So two clocks that call at once take one step between them, and a process that is killed anywhere has taken a whole step
or none. What a step starts (a pipeline run, a contest) is made in the step's own transaction. The campaign's row is
locked before those of the project, its pipeline runs and its contests. Nothing locks it while it holds one of those.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback.errors import (
    ChainRunning,
    Conflict,
    ContestBlocked,
    ContestRunning,
    DomainError,
    Invalid,
    InvalidTransition,
    ModelNotPromotable,
    NoServingModel,
    ProjectClosed,
)
from feedback.models import Campaign, CampaignRound, Chain, Contest, Job, ModelVersion, Person, Project
from feedback.rules.training import campaign_plans, campaign_rounds
from feedback.rules.training.campaign_plans import CampaignPlan, ContestSettings, Promotion
from feedback.rules.training.campaign_rounds import Action, Facts, Step
from feedback.rules.training.policies import PipelineConfig
from feedback.rules.training.stages import ordered
from feedback.selectors.training import campaigns, plans
from feedback.selectors.training.plans import PipelineRequest
from feedback.selectors.training.stages import NAMES
from feedback.services.evaluation import contests
from feedback.services.evaluation.contests import Rules
from feedback.services.platform import events
from feedback.services.platform.closed_projects import refuse_when_closed
from feedback.services.training import pipelines

log = logging.getLogger(__name__)

State, Decision = CampaignRound.State, CampaignRound.Decision
DEFAULT_CAP = 300  # votes of a round's comparison
OUR_FAULT = "An internal error occurred; the worker log has the details. The campaign tries again."
NO_POLICY = "Its pipeline run made no policy."
CANCELED = "Its pipeline run was canceled."
NO_VOTES = "The budget had no votes left for the comparison."
FAILED_TWICE = "Two pipeline runs in a row failed. Correct the cause, then resume the campaign."


def create_campaign(
    *,
    by: Person | None,
    project: Project,
    name: str,
    stages: list[str],
    budget: int,
    after_labels: int | None = None,
    every_seconds: int | None = None,
    config: PipelineConfig | None = None,
    contest: Rules | None = None,
    promote: Promotion = "automatically",
) -> Campaign:
    """A campaign, which begins its first round at once.

    Args:
        contest: of the comparison that ends a round; its `promote` is not read. By default at most 300 votes.

    Raises:
        Invalid: the plan or the budget is wrong; `field` names what.
        Conflict: another campaign of the project is running or paused, or the name is taken.
        ProjectClosed: the project takes nothing any more.
    """
    refuse_when_closed(project, "campaigns")
    rules = contest or Rules(cap=DEFAULT_CAP)
    contests.check_rules(rules)
    request = PipelineRequest(project=project, stages=tuple(stages), config=config or {})
    for problem in plans.request_problems(request):
        raise problem
    plan = CampaignPlan(
        stages=ordered(stages),
        config=request.config,
        after_labels=after_labels,
        every_seconds=every_seconds,
        contest=_settings(rules),
        promote=promote,
    )
    try:
        campaign_plans.check_plan(plan, budget)
    except campaign_plans.WrongPlan as error:
        raise Invalid(error.sentence, field=error.field) from None
    if Campaign.objects.filter(project=project, name=name).exists():
        raise Conflict(f"A campaign named {name!r} already exists.", field="name")
    try:
        with transaction.atomic():
            campaign = Campaign.objects.create(
                project=project,
                name=name,
                plan=plan,
                budget=budget,
                after_label=campaigns.newest_label(project),
                created_by=by,
            )
            events.record("campaign.created", campaign, actor=by)
    except IntegrityError:
        raise Conflict("The project has a campaign that is running or paused. End it first.") from None
    advance(campaign.pk)
    campaign.refresh_from_db()
    return campaign


def _settings(rules: Rules) -> ContestSettings:
    return {
        "cap": rules.cap,
        "votes_per_unit": rules.votes_per_unit,
        "alpha": rules.alpha,
        "share": rules.share,
        "fresh_only": rules.fresh_only,
        "preconditions": rules.preconditions,
    }


def pause(*, by: Person | None, campaign: Campaign) -> Campaign:
    """Take no step from now on. A pipeline run or comparison that goes on does so.

    Raises:
        InvalidTransition: it does not run.
    """
    return _switch(campaign, by, "campaign.paused", Campaign.State.RUNNING, Campaign.State.PAUSED)


def resume(*, by: Person | None, campaign: Campaign) -> Campaign:
    """Go on where it was paused.

    Raises:
        InvalidTransition: it is not paused.
    """
    return _switch(campaign, by, "campaign.resumed", Campaign.State.PAUSED, Campaign.State.RUNNING)


def change_budget(*, by: Person | None, campaign: Campaign, budget: int) -> Campaign:
    """Another number of labels in all. Below what is used up, the campaign ends after its present round.

    Raises:
        Invalid: it pays for no round.
        InvalidTransition: the campaign has ended.
    """
    try:
        campaign_plans.check_budget(budget, campaigns.plan_of(campaign)["contest"]["cap"])
    except campaign_plans.WrongPlan as error:
        raise Invalid(error.sentence, field=error.field) from None
    with transaction.atomic():
        if not Campaign.objects.filter(pk=campaign.pk, state__in=Campaign.LIVE).update(budget=budget):
            raise InvalidTransition("The campaign has ended. Create a new one.")
        events.record("campaign.budget_changed", campaign, actor=by, budget=budget)
    campaign.refresh_from_db()
    return campaign


def end(*, by: Person, campaign: Campaign) -> Campaign:
    """End it and its round. Its pipeline run is canceled, its comparison stopped; versions and labels stay.

    Raises:
        InvalidTransition: it has ended.
    """
    with transaction.atomic():
        campaign = _locked(campaign.pk)
        if campaign.state == Campaign.State.ENDED:
            raise InvalidTransition("The campaign has already ended.")
        found = campaigns.open_round(campaign)
        if found is not None:
            if found.chain is not None and found.chain.state == Chain.State.ACTIVE:
                pipelines.cancel_chain(by=by, chain=found.chain)
            if found.contest is not None and found.contest.state in Contest.LIVE:
                contests.stop(by=by, contest=found.contest)
            _end_round(campaign, found, State.STOPPED, reason="The campaign was ended.")
        _end(campaign, by)
    return campaign


def advance_all(now: datetime | None = None) -> int:
    """Take the next step of every running campaign. Returns how many steps were taken."""
    taken = 0
    for key in Campaign.objects.filter(state=Campaign.State.RUNNING).order_by("pk").values_list("pk", flat=True):
        try:
            taken += advance(key, now)
        except Exception:  # one project's trouble is no reason to leave the others waiting
            log.exception("campaign %s could not go on", key)
            _tell(key, OUR_FAULT)
    return taken


def advance(key: int, now: datetime | None = None) -> bool:
    """Take the next step of one campaign, if there is one to take. Safe to repeat, and when two do it at once.

    Returns:
        Whether a step was taken.
    """
    try:
        with transaction.atomic():
            campaign = _locked(key)
            if campaign.state != Campaign.State.RUNNING:
                return False
            facts = campaigns.facts_of(campaign, now)
            step = campaign_rounds.next_step(facts)
            if step.action == Action.WAIT:
                return False
            _take(campaign, campaigns.open_round(campaign), step, facts)
            Campaign.objects.filter(pk=key).exclude(trouble="").exclude(state=Campaign.State.PAUSED).update(trouble="")
    except (ChainRunning, ContestRunning):
        return False  # somebody else began one a moment ago: the next call waits for it
    except DomainError as error:
        _tell(key, error.sentence)
        return False
    return True


def _take(campaign: Campaign, found: CampaignRound | None, step: Step, facts: Facts) -> None:
    if step.action == Action.START_ROUND:
        _start_round(campaign)
    elif step.action == Action.END_CAMPAIGN:
        if found is not None:
            _end_round(campaign, found, State.STOPPED, reason="The budget is used up.")
        _end(campaign, None)
    else:
        assert found is not None
        _STEPS[step.action](campaign, found, facts)


def _start_round(campaign: Campaign) -> None:
    last = CampaignRound.objects.filter(campaign=campaign).order_by("-number").first()
    number, after = 1, campaign.after_label
    if last is not None:
        number, after = last.number + 1, max(after, last.last_label or 0)
    CampaignRound.objects.create(campaign=campaign, number=number, after_label=after)
    events.record("campaign.round_started", campaign, actor=None, number=number)


def _start_pipeline(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    plan = campaigns.plan_of(campaign)
    request = PipelineRequest(
        project=campaign.project,
        stages=tuple(plan["stages"]),
        config=plan["config"],
        seed=found.number - 1,
    )
    chain = pipelines.start_chain(plans.plan_pipeline(request), by=campaign.created_by)
    _move(found, State.COLLECTING, state=State.TRAINING, chain=chain)


def _check(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    assert found.chain is not None
    _move(found, State.TRAINING, state=State.CHECKING, candidate=campaigns.policy_of(found.chain))


def _fail(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    """The round ends. After two in a row the campaign pauses: a third would very likely fail as well."""
    before = CampaignRound.objects.filter(campaign=campaign, number=found.number - 1).first()
    _end_round(campaign, found, State.FAILED, reason=_why_failed(found.chain))
    if before is not None and before.state == State.FAILED:
        Campaign.objects.filter(pk=campaign.pk).update(state=Campaign.State.PAUSED, trouble=FAILED_TWICE)
        events.record("campaign.paused", campaign, actor=None)


def _why_failed(chain: Chain | None) -> str:
    run = None
    if chain is not None:
        run = chain.runs.filter(job__status=Job.Status.FAILED).select_related("job").order_by("-position").first()
    if run is None:
        return NO_POLICY
    return f"Run {run.number} ({NAMES[run.stage]}) failed: {run.job.error}"[:500]


def _stop(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    _end_round(campaign, found, State.STOPPED, reason=CANCELED)


def _open_contest(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    plan = campaigns.plan_of(campaign)
    settings = plan["contest"]
    cap = min(settings["cap"], facts.left)
    if cap < settings["votes_per_unit"]:
        _decide(campaign, found, Decision.KEPT, reason=NO_VOTES)
        return
    rules = replace(Rules(**settings), cap=cap, promote=plan["promote"] == "automatically")
    candidate = found.candidate
    assert candidate is not None
    try:
        with transaction.atomic():
            contest = contests.open_contest(
                by=campaign.created_by, project=campaign.project, candidates=[candidate], rules=rules
            )
    except (ContestRunning, ProjectClosed):
        raise
    except (ContestBlocked, ModelNotPromotable, NoServingModel) as error:
        findings = [{"name": one["name"], "sentence": one["sentence"]} for one in error.extra.get("findings", [])]
        _decide(campaign, found, Decision.REFUSED, reason=error.sentence, findings=findings)
    except Conflict as error:  # people have decided about it before
        _decide(campaign, found, Decision.KEPT, reason=error.sentence)
    else:
        _move(found, State.CHECKING, state=State.COMPARING, contest=contest)


def _promoted(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    _decide(campaign, found, Decision.PROMOTED)


def _keep(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    reason = ""
    if found.contest is not None:
        reason = _why_kept(found.contest, found.candidate)
    _decide(campaign, found, Decision.KEPT, reason=reason)


def _why_kept(contest: Contest, candidate: ModelVersion | None) -> str:
    if contest.winner_id is not None:
        return f"People prefer {candidate}, but an admin decided otherwise."
    reasons: dict[str, str] = {
        Contest.Decision.GIVE_UP: f"The votes show that {candidate} is not better by what is worth going on for.",
        Contest.Decision.CAP: f"All votes are in, and they do not show that {candidate} is better.",
        Contest.Decision.INCUMBENT_CHANGED: "Another version serves since, so the comparison ended.",
        Contest.Decision.STOPPED: "An admin stopped the comparison.",
    }
    return reasons[contest.decision]


def _refuse(campaign: Campaign, found: CampaignRound, facts: Facts) -> None:
    contest = found.contest
    assert contest is not None
    reason = " ".join(one["sentence"] for one in contest.refusal)
    _decide(campaign, found, Decision.REFUSED, reason=reason, findings=contest.refusal)


_STEPS: dict[Action, Callable[[Campaign, CampaignRound, Facts], None]] = {
    Action.START_PIPELINE: _start_pipeline,
    Action.CHECK: _check,
    Action.FAIL: _fail,
    Action.STOP: _stop,
    Action.OPEN_CONTEST: _open_contest,
    Action.PROMOTED: _promoted,
    Action.KEEP: _keep,
    Action.REFUSE: _refuse,
}


def _decide(
    campaign: Campaign,
    found: CampaignRound,
    decision: str,
    *,
    reason: str = "",
    findings: list[dict[str, str]] | None = None,
) -> None:
    _end_round(campaign, found, State.DECIDED, reason=reason, decision=decision, findings=findings or [])


def _end_round(campaign: Campaign, found: CampaignRound, state: str, *, reason: str, **changes: object) -> None:
    last = max(found.after_label, campaigns.newest_label(campaign.project))
    now = timezone.now()
    _move(found, found.state, state=state, reason=reason[:500], last_label=last, ended_at=now, **changes)
    outcome = str(changes.get("decision") or state)
    events.record("campaign.round_ended", campaign, actor=None, number=found.number, outcome=outcome)


def _end(campaign: Campaign, by: Person | None) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(state=Campaign.State.ENDED, ended_at=timezone.now(), trouble="")
    events.record("campaign.ended", campaign, actor=by)
    campaign.refresh_from_db()


def _move(found: CampaignRound, before: str, **changes: object) -> None:
    """
    Raises:
        InvalidTransition: the round is in another state than `before`; the step is rolled back.
    """
    if not CampaignRound.objects.filter(pk=found.pk, state=before).update(**changes):
        raise InvalidTransition("The round has moved on. Reload it.")


def _switch(campaign: Campaign, by: Person | None, verb: str, before: str, after: str) -> Campaign:
    with transaction.atomic():
        if not Campaign.objects.filter(pk=campaign.pk, state=before).update(state=after, trouble=""):
            raise InvalidTransition("The campaign has ended, or somebody else paused or resumed it. Reload it.")
        events.record(verb, campaign, actor=by)
    campaign.refresh_from_db()
    return campaign


def _locked(key: int) -> Campaign:
    """The campaign, its row locked until the transaction ends."""
    rows = Campaign.objects.select_for_update(of=("self",)).select_related("project", "created_by")
    return rows.get(pk=key)


def _tell(key: int, sentence: str) -> None:
    """A campaign that cannot go on says why on its page, and tries again."""
    Campaign.objects.filter(pk=key).update(trouble=sentence[:500])
