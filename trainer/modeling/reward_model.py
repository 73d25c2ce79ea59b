"""A trained reward model with its constants, and how good it is on preferences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.data.columns import Columns, encode_completions, encode_prompts, joined
from trainer.data.snapshot import Messages
from trainer.errors import ModelCorrupt
from trainer.json_types import Metrics
from trainer.losses.temperatures import Temperatures
from trainer.losses.vote_errors import accuracy_without_errors, vote_loss
from trainer.modeling.heads import combined, spread
from trainer.modeling.loading import load_classifier, load_tokenizer
from trainer.modeling.passes import measuring, pad_right
from trainer.modeling.sampling import context_length
from trainer.run.microbatching import in_batches, rows_at

CALIBRATION_BINS = 10
SMALLEST_STD = 1e-6


class RewardModel(nn.Module):
    """A trained reward model with its constants applied: (raw - mean) / std, of several heads what `combine` says.

    Attributes:
        model: the sequence classifier; `model.score` is its head or heads (H), its trunk the backbone.
        tokenizer: what it was trained with.
        mean, std: of the raw reward on the SFT policy's completions, log-odds.
        offsets: mean of each head there, log-odds, (H,): a head is only defined up to a constant.
        combine, spread_coef: see `heads.combined`.
        usual_spread: mean spread of the heads on the SFT policy's completions, in the reward's unit; 0 of one head.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, mean: float = 0.0, std: float = 1.0
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.mean = mean
        self.std = std
        self.offsets = torch.zeros(int(model.config.num_labels or 1))
        self.combine, self.spread_coef, self.usual_spread = "mean", 0.0, 0.0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Reward of each row, read at its last real token wherever the padding is.

        Args:
            input_ids: prompt, completion and end token, shape (B, T), padded on either side.
            attention_mask: 1 at real tokens, shape (B, T).

        Returns:
            Normalized rewards, shape (B,).
        """
        return self.combined((self.raw(input_ids, attention_mask) - self.mean) / self.std)

    def combined(self, rewards: Tensor) -> Tensor:
        """One reward from those of all heads, (B,) from (B, H)."""
        return combined(rewards, self.combine, self.spread_coef)

    def raw(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Each head's reward before centring and scaling, log-odds, shape (B, H)."""
        head: nn.Module = self.model.score  # type: ignore[assignment]
        rewards: Tensor = head(self.last_hidden(input_ids, attention_mask)).float()
        return rewards - self.offsets.to(rewards.device)

    def last_hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What the heads read: the trunk's normalized output at the last real token of each row, (B, hidden)."""
        position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
        trunk = getattr(self.model, self.model.base_model_prefix)
        hidden = trunk(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state  # (B, T, hidden)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        last = (places * attention_mask).argmax(1)  # (B,)
        at_last: Tensor = hidden[torch.arange(len(last), device=last.device), last]
        return at_last

    def head_rewards(self, rows: Sequence[Sequence[int]], batch_size: int | None = None, raw: bool = False) -> Tensor:
        """Rewards by each head of rows of ids, each ending with the end token if the completion ended. CPU, (B, H)."""
        rewards = self._of_rows(self.raw, rows, batch_size, len(self.offsets))
        return rewards if raw else (rewards - self.mean) / self.std

    def features(self, rows: Sequence[Sequence[int]], batch_size: int | None = None) -> Tensor:
        """`last_hidden` of rows of ids as in `head_rewards`. On the CPU, (B, hidden)."""
        head: nn.Module = self.model.score  # type: ignore[assignment]
        width = next(head.parameters()).shape[-1]
        return self._of_rows(self.last_hidden, rows, batch_size, width)

    def _of_rows(
        self,
        read: Callable[[Tensor, Tensor], Tensor],
        rows: Sequence[Sequence[int]],
        batch_size: int | None,
        width: int,
    ) -> Tensor:
        """What `read` gives for rows of ids, in batches, (B, width)."""
        device = next(self.model.parameters()).device
        found = torch.zeros(len(rows), width)
        limit = context_length(self.model) or 2**31
        cut = [list(row[-limit:]) for row in rows]  # the reward is read at the end

        def apply(numbers: list[int]) -> None:
            ids, is_token = pad_right(rows_at(cut, numbers), self.tokenizer.pad_token_id)
            found[numbers] = read(ids.to(device), is_token.to(device)).float().cpu()

        with measuring(self.model):
            in_batches(list(map(len, cut)), apply, batch_size)
        return found

    def score_ids(self, rows: Sequence[Sequence[int]], batch_size: int | None = None, raw: bool = False) -> Tensor:
        """Rewards of rows of token ids, as `head_rewards`, the heads combined. On the CPU, (B,)."""
        return self.combined(self.head_rewards(rows, batch_size, raw))

    def score(self, prompts: Sequence[Messages], completions: Sequence[str]) -> Tensor:
        """Rewards of finished completions as text, the end token appended as in training. Shape (B,)."""
        return self.score_ids(finished_rows(self.tokenizer, prompts, completions))

    def score_by_head(self, prompts: Sequence[Messages], completions: Sequence[str]) -> Tensor:
        """Rewards of finished completions by each head, before centering and scaling, log-odds. CPU, (B, H)."""
        return self.head_rewards(finished_rows(self.tokenizer, prompts, completions), raw=True)

    def center_and_scale(self, samples: Sequence[Sequence[int]], combine: str, spread_coef: float) -> None:
        """Set the constants from completions of the SFT policy (rows of ids), and how the heads are combined."""
        raw = self.head_rewards(samples, raw=True)
        if len(self.offsets) > 1:
            self.offsets = self.offsets + raw.mean(dim=0)
        self.combine, self.spread_coef = combine, spread_coef
        rewards = self.score_ids(samples, raw=True)
        self.mean = float(rewards.mean())
        self.std = 1.0
        if len(rewards) > 1:
            self.std = max(float(rewards.std()), SMALLEST_STD)
        self.usual_spread = float(spread(self.head_rewards(samples)).mean())

    def constants(self) -> Metrics:
        """What `load_reward` needs besides the weights."""
        constants = {"reward_mean": self.mean, "reward_std": self.std}
        if len(self.offsets) == 1:
            return constants
        return constants | {
            "head_offsets": self.offsets.tolist(),
            "combine": self.combine,
            "spread_coef": self.spread_coef,
            "reward_spread": self.usual_spread,
        }


def finished_rows(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], completions: Sequence[str]
) -> list[list[int]]:
    """Prompt, completion and end token of each as ids, as they are trained on."""
    return joined(encode_prompts(tokenizer, prompts), encode_completions(tokenizer, completions))


def load_reward(path: Path) -> RewardModel:
    """A reward model made by this recipe, in evaluation mode, with its constants.

    Raises:
        ModelCorrupt: its config.json has no centring constants, so its rewards would mean nothing.
    """
    tokenizer = load_tokenizer(path)
    try:
        constants = json.loads((path / "config.json").read_text(encoding="utf-8")).get("touchstone")
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"No model can be loaded from {path}: {error}") from error
    if not isinstance(constants, dict) or not {"reward_mean", "reward_std"} <= set(constants):
        raise ModelCorrupt(f"{path} is no reward model of ours: its config.json lacks reward_mean and reward_std.")
    offsets = torch.tensor(constants.get("head_offsets", [0.0]))
    model = load_classifier(path, tokenizer, heads=len(offsets))
    reward = RewardModel(model, tokenizer, float(constants["reward_mean"]), float(constants["reward_std"]))
    reward.offsets = offsets
    reward.combine, reward.spread_coef = constants.get("combine", "mean"), float(constants.get("spread_coef", 0.0))
    reward.usual_spread = float(constants.get("reward_spread", 0.0))
    return reward.eval()


def preference_figures(
    reward: RewardModel, columns: Columns, strengths: Sequence[int], temperatures: Temperatures | None = None
) -> Metrics:
    """How well held-out preferences are predicted; each counts by its weight, and by its error or its annotator.

    Args:
        temperatures: learned ones, applied where the columns have an `annotator`.

    Returns:
        selection_accuracy: share of pairs whose chosen completion has the higher raw reward; a tie counts a half. Of
            votes with errors, what it would be without; with temperatures b, by |b|, turned round where b < 0.
        selection_loss: mean of `vote_loss`: -log sigmoid(r_chosen - r_rejected) without errors, nats.
        selection_ece: expected calibration error of the probability that a vote comes out as it did, ten bins of equal
            width.
        selection_pairs: how many.
        selection_accuracy_by_strength: strength -> accuracy.
    """
    gap, weight, error = reward_gap(reward, columns), weight_of(columns), error_of(columns)
    informed = weight
    if temperatures is not None and "annotator" in columns:
        with torch.no_grad():
            temperature = temperatures(torch.tensor(columns["annotator"])).cpu()
        gap, informed = temperature * gap, weighted(temperature.abs(), weight)
    loss = vote_loss(gap, error)
    right = (gap > 0).float() + 0.5 * (gap == 0).float()
    by_strength: dict[str, float] = {}
    of = torch.tensor(rows_at(strengths, columns["row"]))
    for strength in sorted(set(of.tolist())):
        among = of == strength
        some = selected(error, among), selected(informed, among)
        by_strength[str(strength)] = accuracy_without_errors(right[among], *some)
    return {
        "selection_accuracy": accuracy_without_errors(right, error, informed),
        "selection_loss": mean_by_weight(loss, weight),
        "selection_ece": calibration_error(torch.exp(-loss) if error is not None else torch.sigmoid(gap), weight),
        "selection_pairs": len(gap),
        "selection_accuracy_by_strength": by_strength,
    }


def reward_gap(reward: RewardModel, columns: Columns) -> Tensor:
    """Raw reward of chosen minus that of rejected, log-odds, shape (pairs,)."""
    both = reward.score_ids([*columns["chosen_ids"], *columns["rejected_ids"]], raw=True)
    chosen, rejected = both.chunk(2)
    return chosen - rejected


def weight_of(columns: Columns) -> Tensor | None:
    """What each of the columns counts, of mean 1, shape (rows,); None where all count the same."""
    return torch.tensor(columns["weight"]) if "weight" in columns else None


def error_of(columns: Columns) -> Tensor | None:
    """How likely each of the columns is the wrong way round, shape (rows,); None where all are plain votes."""
    return torch.tensor(columns["error"]) if "error" in columns else None


def weighted(values: Tensor, weight: Tensor | None) -> Tensor:
    """Values times their weights; without any, as they are to the last bit."""
    return values if weight is None else values * weight.to(values)


def mean_by_weight(values: Tensor, weight: Tensor | None) -> float:
    """Sum of weight x value over the sum of the weights."""
    if weight is None:
        return float(values.mean())
    return float((values * weight).sum() / weight.sum())


def selected(values: Tensor | None, is_selected: Tensor) -> Tensor | None:
    """The weights or errors of some rows, where there are any."""
    return None if values is None else values[is_selected]


def calibration_error(p_chosen: Tensor, weight: Tensor | None = None) -> float:
    """Expected calibration error of the probability that the preferred completion wins, shape (pairs,).

    Each pair is read from its favored side: confidence max(p, 1 - p), right when p > 1/2.
    """
    confidence = torch.maximum(p_chosen, 1 - p_chosen)
    right = (p_chosen > 0.5).float()
    bins = ((confidence - 0.5) * 2 * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    error = 0.0
    for number in range(CALIBRATION_BINS):
        inside = bins == number
        if inside.any():
            of = selected(weight, inside)
            gap = mean_by_weight(right[inside], of) - mean_by_weight(confidence[inside], of)
            error += abs(gap) * mean_by_weight(inside.float(), weight)
    return error
