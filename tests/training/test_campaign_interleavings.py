"""Whatever comes in which order, and wherever a step is killed: never two rounds at once, and nothing happens twice."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db.models import QuerySet

from feedback.errors import InvalidTransition
from feedback.models import Campaign, CampaignRound, Chain, Contest, ContestUnit, Deployment, Job, Person, Project
from feedback.rules.training.campaign_rounds import Facts, Step
from feedback.selectors.training import campaigns as selectors
from feedback.services.evaluation import contest_outcomes, contest_supply
from feedback.services.platform import jobs
from feedback.services.training import campaigns, pipelines
from tests.evaluation.contest_story import crowd, fresh, vote, write
from tests.training.campaign_story import STAGES, begin, label, train

pytestmark = pytest.mark.database

MOVES = 240


class Killed(BaseException):
    pass


class Story:
    """A campaign, and everything that can happen to it."""

    def __init__(self, project: Project, ada: Person, voters: list[Person], seed: int) -> None:
        self.rng, self.project, self.ada, self.voters = random.Random(seed), project, ada, voters
        self.campaign = begin(project, ada)
        self.moves: list[Callable[[], None]] = [
            *(self.tick, self.tick, self.tick, self.killed_tick, self.killed_tick),
            *(self.judge, self.judge, self.judge, self.judge),
            *(self.pipeline, self.pipeline, self.outcomes, self.pause, self.resume, self.resume),
        ]

    def tick(self) -> None:
        campaigns.advance_all()

    def killed_tick(self) -> None:
        """The process dies when the step is done, and before it is committed."""
        original = campaigns._take

        def take(campaign: Campaign, found: CampaignRound | None, step: Step, facts: Facts) -> None:
            original(campaign, found, step, facts)
            raise Killed

        campaigns._take = take
        try:
            campaigns.advance(self.campaign.pk)
        except Killed:
            pass
        finally:
            campaigns._take = original

    def judge(self) -> None:
        """A label, or three votes of one mind while people compare."""
        contest = Contest.objects.filter(project=self.project, state="running").first()
        if contest is None:
            label(self.project, self.voters[0], 1)
            return
        x = self.rng.choice([0.0, 1.0, 1.0])
        for person in self.voters:
            contest.refresh_from_db()
            if contest.state != "running":
                return
            if not ContestUnit.objects.filter(contest=contest, state="ready").exists():
                fresh(self.project, 2)
                contest_supply.supply(contest.pk)
                write(contest)
            vote(self.project, person, x)

    def pipeline(self) -> None:
        """The pipeline run at work ends: mostly well."""
        chain = self._chains().filter(state="active").first()
        if chain is None:
            return
        fate = self.rng.random()
        if fate < 0.7:
            train(chain)
        elif fate < 0.85:
            job = jobs.claim(chain.runs.get().job_id, "train@host")
            assert job is not None
            jobs.fail(job, Job.ErrorKind.DIVERGED, "The loss is not a number.", "Lower the learning rate.")
            pipelines.advance_chain(chain)
        else:
            pipelines.cancel_chain(by=self.ada, chain=chain)

    def outcomes(self) -> None:
        contest_outcomes.apply_decisions()

    def pause(self) -> None:
        if self.rng.random() < 0.3:
            self._switch(campaigns.pause)

    def resume(self) -> None:
        self._switch(campaigns.resume)

    def _switch(self, act: Callable[..., Campaign]) -> None:
        with suppress(InvalidTransition):
            act(by=self.ada, campaign=self.campaign)

    def _chains(self) -> QuerySet[Chain]:
        return Chain.objects.filter(project=self.project, kind="+".join(STAGES))

    def check(self) -> None:
        rounds = list(self.campaign.rounds.order_by("number"))
        assert [one.number for one in rounds] == list(range(1, len(rounds) + 1))
        assert all(one.state not in CampaignRound.OPEN for one in rounds[:-1]), "two rounds at once"
        begun = [one.chain_id for one in rounds if one.chain_id is not None]
        assert sorted(begun) == sorted(self._chains().values_list("pk", flat=True)), "each began for one round"
        compared = [one.contest_id for one in rounds if one.contest_id is not None]
        assert sorted(compared) == sorted(Contest.objects.values_list("pk", flat=True))
        for one in rounds:
            if one.decision == "promoted":
                assert Deployment.objects.filter(model_version=one.candidate).count() == 1
            assert one.state not in ("checking", "comparing") or one.candidate is not None

    def check_labels(self) -> None:
        """Each label is in one round."""
        rounds = list(self.campaign.rounds.order_by("number"))
        counts = [column.label_count for column in selectors.staircase(self.campaign)]
        if rounds and rounds[-1].state in CampaignRound.OPEN:
            assert sum(counts) == selectors.labels_used(self.campaign)


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3)]


@pytest.mark.parametrize("seed", [1, *LONG])
def test_any_order_of_what_can_happen(project: Project, ada: Person, ben: Person, chloe: Person, seed: int) -> None:
    story = Story(project, ada, [ben, chloe, *crowd(project, ada, 1)], seed)
    for move in range(MOVES):
        story.rng.choice(story.moves)()
        story.campaign.refresh_from_db()
        story.check()
        if move % 20 == 0:
            story.check_labels()
    assert story.campaign.rounds.count() >= 4 and Contest.objects.exists(), "nothing happened: this test showed nothing"
