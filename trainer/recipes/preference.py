"""Learning a policy from preferences without a reward model: DPO on pairs, KTO on single responses, on TRL's trainers.

DPO: Rafailov et al. 2023, equation 7; with label smoothing, Mitchell 2023. KTO: Ethayarajh et al. 2024, equation 8,
with KL estimated from prompts paired with another completion of their batch. Where a snapshot has no single responses,
KTO reads each pair as a good and a bad one. Unlike TRL's own preparation, rows are encoded by `columns`, so that
policy, reward model and server read the same ids, and the weights with the lowest held-out loss are handed back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.configs.preference import DPOConfig, KTOConfig
from trainer.data.columns import Columns, encode_completions, encode_prompts, with_weights
from trainer.data.snapshot import Messages, Preference, Snapshot, Unpaired, open_snapshot
from trainer.errors import DataUnusable
from trainer.modeling.loading import load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt
from trainer.modeling.passes import share_that_ends, summed_nats
from trainer.modeling.preference_losses import dpo_loss, kto_loss
from trainer.modeling.reward_model import weight_of, weighted
from trainer.recipes.sft import shown_prompts
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.loop import Hook, prompt_sampler, restore_best, run_training, verify_best
from trainer.run.seeds import seed_everything

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


CHECKED_PROMPTS = 32


def run(context: RunContext) -> StageResult:
    """Learn from the preferences of the train split by the run's stage, `dpo` or `kto`, and hand back a policy."""
    from trainer.modeling.preference_trainer import make_trainer

    config, stage = context.config, context.stage
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    seed_everything(context.seed, stage)
    context.report.state("loading the base model and its frozen copy")
    model = adapt(load_policy(base, tokenizer), config.lora)
    reference = load_policy(base, tokenizer).eval().requires_grad_(False)

    context.report.state("reading the preferences")
    snapshot = open_snapshot(context.inputs["snapshot"])
    read = pair_columns if stage == "dpo" else single_columns
    columns, left_out = read(tokenizer, snapshot, "train", config.max_length)
    check_columns(stage, columns, left_out)
    selection, _ = read(tokenizer, snapshot, "selection", config.max_length)
    held = None
    if selection["prompt_ids"]:
        held = HeldOutPreferences(reference, selection, stage, config, tokenizer.pad_token_id)
    prompts: list[Messages] = shown_prompts(snapshot)
    prompt_ids = encode_prompts(tokenizer, prompts)
    liked = columns["chosen_ids"] if stage == "dpo" else columns["completion_ids"]
    longest = max(map(len, liked))

    hook = Hook(
        context,
        sample=prompt_sampler(tokenizer, prompts[: config.samples], prompt_ids[: config.samples], longest),
        measure=held.figures if held else None,
        evaluations=config.evaluations,
        better="selection_loss",
        choose_best=config.choose_best,
    )
    trainer = make_trainer(context, model, reference, tokenizer, columns, hook)
    context.report.state("training")
    steps = run_training(trainer, context, hook)

    finalizer = RunFinalizer(context, model, tokenizer, steps)
    best = restore_best(finalizer, hook)
    if best is not None:
        finalizer.metrics["best_step"] = best
    finalizer.metrics |= {
        "steps": steps,
        "parameters": parameters(model),
        "train_rows": len(columns["prompt_ids"]),
        "left_out": left_out,
    }
    if stage == "kto":
        good = sum(columns["label"])
        finalizer.metrics["class_balance"] = {"good": good, "bad": len(columns["label"]) - good}
    finalizer.save()
    verify_best(finalizer, hook, best)
    checked = prompt_ids[:CHECKED_PROMPTS]
    finalizer.measure("eos_rate", lambda: {"eos_rate": share_that_ends(model, checked, 2 * longest)})
    return finalizer.result()


def pair_columns(
    tokenizer: PreTrainedTokenizerBase, snapshot: Snapshot, split: str, max_length: int
) -> tuple[Columns, int]:
    """TRL's columns `prompt_ids`, `chosen_ids`, `rejected_ids`, as often as a row occurs; how many were too long.

    `weight` is there if rows weigh unlike.
    """
    rows = list(snapshot.rows(split, Preference))
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    chosen = encode_completions(tokenizer, [row.chosen for row in rows])
    rejected = encode_completions(tokenizer, [row.rejected for row in rows])
    columns: Columns = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": []}
    weights: list[float] = []
    left_out = 0
    for row, prompt, yes, no in zip(rows, prompts, chosen, rejected, strict=True):
        if len(prompt) + max(len(yes), len(no)) > max_length:
            left_out += row.count
            continue
        for name, ids in (("prompt_ids", prompt), ("chosen_ids", yes), ("rejected_ids", no)):
            columns[name] += [ids] * row.count
        weights += [row.weight] * row.count
    with_weights(columns, weights)
    return columns, left_out


def single_columns(
    tokenizer: PreTrainedTokenizerBase, snapshot: Snapshot, split: str, max_length: int
) -> tuple[Columns, int]:
    """TRL's columns `prompt_ids`, `completion_ids`, `label`; from pairs when the split has no single responses."""
    rows = list(snapshot.rows(split, Unpaired))
    if not rows:
        pairs = list(snapshot.rows(split, Preference))
        for pair in pairs:
            rows.append(Unpaired(pair.prompt, pair.chosen, True, pair.hash, pair.count, pair.weight))
            rows.append(Unpaired(pair.prompt, pair.rejected, False, pair.hash, pair.count, pair.weight))
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    completions = encode_completions(tokenizer, [row.completion for row in rows])
    columns: Columns = {"prompt_ids": [], "completion_ids": [], "label": []}
    weights: list[float] = []
    left_out = 0
    for row, prompt, completion in zip(rows, prompts, completions, strict=True):
        if len(prompt) + len(completion) > max_length:
            left_out += row.count
            continue
        for name, value in (("prompt_ids", prompt), ("completion_ids", completion), ("label", row.label)):
            columns[name] += [value] * row.count
        weights += [row.weight] * row.count
    with_weights(columns, weights)
    return columns, left_out


def check_columns(stage: str, columns: Columns, left_out: int) -> None:
    """Refuse what would train on nothing.

    Raises:
        DataUnusable: no rows, none short enough, pairs of equal texts only, or for KTO all of one verdict.
    """
    if not columns["prompt_ids"]:
        if left_out:
            raise DataUnusable("No row fits into max_length.", remedy="Raise max_length.")
        raise DataUnusable("The snapshot has no preferences to train on.", remedy="Collect or import comparisons.")
    if stage == "dpo" and columns["chosen_ids"] == columns["rejected_ids"]:
        raise DataUnusable(
            "In every pair chosen and rejected are the same text, so there is nothing to tell apart.",
            remedy="Check how the preferences were collected or imported.",
        )
    if stage == "kto" and len(set(columns["label"])) < 2:
        raise DataUnusable(
            "Every response has the same verdict, so there is nothing to tell apart.",
            remedy="Collect good and bad responses.",
        )
    if stage == "kto" and len(columns["prompt_ids"]) < 3:
        raise DataUnusable("KTO needs three responses at least.", remedy="Collect more.")


class HeldOutPreferences:
    """The selection split, with the log-probs of the frozen reference taken once.

    Args:
        reference: the frozen base model. columns: of the selection split, not empty. stage: "dpo" or "kto".
    """

    def __init__(
        self, reference: PreTrainedModel, columns: Columns, stage: str, config: DPOConfig | KTOConfig, pad_id: int
    ) -> None:
        self.columns, self.stage, self.config, self.pad_id = columns, stage, config, pad_id
        names = ("chosen_ids", "rejected_ids") if stage == "dpo" else ("completion_ids", "other_ids")
        answers = columns.get("completion_ids", [])
        texts = columns | {"other_ids": answers[-1:] + answers[:-1]}  # each prompt with its neighbour's completion
        self.rows = [list(zip(columns["prompt_ids"], texts[name], strict=True)) for name in names]
        self.reference = [completion_logps(reference, rows, pad_id) for rows in self.rows]

    def figures(self, model: PreTrainedModel) -> dict[str, float]:
        """selection_loss, and selection_accuracy: pairs distinguished by log pi / pi_ref, or verdicts by its side of
        KL.

        selection_log_ratio: mean log pi / pi_ref of chosen (or good) completions, nats.
        """
        first, second = (
            completion_logps(model, rows, self.pad_id) - reference
            for rows, reference in zip(self.rows, self.reference, strict=True)
        )
        weight = weight_of(self.columns)
        if isinstance(self.config, DPOConfig):
            right = (first > second).float() + 0.5 * (first == second).float()
            loss = dpo_loss(first, second, self.config.beta, self.config.label_smoothing, weight)
            liked = first
        else:
            label = torch.tensor(self.columns["label"])
            kl = second.mean().clamp(min=0)
            weights = (self.config.desirable_weight, self.config.undesirable_weight)
            loss = kto_loss(first, label, kl, self.config.beta, *weights, weight)
            right = ((first > kl) == label).float()
            liked = first[label] if label.any() else first
        return {
            "selection_loss": float(loss),
            "selection_accuracy": float(weighted(right, weight).mean()),
            "selection_log_ratio": float(liked.mean()),
        }


def completion_logps(model: PreTrainedModel, rows: Sequence[tuple[list[int], list[int]]], pad_id: int) -> Tensor:
    """Summed log-probs of each completion, its end token included, after its prompt. Nats, on the CPU, (B,)."""
    masked = [(prompt + answer, [0] * len(prompt) + [1] * len(answer)) for prompt, answer in rows]
    nats, _ = summed_nats(model, masked, pad_id)
    return -nats
