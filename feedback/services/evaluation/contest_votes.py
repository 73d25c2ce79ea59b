"""Votes of a contest: numbers for its units, votes counted with the annotation that casts them, evidence, decision.

Lock order: the task, the assignment, then the contest, which is the last lock that a vote takes. Whoever holds it waits
for nobody but the cursor of their own annotator. What a decision leads to is done afterwards, in transactions of its
own (`contest_outcomes`).
"""

from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from feedback import celery_app
from feedback.db.compiled_queries import CompiledSelect, CompiledUpdate, Param, insert
from feedback.models import (
    Annotation,
    Assignment,
    Contest,
    ContestCandidate,
    ContestUnit,
    ContestVote,
    Evaluation,
    Exclusion,
    Task,
)
from feedback.rules.evaluation import contest_evidence, contest_units
from feedback.selectors.evaluation import contests
from feedback.services.platform import events

State = ContestUnit.State


class Ballot(NamedTuple):
    """The unit of a task, read while its task is locked: until then no vote can change it.

    Attributes:
        response: the candidate's.
        candidate, position: key and place of the candidate.
        excluded: whether the annotations of the person who votes are left out.
    """

    unit: int
    state: str
    number: int | None
    votes: int
    halves: int
    candidate: int
    position: int
    response: UUID
    votes_per_unit: int
    contest_state: str
    excluded: bool = False


_of_exclusion = Exclusion.objects.filter(
    project=OuterRef("contest__project"), person=Param("annotator"), lifted_at__isnull=True
)
select_ballot = CompiledSelect(
    lambda: (
        ContestUnit.objects.filter(task=Param("task"))
        .annotate(excluded=Exists(_of_exclusion))
        .values_list(
            "pk",
            "state",
            "number",
            "votes",
            "halves",
            "candidate_id",
            "candidate__position",
            "candidate_response__public_id",
            "contest__plan__votes_per_unit",
            "contest__state",
            "excluded",
        )
    )
)
lock_contest = CompiledSelect(
    lambda: Contest.objects.select_for_update(of=("self",)).select_related("plan").filter(pk=Param("contest"))
)
select_waiting = CompiledSelect(
    lambda: ContestUnit.objects.filter(
        contest=Param("contest"), candidate=Param("candidate"), number__gt=Param("folded")
    ).order_by("number")
)
set_number = CompiledUpdate(
    lambda: ContestUnit.objects.filter(pk=Param("unit")),
    number=Param("number"),
    numbered_at=Param("now"),
    state=State.OPEN,
)
set_next_number = CompiledUpdate(lambda: Contest.objects.filter(pk=Param("contest")), next_number=Param("next_number"))
set_votes = CompiledUpdate(
    lambda: ContestUnit.objects.filter(pk=Param("unit")), votes=Param("votes"), halves=Param("halves")
)
set_complete = CompiledUpdate(
    lambda: ContestUnit.objects.filter(pk=Param("unit")),
    votes=Param("votes"),
    halves=Param("halves"),
    x=Param("x"),
    state=State.COMPLETE,
    completed_at=Param("now"),
)
set_log_e = CompiledUpdate(lambda: ContestUnit.objects.filter(pk=Param("unit")), log_e_after=Param("log_e"))
set_evidence = CompiledUpdate(
    lambda: Contest.objects.filter(pk=Param("contest")), evidence=Param("evidence"), folded=Param("folded")
)


def give_number(task: Task) -> bool:
    """Number the unit of a task that is being handed out, if it has none yet. Call while holding the task's row.

    Returns:
        False where the contest has ended or was paused, or the unit is no longer wanted: nobody is given the task.
    """
    found = ballot(task)
    if found is None or found.contest_state != Contest.State.RUNNING or found.state not in (State.READY, State.OPEN):
        return False
    if found.number is not None:
        return True
    contest = lock(task.contest_id)
    if contest is None or contest.state != Contest.State.RUNNING:
        return False
    number(contest, found.unit)
    celery_app.enqueue(celery_app.CONTEST, contest.pk)
    return True


def number(contest: Contest, unit: int) -> None:
    """Give a unit (a key) the next number. Call while holding the contest's row."""
    set_number(unit=unit, number=contest.next_number, now=timezone.now())
    contest.next_number += 1
    set_next_number(contest=contest.pk, next_number=contest.next_number)


def ballot(task: Task, annotator: int | None = None) -> Ballot | None:
    """The unit of a task for one annotator (a key). Call while holding the task's row."""
    row = select_ballot.first(task=task.pk, annotator=annotator or 0)
    return None if row is None else Ballot(*row)


def may_vote(held: Assignment, found: Ballot | None) -> bool:
    """Whether the annotator's judgment counts in a contest: blind, and of somebody whose annotations are not excluded.

    Args:
        held: as `task_slots.lock` returns it.
    """
    return found is not None and not found.excluded and not held.reads_authors  # type: ignore[attr-defined]


def count(task: Task, found: Ballot, annotation: Annotation) -> None:
    """Count an annotation that is one of the K, and decide. Call in its transaction, while holding the task's row.

    Args:
        found: of the task, read since it was locked.
    """
    contest = lock(task.contest_id)
    if contest is None or found.state != State.OPEN or not annotation.blind:
        return
    halves = contests.halves_of(annotation, found.response)
    vote = ContestVote(
        unit_id=found.unit,
        annotation=annotation,
        annotator_id=annotation.annotator_id,
        halves=halves,
        counted_at=timezone.now(),
    )
    insert(vote)
    votes, halves = found.votes + 1, found.halves + halves
    if votes < found.votes_per_unit:
        set_votes(unit=found.unit, votes=votes, halves=halves)
    else:
        complete(contest, found._replace(votes=votes, halves=halves))


def change(task: Task, before: Annotation, annotation: Annotation) -> None:
    """A revision takes the place of a vote whose unit is not complete. Call while holding the task's row.

    One that is not blind, as a reviewer's is, leaves the vote as it was.
    """
    found = ballot(task)
    contest = lock(task.contest_id)
    if contest is None or found is None or found.state != State.OPEN or not annotation.blind:
        return
    for vote in ContestVote.objects.filter(unit=found.unit, annotation=before):
        halves = contests.halves_of(annotation, found.response)
        ContestUnit.objects.filter(pk=found.unit).update(halves=F("halves") + halves - vote.halves)
        ContestVote.objects.filter(pk=vote.pk).update(annotation=annotation, halves=halves)


def remove(task: Task, annotation: Annotation) -> None:
    """Take a vote back whose unit is not complete. Call while holding the task's row."""
    found = ballot(task)
    contest = lock(task.contest_id)
    if contest is None or found is None or found.state != State.OPEN:
        return
    for vote in ContestVote.objects.filter(unit=found.unit, annotation=annotation):
        ContestUnit.objects.filter(pk=found.unit).update(votes=F("votes") - 1, halves=F("halves") - vote.halves)
        vote.delete()


def wants_votes(task: Task) -> bool:
    """Whether a place of the task that came free is given out again: not once its unit is complete or void."""
    return ContestUnit.objects.filter(task=task, state__in=[State.READY, State.OPEN]).exists()


def lock(key: int | None) -> Contest | None:
    """A contest with its plan, locked; None once it has ended: from then on nothing counts."""
    contest: Contest | None = lock_contest.first(contest=key)
    return contest if contest is not None and contest.state in Contest.LIVE else None


def complete(contest: Contest, found: Ballot) -> None:
    """All votes of a unit are in: its value stands from now on. Call while holding the contest's row."""
    set_complete(
        unit=found.unit,
        votes=found.votes,
        halves=found.halves,
        x=found.halves / (2 * found.votes_per_unit),
        now=timezone.now(),
    )
    fold(contest, found.candidate, found.position)


def void(contest: Contest, unit: ContestUnit, why: str) -> None:
    """Close a unit with the votes it has, for good. Call while holding the contest's row.

    One that was handed out goes into the evidence, where the votes that it lacks count against whatever is claimed.
    """
    unit.state, unit.why_void = State.VOID, why
    unit.save(update_fields=["state", "why_void"])
    contest.voided += 1
    Contest.objects.filter(pk=contest.pk).update(voided=contest.voided)
    if unit.number is not None:
        fold(contest, unit.candidate_id, unit.candidate.position)


def fold(contest: Contest, candidate: int, position: int) -> None:
    """Fold what is complete without a gap into the evidence of a candidate (a key), and decide.

    Call while holding the contest's row. Stops at the unit that decides: what comes after it is no evidence.
    """
    plan, folded = contest.plan, contest.folded[position]
    design = contests.design_of(plan, len(contest.evidence))
    evidences = [contest_evidence.restore(one) for one in contest.evidence]
    waiting: list[ContestUnit] = select_waiting.all(contest=contest.pk, candidate=candidate, folded=folded)
    units = [contests.as_unit(row, plan.votes_per_unit) for row in waiting]
    prefix = contest_units.next_to_fold(units, folded)
    decision = contest_evidence.Decision("open")
    for row, result in zip(waiting, prefix.results, strict=False):
        evidences[position] = contest_evidence.fold(evidences[position], result, design)
        set_log_e(unit=row.pk, log_e=contest_evidence.log_e(evidences[position], plan.null_mean))
        contest.folded[position] = row.number
        decision = contest_evidence.decide(evidences, design)
        if decision.outcome != "open":
            break
    if contest.folded[position] == folded:
        return
    contest.evidence = [one.stored() for one in evidences]
    set_evidence(contest=contest.pk, evidence=contest.evidence, folded=contest.folded)
    if decision.outcome != "open":
        winner = None
        if decision.candidate is not None:
            winner = plan.candidates.select_related("model_version").get(position=decision.candidate)
        _decide(contest, decision.outcome, winner)


def _decide(contest: Contest, outcome: str, winner: ContestCandidate | None) -> None:
    contest.state, contest.decision, contest.winner = Contest.State.DECIDED, outcome, winner
    contest.decided_at = timezone.now()
    contest.save(update_fields=["state", "decision", "winner", "decided_at"])
    rows = Evaluation.objects.filter(candidate__candidacies__plan=contest.plan, incumbent=contest.plan.incumbent_id)
    Evaluation.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(contest=contest)
    version = None if winner is None else winner.model_version.public_id
    events.record("contest.decided", contest, actor=None, decision=outcome, winner=version)
    celery_app.enqueue(celery_app.CONTEST, contest.pk)
