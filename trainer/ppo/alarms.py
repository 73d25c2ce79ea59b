"""When a PPO run is going wrong, judged from its figures alone: the alarms of the reference, section 5.9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from trainer.ppo.kl_budget import budget_of

if TYPE_CHECKING:
    from trainer.configs.online import PPOConfig

Figures = Mapping[str, float]

LOOKS_IN_A_ROW = 3  # a better score beside a worse floor, so often, is over-optimization and no chance
# KL is judged by means of so many iterations: one completion that the reference finds next to impossible moves a whole
# rollout's, and one bad update is often taken back by the next (seed 4 of the proof: 1.8, 9.9, 2.1 nats).
KL_ITERATIONS = 5
SLOPE_SHARE = 0.25  # of the KL budget, spent within so many iterations


@dataclass(frozen=True)
class Alarm:
    """Something amiss.

    Attributes:
        name: steady, for machines. text: a sentence saying what was seen.
        stops: whether going on makes it worse, rather than only slower or harder to judge.
        fails: whether the run has learned nothing and will not, so that it must not succeed.
        remedy: what to do about a run that fails.
    """

    name: str
    text: str
    stops: bool = True
    fails: bool = False
    remedy: str = ""


ENDS_AT_LEAST = 0.5  # of the first rollout's completions; with fewer most of the reward is the penalty for no end
FLAT_IN_A_ROW = 3  # rollouts of one reward after which a run that has learned something ends
LONGER = "Raise max_new_tokens, or train the base model on demonstrations that end sooner."
OTHER_REWARD = "Check the reward model's scores of different responses, and the terms of the reward."


def is_flat(deviation: float, mean: float) -> bool:
    """Whether rewards of this standard deviation are all the same but for rounding."""
    return deviation <= 1e-6 * max(1.0, abs(mean))


def of_first_rollout(eos_rate: float, deviation: float, score: float, most: int) -> list[Alarm]:
    """What shows at the first rollout already that nothing will be learned.

    Args:
        eos_rate: share of completions that ended by themselves. deviation, score: of their scores, and their mean.
        most: tokens of a completion at most.
    """
    if eos_rate < ENDS_AT_LEAST:
        sentence = f"The EOS rate of the first completions is only {eos_rate:.0%} within {most} tokens."
        return [Alarm("no_ends", sentence, fails=True, remedy=LONGER)]
    if is_flat(deviation, score):
        sentence = (
            f"Every completion of the first rollout gets the same score, {score:.2f}, so there is nothing to learn."
        )
        return [Alarm("flat_reward", sentence, fails=True, remedy=OTHER_REWARD)]
    return []


def alarms(history: Sequence[Figures], config: PPOConfig, usual_spread: float = 0.0) -> list[Alarm]:
    """What is amiss after the last of the iterations in `history`.

    Args:
        history: figures of each iteration; those with a look at the selection prompts have `selection_…` too.
        config: for the KL budget.
        usual_spread: of the reward model's heads on the SFT policy's completions; 0 when it has one head.
    """
    now, first = history[-1], history[0]
    looks = [entry for entry in history if "selection_reward" in entry]
    at_look = bool(looks) and looks[-1] is now
    found = [*of_rollouts(now, first, len(history)), *of_kl(history, config), *of_rewards(history, config)]
    if at_look:
        found += of_looks(looks)
    spread = now.get("reward_spread", 0.0)
    if usual_spread and spread > 2 * usual_spread:
        found.append(
            Alarm(
                "reward_spread",
                f"Ensemble disagreement is {spread / usual_spread:.1f} times that on completions of "
                "the SFT policy; rewards are unreliable here.",
            )
        )
    return found


def of_rollouts(now: Figures, first: Figures, count: int) -> list[Alarm]:
    """What the last rollout and its updates show."""
    found = []
    if now["entropy"] < 0.3 * first["entropy"]:
        sentence = f"Entropy fell from {first['entropy']:.2f} to {now['entropy']:.2f} nats per token."
        found.append(Alarm("entropy", sentence))
    if count > 5 and now["eos_rate"] < min(0.9, first["eos_rate"]):
        found.append(Alarm("eos_rate", f"The EOS rate is only {now['eos_rate']:.0%}."))
    if now["clip_fraction"] > 0.3:
        sentence = f"The clip fraction is {now['clip_fraction']:.0%}; the steps are too large."
        found.append(Alarm("clip_fraction", sentence, stops=False))
    if count >= 20 and now["explained_variance"] < min(0.0, first["explained_variance"]):
        sentence = (
            f"After {count} iterations the explained variance is below zero and below that of the untrained critic."
        )
        found.append(Alarm("explained_variance", sentence, stops=False))
    return found


def of_rewards(history: Sequence[Figures], config: PPOConfig) -> list[Alarm]:
    """Whether rewards tell completions apart."""
    now = history[-1]
    if len(history) == 1:
        return of_first_rollout(now["eos_rate"], now["score_deviation"], now["score"], config.max_new_tokens)
    found = []
    if now["eos_rate"] == 0:
        found.append(Alarm("no_ends", "No completion of a rollout ends with EOS: all get the same penalty."))
    last = history[-FLAT_IN_A_ROW:]
    if len(last) == FLAT_IN_A_ROW and all(is_flat(one["score_deviation"], one["score"]) for one in last):
        sentence = f"In {FLAT_IN_A_ROW} consecutive rollouts every completion got the same score; nothing is learned."
        found.append(Alarm("flat_reward", sentence))
    return found


def of_kl(history: Sequence[Figures], config: PPOConfig) -> list[Alarm]:
    """What KL shows beside its budget; nothing without one."""
    budget = budget_of(config.kl_budget, history[0]["length"])
    if not budget:
        return []
    found = []
    kl = fmean(one.get("selection_kl", one["kl"]) for one in history[-KL_ITERATIONS:])
    if kl > budget:
        sentence = f"KL to the reference is {kl:.1f} nats per completion recently; the budget is {budget:.1f}."
        found.append(Alarm("kl_budget", sentence))
    if len(history) >= 2 * KL_ITERATIONS:
        late, early = (history[-KL_ITERATIONS:], history[-2 * KL_ITERATIONS : -KL_ITERATIONS])
        rise = fmean(one["kl"] for one in late) - fmean(one["kl"] for one in early)
        if rise > SLOPE_SHARE * budget:
            sentence = f"KL rose by {rise:.1f} nats in {KL_ITERATIONS} iterations; the budget of all is {budget:.1f}."
            found.append(Alarm("kl_slope", sentence, stops=False))
    return found


def of_looks(looks: Sequence[Figures]) -> list[Alarm]:
    """What the answers to the selection prompts show, the last beside the first."""
    now, first = looks[-1], looks[0]
    found = []
    if now["selection_repetition"] > max(0.1, 2 * first["selection_repetition"]):
        sentence = f"{now['selection_repetition']:.0%} of 4-grams repeat earlier ones in the same completion."
        found.append(Alarm("repetition", sentence))
    if now["selection_length"] > 1.5 * first["selection_length"]:
        sentence = f"Completions grew from {first['selection_length']:.0f} to {now['selection_length']:.0f} tokens."
        found.append(Alarm("length", sentence, stops=False))
    last = looks[-LOOKS_IN_A_ROW - 1 :]
    if len(last) > LOOKS_IN_A_ROW and "selection_reward_floor" in now:
        steps = list(pairwise(last))
        better = all(b["selection_score"] > a["selection_score"] for a, b in steps)
        if better and all(b["selection_reward_floor"] < a["selection_reward_floor"] for a, b in steps):
            sentence = f"In {LOOKS_IN_A_ROW} consecutive evaluations the score rose and the lowest head reward fell."
            found.append(Alarm("over_optimised", sentence))
    return found
