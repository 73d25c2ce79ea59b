"""A scalar model of preference: Bradley-Terry on pairs, with TRL's RewardTrainer, centred and scaled once at the end.

P(chosen beats rejected) = sigmoid(r_chosen - r_rejected), as in Ouyang et al. 2022, equation 1. As there, pairs that
share a response stay in one batch, since apart they make the model overfit; unlike there, several prompts share one.
A margin by strength (Touvron et al. 2023, section 3.2.2) is off unless asked for.

The reward is read at the last real token of `prompt + completion + end token`, encoded in `columns` for training and
for serving alike, and is given in standard deviations above the mean of the SFT policy's own completions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.columns import Columns, encode_completions, encode_prompts, preference_columns
from trainer.context import RunContext, StageResult
from trainer.errors import DataUnusable, ModelCorrupt
from trainer.models import load_classifier, load_policy, load_tokenizer, parameters, save_model
from trainer.seeds import seed_everything, stable_seed
from trainer.snapshot import Messages, Preference, Snapshot, open_snapshot

CALIBRATION_BINS = 10
SMALLEST_STD = 1e-6


class RewardModel(nn.Module):
    """A trained reward model with its constants applied: (raw - mean) / std.

    Attributes:
        model: the sequence classifier, one output; `model.score` is its head, its trunk the backbone.
        tokenizer: what it was trained with.
        mean, std: of the raw reward on the SFT policy's completions, log-odds.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, mean: float = 0.0, std: float = 1.0
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.mean = mean
        self.std = std

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Reward of each row, read at its last real token wherever the padding is.

        Args:
            input_ids: prompt, completion and end token, shape (B, T), padded on either side.
            attention_mask: 1 at real tokens, shape (B, T).

        Returns:
            Normalised rewards, shape (B,).
        """
        return (self.raw(input_ids, attention_mask) - self.mean) / self.std

    def raw(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The reward before centring, log-odds, shape (B,)."""
        position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
        trunk = getattr(self.model, self.model.base_model_prefix)
        hidden = trunk(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state  # (B, T, H)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        last = (places * attention_mask).argmax(1)  # (B,)
        at_last = hidden[torch.arange(len(last), device=last.device), last]  # (B, H)
        head: nn.Module = self.model.score  # type: ignore[assignment]
        rewards: Tensor = head(at_last).squeeze(-1).float()
        return rewards

    @torch.no_grad()
    def score_ids(self, rows: Sequence[Sequence[int]], batch_size: int = 64, raw: bool = False) -> Tensor:
        """Rewards of rows of token ids, each ending with the end token if the completion ended. On the CPU, (B,)."""
        device = next(self.model.parameters()).device
        was_training = self.model.training
        self.model.eval()
        # Rows of like length share a batch: less padding, same rewards.
        order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
        rewards = torch.zeros(len(rows))
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            ids, is_token = pad_right([rows[n] for n in numbers], self.tokenizer.pad_token_id)
            score = self.raw if raw else self
            rewards[numbers] = score(ids.to(device), is_token.to(device)).cpu()
        self.model.train(was_training)
        return rewards

    def score(self, prompts: Sequence[Messages], completions: Sequence[str]) -> Tensor:
        """Rewards of finished completions as text, the end token appended as in training. Shape (B,)."""
        encoded = zip(
            encode_prompts(self.tokenizer, prompts), encode_completions(self.tokenizer, completions), strict=True
        )
        return self.score_ids([prompt + completion for prompt, completion in encoded])


def load_reward(path: Path) -> RewardModel:
    """A reward model made by this recipe, in evaluation mode, with its constants.

    Raises:
        ModelCorrupt: its config.json has no centring constants, so its rewards would mean nothing.
    """
    tokenizer = load_tokenizer(path)
    model = load_classifier(path, tokenizer)
    constants = getattr(model.config, "touchstone", None)
    if not isinstance(constants, dict) or not {"reward_mean", "reward_std"} <= set(constants):
        raise ModelCorrupt(f"{path} is no reward model of ours: its config.json lacks reward_mean and reward_std.")
    reward = RewardModel(model, tokenizer, float(constants["reward_mean"]), float(constants["reward_std"]))
    return reward.eval()


def run(context: RunContext) -> StageResult:
    """Train on the preferences of the train split, keep the weights with the lowest selection loss, normalise."""
    from trainer.loop import go, load_best
    from trainer.reward_trainer import make_trainer

    config = context.config
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    seed_everything(context.seed, "reward")
    context.report.state("loading the base model")
    model = load_classifier(base, tokenizer)
    reward = RewardModel(model, tokenizer)

    context.report.state("reading the preferences")
    snapshot = open_snapshot(context.inputs["snapshot"])
    rows = list(snapshot.rows("train", Preference))
    columns = preference_columns(tokenizer, rows, config.max_length, config.margin_scale)
    check_columns(rows, columns, config.max_length)
    selection_rows = list(snapshot.rows("selection", Preference))
    selection = preference_columns(tokenizer, selection_rows, config.max_length, 0.0)

    trainer, hook = make_trainer(context, reward, columns, shared_groups(rows, columns), selection)
    context.report.state("training")
    steps = go(trainer, context, hook)
    best = load_best(context, hook, model)

    context.report.state("centring and scaling")
    mean, std, on = normalisation(context, snapshot, reward, columns)
    model.config.touchstone = {"reward_mean": mean, "reward_std": std, "normalised_on": on}
    metrics: dict[str, Any] = {
        "steps": steps,
        "best_step": best or steps,
        "parameters": parameters(model),
        "train_pairs": len(columns["row"]),
        "left_out": sum(row.count for row in rows) - len(columns["row"]),
        "reward_mean": mean,
        "reward_std": std,
        "normalised_on": on,
    }
    if selection["row"]:
        context.report.state("measuring on the selection split")
        metrics |= preference_figures(reward, selection, [row.strength for row in selection_rows])
    folder = context.aside("model")
    save_model(folder, model, tokenizer)
    return StageResult(metrics=metrics, model=folder, kind="reward")


def check_columns(rows: Sequence[Preference], columns: Columns, max_length: int) -> None:
    """Refuse what would train on nothing.

    Raises:
        DataUnusable: no pairs, none short enough, or every pair says that a response beats itself.
    """
    if not rows:
        raise DataUnusable("The snapshot has no preferences to train on.", remedy="Collect or import comparisons.")
    if not columns["row"]:
        raise DataUnusable(f"No pair fits into {max_length} tokens.", remedy="Raise max_length.")
    if all(yes == no for yes, no in zip(columns["chosen_ids"], columns["rejected_ids"], strict=True)):
        raise DataUnusable(
            "In every pair chosen and rejected are the same text, so there is nothing to tell apart.",
            remedy="Look at how the preferences were made or imported.",
        )


def shared_groups(rows: Sequence[Preference], columns: Columns) -> list[list[int]]:
    """Columns that belong in one batch: those of one prompt that are linked by a response they share.

    A ranking of n responses makes n-choose-2 pairs in which each response occurs n - 1 times; spread over an epoch they
    act like n - 1 epochs (Ouyang et al. 2022, section 3.5). Pairs with no response in common are independent evidence
    and stay apart, so that a prompt with hundreds of comparisons does not fill batches alone.

    Returns:
        Lists of positions in `columns`, in order of first appearance.
    """
    parent: dict[tuple[object, str], tuple[object, str]] = {}

    def root(node: tuple[object, str]) -> tuple[object, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    prompts = [tuple((m["role"], m["content"]) for m in row.prompt) for row in rows]
    for prompt, row in zip(prompts, rows, strict=True):
        parent[root((prompt, row.chosen))] = root((prompt, row.rejected))
    groups: dict[tuple[object, str], list[int]] = defaultdict(list)
    for position, number in enumerate(columns["row"]):
        groups[root((prompts[number], rows[number].chosen))].append(position)
    return list(groups.values())


def normalisation(
    context: RunContext, snapshot: Snapshot, reward: RewardModel, columns: Columns
) -> tuple[float, float, str]:
    """Mean and standard deviation of the raw reward on completions of the base policy, and what they were taken on.

    Falls back to the training completions when `normalise_samples` is 0 or the base has no language-modelling head.
    """
    from trainer.loop import continue_rows

    config = context.config
    base = context.inputs["base_model"]
    samples = list(columns["chosen_ids"]) + list(columns["rejected_ids"])
    on = "training completions"
    if config.normalise_samples:
        on = "samples of the base policy"
        prompts = encode_prompts(reward.tokenizer, [row.prompt for row in snapshot.rows("train", Preference)])
        prompts = [list(row) for row in dict.fromkeys(map(tuple, prompts))]
        prompts = [prompts[n % len(prompts)] for n in range(config.normalise_samples)]
        longest = max(map(len, samples)) - min(map(len, prompts))
        policy: Any = load_policy(base, reward.tokenizer)
        policy.to(reward.model.device)
        seed = stable_seed(context.seed, "reward", "normalise") % 2**32
        written = continue_rows(policy, reward.tokenizer, prompts, max(longest, 1), seed)
        samples = [prompt + row for prompt, row in zip(prompts, written, strict=True)]
    raw = reward.score_ids(samples, raw=True)
    return float(raw.mean()), max(float(raw.std()) if len(raw) > 1 else 1.0, SMALLEST_STD), on


def preference_figures(reward: RewardModel, columns: Columns, strengths: Sequence[int]) -> dict[str, Any]:
    """How well held-out preferences are predicted.

    Returns:
        selection_accuracy: share of pairs whose chosen completion has the higher raw reward; a tie counts a half.
        selection_loss: mean of -log sigmoid(r_chosen - r_rejected), nats.
        selection_ece: expected calibration error of that probability, ten bins of equal width.
        selection_pairs: how many.
        selection_accuracy_by_strength: strength -> accuracy.
    """
    gap = reward_gap(reward, columns)
    right = (gap > 0).float() + 0.5 * (gap == 0).float()
    by_strength: dict[str, float] = {}
    of = torch.tensor([strengths[number] for number in columns["row"]])
    for strength in sorted(set(of.tolist())):
        by_strength[str(strength)] = float(right[of == strength].mean())
    return {
        "selection_accuracy": float(right.mean()),
        "selection_loss": float(-nn.functional.logsigmoid(gap).mean()),
        "selection_ece": calibration_error(torch.sigmoid(gap)),
        "selection_pairs": len(gap),
        "selection_accuracy_by_strength": by_strength,
    }


def reward_gap(reward: RewardModel, columns: Columns) -> Tensor:
    """Raw reward of chosen minus that of rejected, log-odds, shape (pairs,)."""
    both = reward.score_ids([*columns["chosen_ids"], *columns["rejected_ids"]], raw=True)
    chosen, rejected = both.chunk(2)
    return chosen - rejected


def calibration_error(p_chosen: Tensor) -> float:
    """Expected calibration error of the probability that the preferred completion wins, shape (pairs,).

    Each pair is read from its favoured side: confidence max(p, 1 - p), right when p > 1/2.
    """
    confidence = torch.maximum(p_chosen, 1 - p_chosen)
    right = (p_chosen > 0.5).float()
    bins = ((confidence - 0.5) * 2 * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    error = 0.0
    for number in range(CALIBRATION_BINS):
        inside = bins == number
        if inside.any():
            gap = (right[inside].mean() - confidence[inside].mean()).abs()
            error += float(gap * inside.float().mean())
    return error


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Rows of ids as (ids, is_token), both (B, T), padded on the right."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [pad_id] * (width - len(row)) for row in rows])
    is_token = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, is_token
