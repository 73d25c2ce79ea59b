"""Units of a contest become tasks once both responses are there, and come to nothing where one cannot be had."""

from django.db import transaction
from django.utils import timezone

from feedback.models import Contest, ContestUnit, Kind, Prompt, Response, Task
from feedback.rules.collection.pairing import shown_order
from feedback.rules.data import texts
from feedback.rules.evaluation import contest_units
from feedback.selectors.evaluation import contests
from feedback.services.collection import tasks
from feedback.services.evaluation import contest_votes

State = ContestUnit.State
ARM = "arena"  # of the tasks
LOST: dict[str, str] = {
    Response.State.FAILED: ContestUnit.Void.FAILED,
    Response.State.BLOCKED: ContestUnit.Void.BLOCKED,
}


def meet(prompt: Prompt) -> None:
    """Give the units that wait for responses to this prompt their tasks. Call while holding the prompt's row.

    Two equal texts need no task: nobody could tell them apart, so the unit is complete with half a win.
    """
    waiting = ContestUnit.objects.filter(prompt=prompt, state=State.PREPARING)
    for unit in waiting.select_related("contest__plan", "candidate", "candidate_response", "incumbent_response"):
        _meet(unit, prompt)


def void_left() -> int:
    """Void units that nobody completes: their task was withdrawn, or they kept a later unit waiting for a day.

    Returns how many.
    """
    live = Contest.objects.filter(state__in=Contest.LIVE)
    withdrawn = ContestUnit.objects.filter(contest__in=live, state__in=[State.READY, State.OPEN])
    withdrawn = withdrawn.filter(task__state=Task.State.WITHDRAWN)
    found = [(key, ContestUnit.Void.WITHDRAWN) for key in withdrawn.values_list("pk", flat=True)]
    found += [(key, ContestUnit.Void.STALE) for contest in live for key in _stale(contest)]
    return sum(_void(key, why) for key, why in found)


def _meet(unit: ContestUnit, prompt: Prompt) -> None:
    responses = [unit.candidate_response, unit.incumbent_response]
    lost = next((LOST[one.state] for one in responses if one.state in LOST), None)
    if lost is None and any(one.state != Response.State.READY for one in responses):
        return
    plan = unit.contest.plan
    if lost is None and not texts.same(responses[0].text, responses[1].text):
        task, _ = tasks.create_task(
            project=prompt.project,
            by=None,
            kind=Kind.COMPARISON,
            prompt=prompt,
            responses=shown_order(responses, "contest", unit.public_id),  # a place on the task tells nobody whose it is
            annotations_wanted=plan.votes_per_unit,
            arm=ARM,
            propensity=unit.propensity,
            contest=unit.contest,
            follows=True,
        )
        unit.task, unit.state = task, State.READY
        unit.save(update_fields=["task", "state"])
        return
    contest = contest_votes.lock(unit.contest_id)
    if contest is None:
        return  # housekeeping voids it
    if lost is not None:
        contest_votes.void(contest, unit, lost)
        return
    contest_votes.number(contest, unit.pk)
    half = contest_votes.Ballot(
        unit=unit.pk,
        state=State.OPEN,
        number=unit.number,
        votes=0,
        halves=plan.votes_per_unit,
        candidate=unit.candidate_id,
        position=unit.candidate.position,
        response=responses[0].public_id,
        votes_per_unit=plan.votes_per_unit,
        contest_state=contest.state,
    )
    contest_votes.complete(contest, half)


def _stale(contest: Contest) -> list[int]:
    """Keys of open units that have kept a later, complete one of their candidate waiting for too long."""
    found = []
    per_unit = contest.plan.votes_per_unit
    for candidate in contest.plan.candidates.all():
        numbered = ContestUnit.objects.filter(contest=contest, candidate=candidate)
        rows = {row.number: row for row in numbered.filter(number__gt=contest.folded[candidate.position])}
        units = [contests.as_unit(row, per_unit) for row in rows.values()]
        found += [rows[unit.number].pk for unit in contest_units.to_void(units, timezone.now())]
    return found


def _void(key: int, why: str) -> bool:
    with transaction.atomic():
        unit = ContestUnit.objects.select_related("candidate").get(pk=key)
        # The task before the contest, as a vote does that comes at this moment.
        task = Task.objects.select_for_update(of=("self",)).get(contest_unit=unit)
        contest = contest_votes.lock(unit.contest_id)
        unit.refresh_from_db(fields=["state", "number"])
        if contest is None or unit.state not in (State.READY, State.OPEN):
            return False
        Task.objects.filter(pk=task.pk).update(state=Task.State.WITHDRAWN)
        contest_votes.void(contest, unit, why)
    return True
