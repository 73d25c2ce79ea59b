"""Units ahead of the annotators: prompts and candidates chosen, responses of both versions requested.

A few units are kept ready beyond those that were handed out, never the whole cap: what is generated for a contest that
ends early is waste, and a candidate is drawn by the votes that are in.
"""

import random
from fractions import Fraction

from django.db import IntegrityError, transaction

from feedback.errors import DomainError
from feedback.models import Contest, ContestCandidate, ContestPlan, ContestUnit, ModelVersion, Project, Prompt
from feedback.rules.data.seeds import stable_seed
from feedback.rules.evaluation import arena_allocation, contest_evidence
from feedback.rules.evaluation.arena_allocation import Record
from feedback.selectors.evaluation import contest_prompts, contests
from feedback.services.collection import generation
from feedback.services.evaluation.contest_endings import UNFIT
from feedback.services.platform import events

State = ContestUnit.State
FEWEST_AHEAD = 4
AHEAD_PER_ANNOTATOR = 2
MOST_AT_ONCE = 20  # units in one transaction
FAILED_IN_A_ROW = 12  # after so many the contest pauses, since more would fail alike


def supply_all() -> int:
    """Keep units ahead in every contest that runs. Returns how many were added."""
    running = Contest.objects.filter(state=Contest.State.RUNNING, project__state=Project.State.OPEN)
    return sum(supply(key) for key in running.values_list("pk", flat=True))


def supply(key: int) -> int:
    """Keep units ahead in one contest. Safe to repeat, and when two do it at once.

    Returns:
        How many units were added.
    """
    with transaction.atomic():
        # Nobody else locks the plan: the contest's own row is left to the votes.
        plans = ContestPlan.objects.select_for_update(skip_locked=True, no_key=True).select_related(None)
        plan = plans.filter(contest=key).first()
        if plan is None:
            return 0  # another worker is at it
        contest = Contest.objects.select_related("project").get(pk=key)
        if contest.state != Contest.State.RUNNING or contest.project.state != Project.State.OPEN:
            return 0
        if _always_fails(contest):
            Contest.objects.filter(pk=key, state=Contest.State.RUNNING).update(state=Contest.State.PAUSED)
            events.record("contest.paused", contest, actor=None, reason="responses could not be generated")
            return 0
        missing = min(_missing(contest, plan), MOST_AT_ONCE)
        if missing <= 0:
            return 0
        added = 0
        candidates = [one for one in plan.candidates.select_related("model_version") if _is_fit(one.model_version)]
        for prompt, round in contest_prompts.next_prompts(contest, plan, missing):
            added += bool(candidates) and _add(contest, plan, candidates, prompt, round)
        return added


def _missing(contest: Contest, plan: ContestPlan) -> int:
    """How many units to add: ahead of the annotators, and not beyond the cap."""
    units = ContestUnit.objects.filter(contest=contest)
    ahead = units.filter(state__in=[State.PREPARING, State.READY]).count()
    wanted = max(FEWEST_AHEAD, AHEAD_PER_ANNOTATOR * contests.active_annotators(contest.project_id))
    left = plan.cap // plan.votes_per_unit - units.exclude(state=State.VOID).count()
    return min(wanted - ahead, left)


def _always_fails(contest: Contest) -> bool:
    since = ContestUnit.objects.filter(contest=contest, created_at__gte=contest.running_since)
    newest = since.order_by("-pk")[:FAILED_IN_A_ROW]
    whys = list(newest.values_list("why_void", flat=True))
    return len(whys) == FAILED_IN_A_ROW and set(whys) == {ContestUnit.Void.FAILED}


def _is_fit(version: ModelVersion) -> bool:
    return version.tainted_at is None and version.state not in UNFIT


def _add(contest: Contest, plan: ContestPlan, candidates: list[ContestCandidate], prompt: Prompt, round: int) -> bool:
    """One unit with its two responses requested. Returns False where the prompt cannot be answered, or is taken."""
    candidate, propensity = _draw(contest, plan, candidates, prompt, round)
    prompt.project = contest.project
    try:
        with transaction.atomic():
            ours, theirs = (
                generation.request_responses(
                    prompt=prompt, count=1, model_version=version, make_tasks=False, sampling=plan.sampling
                )[0]
                for version in (candidate.model_version, plan.incumbent)
            )
            ContestUnit.objects.create(
                contest=contest,
                candidate=candidate,
                propensity=propensity,
                prompt=prompt,
                round=round,
                candidate_response=ours,
                incumbent_response=theirs,
            )
    except (DomainError, IntegrityError):
        return False  # blocked meanwhile, or another worker took it: the next round sees what is so then
    return True


def _draw(
    contest: Contest, plan: ContestPlan, candidates: list[ContestCandidate], prompt: Prompt, round: int
) -> tuple[ContestCandidate, float]:
    """The candidate of the next unit, with the probability that it had: by the votes that are in."""
    if len(candidates) == 1:
        return candidates[0], 1.0
    design = contests.design_of(plan, len(contest.evidence))
    records = []
    for candidate in candidates:
        evidence = contest_evidence.restore(contest.evidence[candidate.position])
        wins = float((evidence.mean or Fraction(0)) * evidence.units)
        given_up = contest_evidence.standing(evidence, design) == "given_up"
        records.append(Record(wins, evidence.units - wins, given_up))
    seed = stable_seed("contest", contest.public_id, round, prompt.public_id)
    choice = arena_allocation.choose(records, random.Random(seed))
    return candidates[choice.candidate], choice.propensity
