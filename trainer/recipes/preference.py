"""Learning a policy from preferences without a reward model: DPO on pairs, KTO on single responses, on TRL's trainers.

DPO: Rafailov et al. 2023, equation 7; with label smoothing, Mitchell 2023. KTO: Ethayarajh et al. 2024, equation 8,
with KL estimated from prompts paired with another completion of their batch. Where a snapshot has no single responses,
KTO reads each pair as a good and a bad one. Unlike TRL's own preparation, rows are encoded by `columns`, so that
policy, reward model and server read the same ids, and the weights with the lowest held-out loss are handed back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainer.data.columns import Columns, encode_completions, encode_prompts, with_weights
from trainer.data.snapshot import Messages, Preference, Snapshot, Unpaired, open_snapshot
from trainer.errors import DataUnusable
from trainer.modeling.loading import load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt
from trainer.modeling.passes import share_that_ends, summed_nats
from trainer.modeling.reward_model import weight_of, weighted
from trainer.recipes.sft import shown_prompts
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import HandingBack
from trainer.run.loop import Hook, answers, go, prove, restore_best
from trainer.run.seeds import seed_everything

CHECKED_PROMPTS = 32


def run(context: RunContext) -> StageResult:
    """Learn from the preferences of the train split by the run's stage, `dpo` or `kto`, and hand back a policy."""
    from trainer.modeling.preference_trainer import make_trainer

    config, stage = context.config, context.stage
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    seed_everything(context.seed, stage)
    context.report.state("loading the base model and its frozen copy")
    model: Any = adapt(load_policy(base, tokenizer), config.lora)
    reference: Any = load_policy(base, tokenizer).eval().requires_grad_(False)

    context.report.state("reading the preferences")
    snapshot = open_snapshot(context.inputs["snapshot"])
    read = pair_columns if stage == "dpo" else single_columns
    columns, left_out = read(tokenizer, snapshot, "train", config.max_length)
    check_columns(stage, columns, left_out)
    selection, _ = read(tokenizer, snapshot, "selection", config.max_length)
    measurable = bool(selection["prompt_ids"])
    held = Heldout(reference, selection, stage, config, tokenizer.pad_token_id) if measurable else None
    prompts: list[Messages] = shown_prompts(snapshot)
    prompt_ids = encode_prompts(tokenizer, prompts)
    longest = max(len(row) for name in ("chosen_ids", "completion_ids") for row in columns.get(name, []) or [[]])

    hook = Hook(
        context,
        sample=answers(
            tokenizer, [m[-1]["content"] for m in prompts[: config.samples]], prompt_ids[: config.samples], longest
        )
        if config.samples and prompts
        else None,
        measure=held.figures if held else None,
        evaluations=config.evaluations,
        better="selection_loss" if held and config.choose_best else None,
    )
    trainer = make_trainer(context, model, reference, tokenizer, columns, hook)
    context.report.state("training")
    steps = go(trainer, context, hook)

    back = HandingBack(context, model, tokenizer, steps)
    best = restore_best(back, hook)
    back.metrics |= {"best_step": best} if best is not None else {}
    back.metrics |= {
        "steps": steps,
        "parameters": parameters(model),
        "train_rows": len(columns["prompt_ids"]),
        "left_out": left_out,
    }
    if stage == "kto":
        good = sum(columns["label"])
        back.metrics["class_balance"] = {"good": good, "bad": len(columns["label"]) - good}
    back.save()
    prove(back, hook, best)
    checked = prompt_ids[:CHECKED_PROMPTS]
    back.measure("eos_rate", lambda: {"eos_rate": share_that_ends(model, checked, 2 * longest)})
    return back.result()


def pair_columns(tokenizer: Any, snapshot: Snapshot, split: str, max_length: int) -> tuple[Columns, int]:
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


def single_columns(tokenizer: Any, snapshot: Snapshot, split: str, max_length: int) -> tuple[Columns, int]:
    """TRL's columns `prompt_ids`, `completion_ids`, `label`; from pairs when the split has no single responses."""
    rows = list(snapshot.rows(split, Unpaired))
    if not rows:
        pairs = list(snapshot.rows(split, Preference))
        rows = [
            Unpaired(pair.prompt, text, good, pair.hash, pair.count, pair.weight)
            for pair in pairs
            for text, good in ((pair.chosen, True), (pair.rejected, False))
        ]
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


def dpo_loss(
    chosen: Tensor, rejected: Tensor, beta: float, label_smoothing: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """-(1 - e) log sigmoid(beta (chosen - rejected)) - e log sigmoid(-beta (chosen - rejected)), mean, nats.

    Args:
        chosen, rejected: log pi / pi_ref of whole completions, nats, shape (B,).
        beta: > 0. label_smoothing: e, in [0, 0.5).
        weight: what each pair counts, of mean 1 over the data, shape (B,); None is 1.

    Source: Rafailov et al. 2023, equation 7.
    """
    gap = beta * (chosen - rejected)
    smooth = nn.functional.logsigmoid(gap) * (1 - label_smoothing) + nn.functional.logsigmoid(-gap) * label_smoothing
    return -weighted(smooth, weight).mean()


def kto_loss(
    log_ratio: Tensor,
    label: Tensor,
    kl: Tensor,
    beta: float,
    desirable: float = 1.0,
    undesirable: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean of w (1 - sigmoid(± beta (log_ratio - kl))), + for good responses, - for bad ones, in [0, w].

    Args:
        log_ratio: log pi / pi_ref of whole completions, nats, shape (B,). label: true is good, shape (B,).
        kl: the reference point z0 >= 0, nats, scalar. desirable, undesirable: the weights w.
        weight: what each response counts besides, of mean 1 over the data, shape (B,); None is 1.

    Source: Ethayarajh et al. 2024, equation 8.
    """
    sign = label.float() * 2 - 1
    of_side = torch.where(label.bool(), desirable, undesirable)
    return weighted(of_side * (1 - torch.sigmoid(sign * beta * (log_ratio - kl))), weight).mean()


class Heldout:
    """The selection split, with the log-probs of the frozen reference taken once.

    Args:
        reference: the frozen base model. columns: of the selection split, not empty. stage: "dpo" or "kto".
    """

    def __init__(self, reference: Any, columns: Columns, stage: str, config: Any, pad_id: int) -> None:
        self.columns, self.stage, self.config, self.pad_id = columns, stage, config, pad_id
        names = ("chosen_ids", "rejected_ids") if stage == "dpo" else ("completion_ids", "other_ids")
        answers = columns.get("completion_ids", [])
        texts = columns | {"other_ids": answers[-1:] + answers[:-1]}  # each prompt with its neighbour's completion
        self.rows = [
            [(prompt, answer) for prompt, answer in zip(columns["prompt_ids"], texts[name], strict=True)]
            for name in names
        ]
        self.reference = [completion_logps(reference, rows, pad_id) for rows in self.rows]

    def figures(self, model: Any) -> dict[str, float]:
        """selection_loss, and selection_accuracy: pairs distinguished by log pi / pi_ref, or verdicts by its side of
        KL.

        selection_log_ratio: mean log pi / pi_ref of chosen (or good) completions, nats.
        """
        first, second = (
            completion_logps(model, rows, self.pad_id) - reference
            for rows, reference in zip(self.rows, self.reference, strict=True)
        )
        weight = weight_of(self.columns)
        if self.stage == "dpo":
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


def completion_logps(model: Any, rows: Sequence[tuple[list[int], list[int]]], pad_id: int) -> Tensor:
    """Summed log-probs of each completion, its end token included, after its prompt. Nats, on the CPU, (B,)."""
    masked = [(prompt + answer, [0] * len(prompt) + [1] * len(answer)) for prompt, answer in rows]
    nats, _ = summed_nats(model, masked, pad_id)
    return -nats
