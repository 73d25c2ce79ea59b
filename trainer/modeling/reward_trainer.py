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
from trainer.losses.temperatures import RATE, Temperatures, temperatures_of
from trainer.losses.vote_errors import vote_loss
from trainer.metrics.naming import only
from trainer.modeling.heads import heads_loss, pair_counts, spread, step_counts
from trainer.modeling.reward_model import RewardModel, preference_figures, weighted
from trainer.run.context import RunContext
from trainer.run.loop import Hook, common_arguments, plan_batches
from trainer.run.run_trainer import RunFolderTrainer

if TYPE_CHECKING:
    from transformers.utils import ModelOutput


VOTES = ("weight", "error", "annotator")  # columns of how a pair's vote counts


class RewardTrainer(RunFolderTrainer, TRLRewardTrainer):
    """TRL's trainer on planned batches of pairs that are tokenized already."""


class VoteLoss(TRLRewardTrainer):
    """TRL's loss for pairs that are no plain votes: mean of w x vote_loss(b (r_chosen - r_rejected) - margin), nats.

    Each pair may have a weight w, an error (`vote_errors`) and an annotator with a temperature b (`temperatures`). The
    weights have a mean of 1 over the data, so that a batch may be cut into pieces without changing the loss.
    """

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """As transformers does; temperatures have a rate of their own and no decay but their prior."""
        is_made = self.optimizer is not None
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if not is_made:
            set_apart(optimizer, temperatures_of(self.model))
        return optimizer

    def vote_temperatures(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """b of the annotator of each pair, (B,); None where none are learned."""
        learned = temperatures_of(self.model)
        return None if learned is None else learned(inputs["annotator"])

    def penalized(self, loss: Tensor) -> Tensor:
        """The loss with the prior of the temperatures, if there are any."""
        learned = temperatures_of(self.model)
        return loss if learned is None else loss + learned.penalty()

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
        temperature = self.vote_temperatures(inputs)
        voted = gap if temperature is None else temperature * gap
        if "margin" in inputs:
            voted = voted - inputs["margin"]
        loss = self.penalized(weighted(vote_loss(voted, inputs.get("error")), inputs.get("weight")).mean())
        coefficient: float | None = self.args.center_rewards_coefficient  # type: ignore[attr-defined]
        if coefficient:
            loss = loss + coefficient * weighted((chosen + rejected) ** 2, inputs.get("weight")).mean()
        self._metrics["train"]["accuracy"].append(float((gap.detach() > 0).float().mean()))
        self._metrics["train"]["margin"].append(float(gap.detach().mean()))
        return (loss, outputs) if return_outputs else loss


class VoteTrainer(RunFolderTrainer, VoteLoss):
    """The same on planned batches."""


class HeadsLoss(VoteLoss):
    """The same loss for several heads, each learning from its own share of the pairs.

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
        loss = heads_loss(chosen, rejected, counts, margin, inputs.get("error"), self.vote_temperatures(inputs))
        loss = self.penalized(loss)
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
    """TRL's collator, with each pair's counts for the heads, (B, H), and how its vote counts, (B,), if it has them."""

    def __init__(self, pad_id: int) -> None:
        self.collate = DataCollatorForPreference(pad_token_id=pad_id)

    def __call__(self, rows: list[JsonObject]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = self.collate(rows)
        for name in ("counts", *VOTES):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch


def set_apart(optimizer: torch.optim.Optimizer, temperatures: Temperatures | None) -> None:
    """Move temperatures, if there are any, from the groups of an optimizer into one of their own."""
    if temperatures is None:
        return
    for group in optimizer.param_groups:
        group["params"] = [one for one in group["params"] if one is not temperatures.raw]
    optimizer.add_param_group({"params": [temperatures.raw], "lr": RATE, "weight_decay": 0.0})


def planned_batches(
    context: RunContext, columns: Columns, groups: Sequence[Sequence[int]], selects: bool
) -> list[list[int]]:
    """The batches of one training. At least `min_steps` of them where a selection split chooses the weights.

    Args:
        columns: of the train split. groups: positions in them that stay in one batch.
        selects: whether there is a selection split.
    """
    config = context.config
    passes = config.passes(len(columns["row"])) if selects else config.epochs
    return plan_batches(groups, config.batch_size, passes, context.seed, "reward")


def make_trainer(
    context: RunContext, reward: RewardModel, columns: Columns, batches: Sequence[list[int]], selection: Columns
) -> tuple[RewardTrainer | VoteTrainer | HeadsTrainer, Hook]:
    """The trainer and its hook, ready to go.

    Args:
        context: the run; its config is a RewardConfig.
        reward: the model, not normalized yet; with temperatures where these are learned.
        columns: of the train split. batches: positions in them.
        selection: columns of the selection split; without rows the last weights are kept.
    """
    config = context.config
    temperatures = temperatures_of(reward.model)

    def measure(model: object) -> dict[str, float]:
        figures = preference_figures(reward, selection, [0] * (max(selection["row"]) + 1), temperatures)
        return only(figures, ("selection_loss", "selection_accuracy", "selection_ece"))

    hook = Hook(
        context,
        measure=measure if selection["row"] else None,
        evaluations=config.evaluations,
        better="selection_loss",
        patience=config.patience,
    )
    votes = [name for name in VOTES if name in columns and (name != "annotator" or temperatures is not None)]
    shown: Columns = {name: columns[name] for name in ("chosen_ids", "rejected_ids", *votes)}
    if config.margin_scale:
        shown["margin"] = columns["margin"]
    kind: type[RewardTrainer | VoteTrainer | HeadsTrainer] = RewardTrainer
    more: JsonObject = {}
    if votes:
        kind, more["data_collator"] = VoteTrainer, PairCollator(reward.tokenizer.pad_token_id)
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
    trainer.batches = batches
    return trainer, hook
