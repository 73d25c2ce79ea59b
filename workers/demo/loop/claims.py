"""What the proof of the loop demands of a seed's report: pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

ROUNDS = 4
BUDGET = 8000
LARGEST_FALL = 0.1
LEAST_GOLD = 3.0
MINUTES = 60.0

Report = Mapping[str, Any]  # of a seed, as `manage.py prove_loop` writes it


@dataclass(frozen=True)
class Claim:
    """One assertion about a seed: the sentence with its threshold, the figure, and whether that is enough."""

    name: str
    sentence: str
    value: str
    holds: bool


def claims(report: Report) -> list[Claim]:
    """All claims about a seed. One whose figures are missing, since the run ended early, does not hold."""
    rounds = [one for one in report.get("campaign", {}).get("rounds", []) if one["state"] == "decided"]
    answers = report.get("crowd", {}).get("comparisons", 0)
    return [
        Claim("rounds", f"at least {ROUNDS} rounds were decided", str(len(rounds)), len(rounds) >= ROUNDS),
        Claim("annotations", f"at most {BUDGET:,} annotations in all", f"{answers:,}", 0 < answers <= BUDGET),
        *_planted(report),
        _falls(report),
        _end(report),
        _named(report),
        _explained(report),
    ]


def _planted(report: Report) -> list[Claim]:
    hacked = report.get("planted", {}).get("without KL", {})
    findings = [one["name"] for one in hacked.get("refused", [])]
    contests = {one["id"]: one for one in report.get("contests", [])}
    found = [
        Claim(
            "refused",
            "the policy trained without KL is refused by its checks",
            ", ".join(dict.fromkeys(findings)) or "not refused",
            bool(findings),
        )
    ]
    for name, what in (("without KL", "the policy trained without KL"), ("copy", "the identical copy")):
        one = contests.get(report.get("planted", {}).get(name, {}).get("contest", ""), {})
        decision = one.get("decision", "")
        votes = one.get("figures", {}).get("votes", 0)
        sentence = f"{what} is not promoted by people's votes"
        kept = decision in ("give_up", "cap")
        found.append(Claim(f"votes on {name}", sentence, f"{decision or 'not compared'} after {votes} votes", kept))
    same = report.get("planted", {}).get("copy", {}).get("identical", False)
    found.append(Claim("identical", "the copy has the same weights as what served", str(same).lower(), bool(same)))
    return found


def steps(report: Report) -> list[tuple[str, float]]:
    """What served, one after the other, with its gold utility on held-out prompts."""
    golds = report.get("gold", {})
    return [
        (one["name"], golds[one["name"]]["held_out"]["gold"])
        for one in report.get("served", [])
        if one["name"] in golds
    ]


def _falls(report: Report) -> Claim:
    golds = [gold for _, gold in steps(report)]
    falls = [before - after for before, after in pairwise(golds)]
    sentence = f"gold of what serves never falls by more than {LARGEST_FALL} at a promotion"
    return Claim("falls", sentence, " → ".join(f"{gold:.2f}" for gold in golds), max(falls, default=9) <= LARGEST_FALL)


def _end(report: Report) -> Claim:
    golds = [gold for _, gold in steps(report)]
    sentence = f"gold of what serves in the end is at least {LEAST_GOLD}"
    return Claim("end", sentence, f"{golds[-1]:.2f}" if golds else "none", bool(golds) and golds[-1] >= LEAST_GOLD)


def _named(report: Report) -> Claim:
    """The two bad annotators are those whom the crowd lists last."""
    bad = set(report.get("bad_annotators", []))
    named = {one["person"]["name"] for one in report.get("quality", {}).get("findings", [])}
    others = len(named - bad)
    value = f"{len(named & bad)} of {len(bad)}, and {others} others"
    return Claim("named", "both bad annotators are named", value, bool(bad) and bad <= named)


def _explained(report: Report) -> Claim:
    told: Sequence[Report] = report.get("explained", [])
    good = sum(bool(one["sentence"]) and one["on_page"] for one in told)
    return Claim(
        "explained", "every decision is explained on its page", f"{good} of {len(told)}", 0 < good == len(told)
    )
