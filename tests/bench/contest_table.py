"""How often contests promote and how many votes they take, arenas, drift alarms and leaderboards, by simulation.

    python -m tests.bench.contest_table [--runs 2000] [--only gate order arena drift leaderboard time]

No models: crowds are drawn. `gate` shows that an equal candidate is promoted in 5 % of runs at most with a peek at
every unit, `order` what completion order, units that nobody answers and a candidate shown left do to that.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from feedback.rules.evaluation.arena_allocation import Record, choose
from feedback.rules.evaluation.contest_evidence import Design, recompute
from tests.evaluation import arena_simulation as arena
from tests.evaluation import contest_simulation as contests
from tests.evaluation import drift_simulation as drift
from tests.evaluation import leaderboard_simulation as leaderboards

CAP = 2000
RATES = (0.5, 0.55, 0.6, 0.65)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(one) for one in cells) + " |", flush=True)


def header(*cells: str) -> None:
    row(*cells)
    row(*["---"] * len(cells))


Draw = Callable[[np.random.Generator, int, int, int, float], contests.Halves]
CROWDS: dict[str, Draw] = {"of all votes": contests.votes, "on the median prompt": contests.votes_by_log_odds}


def gate(runs: int) -> None:
    for name, draw in CROWDS.items():
        print(f"\nPromoted / mean votes; p {name}; {runs} runs, at most {CAP} votes, ICC {contests.ICC}\n")
        header("", *(f"p {rate}" for rate in RATES))
        for k in (1, 2, 3):
            row(f"K = {k}", *(promoted(draw, runs, k, rate, Design(votes_per_unit=k, cap=CAP)) for rate in RATES))
        never = Design(cap=CAP, futility_bar=1e300)
        row("K = 1, never given up", *(promoted(draw, runs, 1, rate, never) for rate in RATES))
        row("K = 3, votes as units", *(promoted(draw, runs, 3, rate, Design(cap=CAP)) for rate in RATES))
        for cap in (300, 1000):
            row(f"K = 1, at most {cap}", *(promoted(draw, runs, 1, rate, Design(cap=cap)) for rate in RATES))
    for cap in (300, 1000, CAP):
        drawn = contests.votes(np.random.default_rng(9), runs, cap, 1, 0.5)
        found = contests.follow(contests.units_of(drawn), Design(cap=cap))
        print(
            f"\nNull, at most {cap} votes: given up {found.share('give_up'):.2f}, at the cap {found.share('cap'):.2f}."
        )


def promoted(draw: Draw, runs: int, k: int, rate: float, design: Design) -> str:
    """The share promoted and the mean votes; `k` votes on a prompt, which are one unit or, by `design`, units."""
    rng = np.random.default_rng([k, int(100 * rate)])
    drawn = draw(rng, runs, design.cap // k, k, rate)
    found = contests.follow(contests.units_of(drawn.reshape(runs, -1, design.votes_per_unit)), design)
    return f"{found.share('promote'):.3f} / {found.votes(design.votes_per_unit):,.0f}"


def order(runs: int) -> None:
    print(f"\nEqual candidates that were promoted, {runs} runs, by the order of folding and the side shown\n")
    header("", "K = 1", "K = 3")
    rng = np.random.default_rng(17)
    drawn = {k: contests.units_of(contests.votes(rng, runs, CAP // k, k, 0.5)) for k in (1, 3)}
    rules = {k: Design(votes_per_unit=k, cap=CAP) for k in (1, 3)}
    row("order of hand-out", *(f"{contests.follow(drawn[k], rules[k]).share('promote'):.3f}" for k in (1, 3)))
    cells = []
    for k in (1, 3):
        completed = contests.in_order_of(contests.completed_at(rng, drawn[k], k), drawn[k])
        cells.append(f"{contests.follow(completed, rules[k]).share('promote'):.3f}")
    row("order of completion", *cells)
    for share in (0.01, 0.03, 0.1):
        without, against = [], []
        for k in (1, 3):
            void = contests.slow_losses(rng, drawn[k], k, share)
            left = contests.left_out(rng, drawn[k], void)
            without.append(f"{contests.follow(left, rules[k]).share('promote'):.3f}")
            against.append(f"{contests.follow(drawn[k], rules[k], void).share('promote'):.3f}")
        row(f"{share:.0%} of units never answered, losses only: left out", *without)
        row("the same: their votes count against the candidate", *against)
    for shown in (0.5, 0.6, 1.0):
        left = contests.shown_left(rng, runs, CAP, shown)
        row(f"candidate shown left in {shown:.0%}", f"{contests.follow(left, rules[1]).share('promote'):.3f}", "")
    print("\nWhat units cost that nobody answers, by chance: promoted / votes at p .55 and .60, K = 1\n")
    for share in (0.0, 0.01, 0.03):
        cells = []
        for rate in (0.55, 0.6):
            halves = contests.units_of(contests.votes(rng, runs, CAP, 1, rate))
            found = contests.follow(halves, rules[1], rng.random(halves.shape) < share)
            cells.append(f"{found.share('promote'):.3f} / {found.votes(1):,.0f}")
        row(f"{share:.0%}", *cells)


def arenas(runs: int) -> None:
    print(f"\nFive candidates, at most 3,000 votes, {runs} runs: the best promoted, any other promoted, mean votes\n")
    header("choice", "one at .58", "all equal")
    design = Design(candidates=5, cap=3000)
    for name, rule in (
        ("Thompson, .3 uniform over candidates", arena.thompson),
        ("Thompson, .3 uniform over all pairs", arena.thompson_over_all_pairs),
        ("round robin", arena.round_robin),
        ("uniform over all pairs", arena.uniform_over_all_pairs),
    ):
        cells = []
        for rates in ([0.58, 0.5, 0.5, 0.5, 0.5], [0.5] * 5):
            found = arena.follow(np.random.default_rng(5), rates, rule, runs, design)
            best, other = np.mean(found.winner == 0), np.mean(found.winner > 0)
            cells.append(f"{best:.3f}, {other:.3f}, {found.votes.mean():,.0f}")
        row(name, *cells)


def drifts(runs: int) -> None:
    print(f"\nDrift alarm of a version, {runs} versions\n")
    header("", "false alarms in 2,000 labels", ".75 to .60: median, p90, missed", ".75 to .65")
    for name, p in drift.MODELS.items():
        for labels in (300, 600):
            rng = np.random.default_rng([labels, len(name)])
            calm = drift.alarms(rng, p, runs, 2000, labels=labels)
            cells = [f"{np.mean(calm > 0):.3f}"]
            for after in (0.6, 0.65):
                found = drift.alarms(rng, p, runs, 2000, labels=labels, accuracy=after)
                cells.append(drift.describe(found))
            row(f"{name}, b from {labels}", *cells)
    print(f"\nAlarm of an annotator: labels until it sounds, {runs} of each; b from 300 labels\n")
    header("", "inverter", "spammer", "careful, in 600 labels", "careful, 5 points less accurate, in 600")
    for name, p in drift.MODELS.items():
        cells = []
        for accuracy in (0.25, 0.5, 0.75, 0.7):
            found = drift.alarms(np.random.default_rng(3), p, runs, 600, accuracy=accuracy, bar=drift.ANNOTATOR_BAR)
            cells.append(drift.describe(found) if accuracy <= 0.5 else f"{np.mean(found > 0):.4f}")
        row(name, *cells)


def leaderboard(runs: int) -> None:
    runs = min(runs, 400)
    print(f"\nLeaderboard: intervals of 95 % of all pairs' differences that cover, {runs} arenas of 5 versions\n")
    header("", "by prompt (sandwich)", "the model's own")
    for prompts, each in ((20, 30), (60, 10), (60, 30), (200, 10)):
        covered = leaderboards.coverage(seed=prompts, arenas=runs, prompts=prompts, votes_each=each)
        row(f"{prompts} prompts, {each} votes on each", f"{covered.clustered:.3f}", f"{covered.alone:.3f}")


def times(runs: int) -> None:
    def timed(act: Callable[[], object]) -> float:
        act()
        begun = time.process_time()
        act()
        return 1000 * (time.process_time() - begun)

    print("\nProcessor time\n")
    rng = np.random.default_rng(0)
    units = contests.results(contests.units_of(contests.votes(rng, 1, 2000, 1, 0.52))[0], 1)
    design = Design()
    whole = timed(lambda: recompute(units, design))
    print(f"- 2,000 units folded, with the interval at each: {whole:.0f} ms, {whole / len(units):.3f} ms each")
    for prompts in (300, 1000, 100_000):
        cells = leaderboards.many_votes(random.Random(0), prompts=prompts, votes=100_000, versions=10)
        spent = timed(partial(leaderboards.fit, cells, 10))
        print(f"- 10 versions, 100,000 votes on {prompts:,} prompts ({len(cells):,} cells): {spent:.0f} ms")
    records = [Record(40 + 10 * one, 50) for one in range(5)]
    print(f"- one choice among five candidates: {timed(lambda: choose(records, random.Random(0))):.1f} ms")


PARTS = {"gate": gate, "order": order, "arena": arenas, "drift": drifts, "leaderboard": leaderboard, "time": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    asked = parser.parse_args()
    for name in asked.only:
        PARTS[name](asked.runs)


if __name__ == "__main__":
    main()
