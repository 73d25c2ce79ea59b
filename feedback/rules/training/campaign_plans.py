"""What a campaign does in each round, as it is stored."""

from typing import Literal, TypedDict

from feedback.rules.training.policies import PipelineConfig
from feedback.rules.training.stages import KIND_OF_STAGE

POLICY, EVALUATE = "policy", "evaluate"  # a kind of model, and the stage that measures one
SHORTEST_SECONDS = 60
Promotion = Literal["automatically", "ask"]
PROMOTIONS: tuple[Promotion, ...] = ("automatically", "ask")


class ContestSettings(TypedDict):
    """Of the comparison that ends a round; see `feedback.services.evaluation.contests.Rules`."""

    cap: int
    votes_per_unit: int
    alpha: float
    share: float
    fresh_only: bool
    preconditions: str


class CampaignPlan(TypedDict):
    """The plan of every round.

    Attributes:
        after_labels: the pipeline starts after so many labels of the round; None for a trigger by time.
        every_seconds: the pipeline starts so many seconds after the round began, with one label at least; None for a
            trigger by labels.
        promote: `automatically` lets a candidate that people prefer serve; `ask` waits for an admin.
    """

    stages: list[str]
    config: PipelineConfig
    after_labels: int | None
    every_seconds: int | None
    contest: ContestSettings
    promote: Promotion


class WrongPlan(ValueError):
    """Which field of a plan is wrong, and how."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


def check_plan(plan: CampaignPlan, budget: int) -> None:
    """Check what does not depend on the project.

    Raises:
        WrongPlan: not exactly one trigger, or one that is too small; stages that make no policy to compare, or do not
            measure it; or a budget that pays for no round.
    """
    after_labels, every_seconds = plan["after_labels"], plan["every_seconds"]
    if (after_labels is None) == (every_seconds is None):
        raise WrongPlan("after_labels", "Set either a number of labels or an interval in seconds.")
    if after_labels is not None and after_labels < 1:
        raise WrongPlan("after_labels", "The number of labels must be at least 1.")
    if every_seconds is not None and every_seconds < SHORTEST_SECONDS:
        raise WrongPlan("every_seconds", f"The interval must be at least {SHORTEST_SECONDS} seconds.")
    if plan["promote"] not in PROMOTIONS:
        raise WrongPlan("promote", f"It must be one of {', '.join(PROMOTIONS)}.")
    makes = {KIND_OF_STAGE.get(stage) for stage in plan["stages"]}
    if POLICY not in makes:
        raise WrongPlan("stages", "A round compares a new policy, so one of the stages must make one.")
    if EVALUATE not in plan["stages"]:
        raise WrongPlan("stages", "Add the evaluation stage: it measures what is checked before people compare.")
    check_budget(budget, plan["contest"]["cap"])


def check_budget(budget: int, cap: int) -> None:
    """
    Raises:
        WrongPlan: it pays for no round.
    """
    if budget <= cap:
        raise WrongPlan(
            "budget", f"A round needs up to {cap:,} votes, so the budget must be at least {cap + 1:,} labels."
        )
