"""Votes of a contest: numbers for its units, votes counted with the annotation that casts them, evidence, decision.

Lock order: the task, the assignment, then the contest, which is the last lock that a vote takes. Whoever holds it waits
for nobody but the cursor of their own annotator. What a decision leads to is done afterwards, in transactions of its
own (`contest_outcomes`).
"""

from django.db.models import F
from django.utils import timezone

from feedback import celery_app
from feedback.models import (
    Annotation,
    Assignment,
    Contest,
    ContestCandidate,
    ContestUnit,
    ContestVote,
    Evaluation,
    Task,
)
from feedback.rules.evaluation import contest_evidence, contest_units
from feedback.selectors.evaluation import contests
from feedback.selectors.quality import exclusions
from feedback.services.platform import events

State = ContestUnit.State


def give_number(task: Task) -> bool:
    """Number the unit of a task that is being handed out, if it has none yet. Call while holding the task's row.

    Returns:
        False where the contest has ended or was paused, or the unit is no longer wanted: nobody is given the task.
    """
    contest = lock(task)
    if contest is None or contest.state != Contest.State.RUNNING:
        return False
    unit = ContestUnit.objects.filter(task=task).first()
    if unit is None or unit.state not in (State.READY, State.OPEN):
        return False
    if unit.number is None:
        number(contest, unit, State.OPEN)
        celery_app.enqueue(celery_app.CONTEST, contest.pk)
    return True


def number(contest: Contest, unit: ContestUnit, state: str) -> None:
    """Give a unit the next number. Call while holding the contest's row."""
    unit.number, unit.numbered_at, unit.state = contest.next_number, timezone.now(), state
    unit.save(update_fields=["number", "numbered_at", "state"])
    contest.next_number += 1
    Contest.objects.filter(pk=contest.pk).update(next_number=contest.next_number)


def may_vote(held: Assignment) -> bool:
    """Whether the annotator's judgment counts in a contest: blind, and of somebody whose annotations are not excluded.

    Args:
        held: as `task_slots.lock` returns it.
    """
    if held.reads_authors:  # type: ignore[attr-defined]
        return False
    return not exclusions.active(held.project).filter(person=held.annotator_id).exists()


def count(task: Task, annotation: Annotation) -> None:
    """Count an annotation that is one of the K, and decide. Call in its transaction, while holding the task's row."""
    contest = lock(task)
    unit = _unit(task)
    if contest is None or unit.state != State.OPEN or not annotation.blind:
        return
    halves = contests.halves_of(annotation, unit)
    now = timezone.now()
    ContestVote.objects.create(
        unit=unit, annotation=annotation, annotator_id=annotation.annotator_id, halves=halves, counted_at=now
    )
    unit.votes += 1
    unit.halves += halves
    if unit.votes < contest.plan.votes_per_unit:
        unit.save(update_fields=["votes", "halves"])
        return
    complete(contest, unit)


def change(task: Task, before: Annotation, annotation: Annotation) -> None:
    """A revision takes the place of a vote whose unit is not complete. Call while holding the task's row.

    One that is not blind, as a reviewer's is, leaves the vote as it was.
    """
    contest = lock(task)
    unit = _unit(task)
    vote = ContestVote.objects.filter(unit=unit, annotation=before).first()
    if contest is None or vote is None or unit.state != State.OPEN or not annotation.blind:
        return
    halves = contests.halves_of(annotation, unit)
    ContestUnit.objects.filter(pk=unit.pk).update(halves=F("halves") + halves - vote.halves)
    ContestVote.objects.filter(pk=vote.pk).update(annotation=annotation, halves=halves)


def remove(task: Task, annotation: Annotation) -> None:
    """Take a vote back whose unit is not complete. Call while holding the task's row."""
    contest = lock(task)
    unit = _unit(task)
    vote = ContestVote.objects.filter(unit=unit, annotation=annotation).first()
    if contest is None or vote is None or unit.state != State.OPEN:
        return
    ContestUnit.objects.filter(pk=unit.pk).update(votes=F("votes") - 1, halves=F("halves") - vote.halves)
    vote.delete()


def wants_votes(task: Task) -> bool:
    """Whether a place of the task that came free is given out again: not once its unit is complete or void."""
    return ContestUnit.objects.filter(task=task, state__in=[State.READY, State.OPEN]).exists()


def lock(task: Task) -> Contest | None:
    """The contest of a task, locked; None once it has ended: from then on nothing counts."""
    contest = Contest.objects.select_for_update(of=("self",)).select_related("plan").get(tasks=task)
    return contest if contest.state in Contest.LIVE else None


def complete(contest: Contest, unit: ContestUnit) -> None:
    """All votes of a unit are in: its value stands from now on. Call while holding the contest's row."""
    unit.state, unit.completed_at = State.COMPLETE, timezone.now()
    unit.x = unit.halves / (2 * contest.plan.votes_per_unit)
    unit.save(update_fields=["votes", "halves", "x", "state", "completed_at"])
    fold(contest, unit.candidate.position)


def void(contest: Contest, unit: ContestUnit, why: str) -> None:
    """Close a unit with the votes it has, for good. Call while holding the contest's row.

    One that was handed out goes into the evidence, where the votes that it lacks count against whatever is claimed.
    """
    unit.state, unit.why_void = State.VOID, why
    unit.save(update_fields=["state", "why_void"])
    contest.voided += 1
    Contest.objects.filter(pk=contest.pk).update(voided=contest.voided)
    if unit.number is not None:
        fold(contest, unit.candidate.position)


def fold(contest: Contest, position: int) -> None:
    """Fold what is complete without a gap into a candidate's evidence, and decide.

    Call while holding the contest's row. Stops at the unit that decides: what comes after it is no evidence.
    """
    if contest.state not in Contest.LIVE:
        return
    plan = contest.plan
    candidates = list(plan.candidates.all())
    design = contests.design_of(plan, len(candidates))
    evidences = [contest_evidence.restore(one) for one in contest.evidence]
    rows = ContestUnit.objects.filter(contest=contest, candidate=candidates[position])
    waiting = list(rows.filter(number__gt=contest.folded[position]).order_by("number"))
    units = [contests.as_unit(row, plan.votes_per_unit) for row in waiting]
    prefix = contest_units.next_to_fold(units, contest.folded[position])
    for row, result in zip(waiting, prefix.results, strict=False):
        evidences[position] = contest_evidence.fold(evidences[position], result, design)
        log_e = contest_evidence.log_e(evidences[position], plan.null_mean)
        ContestUnit.objects.filter(pk=row.pk).update(log_e_after=log_e)
        contest.folded[position] = row.number
        decision = contest_evidence.decide(evidences, design)
        if decision.outcome != "open":
            winner = None if decision.candidate is None else candidates[decision.candidate]
            _decide(contest, decision.outcome, winner)
            break
    contest.evidence = [one.stored() for one in evidences]
    contest.save(update_fields=["evidence", "folded", "state", "decision", "winner", "decided_at"])


def _decide(contest: Contest, outcome: str, winner: ContestCandidate | None) -> None:
    contest.state, contest.decision, contest.winner = Contest.State.DECIDED, outcome, winner
    contest.decided_at = timezone.now()
    rows = Evaluation.objects.filter(candidate__candidacies__plan=contest.plan, incumbent=contest.plan.incumbent_id)
    Evaluation.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(contest=contest)
    version = None if winner is None else winner.model_version.public_id
    events.record("contest.decided", contest, actor=None, decision=outcome, winner=version)
    celery_app.enqueue(celery_app.CONTEST, contest.pk)


def _unit(task: Task) -> ContestUnit:
    return ContestUnit.objects.select_related("candidate", "candidate_response").get(task=task)
