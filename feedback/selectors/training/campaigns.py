"""Campaigns as the service, the pages and programs read them: what comes next, and the staircase of rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from feedback.models import (
    Annotation,
    Campaign,
    CampaignRound,
    Chain,
    Contest,
    ContestVote,
    Deployment,
    Job,
    ModelVersion,
    Project,
    Stage,
    TrainingRun,
)
from feedback.rules.evaluation import contest_evidence
from feedback.rules.training import campaign_rounds
from feedback.rules.training.campaign_plans import CampaignPlan
from feedback.rules.training.campaign_rounds import Facts, Step
from feedback.selectors.evaluation import contests, gate, live_accuracy
from feedback.selectors.training.stages import NAMES

MOST_ROUNDS = 24  # columns of the staircase
ARMS = {
    "given": "without a choice by a model",
    "random": "drawn at random",
    "active": "chosen by the reward model",
    "double": "judged twice",
    "arena": "votes",
}
REFUSED_STATES = (ModelVersion.State.REJECTED, ModelVersion.State.REVOKED)


@dataclass(frozen=True)
class Labels:
    """Labels of one arm: how many, and the seconds that people spent on them."""

    arm: str
    words: str
    count: int
    seconds: float


@dataclass(frozen=True)
class Evidence:
    """The result of people's votes on a candidate. `e` promotes at `bar`; rates lie between 0 and 1."""

    e: float
    bar: float
    win_rate: float | None
    low: float | None
    high: float | None
    votes: int
    voters: int
    units: int


@dataclass(frozen=True)
class Column:
    """A round on the staircase.

    Attributes:
        versions: made in it, in the order of its stages.
        serves: what serves after it, as far as it has ended; None before, and where nothing served.
        people_seconds: spent on its labels. training_seconds: its runs took on the worker.
        cpu_seconds: CPU time of their trainers, as far as these have ended.
        waits_for: in words; "" once it has ended.
    """

    round: CampaignRound
    labels: list[Labels]
    versions: list[ModelVersion]
    runs: list[TrainingRun]
    evidence: Evidence | None
    serves: ModelVersion | None
    people_seconds: float
    training_seconds: float
    cpu_seconds: float
    waits_for: str

    @property
    def label_count(self) -> int:
        return sum(one.count for one in self.labels)


def campaigns_of(project: Project) -> QuerySet[Campaign]:
    """Newest first."""
    return Campaign.objects.filter(project=project).select_related("project", "created_by").order_by("-pk")


def live(project: Project) -> Campaign | None:
    """The campaign that is running or paused."""
    return campaigns_of(project).filter(state__in=Campaign.LIVE).first()


def plan_of(campaign: Campaign) -> CampaignPlan:
    return cast(CampaignPlan, campaign.plan)


def open_round(campaign: Campaign) -> CampaignRound | None:
    """The round that has not ended."""
    rows = CampaignRound.objects.filter(campaign=campaign, state__in=CampaignRound.OPEN)
    return rows.select_related("chain", "candidate", "contest__plan").first()


# --- labels ----------------------------------------------------------------------------------------------


def newest_label(project: Project) -> int:
    """Key of the newest annotation; 0 before the first."""
    return Annotation.objects.filter(project=project).aggregate(top=Max("pk"))["top"] or 0


def labels_between(project: Project, after: int, last: int | None = None) -> QuerySet[Annotation]:
    """First answers to tasks, votes included; gold tasks and the qualification round are no labels.

    Args:
        after, last: keys of annotations; without `last`, up to now.
    """
    rows = Annotation.objects.filter(
        project=project, revision=1, pk__gt=after, task__gold__isnull=True, task__training_round=False
    )
    return rows if last is None else rows.filter(pk__lte=last)


def labels_used(campaign: Campaign) -> int:
    """Labels of the budget that are used up: all since it was created, up to its end."""
    last = None
    if campaign.state == Campaign.State.ENDED:
        last = campaign.rounds.aggregate(top=Max("last_label"))["top"]
    return labels_between(campaign.project, campaign.after_label, last).count()


# --- the next step ---------------------------------------------------------------------------------------


def facts_of(campaign: Campaign, now: datetime | None = None) -> Facts:
    """Where a campaign stands, for `campaign_rounds.next_step`."""
    plan, found = plan_of(campaign), open_round(campaign)
    used = labels_used(campaign)
    basic = Facts(
        paused=campaign.state == Campaign.State.PAUSED,
        left=campaign.budget - used,
        cap=plan["contest"]["cap"],
        after_labels=plan["after_labels"],
        every_seconds=plan["every_seconds"],
        promote=plan["promote"],
    )
    if found is None:
        return basic
    return _with_round(basic, campaign, found, now or timezone.now())


def waits_for(campaign: Campaign) -> str:
    """What it waits for, in words; "" where its next step is due, or it has ended."""
    if campaign.state == Campaign.State.ENDED:
        return ""
    return campaign_rounds.in_words(next_step(campaign))


def next_step(campaign: Campaign) -> Step:
    return campaign_rounds.next_step(facts_of(campaign))


def _with_round(basic: Facts, campaign: Campaign, found: CampaignRound, now: datetime) -> Facts:
    values = vars(basic) | {
        "state": found.state,
        "labels": labels_between(campaign.project, found.after_label).count(),
        "seconds": max(0.0, (now - found.created_at).total_seconds()),
    }
    if found.state == CampaignRound.State.COLLECTING:
        if Stage.REWARD in campaign.plan["stages"]:
            values["drifted"] = live_accuracy.drifted_since(campaign.project, found.created_at)
        values["other_pipeline"] = Chain.objects.filter(
            project=campaign.project, kind="+".join(campaign.plan["stages"]), state=Chain.State.ACTIVE
        ).exists()
    if found.state == CampaignRound.State.TRAINING and found.chain is not None:
        values |= _of_pipeline(found.chain)
    if found.candidate is not None:
        serving = gate.serving(campaign.project)
        values |= {
            "candidate": str(found.candidate),
            "serves": serving is not None and serving.pk == found.candidate.pk,
            "rejected": found.candidate.state in REFUSED_STATES,
            "other_contest": found.contest is None and contests.live(campaign.project) is not None,
        }
        if found.contest is not None:
            values |= _of_contest(found.contest, serving)
    return Facts(**values)


def _of_pipeline(chain: Chain) -> dict[str, object]:
    run = chain.runs.order_by("-position").first()
    done = chain.runs.filter(job__status=Job.Status.SUCCEEDED).count()
    return {
        "pipeline": chain.state,
        "stage": NAMES[run.stage] if run is not None else "",
        "stages_done": done,
        "stages": len(chain.stages),
        "made_policy": policy_of(chain) is not None,
    }


def _of_contest(contest: Contest, serving: ModelVersion | None) -> dict[str, object]:
    return {
        "contest": contest.state,
        "votes": ContestVote.objects.filter(unit__contest=contest).count(),
        "most_votes": contest.plan.cap,
        "won": contest.winner_id is not None,
        "applied": contest.applied_at is not None,
        "refused": bool(contest.refusal),
        "incumbent_serves": serving is not None and serving.pk == contest.plan.incumbent_id,
    }


def policy_of(chain: Chain) -> ModelVersion | None:
    """The last policy that a pipeline run made."""
    made = ModelVersion.objects.filter(kind=ModelVersion.Kind.POLICY, run__chain=chain)
    return made.order_by("-run__position").first()


# --- the staircase ---------------------------------------------------------------------------------------


def staircase(campaign: Campaign, most: int = MOST_ROUNDS) -> list[Column]:
    """The newest rounds, oldest first. Six queries a round at most."""
    rows = CampaignRound.objects.filter(campaign=campaign).order_by("-number")
    newest = list(rows.select_related("chain", "candidate", "contest__plan__incumbent")[:most])
    return [column(campaign, one) for one in reversed(newest)]


def column(campaign: Campaign, found: CampaignRound) -> Column:
    labels = _labels(campaign.project, found)
    runs: list[TrainingRun] = []
    if found.chain is not None:
        runs = list(found.chain.runs.select_related("job", "model_version").order_by("position"))
    return Column(
        round=found,
        labels=labels,
        versions=[run.model_version for run in runs if hasattr(run, "model_version")],
        runs=runs,
        evidence=None if found.contest is None else _evidence(found.contest),
        serves=_served_after(campaign.project, found),
        people_seconds=sum(one.seconds for one in labels),
        training_seconds=_training_seconds(runs),
        cpu_seconds=sum(run.cpu_seconds for run in runs),
        waits_for=waits_for(campaign) if found.state in CampaignRound.OPEN else "",
    )


def _labels(project: Project, found: CampaignRound) -> list[Labels]:
    rows = labels_between(project, found.after_label, found.last_label).values("task__arm").order_by("task__arm")
    return [
        Labels(row["task__arm"], ARMS.get(row["task__arm"], row["task__arm"]), row["count"], row["seconds"] or 0.0)
        for row in rows.annotate(count=Count("pk"), seconds=Sum("seconds"))
    ]


def _training_seconds(runs: Sequence[TrainingRun]) -> float:
    """From start to end of each run's last attempt; a run at work counts up to now."""
    total = 0.0
    for run in runs:
        if run.job.started_at is not None:
            total += max(0.0, ((run.job.finished_at or timezone.now()) - run.job.started_at).total_seconds())
    return total


def _served_after(project: Project, found: CampaignRound) -> ModelVersion | None:
    if found.ended_at is None:
        return None
    then = Q(until=None) | Q(until__gt=found.ended_at)
    rows = Deployment.objects.filter(then, project=project, since__lte=found.ended_at)
    deployment = rows.select_related("model_version").order_by("-pk").first()
    return None if deployment is None else deployment.model_version


def _evidence(contest: Contest) -> Evidence | None:
    if not contest.evidence:
        return None
    found = contest_evidence.restore(contest.evidence[0])
    low, high = found.interval or (None, None)
    return Evidence(
        e=math.exp(min(found.peak, 700.0)),
        bar=contests.design_of(contest.plan, 1).bar,
        win_rate=None if found.mean is None else float(found.mean),
        low=low,
        high=high,
        votes=found.units * found.votes_per_unit,
        voters=contests.voters(contest),
        units=found.units,
    )


@dataclass(frozen=True)
class LoopState:
    """Where the project's loop stands: its live campaign, the number of its open round, and what that waits for."""

    campaign: Campaign
    round: int | None
    waits_for: str


def loop_state(project: Project) -> LoopState | None:
    """None where no campaign is running or paused."""
    campaign = live(project)
    if campaign is None:
        return None
    found = open_round(campaign)
    return LoopState(campaign, None if found is None else found.number, waits_for(campaign))
