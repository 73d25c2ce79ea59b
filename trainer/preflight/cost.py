"""What a run will cost: memory against what the machine has, and time by the speed that it shows now."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.configs.online import PPOConfig
from trainer.configs.stages import PretrainConfig, RewardConfig
from trainer.preflight.memory_estimate import critic_share, estimate, free_memory, shape_of, size
from trainer.preflight.report import Preflight
from trainer.preflight.rows import Lesson
from trainer.run.microbatching import rows_at_once
from trainer.stages import STAGES

START_SECONDS = 6.0


def check_cost(found: Preflight, config: object, paths: Mapping[str, Path], lessons: Sequence[Lesson]) -> None:
    """Memory against what this machine has, and time by the speed it shows now."""
    stage = found.stage
    if not STAGES[stage].trains:
        return
    length = found.learned["longest"] + int(getattr(config, "max_new_tokens", 0))
    if isinstance(config, PretrainConfig):
        length = config.block_size
    need = estimate(stage, config, paths, length=max(length, 1))
    have, where = free_memory()
    rows = rows_at_once(stage, config)
    found.memory = {**need.as_json(), "free": have, "where": where, "rows_at_once": rows}
    least = estimate(stage, config, paths, length=max(length, 1), rows=1)
    if least.total > have:
        sentence = f"A batch of one row needs about {size(least.total)}; {where} has {size(have)} free."
        found.block(
            "memory", sentence, "Use a smaller base model, lora, shorter texts or a larger machine.", kind="config"
        )
    elif need.total > have:
        sentence = f"A batch of {rows} rows needs about {size(need.total)}; {where} has {size(have)} free."
        found.warn(
            "memory",
            sentence,
            "The run reduces the micro-batch automatically; a smaller batch_size avoids the retries.",
        )
    critic = 0.0
    if isinstance(config, PPOConfig):
        critic = critic_share(config, shape_of(paths.get("reward_model") or paths["base_model"]).layers)
    rounds, work = rounds_of(stage, config, lessons, need.sequences * need.length, critic)
    seconds = START_SECONDS + work * need.parameters / speed()
    found.seconds = {"low": seconds / 2, "high": seconds * 2, "steps": rounds}


def rounds_of(
    stage: str, config: Any, lessons: Sequence[Lesson], at_once: int, critic: float = 0.0
) -> tuple[int, float]:
    """Optimizer steps of a run, and its work: floating-point operations for each parameter.

    Two a token forward and four backward (Kaplan et al. 2020, section 2.1); `critic` is how much of a second model of
    the same size PPO trains beside the policy.
    """
    rows = tokens = 0
    for lesson in lessons:
        if not lesson.nothing:
            rows += lesson.count
            tokens += lesson.tokens
    row = STAGES[stage]
    if row.reads_texts:
        return config.steps, 6.0 * config.steps * config.accumulate * at_once
    if isinstance(config, PPOConfig):
        length = tokens / max(rows, 1) + config.max_new_tokens
        passes = 10.0 + 12 * (1 + critic) * config.ppo_epochs
        steps = config.iterations * config.ppo_epochs * config.minibatches
        return steps, config.iterations * config.rollout_batch * length * passes
    batch = config.batch_size * config.accumulate
    if row.samples:
        length = tokens / max(rows, 1) + config.max_new_tokens
        return config.steps, config.steps * batch * length * 16.0
    passes = 6.0 + 2.0 * row.references  # a forward of each
    epochs = config.epochs
    if isinstance(config, RewardConfig):
        epochs = config.restarts * config.passes(rows)
    return max(1, round(epochs * rows / batch)), epochs * tokens * passes


def speed(seconds: float = 0.1) -> float:
    """Floating-point operations a second that training reaches here: a product of matrices', and a quarter of it.

    On CPUs by this process's own seconds, so that what else the machine does now has no part in it.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    side, clock, device = 256, time.process_time, "cpu"
    if on_gpu:
        side, clock, device = 4096, time.perf_counter, "cuda"
    one = torch.rand(side, side, device=device)
    started, times = clock(), 0
    while clock() - started < seconds:
        one @ one
        if on_gpu:
            torch.cuda.synchronize()
        times += 1
    return 0.25 * times * 2 * side**3 / (clock() - started)
