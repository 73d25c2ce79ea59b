"""Figures of a proof, as its report holds them: `prove` measures them, `proof` judges them, `proof_report` draws them.

Gold is in units of the utility, proxy in standard deviations of the reward above SFT, KL in nats.
"""

from __future__ import annotations

from typing import Any, TypedDict

from workers.demo.measure import WinRate


class Bin(TypedDict):
    """Pairs of which a reward model is about equally sure: mean confidence, share that is right, number."""

    confidence: float
    right: float
    pairs: float


class RewardFigures(TypedDict):
    """A reward model trained on `labels` comparisons, measured on held-out ones; `ece` is its calibration error."""

    labels: int
    accuracy: float
    gold_order: float
    ece: float
    bins: list[Bin]


class BestOf(TypedDict):
    """The best of n completions: `gold` as the reward model selects it, `oracle` as gold itself would."""

    kl: float
    gold: float
    oracle: float
    proxy: float


class Look(TypedDict):
    """The policy at an iteration of PPO, on held-out prompts."""

    iteration: int
    gold: float
    proxy: float
    kl: float
    entropy: float
    eos_rate: float
    length: float


class Sample(TypedDict):
    """A completion to show to people."""

    iteration: int
    prompt: str
    text: str
    gold: float


class ArmFigures(TypedDict):
    """A run of PPO. `gold` and `proxy` are those at its end; `alarms` has the iteration at which each sounded."""

    curve: list[Look]
    alarms: dict[str, int]
    chosen_iteration: int
    kl: float
    sft_gold: float
    gold: float
    proxy: float
    peak_gold: float
    peak_proxy: float
    peak_iteration: int
    entropy_share: float
    explained_variance: dict[int, float]
    samples: list[Sample]
    fit: dict[str, Any]  # fields of a `proof.Fit`


class Verdict(TypedDict):
    """A demand on one seed's figures, and whether they meet it."""

    name: str
    sentence: str
    value: float | list[str] | dict[str, int]
    ok: bool


class SeedFigures(TypedDict, total=False):
    """Everything measured with one seed. `gold`, its standard error and `ended` are by policy; seconds by stage."""

    seed: int
    ceiling: float
    reward: list[RewardFigures]
    best_of: dict[str, BestOf]
    ppo: ArmFigures
    hacked: ArmFigures
    gold: dict[str, float]
    gold_se: dict[str, float]
    ended: dict[str, float]
    win_rate: WinRate
    best_of_fit: dict[str, Any]  # fields of a `proof.Fit`
    cpu_seconds: dict[str, float]
    wall_seconds: float
    verdicts: list[Verdict]


class Report(TypedDict):
    """The report of all seeds, as `manage.py prove` writes it."""

    seeds: list[SeedFigures]
    wall_seconds: float
    cpu_seconds: float
    configuration: dict[str, object]
