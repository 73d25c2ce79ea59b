"""TRL's DPOTrainer and KTOTrainer on planned batches of rows that are tokenised already."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import DPOConfig as TRLDPOConfig
from trl import DPOTrainer as TRLDPOTrainer
from trl import KTOConfig as TRLKTOConfig
from trl import KTOTrainer as TRLKTOTrainer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from trainer.columns import Columns
from trainer.context import RunContext
from trainer.loop import Hook, common_arguments, plan_batches
from trainer.run_trainer import RunFolderTrainer


class AsGiven:
    """Mixed into a TRL trainer, left of it: takes the rows as they are encoded, instead of encoding text its way."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


class DPOTrainer(RunFolderTrainer, AsGiven, TRLDPOTrainer):
    """TRL's trainer on planned batches of pairs."""


class KTOTrainer(RunFolderTrainer, AsGiven, TRLKTOTrainer):
    """TRL's trainer on planned batches of single responses."""


class Mismatched:
    """TRL's collator, after each prompt was also given the completion of its neighbour in the batch, for the KL term.

    TRL makes these before training, which fixes the batches; here they follow from the batch, whatever it is.
    """

    def __init__(self, pad_id: int) -> None:
        self.collate = DataCollatorForUnpairedPreference(pad_token_id=pad_id)

    def matched(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows with their neighbour's completion; called on a whole batch before it is cut into pieces."""
        answers = [row["completion_ids"] for row in rows]
        others = answers[-1:] + answers[:-1]
        return [{**row, "KL_completion_ids": other} for row, other in zip(rows, others, strict=True)]

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        return self.collate(rows if "KL_completion_ids" in rows[0] else self.matched(rows))


def make_trainer(context: RunContext, model: Any, reference: Any, tokenizer: Any, columns: Columns, hook: Hook) -> Any:
    """The trainer of the run's stage, `dpo` or `kto`, ready to go."""
    config = context.config
    settings = common_arguments(context) | {
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulate,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": config.warmup_ratio,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "beta": config.beta,
        "max_length": None,  # rows too long are left out, and counted, in preference.py
        "gradient_checkpointing": False,
    }
    shared: dict[str, Any] = {
        "model": model,
        "ref_model": reference,
        "processing_class": tokenizer,
        "train_dataset": Dataset.from_dict(columns),
        "callbacks": [hook],
    }
    trainer: Any
    if context.stage == "dpo":
        trainer = DPOTrainer(args=TRLDPOConfig(**settings, label_smoothing=config.label_smoothing), **shared)
    else:
        weights = {"desirable_weight": config.desirable_weight, "undesirable_weight": config.undesirable_weight}
        trainer = KTOTrainer(
            args=TRLKTOConfig(**settings, **weights), data_collator=Mismatched(tokenizer.pad_token_id), **shared
        )
    count = len(columns["prompt_ids"])
    batches = plan_batches([[n] for n in range(count)], config.batch_size, config.epochs, context.seed, context.stage)
    # A batch of one has no neighbour to take a mismatched completion from.
    trainer.batches = [batch for batch in batches if len(batch) > 1] if context.stage == "kto" else batches
    return trainer
