"""What PPO's config is in TRL's arguments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from trl import RLOOConfig

from trainer.ppo.rollouts import generation_arguments
from trainer.run.seeds import stable_seed

if TYPE_CHECKING:
    from trainer.configs.online import PPOConfig


def usable_rate(config: PPOConfig) -> float:
    """The policy's learning rate; one of null has been replaced before a recipe runs (`rates.resolved`)."""
    assert config.learning_rate is not None
    return config.learning_rate


def accelerate_processes() -> int:
    """Processes of this run, before any Trainer exists."""
    from accelerate import PartialState

    return int(PartialState(cpu=not torch.cuda.is_available()).num_processes)


def trl_arguments(config: PPOConfig, seed: int, checkpoints: Path) -> RLOOConfig:
    """RLOO's arguments: batch shape, optimizer schedule and everything switched off that is not ours."""
    processes = accelerate_processes()
    minibatch = config.rollout_batch // (config.minibatches * processes)
    accumulate = next(n for n in range(1, minibatch + 1) if minibatch % n == 0 and minibatch // n <= config.micro_batch)
    return RLOOConfig(
        output_dir=str(checkpoints),
        max_steps=config.iterations * config.ppo_epochs * config.minibatches,
        per_device_train_batch_size=minibatch // accumulate,
        gradient_accumulation_steps=accumulate,
        steps_per_generation=config.minibatches * accumulate,
        num_iterations=config.ppo_epochs,
        num_generations=2,  # RLOO's least; prompts are drawn one by one all the same
        beta=0.0,
        learning_rate=usable_rate(config),
        lr_scheduler_type=config.schedule,
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=config.max_grad_norm,
        max_completion_length=config.max_new_tokens,
        temperature=config.temperature,
        top_p=1.0,
        top_k=0,
        disable_dropout=True,
        seed=stable_seed(seed, "ppo") % 2**32,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        bf16=config.precision == "bf16",
        gradient_checkpointing=False,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=False,
        **generation_arguments(config.generation),
    )
