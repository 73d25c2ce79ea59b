"""How many votes a contest is likely to take, before it opens and while it runs. A forecast decides nothing.

The log of E grows by a steady amount for each unit once the best of the 16 bets is ahead, so a contest takes about
(log of the bar + 1) / growth units: the 1 is what the other bets cost on the way. In simulation the mean is within an
eighth of that for win rates of .58 to .7, and up to a third more above, where a contest takes 13 to 60 votes.

Before it opens, what can be assumed is how much better a candidate is, not how people vote. Votes show less of it:
annotators slip, guess and call it a tie, so of every difference from one half only a part reaches the votes.
"""

import math
from collections.abc import Sequence

from feedback.rules.evaluation.contest_evidence import Design, Evidence, log_factors

PRICE = 1.0  # of betting on 16 sizes at once, in nats
ALIKE = 0.3  # intraclass correlation of votes on one prompt, where nothing is known of the crowd
NOISE = 0.2  # part of the votes that are as good as a coin's, where nothing is known of the crowd
FEWEST_UNITS = 10  # folded, before their own growth says anything


def expected_votes(preferred: float, design: Design, alike: float = ALIKE, noise: float = NOISE) -> int:
    """Votes until a candidate is promoted that is better as often as this, at most the cap.

    Args:
        preferred: in which share of comparisons it is better, in (0, 1); at the null or below it contests go on to the
            cap, unless they are given up.
        alike: intraclass correlation of true judgments on one prompt, in (0, 1); without effect for one vote on each.
        noise: part of the votes that a coin decides, in [0, 1): 0 takes `preferred` as the win rate of the votes.
    """
    kept = 1 - noise
    win_rate = 0.5 + kept * (preferred - 0.5)
    alike *= kept**2 * preferred * (1 - preferred) / (win_rate * (1 - win_rate))  # coins are alike in nothing
    growth = _growth(_chances(win_rate, design.votes_per_unit, alike), design)
    return _votes(math.log(design.bar) + PRICE, growth, design)


def expected_votes_left(evidence: Evidence, design: Design) -> int | None:
    """Votes until this candidate is promoted if the next ones are like those so far, at most what the cap leaves to it.

    None with too few units, and where the units so far do not favor the candidate.
    """
    if evidence.units < FEWEST_UNITS:
        return None
    growth = _growth([count / evidence.units for count in evidence.counts], design)
    if growth <= 0:
        return None
    rest = max(0, design.cap - design.votes_per_unit * evidence.units)
    missing = math.log(design.bar) + PRICE - growth * evidence.units
    return min(rest, _votes(max(0.0, missing), growth, design))


def _growth(chances: Sequence[float], design: Design) -> float:
    """The expected growth of log E for each unit with the best bet; chances: (2K + 1,) of each x."""
    rows = log_factors(design.null, len(chances) - 1)
    return max(sum(chance * factor for chance, factor in zip(chances, row, strict=True)) for row in rows)


def _votes(missing: float, growth: float, design: Design) -> int:
    if growth <= 0:
        return design.cap
    return min(design.cap, design.votes_per_unit * math.ceil(missing / growth))


def _chances(win_rate: float, votes_per_unit: int, alike: float) -> list[float]:
    """(2K + 1,) chance of each x if no vote is a tie: beta-binomial in the number of wins."""
    scale = (1 - alike) / alike
    a, b = win_rate * scale, (1 - win_rate) * scale
    found = [0.0] * (2 * votes_per_unit + 1)
    for wins in range(votes_per_unit + 1):
        losses = votes_per_unit - wins
        found[2 * wins] = math.comb(votes_per_unit, wins) * math.exp(_log_beta(a + wins, b + losses) - _log_beta(a, b))
    return found


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
