"""Best of n: draw several completions, keep the one with the highest score. The simplest use of a reward model, and a
yardstick for PPO: at n completions it spends at most ln n - (n - 1)/n nats of KL, however large the model (Stiennon et
al. 2020, appendix G; Beirami et al. 2024 show that it is a bound).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from trainer.run.seeds import stable_seed

if TYPE_CHECKING:
    from trainer.modeling.reward_scoring import Judge
    from trainer.modeling.sampling import Drawn

Draw = Callable[[list[Sequence[int]], list[int]], "list[Drawn]"]


def kl_of_best(n: int) -> float:
    """KL of the best of n to the policy that drew them, nats per completion; 0 for n = 1."""
    return math.log(n) - (n - 1) / n


def candidate_seed(seed: int, number: int) -> int:
    """Seed of one of the completions behind a response; the first has the response's own, so fewer are among more."""
    return seed if number == 0 else stable_seed(seed, "best of", number)


def draw_best(
    draw: Draw, judge: Judge, prompt_ids: Sequence[Sequence[int]], seeds: Sequence[int], n: int
) -> list[Drawn]:
    """For each prompt the completion with the highest score among n. One that ended beats any that was cut.

    Args:
        draw: one completion for each (prompt ids, seed).
        judge: scores of completions.
        prompt_ids, seeds: one each for a response that is wanted.
        n: completions behind each, >= 1.
    """
    from trainer.modeling.sampling import ids_of, stop_flags

    rows: list[Sequence[int]] = []
    candidate_seeds: list[int] = []
    for ids, seed in zip(prompt_ids, seeds, strict=True):
        for number in range(n):
            rows.append(ids)
            candidate_seeds.append(candidate_seed(seed, number))
    drawn = draw(rows, candidate_seeds)
    ended = stop_flags(drawn)
    scores = judge(rows, ids_of(drawn)).total.tolist()
    best = []
    for start in range(0, len(rows), n):
        end = start + n
        best.append(drawn[start + best_place(ended[start:end], scores[start:end])])
    return best


def best_place(ended: Sequence[bool], scores: Sequence[float]) -> int:
    """Which completion is the best: the highest score among those that ended, else among those that were cut."""
    return max(range(len(scores)), key=lambda place: (ended[place], scores[place]))
