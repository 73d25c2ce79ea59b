"""Contests in words and curves: the sentence about each candidate, what a running one waits for, its chart."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from feedback.models import Contest, ContestUnit, ModelVersion
from feedback.rules.evaluation import contest_evidence, contest_words
from feedback.rules.evaluation.contest_evidence import Design, Evidence
from feedback.rules.json_types import JsonObject
from feedback.selectors.evaluation import contests
from feedback.selectors.evaluation.contests import CandidateFigures, ContestFigures, Share

State = ContestUnit.State
MOST_POINTS = 2000  # of a chart


@dataclass(frozen=True)
class Standing:
    """A candidate as a list shows it, from the contest's own row.

    Attributes:
        win_rate: None before the first unit. result: it with its interval, in words.
        evidence: the largest E so far. bar: the E that promotes. votes: in the evidence.
    """

    version: ModelVersion
    win_rate: float | None
    result: str
    evidence: float
    bar: float
    votes: int


def sentence(figures: ContestFigures, candidate: CandidateFigures) -> str:
    """How a candidate stands or what was decided about it."""
    contest = figures.contest
    won = contest.winner is not None and contest.winner.model_version_id == candidate.version.pk
    decision = contest.decision
    if contest.winner is not None and not won:
        decision = Contest.Decision.CAP if candidate.standing == "open" else Contest.Decision.GIVE_UP
    account = contest_words.Account(
        state=contest.state,
        decision=decision,
        won=won,
        serves=won and promoted(contest),
        win_rate=candidate.win_rate,
        low=candidate.low,
        high=candidate.high,
        evidence=candidate.evidence,
        bar=candidate.bar,
        against=candidate.against,
        futility_bar=candidate.futility_bar,
        votes=candidate.votes,
        prompts=candidate.prompts,
        people=candidate.voters,
        cap=figures.cap,
        fresh=figures.fresh,
    )
    return contest_words.sentence(account)


def promoted(contest: Contest) -> bool:
    """Whether the winner was promoted by the contest itself."""
    return contest.plan.promote and contest.applied_at is not None and not contest.refusal


def standings(contest: Contest) -> list[Standing]:
    """The candidates of a contest in short. Reads no units and no votes."""
    candidates = list(contest.plan.candidates.all())
    design = contests.design_of(contest.plan, len(candidates))
    found = []
    for candidate in candidates:
        evidence = contest_evidence.restore(contest.evidence[candidate.position])
        low, high = evidence.interval or (None, None)
        win_rate = None if evidence.mean is None else float(evidence.mean)
        found.append(
            Standing(
                version=candidate.model_version,
                win_rate=win_rate,
                result="" if win_rate is None else contest_words.win_rate(win_rate, low, high),
                evidence=math.exp(min(evidence.peak, 700.0)),
                bar=design.bar,
                votes=evidence.units * evidence.votes_per_unit,
            )
        )
    return found


def standing_of(contest: Contest, version: ModelVersion) -> Standing:
    """How one of its candidates stands."""
    return next(one for one in standings(contest) if one.version.pk == version.pk)


def waits_for(contest: Contest) -> str:
    """What a running or paused contest waits for, in a sentence; empty once it has ended."""
    if contest.state not in Contest.LIVE:
        return ""
    if contest.state == Contest.State.PAUSED:
        return "It is paused: annotators get no tasks of it until somebody resumes it."
    rows = ContestUnit.objects.filter(contest=contest).values_list("state").annotate(units=Count("pk"))
    units: Counter[str] = Counter(dict(rows))
    open_tasks = units[State.READY] + units[State.OPEN]
    if open_tasks:
        return f"It waits for annotators: {open_tasks:,} task{'s' * (open_tasks != 1)} ready or being judged."
    if units[State.PREPARING]:
        return f"It waits for responses to {units[State.PREPARING]:,} prompts, which both models are writing."
    if contest.plan.fresh_only:
        return "It waits for new prompts: every prompt so far was used, or may have been seen by a model."
    return "It waits for prompts: there are no new ones, and no held-out ones either. Add prompts."


def chart(contest: Contest) -> JsonObject:
    """The evidence after each unit, as `chart.js` reads it: for each candidate, with the line that decides.

    With one candidate also the evidence against it, with the line that gives it up. All are natural logarithms.
    """
    candidates = list(contest.plan.candidates.all())
    design = contests.design_of(contest.plan, len(candidates))
    rows = ContestUnit.objects.filter(contest=contest, log_e_after__isnull=False).order_by("number")
    units = list(rows.only("number", "candidate_id", "log_e_after", "halves", "votes", "state"))
    kept = _thinned(range(len(units)))
    numbers = [units[place].number for place in kept]
    series: list[JsonObject] = []
    for candidate in candidates:
        values = [unit.log_e_after if unit.candidate_id == candidate.pk else None for unit in units]
        name = "log E" if len(candidates) == 1 else str(candidate.model_version)
        series.append({"name": name, "values": [values[place] for place in kept], "sparse": True})
    series.append({"name": "promotes at", "values": [math.log(design.bar)] * len(kept)})
    if len(candidates) == 1:
        against = _against(units, design)
        series.append({"name": "log E against it", "values": [against[place] for place in kept]})
        series.append({"name": "gives up at", "values": [math.log(design.futility_bar)] * len(kept)})
    return {"x": numbers, "x_name": "unit", "series": series, "final": contest.state not in Contest.LIVE}


def _against(units: Sequence[ContestUnit], design: Design) -> list[float]:
    """(units,) the log of the evidence against a candidate after each of them."""
    steps = 2 * design.votes_per_unit
    counts, found = [0] * (steps + 1), []
    for unit in units:
        missing = design.votes_per_unit - unit.votes if unit.state == State.VOID else 0
        counts[min(steps, unit.halves + 2 * missing)] += 1
        evidence = Evidence(counts=tuple(counts), generous=tuple(counts))
        found.append(contest_evidence.log_mirror(evidence, design.futile))
    return found


def _thinned(places: range) -> list[int]:
    """At most `MOST_POINTS` of them and the last."""
    step = max(1, math.ceil(len(places) / MOST_POINTS))
    kept = list(places[::step])
    if places and kept[-1] != places[-1]:
        kept.append(places[-1])
    return kept


def annotators(candidate: CandidateFigures, *, names: bool) -> list[Share]:
    """The candidate's win rate by annotator, most votes first; without `names` as annotator 1, 2, …"""
    if names:
        return candidate.by_annotator
    shares = enumerate(candidate.by_annotator, 1)
    return [share._replace(label=f"Annotator {place}", person=None) for place, share in shares]


def waits_for_admin(contest: Contest, serving: ModelVersion | None) -> bool:
    """Whether people decided for a version that an admin has not promoted yet, nor rejected."""
    if contest.winner is None or contest.applied_at is None:
        return False
    version = contest.winner.model_version
    fit = version.state in (ModelVersion.State.CANDIDATE, ModelVersion.State.APPROVED)
    still = serving is not None and serving.pk == contest.plan.incumbent_id
    return fit and still and version.tainted_at is None
