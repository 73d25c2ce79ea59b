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
from trainer.data.columns import Columns, encode_answers, encode_pairs, encode_prompts, with_votes
from trainer.data.snapshot import Messages, Preference, Snapshot, Unpaired, open_snapshot
from trainer.errors import DataUnusable
from trainer.losses.preference_losses import dpo_loss, kto_loss
from trainer.losses.vote_errors import accuracy_without_errors
from trainer.modeling.loading import load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt
from trainer.modeling.passes import Masked, counted_from, share_that_ends, summed_nats
from trainer.modeling.reward_model import error_of, weight_of
from trainer.recipes.sft import shown_prompts
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.loop import Hook, prompt_sampler, restore_best, run_training, verify_best
from trainer.run.seeds import seed_everything
from trainer.stages import STAGES

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
    if STAGES[stage].compares:
        read, liked = pair_columns, "chosen_ids"
    else:
        read, liked = single_columns, "completion_ids"
    columns, left_out = read(tokenizer, snapshot, "train", config.max_length)
    check_columns(stage, columns, left_out)
    selection, _ = read(tokenizer, snapshot, "selection", config.max_length)
    held = None
    if selection["prompt_ids"]:
        held = HeldOutPreferences(reference, selection, config, tokenizer.pad_token_id)
    prompts: list[Messages] = shown_prompts(snapshot)
    prompt_ids = encode_prompts(tokenizer, prompts)
    longest = max(map(len, columns[liked]))

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
    if "label" in columns:
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

    `weight` and `error` are there as `with_votes` says.
    """
    columns: Columns = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": []}
    votes: list[Preference] = []
    left_out = 0
    for pair in encode_pairs(tokenizer, list(snapshot.rows(split, Preference))):
        count = pair.row.count
        if pair.length > max_length:
            left_out += count
            continue
        columns["prompt_ids"] += [pair.prompt] * count
        columns["chosen_ids"] += [pair.chosen] * count
        columns["rejected_ids"] += [pair.rejected] * count
        votes += [pair.row] * count
    with_votes(columns, votes)
    return columns, left_out


def single_columns(
    tokenizer: PreTrainedTokenizerBase, snapshot: Snapshot, split: str, max_length: int
) -> tuple[Columns, int]:
    """TRL's columns `prompt_ids`, `completion_ids`, `label`; from pairs when the split has no single responses."""
    rows = list(snapshot.rows(split, Unpaired))
    if not rows:
        pairs = list(snapshot.rows(split, Preference))
        for pair in pairs:
            counted = (pair.hash, pair.count, pair.weight, pair.error, pair.annotator)
            rows.append(Unpaired(pair.prompt, pair.chosen, True, *counted))
            rows.append(Unpaired(pair.prompt, pair.rejected, False, *counted))
    columns: Columns = {"prompt_ids": [], "completion_ids": [], "label": []}
    votes: list[Unpaired] = []
    left_out = 0
    for row, prompt, completion in encode_answers(tokenizer, rows):
        if len(prompt) + len(completion) > max_length:
            left_out += row.count
            continue
        columns["prompt_ids"] += [prompt] * row.count
        columns["completion_ids"] += [completion] * row.count
        columns["label"] += [row.label] * row.count
        votes += [row] * row.count
    with_votes(columns, votes)
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
    if STAGES[stage].compares:
        if columns["chosen_ids"] == columns["rejected_ids"]:
            raise DataUnusable(
                "In every pair chosen and rejected are the same text, so there is nothing to tell apart.",
                remedy="Check how the preferences were collected or imported.",
            )
        return
    if len(set(columns["label"])) < 2:
        raise DataUnusable(
            "Every response has the same verdict, so there is nothing to tell apart.",
            remedy="Collect good and bad responses.",
        )
    if len(columns["prompt_ids"]) < 3:
        raise DataUnusable("KTO needs three responses at least.", remedy="Collect more.")


class HeldOutPreferences:
    """The selection split, with the log-probs of the frozen reference taken once.

    Args:
        reference: the frozen base model. columns: of the selection split, not empty. config: of DPO or KTO.
    """

    def __init__(
        self, reference: PreTrainedModel, columns: Columns, config: DPOConfig | KTOConfig, pad_id: int
    ) -> None:
        self.columns, self.config, self.pad_id = columns, config, pad_id
        if isinstance(config, DPOConfig):
            answers, others = columns["chosen_ids"], columns["rejected_ids"]
        else:
            answers = columns["completion_ids"]
            others = answers[-1:] + answers[:-1]  # each prompt with its neighbor's completion
        self.answers = list(zip(columns["prompt_ids"], answers, strict=True))
        self.others = list(zip(columns["prompt_ids"], others, strict=True))
        self.answers_reference = completion_logps(reference, self.answers, pad_id)
        self.others_reference = completion_logps(reference, self.others, pad_id)

    def figures(self, model: PreTrainedModel) -> dict[str, float]:
        """selection_loss, and selection_accuracy: pairs distinguished by log pi / pi_ref, or verdicts by its side of
        KL.

        selection_log_ratio: mean log pi / pi_ref of chosen (or good) completions, nats.
        """
        first = completion_logps(model, self.answers, self.pad_id) - self.answers_reference
        second = completion_logps(model, self.others, self.pad_id) - self.others_reference
        weight, error = weight_of(self.columns), error_of(self.columns)
        if isinstance(self.config, DPOConfig):
            right = (first > second).float() + 0.5 * (first == second).float()
            loss = dpo_loss(first, second, self.config.beta, self.config.label_smoothing, weight, error)
            liked = first
        else:
            label = torch.tensor(self.columns["label"])
            kl = second.mean().clamp(min=0)
            weights = (self.config.desirable_weight, self.config.undesirable_weight)
            loss = kto_loss(first, label, kl, self.config.beta, *weights, weight, error)
            right = ((first > kl) == label).float()
            liked = first[label] if label.any() else first
        return {
            "selection_loss": float(loss),
            "selection_accuracy": accuracy_without_errors(right, error, weight),
            "selection_log_ratio": float(liked.mean()),
        }


def completion_logps(model: PreTrainedModel, rows: Sequence[tuple[list[int], list[int]]], pad_id: int) -> Tensor:
    """Summed log-probs of each completion, its end token included, after its prompt. Nats, on the CPU, (B,)."""
    masked: list[Masked] = []
    for prompt, answer in rows:
        masked.append(counted_from(prompt + answer, len(prompt)))
    nats, _ = summed_nats(model, masked, pad_id)
    return -nats
