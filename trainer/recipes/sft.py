"""Supervised fine-tuning on demonstrations with TRL's SFTTrainer; the loss is on the completion and its end token.

As in Ouyang et al. 2022, section 3.5, step 1. Unlike them, which weights to keep is chosen by the loss on the selection
split rather than by the reward model, which does not exist yet when this runs first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from datasets import Dataset
from trl import SFTConfig as TRLSFTConfig
from trl import SFTTrainer as TRLSFTTrainer

from trainer.data.columns import Columns, encode_prompts, sft_columns
from trainer.data.snapshot import Demonstration, Messages, Prompt, Snapshot, each_once, occurrences, open_snapshot
from trainer.errors import DataUnusable
from trainer.modeling.loading import load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt
from trainer.modeling.passes import share_that_ends, summed_nats
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.loop import (
    Hook,
    common_arguments,
    plan_rows,
    prompt_sampler,
    restore_best,
    run_training,
    verify_best,
)
from trainer.run.run_trainer import RunFolderTrainer
from trainer.run.seeds import seed_everything

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHECKED_PROMPTS = 32


class SFTTrainer(RunFolderTrainer, TRLSFTTrainer):
    """TRL's trainer on planned batches of rows that are tokenized already."""


def run(context: RunContext) -> StageResult:
    """Imitate the demonstrations of the train split and hand back a policy."""
    config = context.config
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    seed_everything(context.seed, "sft")
    context.report.state("loading the base model")
    model = adapt(load_policy(base, tokenizer), config.lora)

    context.report.state("reading the demonstrations")
    snapshot = open_snapshot(context.inputs["snapshot"])
    rows = list(snapshot.rows("train", Demonstration))
    columns = sft_columns(tokenizer, rows, config.max_length)
    check_columns(rows, columns, config.max_length)
    selection = sft_columns(tokenizer, list(snapshot.rows("selection", Demonstration)), config.max_length)
    prompts = shown_prompts(snapshot)
    prompt_ids = encode_prompts(tokenizer, prompts)
    longest = max(map(sum, columns["completion_mask"]))

    def measure(model: PreTrainedModel) -> dict[str, float]:
        return {"selection_loss": completion_loss(model, tokenizer.pad_token_id, selection)}

    hook = Hook(
        context,
        sample=prompt_sampler(tokenizer, prompts[: config.samples], prompt_ids[: config.samples], longest),
        measure=measure if selection["input_ids"] else None,
        evaluations=config.evaluations,
        better="selection_loss",
        choose_best=config.choose_best,
    )
    count = len(columns["input_ids"])
    trainer = SFTTrainer(
        model=model,
        args=TRLSFTConfig(
            **common_arguments(context)
            | {
                "per_device_train_batch_size": config.batch_size,
                "gradient_accumulation_steps": config.accumulate,
                "learning_rate": config.learning_rate,
                "lr_scheduler_type": "linear",
                "warmup_steps": config.warmup_ratio,
                "weight_decay": config.weight_decay,
                "max_grad_norm": config.max_grad_norm,
                "max_length": None,  # cut in columns.py, where a row without a completion is noticed
                "completion_only_loss": True,
                "gradient_checkpointing": False,
            }
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict(columns),
        callbacks=[hook],
    )
    trainer.batches = plan_rows(range(count), config.batch_size, config.epochs, context.seed, "sft")
    context.report.state("training")
    steps = run_training(trainer, context, hook)

    finalizer = RunFinalizer(context, model, tokenizer, steps)
    best = restore_best(finalizer, hook)
    if best is not None:
        finalizer.metrics["best_step"] = best
    finalizer.metrics |= {
        "steps": steps,
        "parameters": parameters(model),
        "train_demonstrations": count,
        "left_out": occurrences(rows) - count,
    }
    finalizer.save()
    verify_best(finalizer, hook, best)
    checked = prompt_ids[:CHECKED_PROMPTS]
    finalizer.measure("eos_rate", lambda: {"eos_rate": share_that_ends(model, checked, 2 * longest)})
    return finalizer.result()


def check_columns(rows: Sequence[Demonstration], columns: Columns, max_length: int) -> None:
    """Refuse what would train on nothing, silently.

    Raises:
        DataUnusable: no demonstrations, or none with a completion token left in the loss.
    """
    if not rows:
        raise DataUnusable("The snapshot has no demonstrations to train on.", remedy="Collect or import some.")
    if not columns["input_ids"]:
        raise DataUnusable(
            f"Every prompt fills all {max_length} tokens, so no demonstration has a completion left to learn from.",
            remedy="Raise max_length.",
        )


def shown_prompts(snapshot: Snapshot) -> list[Messages]:
    """Prompts to answer as training goes: of the selection split if it has any, in file order, each once."""
    for split in ("selection", "train"):
        found = each_once(chain(snapshot.prompts(split, Prompt), snapshot.prompts(split, Demonstration)))
        if found:
            return found
    return []


def completion_loss(model: PreTrainedModel, pad_id: int, columns: Columns) -> float:
    """Mean cross-entropy of completion tokens (with the end token), nats per token. Padding changes nothing."""
    nats, tokens = summed_nats(model, list(zip(columns["input_ids"], columns["completion_mask"], strict=True)), pad_id)
    return float(nats.sum() / tokens.sum().clamp(min=1))
