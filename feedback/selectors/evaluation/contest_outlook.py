"""What a contest would cost, before it is opened: votes, days at the present rate, responses, and fresh prompts."""

import math
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q
from django.utils import timezone

from feedback.models import Annotation, ModelVersion, Project
from feedback.rules.evaluation import contest_forecast
from feedback.rules.evaluation.contest_evidence import Design
from feedback.selectors.evaluation import contest_prompts

CLEAR, SLIGHT = 0.65, 0.6  # how often a candidate is better that is worth asking about
WEEK = timedelta(days=7)
NEWEST = 10_000  # annotations in which those of the week are counted


@dataclass(frozen=True)
class Outlook:
    """What to expect of a contest.

    Attributes:
        least, most: votes if the candidate is better in 65 % or 60 % of comparisons, at most the cap.
        cap: votes at the most, if it is hardly better or not at all.
        per_week: annotations of the last seven days.
        least_days, most_days: at this rate and share; None where nobody annotated.
        least_responses, most_responses: to be generated, by both models together.
        fresh: prompts that neither model can have met, counted up to 1,000.
    """

    least: int
    most: int
    cap: int
    per_week: int
    least_days: float | None
    most_days: float | None
    least_responses: int
    most_responses: int
    fresh: int

    @property
    def enough_fresh(self) -> bool:
        """Whether the fresh prompts at hand suffice for the longer case."""
        return 2 * self.fresh >= self.most_responses

    @property
    def days(self) -> str:
        """As in "about 2 days", "2 to 5 days"; empty where nobody annotated."""
        if self.least_days is None or self.most_days is None:
            return ""
        low, high = math.ceil(self.least_days), math.ceil(self.most_days)
        if high <= 1:
            return "less than a day"
        return f"about {high} days" if low == high else f"{low} to {high} days"


def outlook(
    project: Project, candidate: ModelVersion, incumbent: ModelVersion, *, cap: int, votes_per_unit: int, share: float
) -> Outlook:
    """What a contest of these two would cost with these rules, which lie within the bounds of a contest."""
    design = Design(votes_per_unit=votes_per_unit, cap=max(cap, votes_per_unit))
    least, most = (contest_forecast.expected_votes(preferred, design) for preferred in (CLEAR, SLIGHT))
    per_week = _of_this_week(project)
    per_day = per_week / WEEK.days * share
    return Outlook(
        least=least,
        most=most,
        cap=cap,
        per_week=per_week,
        least_days=least / per_day if per_day else None,
        most_days=most / per_day if per_day else None,
        least_responses=2 * math.ceil(least / votes_per_unit),
        most_responses=2 * math.ceil(most / votes_per_unit),
        fresh=contest_prompts.count_fresh(project, [incumbent, candidate]),
    )


def _of_this_week(project: Project) -> int:
    """Annotations since a week ago, among the newest `NEWEST`: no index holds the time of creation."""
    newest = Annotation.objects.filter(project=project, revision=1).order_by("-pk")[:NEWEST]
    lately = Q(created_at__gte=timezone.now() - WEEK)
    counted: int = newest.aggregate(number=Count("pk", filter=lately))["number"]
    return counted
