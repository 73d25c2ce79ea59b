"""Contests end without a decision: stopped by an admin, or because what they compare has changed."""

from django.utils import timezone

from feedback.models import Contest, ModelVersion, Person, Project
from feedback.services.platform import events

UNFIT = (ModelVersion.State.REJECTED, ModelVersion.State.REVOKED)


def end(contest: Contest, *, decision: str, by: Person | None) -> bool:
    """End a contest that is running or paused. What it leaves behind is cleared up by housekeeping.

    Returns:
        False: it has ended already.
    """
    live = Contest.objects.filter(pk=contest.pk, state__in=Contest.LIVE)
    now = timezone.now()
    ended = live.update(state=Contest.State.STOPPED, decision=decision, decided_at=now, applied_at=now)
    if ended:
        events.record("contest.stopped", contest, actor=by, decision=decision)
    return bool(ended)


def end_since_another_serves(project: Project, *, by: Person | None) -> None:
    """Another version serves from now on: contests against the one before ask what nobody wants to know any more.

    Call in the transaction of the promotion, while holding the project's row.
    """
    for contest in Contest.objects.filter(project=project, state__in=Contest.LIVE):
        end(contest, decision=Contest.Decision.INCUMBENT_CHANGED, by=by)


def end_without_candidates(version: ModelVersion, *, by: Person | None) -> None:
    """Stop the contests of which `version` was the last candidate that may still serve."""
    for contest in Contest.objects.filter(plan__candidates__model_version=version, state__in=Contest.LIVE):
        fit = contest.plan.candidates.exclude(model_version__state__in=UNFIT)
        if not fit.filter(model_version__tainted_at=None).exists():
            end(contest, decision=Contest.Decision.STOPPED, by=by)
