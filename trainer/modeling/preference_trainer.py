"""TRL's DPOTrainer and KTOTrainer on planned batches of rows that are tokenized already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOConfig as TRLDPOConfig
from trl import DPOTrainer as TRLDPOTrainer
from trl import KTOConfig as TRLKTOConfig
from trl import KTOTrainer as TRLKTOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from trainer.configs.preference import DPOConfig
from trainer.data.columns import Columns
from trainer.json_types import JsonObject
from trainer.losses.preference_losses import dpo_loss, kto_loss
from trainer.run.context import RunContext
from trainer.run.loop import Hook, common_arguments, plan_rows
from trainer.run.run_trainer import RunFolderTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


VOTES = ("weight", "error")  # columns of how rows count


class PreparedDataset:
    """Mixed into a TRL trainer, left of it: takes the rows as they are encoded, instead of encoding text its way."""

    def _prepare_dataset(self, dataset: Dataset, *_: object, **__: object) -> Dataset:
        return dataset


class DPOTrainer(RunFolderTrainer, PreparedDataset, TRLDPOTrainer):
    """TRL's trainer on planned batches of pairs."""


class KTOTrainer(RunFolderTrainer, PreparedDataset, TRLKTOTrainer):
    """TRL's trainer on planned batches of single responses."""


class LogRatios:
    """Mixed into a TRL trainer, left of it, where rows are no plain votes: TRL's losses take no weights or errors."""

    def log_ratios(self: Any, model: PreTrainedModel, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """log pi / pi_ref of whole completions, nats, (B,), and the mixture-of-experts loss if the model has one."""
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        shown = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "use_cache": False}
        length = labels.size(1) - 1
        more = {}
        if self.aux_loss_enabled:
            more["output_router_logits"] = True
        outputs = model(**shown, **more, labels=labels, fused_lm_head=True)
        with torch.no_grad():
            reference = self.ref_model(**shown, labels=labels, fused_lm_head=True)
        ratio = (outputs.log_probs[:, -length:] - reference.log_probs[:, -length:]).sum(dim=1)
        if not self.aux_loss_enabled:
            return ratio, None
        return ratio, self.router_aux_loss_coef * outputs.aux_loss


class WeightedDPOTrainer(RunFolderTrainer, LogRatios, PreparedDataset, TRLDPOTrainer):
    """`dpo_loss` in place of TRL's: with a weight and an error for each pair, and with label smoothing, which TRL's
    sigmoid loss takes and passes over."""

    def _compute_loss(self, model: PreTrainedModel, inputs: dict[str, Tensor], return_outputs: bool) -> Tensor:
        ratio, extra = self.log_ratios(model, inputs)
        chosen, rejected = ratio.chunk(2)  # (B,) each
        smoothing: float = self.args.label_smoothing  # type: ignore[attr-defined]
        loss = dpo_loss(chosen, rejected, self.beta, smoothing, inputs.get("weight"), inputs.get("error"))
        gap = (chosen - rejected).detach()
        figures = self._metrics["train"]
        figures["rewards/chosen"].append(self.beta * float(chosen.detach().mean()))
        figures["rewards/rejected"].append(self.beta * float(rejected.detach().mean()))
        figures["rewards/accuracies"].append(float((gap > 0).float().mean()))
        figures["rewards/margins"].append(self.beta * float(gap.mean()))
        return loss if extra is None else loss + extra


class WeightedKTOTrainer(RunFolderTrainer, LogRatios, PreparedDataset, TRLKTOTrainer):
    """`kto_loss` with a weight and an error for each response, in place of TRL's."""

    def _compute_loss(self, model: PreTrainedModel, inputs: dict[str, Tensor], return_outputs: bool) -> Tensor:
        inputs = dict(inputs)
        weight, error = inputs.pop("weight", None), inputs.pop("error", None)
        with torch.no_grad():
            kl = (self._compute_kl_logps(model, inputs) - self._compute_kl_logps(self.ref_model, inputs)).mean()
        kl = self.accelerator.gather_for_metrics(kl).mean().clamp(min=0)
        ratio, extra = self.log_ratios(model, inputs)
        label = torch.as_tensor(inputs["label"], dtype=torch.bool, device=ratio.device)
        sides = (self.desirable_weight, self.undesirable_weight)
        loss = kto_loss(ratio, label, kl, self.beta, *sides, weight, error)
        self._metrics["train"]["kl"].append(float(kl))
        for name, side in (("chosen", label), ("rejected", ~label)):
            if side.any():
                self._metrics["train"][f"rewards/{name}"].append(self.beta * float(ratio.detach()[side].mean()))
        return loss if extra is None else loss + extra


class VoteCollator:
    """A collator, with each row's weight and error, (B,), beside what it makes, where rows have them."""

    def __init__(self, collate: Callable[[list[JsonObject]], dict[str, Tensor]]) -> None:
        self.collate = collate
        if hasattr(collate, "matched"):
            self.matched = collate.matched

    def __call__(self, rows: list[JsonObject]) -> dict[str, Tensor]:
        votes: dict[str, Tensor] = {}
        for name in VOTES:
            if name in rows[0]:
                votes[name] = torch.tensor([row[name] for row in rows])
        return {**self.collate(rows), **votes}


class KTOCollator:
    """TRL's collator, after each prompt was also given the completion of its neighbor in the batch, for the KL term.

    TRL makes these before training, which fixes the batches; here they follow from the batch, whatever it is.
    """

    def __init__(self, pad_id: int) -> None:
        self.collate = DataCollatorForUnpairedPreference(pad_token_id=pad_id)

    def matched(self, rows: list[JsonObject]) -> list[JsonObject]:
        """Rows with their neighbor's completion; called on a whole batch before it is cut into pieces."""
        answers = [row["completion_ids"] for row in rows]
        others = answers[-1:] + answers[:-1]
        matched: list[JsonObject] = []
        for row, other in zip(rows, others, strict=True):
            matched.append({**row, "KL_completion_ids": other})
        return matched

    def __call__(self, rows: list[JsonObject]) -> dict[str, Tensor]:
        if "KL_completion_ids" not in rows[0]:
            rows = self.matched(rows)
        return self.collate(rows)


def make_trainer(
    context: RunContext,
    model: PreTrainedModel,
    reference: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    columns: Columns,
    hook: Hook,
) -> RunFolderTrainer:
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
    columns = {name: values for name, values in columns.items() if name != "annotator"}  # only the reward model's
    shared: JsonObject = {
        "model": model,
        "ref_model": reference,
        "processing_class": tokenizer,
        "train_dataset": Dataset.from_dict(columns),
        "callbacks": [hook],
    }
    trainer: RunFolderTrainer
    weigh = any(name in columns for name in VOTES)
    rows = range(len(columns["prompt_ids"]))
    batches = plan_rows(rows, config.batch_size, config.epochs, context.seed, context.stage)
    if isinstance(config, DPOConfig):
        kind: type[RunFolderTrainer] = WeightedDPOTrainer if weigh or config.label_smoothing else DPOTrainer
        if weigh:
            shared["data_collator"] = VoteCollator(DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id))
        trainer = kind(args=TRLDPOConfig(**settings, label_smoothing=config.label_smoothing), **shared)
    else:
        sides = {"desirable_weight": config.desirable_weight, "undesirable_weight": config.undesirable_weight}
        kind, collate = KTOTrainer, KTOCollator(tokenizer.pad_token_id)
        shared["data_collator"] = collate
        if weigh:
            kind, shared["data_collator"] = WeightedKTOTrainer, VoteCollator(collate)
        trainer = kind(args=TRLKTOConfig(**settings, **sides), **shared)
        # A batch of one has no neighbor to take a mismatched completion from.
        batches = [batch for batch in batches if len(batch) > 1]
    trainer.batches = batches
    return trainer
