"""Giving tasks out: who gets what next, by the project's queue policy.

Reading comes first: what is held already (`assignment_eligibility`), and where the next task may come from
(`candidate_sources`). A transaction is opened only when there is something to claim (`assignment_claim`), so that an
annotator who waits for work takes no lock.
"""

from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from feedback.models import Assignment, Person, Project
from feedback.services.collection import assignment_claim
from feedback.services.collection import assignment_queries as queries
from feedback.services.collection.assignment_claim import Overtaken
from feedback.services.collection.assignment_eligibility import AT_MOST_HELD, NOT_A_MEMBER, Eligibility, NoTask
from feedback.services.collection.exhausted_candidates import CandidateScan

__all__ = ["AT_MOST_HELD", "NOT_A_MEMBER", "NoTask", "next_assignment"]

EXTEND_AFTER_SECONDS = 60  # what is shown again is held longer, but its row is written at most so often


def next_assignment(
    *,
    project: Project,
    annotator: Person,
    kind: str | None = None,
    ahead: bool = False,
    have: Collection[str] = (),
) -> Assignment | NoTask:
    """What this annotator is to do next.

    Returns what is already held, unless `ahead` is requested: then one more task is held for three minutes, to be ready
    when the present one is sent. A client that names the assignments that it has (`have`, public ids) gets another than
    these, until as many are held as may be; from then on one of those that it has.

    Raises:
        WouldWait: the caller's unit of work is open, and only waiting for other annotators would tell.
    """
    if project.state != Project.State.OPEN:
        return NoTask("project_" + project.state, f"{project.name} is {project.state}; no tasks are assigned.", 60)
    while True:
        eligibility = Eligibility(project, annotator, kind, timezone.now())
        if found := _at_hand(eligibility, ahead, have):
            return found
        if why := eligibility.refusal():
            return why
        scan = CandidateScan(project.pk, eligibility.criteria())
        if known := scan.recalled():
            return known
        try:
            found = assignment_claim.claim(eligibility, ahead)
        except Overtaken:
            continue
        return found or scan.ended(eligibility.why_nothing())


def _at_hand(eligibility: Eligibility, ahead: bool, have: Collection[str]) -> Assignment | None:
    """What they hold already and may have again."""
    if ahead:
        return eligibility.held_ahead(have)
    held = eligibility.held_of_kind()
    return _show(held[0], eligibility) if held else None


def _show(assignment: Assignment, eligibility: Eligibility) -> Assignment | None:
    """It is in front of them now, and held for the full time. None: it has expired in this moment."""
    until = eligibility.now + timedelta(seconds=settings.LEASE_SECONDS)
    extended_by = (until - assignment.held_until).total_seconds()
    lately = extended_by < min(EXTEND_AFTER_SECONDS, settings.LEASE_SECONDS / 10)
    if assignment.ahead or assignment.shown_at is None or not lately:
        assignment.ahead, assignment.held_until = False, until
        assignment.shown_at = assignment.shown_at or eligibility.now
        if not queries.show(assignment=assignment.pk, until=until, shown=assignment.shown_at):
            return None
    assignment.project = eligibility.project
    return assignment
