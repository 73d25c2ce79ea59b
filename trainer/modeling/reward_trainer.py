"""TRL's RewardTrainer on planned batches. Apart from `reward`, so that loading a reward model does not import TRL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from datasets import Dataset
from torch import Tensor, nn
from trl import RewardConfig as TRLRewardConfig
from trl import RewardTrainer as TRLRewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from trainer.data.columns import Columns
from trainer.json_types import JsonObject
from trainer.metrics.naming import only
from trainer.modeling.heads import heads_loss, pair_counts, spread, step_counts
from trainer.modeling.reward_model import RewardModel, preference_figures, weighted
from trainer.run.context import RunContext
from trainer.run.loop import Hook, common_arguments, plan_batches
from trainer.run.run_trainer import RunFolderTrainer

if TYPE_CHECKING:
    from transformers.utils import ModelOutput


class RewardTrainer(RunFolderTrainer, TRLRewardTrainer):
    """TRL's trainer on planned batches of pairs that are tokenized already."""


class WeightedRewardLoss(TRLRewardTrainer):
    """TRL's loss with a weight for each pair: mean of w x -log sigmoid(r_chosen - r_rejected - margin), nats.

    The weights have a mean of 1 over the data, so that a batch may be cut into pieces without changing the loss.
    """

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, ModelOutput]:
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        chosen, rejected = outputs.logits.squeeze(-1).chunk(2)  # (B,) each
        gap = chosen - rejected
        margin_gap = gap - inputs["margin"] if "margin" in inputs else gap
        loss = -weighted(nn.functional.logsigmoid(margin_gap), inputs["weight"]).mean()
        coefficient: float | None = self.args.center_rewards_coefficient  # type: ignore[attr-defined]
        if coefficient:
            loss = loss + coefficient * weighted((chosen + rejected) ** 2, inputs["weight"]).mean()
        self._metrics["train"]["accuracy"].append(float((gap.detach() > 0).float().mean()))
        self._metrics["train"]["margin"].append(float(gap.detach().mean()))
        return (loss, outputs) if return_outputs else loss


class WeightedRewardTrainer(RunFolderTrainer, WeightedRewardLoss):
    """The same on planned batches."""


class HeadsLoss(TRLRewardTrainer):
    """TRL's trainer for several heads, each learning from its own share of the pairs.

    Attributes:
        drop_batches: parts of a seed when heads sit out steps, rather than pairs counting differently; None is off.
    """

    drop_batches: tuple[object, ...] | None = None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, ModelOutput]:
        counts, margin = inputs["counts"], inputs.get("margin")
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        chosen, rejected = outputs.logits.float().chunk(2)  # (B, H) each
        if self.drop_batches is not None:
            counts = step_counts(chosen.size(1), *self.drop_batches, self.state.global_step).to(chosen.device)
        if "weight" in inputs:
            counts = counts * inputs["weight"].unsqueeze(1)
        loss = heads_loss(chosen, rejected, counts, margin)
        coefficient: float | None = self.args.center_rewards_coefficient  # type: ignore[attr-defined]
        if coefficient:
            loss = loss + coefficient * ((chosen + rejected) ** 2).mean()
        gap = (chosen - rejected).detach()
        self._metrics["train"]["accuracy"].append(float((gap.mean(dim=1) > 0).float().mean()))
        self._metrics["train"]["margin"].append(float(gap.mean()))
        self._metrics["train"]["gap_spread"].append(float(spread(gap).mean()))
        return (loss, outputs) if return_outputs else loss


class HeadsTrainer(RunFolderTrainer, HeadsLoss):
    """The same on planned batches."""


class PairCollator:
    """TRL's collator, with each pair's counts for the heads, (B, H), and its weight, (B,), beside it if it has them."""

    def __init__(self, pad_id: int) -> None:
        self.collate = DataCollatorForPreference(pad_token_id=pad_id)

    def __call__(self, rows: list[JsonObject]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = self.collate(rows)
        for name in ("counts", "weight"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch


def make_trainer(
    context: RunContext, reward: RewardModel, columns: Columns, groups: Sequence[Sequence[int]], selection: Columns
) -> tuple[RewardTrainer | WeightedRewardTrainer | HeadsTrainer, Hook]:
    """The trainer and its hook, ready to go.

    Args:
        context: the run; its config is a RewardConfig.
        reward: the model, not normalized yet.
        columns: of the train split. groups: positions in them that stay in one batch.
        selection: columns of the selection split; without rows the last weights are kept.
    """
    config = context.config

    def measure(model: object) -> dict[str, float]:
        figures = preference_figures(reward, selection, [0] * (max(selection["row"]) + 1))
        return only(figures, ("selection_loss", "selection_accuracy", "selection_ece"))

    hook = Hook(
        context,
        measure=measure if selection["row"] else None,
        evaluations=config.evaluations,
        better="selection_loss",
        patience=config.patience,
    )
    shown: Columns = {name: columns[name] for name in ("chosen_ids", "rejected_ids", "weight") if name in columns}
    if config.margin_scale:
        shown["margin"] = columns["margin"]
    kind: type[RewardTrainer | WeightedRewardTrainer | HeadsTrainer] = RewardTrainer
    more: JsonObject = {}
    if "weight" in shown:
        kind, more["data_collator"] = WeightedRewardTrainer, PairCollator(reward.tokenizer.pad_token_id)
    if config.heads > 1:
        counts = pair_counts(len(columns["row"]), config.heads, context.seed, "reward")
        shown["counts"] = counts.tolist()
        kind, more["data_collator"] = HeadsTrainer, PairCollator(reward.tokenizer.pad_token_id)
    reward.model.config.num_labels = 1  # TRL refuses any other number; its loss is not used where there are several
    trainer = kind(
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
        train_dataset=Dataset.from_dict(shown),
        callbacks=[hook],
        **more,
    )
    reward.model.config.num_labels = config.heads
    if isinstance(trainer, HeadsTrainer) and config.bootstrap == "batches":
        trainer.drop_batches = (context.seed, "reward")
    trainer.batches = plan_batches(groups, config.batch_size, config.epochs, context.seed, "reward")
    return trainer, hook
