"""What follows when a contest has ended: the winner serves, and what is left over of its tasks and responses goes.

The vote that decides writes the decision and nothing else, so that it waits for no row of the project. This comes
afterwards: at once when the vote has committed, and again from housekeeping, so that a process that is killed in
between loses nothing. Everything here may be repeated.
"""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from feedback.errors import DomainError
from feedback.models import Concern, Contest, ContestPlan, ContestUnit, ModelVersion, Project, Response, Task
from feedback.rules.evaluation import contest_verdict
from feedback.selectors.evaluation import contests, gate, safety
from feedback.services.collection import generation
from feedback.services.platform import events
from feedback.services.registry import model_versions

OVERRIDE = "People's votes decided. The contest was opened with its preconditions for information only."
AT_ONCE = 500  # tasks or responses cleared up in one transaction
NOT_WRITTEN = "The contest ended before it was written."
OVER = {"state": ContestUnit.State.VOID, "why_void": ContestUnit.Void.CONTEST_OVER}
OPEN_TASKS = (Task.State.OPEN, Task.State.WAITING, Task.State.ASIDE)


def apply_decisions() -> int:
    """Do what follows from every contest that has ended. Returns how many there were to look at."""
    left = Contest.objects.filter(state__in=Contest.ENDED).filter(
        Q(applied_at=None)
        | Q(units__state__in=[ContestUnit.State.PREPARING, ContestUnit.State.READY, ContestUnit.State.OPEN])
    )
    keys = list(left.distinct().values_list("pk", flat=True))
    for key in keys:
        apply_one(key)
    return len(keys)


def apply_one(key: int) -> None:
    """Do what follows from one contest, if it has ended. Safe to repeat, and when two do it at once."""
    _promote_winner(key)
    while _clear_up(key):
        pass


def _promote_winner(key: int) -> None:
    with transaction.atomic():
        project_key = Contest.objects.values_list("project_id", flat=True).get(pk=key)
        Project.objects.select_for_update(no_key=True).get(pk=project_key)  # first, as every promotion does
        contest = Contest.objects.select_for_update(of=("self",)).select_related("plan", "project").get(pk=key)
        if contest.state not in Contest.ENDED or contest.applied_at is not None:
            return
        if contest.winner is not None and contest.plan.promote:
            if safety.is_running(contest.winner.model_version, contest.plan.incumbent):
                return  # the end of the test comes back to this
            contest.refusal = _unsafe(contest.winner.model_version) or _promote(contest)
        contest.applied_at = timezone.now()
        contest.save(update_fields=["refusal", "applied_at"])


def _unsafe(version: ModelVersion) -> list[dict[str, str]]:
    """Why the guard model keeps a winner from serving by itself, whatever the contest's rule for preconditions."""
    found = gate.of(version).blocking
    told = [{"name": one.name, "sentence": one.sentence} for one in found if one.name.startswith("safety_")]
    if told:
        events.record("model.waits_for_decision", version, actor=None, against=told[0]["name"])
    return told


def _promote(contest: Contest) -> list[dict[str, str]]:
    """Let the winner serve. Returns why not, a name and a sentence each; empty where it does."""
    assert contest.winner is not None
    version = contest.winner.model_version
    voters = contests.voters(contest)
    if voters < contest_verdict.FEWEST_VOTERS:
        sentence = f"{contest_verdict.too_few_voters(voters)} An admin decides."
        refusal = [{"name": "fewer_than_three_voters", "sentence": sentence}]
    else:
        reports_only = contest.plan.preconditions == ContestPlan.Preconditions.REPORT
        try:
            with transaction.atomic():
                model_versions.promote(
                    by=contest.plan.opened_by,
                    model_version=version,
                    note="People preferred it in a contest.",
                    override_reason=OVERRIDE if reports_only else "",
                )
            return []
        except DomainError as error:
            found = error.extra.get("findings")
            refusal = found or [{"name": error.code, "sentence": error.sentence}]
    against = ", ".join(one["name"] for one in refusal)
    events.record("model.waits_for_decision", version, actor=contest.plan.opened_by, against=against)
    return refusal


def _clear_up(key: int) -> bool:
    """Withdraw open tasks of an ended contest and cancel what is not written yet, some at a time.

    Returns:
        Whether there may be more.
    """
    left = ContestUnit.objects.filter(contest=key, contest__state__in=Contest.ENDED)
    with transaction.atomic():
        tasks = Task.objects.filter(contest=key, contest__state__in=Contest.ENDED, state__in=OPEN_TASKS)
        locked = tasks.select_for_update(of=("self",)).order_by("pk")
        keys = list(locked.values_list("pk", flat=True)[:AT_ONCE])
        Task.objects.filter(pk__in=keys).update(state=Task.State.WITHDRAWN)
        Concern.objects.filter(task__in=keys, assignment=None, closed_at=None).update(closed_at=timezone.now())
        left.filter(task__in=keys, state__in=[ContestUnit.State.READY, ContestUnit.State.OPEN]).update(**OVER)
    preparing = list(left.filter(state=ContestUnit.State.PREPARING).order_by("pk")[:AT_ONCE])
    left.filter(pk__in=[unit.pk for unit in preparing]).update(**OVER)
    responses = [one for unit in preparing for one in (unit.candidate_response_id, unit.incumbent_response_id)]
    for response in Response.objects.filter(pk__in=responses, state=Response.State.QUEUED).select_related("prompt"):
        generation.fail_response(response, NOT_WRITTEN)
    return len(keys) == AT_ONCE or len(preparing) == AT_ONCE
