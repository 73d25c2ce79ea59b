"""Tasks for two annotators among the comparisons that are made without a request for each."""

from django.core.cache import cache

from feedback.models import Project
from feedback.rules.collection.queue_policy import QueuePolicy
from feedback.rules.quality import doubling as rules
from feedback.rules.quality.doubling import Choice
from feedback.selectors.quality import reliability

FRESH_SECONDS = 60  # the share moves with a hundred votes, and counting them for every task would cost more than that


def choose(project: Project, *seed: object, arm: str, propensity: float = 1.0) -> Choice:
    """Whether the next comparison is for two annotators.

    Args:
        seed: what the task is about; the same seed gives the same choice.
        arm: why it is made if it is not; drawn with `propensity` among tasks that are not.
    """
    if project.annotations_per_task != 1:
        return Choice(arm, propensity, project.annotations_per_task)
    return rules.choose(share_of(project), arm, propensity, project.split_salt, *seed)


def share_of(project: Project) -> float:
    """The share of new comparisons for two annotators."""
    wanted = QueuePolicy.of(project.queue_policy).double_share
    if not wanted:
        return 0.0
    key = f"doubling:{project.public_id}:{wanted}"
    share: float | None = cache.get(key)
    if share is None:
        share = rules.share_now(wanted, reliability.count_annotators(project), reliability.shared_votes(project))
        cache.set(key, share, FRESH_SECONDS)
    return share
