"""TRL's RewardTrainer on planned batches. Apart from `reward`, so that loading a reward model does not import TRL."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset
from trl import RewardConfig as TRLRewardConfig
from trl import RewardTrainer as TRLRewardTrainer

from trainer.columns import Columns
from trainer.context import RunContext
from trainer.loop import Hook, RunFolderTrainer, common_arguments, plan_batches
from trainer.reward import RewardModel, preference_figures


class RewardTrainer(RunFolderTrainer, TRLRewardTrainer):
    """TRL's trainer on planned batches of pairs that are tokenised already."""


def make_trainer(
    context: RunContext, reward: RewardModel, columns: Columns, groups: Sequence[Sequence[int]], selection: Columns
) -> tuple[RewardTrainer, Hook]:
    """The trainer and its hook, ready to go.

    Args:
        context: the run; its config is a RewardConfig.
        reward: the model, not normalised yet.
        columns: of the train split. groups: positions in them that stay in one batch.
        selection: columns of the selection split; without rows the last weights are kept.
    """
    config = context.config

    def measure(model: object) -> dict[str, float]:
        figures = preference_figures(reward, selection, [0] * (max(selection["row"]) + 1))
        return {name: figures[name] for name in ("selection_loss", "selection_accuracy", "selection_ece")}

    measurable = bool(selection["row"])
    hook = Hook(
        context,
        measure=measure if measurable else None,
        evaluations=config.evaluations,
        better="selection_loss" if measurable else None,
        patience=config.patience,
    )
    kept = ("chosen_ids", "rejected_ids", "margin") if config.margin_scale else ("chosen_ids", "rejected_ids")
    trainer = RewardTrainer(
        model=reward.model,
        args=TRLRewardConfig(
            **common_arguments(context)
            | {
                "per_device_train_batch_size": config.batch_size,
                "gradient_accumulation_steps": config.accumulate,
                "learning_rate": config.learning_rate,
                "lr_scheduler_type": "cosine",
                "warmup_steps": config.warmup_ratio,
                "weight_decay": config.weight_decay,
                "max_grad_norm": config.max_grad_norm,
                "center_rewards_coefficient": config.center_coef or None,
                "max_length": None,  # pairs too long are left out, and counted, in columns.py
                "gradient_checkpointing": False,
            }
        ),
        processing_class=reward.tokenizer,
        train_dataset=Dataset.from_dict({name: columns[name] for name in kept}),
        callbacks=[hook],
    )
    trainer.batches = plan_batches(groups, config.batch_size, config.epochs, context.seed, "reward")
    return trainer, hook
