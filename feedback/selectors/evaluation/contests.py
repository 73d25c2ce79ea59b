"""Contests as pages and programs read them: where one stands, its figures, and what people have decided."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from feedback.models import (
    Annotation,
    Contest,
    ContestCandidate,
    ContestPlan,
    ContestUnit,
    ContestVote,
    Membership,
    ModelVersion,
    Person,
    Project,
)
from feedback.rules.evaluation import contest_evidence, contest_forecast, contest_units
from feedback.rules.evaluation.contest_evidence import Design, UnitResult
from feedback.rules.evaluation.length_control import win_rate_at_equal_length
from feedback.rules.evaluation.preconditions import People

ACTIVE = timedelta(hours=1)
State = ContestUnit.State


class CurvePoint(NamedTuple):
    """Evidence after a unit."""

    number: int
    log_e: float


class Share(NamedTuple):
    """The candidate's win rate within a part of the votes or units."""

    label: str
    person: Person | None
    votes: int
    win_rate: float


@dataclass(frozen=True)
class CandidateFigures:
    """How one candidate stands.

    Attributes:
        units: folded into the evidence. votes: of these units. prompts: distinct ones. voters: people, those who were
            erased as one.
        win_rate: mean x; None before the first unit. low, high: its interval, valid at every look; None where the
            votes contradict each other over time.
        evidence: the largest E so far; it promotes at `bar`. given_up: the evidence against it; it gives up at
            `futility_bar`.
        p: valid at every look.
        standing: open, won or given_up.
        curve: log E after each unit.
        at_equal_length: the win rate if responses were equally long; None where lengths explain nothing.
        by_annotator, by_source: of complete units, most votes first. Of erased people there is one entry together.
    """

    version: ModelVersion
    units: int
    votes: int
    prompts: int
    voters: int
    win_rate: float | None
    low: float | None
    high: float | None
    evidence: float
    bar: float
    log_e: float
    against: float
    futility_bar: float
    p: float
    standing: str
    curve: list[CurvePoint]
    at_equal_length: float | None
    by_annotator: list[Share]
    by_source: list[Share]
    votes_left: int | None


@dataclass(frozen=True)
class ContestFigures:
    """A contest in figures.

    Attributes:
        prompts: distinct ones in the evidence. fresh: whether none of them is from the held-out split.
        voters: people whose votes are in the evidence.
        handed_out: units that got a number. waiting: complete units that wait for an earlier one.
        identical: complete units whose two texts were equal.
        revised: votes whose annotation was revised or withdrawn after their unit was complete.
        revised_log_e: by candidate, what log E would be with these revisions.
    """

    contest: Contest
    candidates: list[CandidateFigures]
    units: int
    votes: int
    prompts: int
    fresh: bool
    voters: int
    handed_out: int
    waiting: int
    voided: int
    identical: int
    revised: int
    revised_log_e: list[float]
    cap: int


def contests_of(project: Project) -> QuerySet[Contest]:
    """Newest first, with what lists show."""
    rows = Contest.objects.filter(project=project).select_related("plan__incumbent", "winner__model_version")
    return rows.prefetch_related("plan__candidates__model_version").order_by("-pk")


def live(project: Project) -> Contest | None:
    """The contest that is running or paused."""
    return contests_of(project).filter(state__in=Contest.LIVE).first()


def of_version(version: ModelVersion) -> QuerySet[Contest]:
    """Contests in which a version is a candidate, newest first."""
    return contests_of(version.project).filter(plan__candidates__model_version=version)


def settled(version: ModelVersion, incumbent: ModelVersion) -> Contest | None:
    """The contest in which votes decided about a version against this incumbent."""
    rows = Contest.objects.filter(
        state=Contest.State.DECIDED, plan__incumbent=incumbent, plan__candidates__model_version=version
    )
    return rows.select_related("plan", "winner").order_by("-pk").first()


def between(version: ModelVersion, serves: ModelVersion | None) -> Contest | None:
    """Where people compare a version with what serves: decided, or still going on; None if nobody compared it.

    What was decided comes first, then what goes on. A contest that was stopped says nothing.
    """
    if serves is None or version.kind != ModelVersion.Kind.POLICY:
        return None
    rows = Contest.objects.filter(plan__incumbent=serves, plan__candidates__model_version=version)
    rows = rows.exclude(state=Contest.State.STOPPED).select_related("plan", "winner")
    return rows.order_by("state", "-pk").first()  # decided, paused, running


def people(contest: Contest, version: ModelVersion) -> People:
    """What the votes of a contest say about one of its candidates."""
    if contest.state in Contest.LIVE:
        return People("open")
    candidate = contest.plan.candidates.get(model_version=version)
    evidence = contest_evidence.restore(contest.evidence[candidate.position])
    decision = contest.decision
    if contest.winner_id is not None and contest.winner_id != candidate.pk:
        decision = Contest.Decision.CAP  # another candidate was shown to be better, this one was not
    low, high = evidence.interval or (None, None)
    return People(
        decision=decision,
        win_rate=None if evidence.mean is None else float(evidence.mean),
        low=low,
        high=high,
        votes=evidence.units * evidence.votes_per_unit,
        voters=voters(contest),
    )


def active_annotators(project: int) -> int:
    """How many annotators have submitted something within the last hour."""
    lately = Annotation.objects.filter(
        revision=1, annotator=OuterRef("person"), project=project, created_at__gte=timezone.now() - ACTIVE
    )
    return Membership.objects.filter(Exists(lately), project=project, role=Membership.Role.ANNOTATOR).count()


def design_of(plan: ContestPlan, candidates: int) -> Design:
    """The plan as the rules read it."""
    return Design(
        alpha=plan.alpha,
        candidates=candidates,
        votes_per_unit=plan.votes_per_unit,
        cap=plan.cap,
        null=plan.null_mean,
        futile=plan.futility_mean,
        futility_bar=plan.futility_limit,
    )


def as_unit(row: ContestUnit, votes_per_unit: int) -> contest_units.Unit:
    """A numbered unit as the rules read it."""
    assert row.number is not None
    states: dict[str, contest_units.UnitState] = {State.COMPLETE: "complete", State.VOID: "void"}
    state = states.get(row.state, "open")
    if state == "open":
        return contest_units.Unit(row.number, state)
    return contest_units.Unit(row.number, state, _result(row, votes_per_unit), row.completed_at)


def _result(row: ContestUnit, votes_per_unit: int) -> UnitResult:
    """What is folded of a unit that is no longer open. One whose texts are equal has no votes and lacks none."""
    missing = votes_per_unit - row.votes if row.state == State.VOID else 0
    return UnitResult(Fraction(row.halves, 2 * votes_per_unit), Fraction(missing, votes_per_unit))


def voters(contest: Contest) -> int:
    """How many people's votes the evidence holds. Those who were erased count as one: they did vote."""
    counted = ContestVote.objects.filter(unit__contest=contest, unit__log_e_after__isnull=False)
    known = counted.exclude(annotator=None).values("annotator").distinct().count()
    return known + int(counted.filter(annotator=None).exists())


def figures(contest: Contest) -> ContestFigures:
    """All figures of a contest. Reads its units and votes once each."""
    plan = contest.plan
    candidates = list(plan.candidates.select_related("model_version"))
    design = design_of(plan, len(candidates))
    units = list(
        ContestUnit.objects.filter(contest=contest, number__isnull=False)
        .select_related("prompt", "candidate_response", "incumbent_response")
        .order_by("number")
    )
    votes = list(ContestVote.objects.filter(unit__contest=contest).select_related("annotator").order_by("pk"))
    cast: dict[int, list[ContestVote]] = defaultdict(list)
    for vote in votes:
        cast[vote.unit_id].append(vote)
    folded = [unit for unit in units if unit.log_e_after is not None]
    complete = [unit for unit in units if unit.state == State.COMPLETE]
    revisions = _revisions(complete, votes)
    return ContestFigures(
        contest=contest,
        candidates=[_candidate_figures(one, contest, design, units, cast) for one in candidates],
        units=len(folded),
        votes=sum(unit.votes for unit in folded),
        prompts=len({unit.prompt_id for unit in folded}),
        fresh=all(unit.round == 0 for unit in units),
        voters=voters(contest),
        handed_out=len(units),
        waiting=len(complete) - len(folded) if contest.state in Contest.LIVE else 0,
        voided=contest.voided,
        identical=sum(unit.task_id is None for unit in complete),
        revised=len(revisions),
        revised_log_e=[_revised_log_e(one, design, folded, revisions, votes) for one in candidates],
        cap=plan.cap,
    )


def _candidate_figures(
    candidate: ContestCandidate,
    contest: Contest,
    design: Design,
    units: Sequence[ContestUnit],
    cast: dict[int, list[ContestVote]],
) -> CandidateFigures:
    evidence = contest_evidence.restore(contest.evidence[candidate.position])
    mine = [unit for unit in units if unit.candidate_id == candidate.pk]
    folded = [unit for unit in mine if unit.log_e_after is not None]
    complete = [unit for unit in folded if unit.state == State.COMPLETE]
    low, high = evidence.interval or (None, None)
    by_annotator = _by_annotator(folded, cast)
    return CandidateFigures(
        version=candidate.model_version,
        units=evidence.units,
        votes=sum(unit.votes for unit in folded),
        prompts=len({unit.prompt_id for unit in folded}),
        voters=len(by_annotator),
        win_rate=None if evidence.mean is None else float(evidence.mean),
        low=low,
        high=high,
        evidence=_exp(evidence.peak),
        bar=design.bar,
        log_e=contest_evidence.log_e(evidence, design.null),
        against=_exp(contest_evidence.log_mirror(evidence, design.futile)),
        futility_bar=design.futility_bar,
        p=contest_evidence.anytime_p(evidence, design),
        standing=contest_evidence.standing(evidence, design),
        curve=[CurvePoint(unit.number or 0, unit.log_e_after or 0.0) for unit in folded],
        at_equal_length=win_rate_at_equal_length(
            [unit.x or 0.0 for unit in complete], [_longer(unit) for unit in complete]
        ),
        by_annotator=by_annotator,
        by_source=_by_source(complete),
        votes_left=contest_forecast.expected_votes_left(evidence, design) if contest.state in Contest.LIVE else 0,
    )


def _by_annotator(units: Sequence[ContestUnit], cast: dict[int, list[ContestVote]]) -> list[Share]:
    groups: dict[Person | None, list[int]] = defaultdict(list)
    for unit in units:
        for vote in cast[unit.pk]:
            groups[vote.annotator].append(vote.halves)
    shares = [
        Share(str(person or "Erased annotators"), person, len(halves), sum(halves) / (2 * len(halves)))
        for person, halves in groups.items()
    ]
    return sorted(shares, key=lambda one: (-one.votes, one.label))


def _by_source(units: Sequence[ContestUnit]) -> list[Share]:
    groups: dict[str, list[ContestUnit]] = defaultdict(list)
    for unit in units:
        groups[unit.prompt.source].append(unit)
    shares = [
        Share(
            source or "No source", None, sum(unit.votes for unit in group), sum(u.x or 0.0 for u in group) / len(group)
        )
        for source, group in groups.items()
    ]
    return sorted(shares, key=lambda one: (-one.votes, one.label))


def _longer(unit: ContestUnit) -> float:
    """By how many tokens the candidate's response is longer; characters, where tokens were not counted."""
    ours, theirs = unit.candidate_response, unit.incumbent_response
    if ours.tokens is None or theirs.tokens is None:
        return float(len(ours.text) - len(theirs.text))
    return float(ours.tokens - theirs.tokens)


def _revisions(complete: Sequence[ContestUnit], votes: Sequence[ContestVote]) -> dict[int, int | None]:
    """Votes, by key, whose annotation is no longer the current one; with the halves that it would count now."""
    by_key = {unit.pk: unit for unit in complete}
    counted = {vote.annotation_id: vote for vote in votes if vote.unit_id in by_key and vote.annotation_id is not None}
    rows = Annotation.objects.filter(pk__in=counted).select_related("assignment__current")
    found: dict[int, int | None] = {}
    for annotation in rows.filter(~Q(assignment__current=F("pk")) | Q(assignment__current=None)):
        current = annotation.assignment.current
        vote = counted[annotation.pk]
        found[vote.pk] = None
        if current is not None and not current.withdrawn and current.blind:
            found[vote.pk] = halves_of(current, by_key[vote.unit_id].candidate_response.public_id)
    return found


def _revised_log_e(
    candidate: ContestCandidate,
    design: Design,
    folded: Sequence[ContestUnit],
    revisions: dict[int, int | None],
    votes: Sequence[ContestVote],
) -> float:
    """Log E if revisions counted. A vote that was taken back is one that its unit lacks."""
    mine = [unit for unit in folded if unit.candidate_id == candidate.pk]
    results = {unit.pk: _result(unit, design.votes_per_unit) for unit in mine}
    for vote in votes:
        if vote.pk in revisions and vote.unit_id in results:
            x, missing = results[vote.unit_id]
            now = revisions[vote.pk]
            x += Fraction((now or 0) - vote.halves, 2 * design.votes_per_unit)
            if now is None:
                missing += Fraction(1, design.votes_per_unit)
            results[vote.unit_id] = UnitResult(x, missing)
    return contest_evidence.log_e(contest_evidence.recompute(results.values(), design), design.null)


def halves_of(annotation: Annotation, response: UUID) -> int:
    """What a comparison counts for the candidate whose response that is: 2, 1 or 0 halves."""
    payload = annotation.payload
    for_candidate = payload.get("chosen") == str(response)
    return int(2 * contest_units.vote_value(str(payload["outcome"]), for_candidate=for_candidate))


def _exp(log_value: float) -> float:
    return math.exp(min(log_value, 700.0))
