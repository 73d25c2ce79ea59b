"""How often a reward model prefers the completions of one policy to those of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from trainer.json_types import Metrics
from trainer.metrics import intervals
from trainer.metrics.report_figures import length_controlled

if TYPE_CHECKING:
    from trainer.modeling.sampling import Drawn


@dataclass(frozen=True)
class Answers:
    """Completions of one model: `responses` to each prompt, prompt after prompt.

    Attributes:
        prompt_ids, drawn, seeds: one entry each for a completion.
        prompt: which prompt each belongs to, an index.
        rewards: in the reward model's normalized unit, None without one.
    """

    prompt_ids: list[list[int]]
    drawn: list[Drawn]
    seeds: list[int]
    prompt: list[int]
    rewards: list[float] | None


def win_rates(candidate: Answers, incumbent: Answers) -> Metrics:
    """How often the reward model prefers the candidate to the incumbent, and the same at equal lengths."""
    longer = []
    for own, rivals in both(candidate, incumbent, [sizes_of(candidate), sizes_of(incumbent)]):
        longer.append([a - b for a, b in product(own, rivals)])
    controlled = length_controlled(verdicts_of(candidate, incumbent), longer)
    return {
        "reward_model_win_rate": reward_model_rate(candidate, incumbent),
        "length_controlled_win_rate": controlled | {"judge": "reward_model"},
    }


def reward_model_rate(candidate: Answers, rival: Answers) -> Metrics:
    """Share of pairs of completions of the same prompt in which the candidate's has the higher reward, every one
    against every one; `low` and `high` are None of too few prompts."""
    wins = verdicts_of(candidate, rival)
    low, high = intervals.of_share(wins)
    value = sum(map(sum, wins)) / sum(map(len, wins))
    return {"value": value, "low": low, "high": high, "prompts": len(wins), "judge": "reward_model"}


def verdicts_of(candidate: Answers, rival: Answers) -> list[list[float]]:
    """For each prompt the reward model's verdict on every pair: 1 for the candidate, 0 for the rival, ties one half."""
    assert candidate.rewards is not None and rival.rewards is not None
    verdicts = []
    for own, rivals in both(candidate, rival, [candidate.rewards, rival.rewards]):
        verdicts.append([float((a > b) + 0.5 * (a == b)) for a, b in product(own, rivals)])
    return verdicts


def both(candidate: Answers, incumbent: Answers, values: Sequence[Sequence[float]]) -> list[tuple[list[float], ...]]:
    """For each prompt the values of the candidate's completions and those of the incumbent's."""
    of_candidate, of_incumbent = values
    groups = by_prompt(candidate.prompt, of_candidate), by_prompt(incumbent.prompt, of_incumbent)
    return list(zip(*groups, strict=True))


def sizes_of(answers: Answers) -> list[float]:
    """Tokens of each completion."""
    return [float(len(one.ids)) for one in answers.drawn]


def by_prompt(prompt: Sequence[int], values: Sequence[float]) -> list[list[float]]:
    """Values in one list for each prompt, in the order of the prompts."""
    groups: list[list[float]] = [[] for _ in range(max(prompt) + 1)]
    for number, value in zip(prompt, values, strict=True):
        groups[number].append(value)
    return groups
