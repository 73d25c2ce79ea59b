"""Learning rates by the size of what learns: what is usual, what a size does not bear, and what null in a config means.

Small models bear, and need, far larger steps than large ones. The lines below go through what is usual at a thousand
million parameters and what the demo world's models of 0.16 million were tuned to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

SIZE = 1e9  # parameters at which the rates below hold
# stage -> (rate at SIZE, how fast it falls with size: rate x (SIZE / parameters) ** power)
USUAL: dict[str, tuple[float, float]] = {
    "pretrain": (2.5e-4, 0.35),  # Brown et al. 2020, table 2.1: 6e-4 at 125 M, 2e-4 at 1.3 B
    "mlm": (2.5e-4, 0.35),  # as above
    "sft": (2e-5, 0.5),  # Touvron et al. 2023, section 3.1: 2e-5; ours: 2e-3 at 0.16 M
    "reward": (2e-5, 0.5),  # Touvron et al. 2023, section 3.2.2: 5e-6 to 1e-5 at 7 B to 70 B; ours: 2e-3 at 0.16 M
    "classify": (2e-5, 0.5),  # Devlin et al. 2019, appendix A.3: 2e-5 to 5e-5 at 110 M; ours: 1e-3 at 0.3 M
    "tag": (2e-5, 0.5),  # as for classify; ours: 2e-4 at 33 M
    "dpo": (1e-6, 0.5),  # Rafailov et al. 2023, appendix B: 1e-6; ours: 1e-4 at 0.16 M
    "kto": (1e-6, 0.5),  # Ethayarajh et al. 2024, section 4.3: 5e-7 to 5e-6
    "ppo": (3e-6, 0.6),  # Huang et al. 2024: 3e-6 at 1 B; ours: 1e-3 at 0.16 M
    "rloo": (3e-6, 0.6),  # as for ppo; Ahmadian et al. 2024: 1e-6 at 7 B; ours: 5e-4 at 0.16 M
    "grpo": (3e-6, 0.6),  # Shao et al. 2024, section 4.2: 1e-6 at 7 B
}
LORA = 10.0  # adapters bear so many times the rate of all weights
TOO_HIGH, FAR_TOO_HIGH = 10.0, 40.0  # times the usual: preflight warns, and refuses


def usual_rate(stage: str, parameters: int, lora: bool) -> float | None:
    """The learning rate that is usual for a model of so many parameters; None of a stage without one."""
    if stage not in USUAL:
        return None
    rate, power = USUAL[stage]
    return rate * (SIZE / max(parameters, 1)) ** power * (LORA if lora else 1.0)


def resolved(stage: str, config: Any, paths: Mapping[str, Path]) -> Any:
    """The config with a learning rate of null replaced by what is usual for the model that it starts from."""
    if getattr(config, "learning_rate", 0.0) is not None:
        return config
    rate = usual_rate(stage, parameters_of_start(config, paths), getattr(config, "lora", None) is not None)
    return replace(config, learning_rate=float(f"{rate:.2g}"))


def parameters_of_start(config: Any, paths: Mapping[str, Path]) -> int:
    """Parameters of the model that a stage starts from, or makes."""
    from trainer.preflight.memory_estimate import shape_from_scratch, shape_of

    base = paths.get("base_model")
    return (shape_of(base) if base is not None else shape_from_scratch(config, paths.get("tokenizer"))).parameters
