"""Read a reward model: the one place where its scalar is taken at the last token, centred and scaled.

Training, PPO and evaluation give it token ids, `prompt + completion + end token`, and never text to encode again, so
that it always judges exactly what was sampled and reads the same last token everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer.errors import ConfigInvalid, ModelCorrupt
from trainer.models import load_classifier, load_tokenizer
from trainer.sampling import length_buckets

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class RewardModel:
    """A reward model with its centring constants.

    Attributes:
        model: a sequence classifier with one output, frozen.
        mean, std: of its raw output on samples of the SFT policy; `score` subtracts and divides by them.
    """

    model: PreTrainedModel
    mean: float
    std: float

    @torch.no_grad()
    def score(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], batch_size: int = 256
    ) -> Tensor:
        """Reward of each completion, in standard deviations of the SFT policy's, shape (B,).

        Args:
            prompts, completions: token ids; a completion that ended by itself has its end token.
            batch_size: rows in one forward; it changes speed, not the result.
        """
        rows = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
        scores = torch.zeros(len(rows))
        for batch in length_buckets([len(row) for row in rows], batch_size):
            lengths = torch.tensor([len(rows[index]) for index in batch])
            ids = torch.zeros(len(batch), int(lengths.max()), dtype=torch.long)
            for place, index in enumerate(batch):
                ids[place, : lengths[place]] = torch.tensor(rows[index])
            is_real = (torch.arange(ids.size(1)) < lengths.unsqueeze(1)).long()
            trunk: Any = self.model.base_model
            device = self.model.device
            hidden = trunk(
                input_ids=ids.to(device), attention_mask=is_real.to(device), use_cache=False
            ).last_hidden_state
            head: Any = self.model.score
            raw = head(hidden[torch.arange(len(batch), device=device), (lengths - 1).to(device)])[:, 0]
            scores[torch.tensor(batch)] = raw.float().cpu()
        return (scores - self.mean) / self.std


def open_reward(path: Path, tokenizer: PreTrainedTokenizerBase) -> RewardModel:
    """Load a reward model that will judge what a policy with `tokenizer` writes.

    Args:
        path: a model folder made by the stage `reward`; without centring constants they are 0 and 1.
        tokenizer: the policy's.

    Raises:
        ConfigInvalid: the two tokenizers give other ids, so token ids cannot be passed on.
        ModelCorrupt: nothing loadable, or constants that are no numbers.
    """
    own = load_tokenizer(path)
    if own.get_vocab() != tokenizer.get_vocab():
        raise ConfigInvalid(
            f"The reward model in {path} has another tokenizer than the policy.",
            remedy="Train the reward model from a base model of the policy's family.",
        )
    model = load_classifier(path, own).requires_grad_(False).eval()
    constants = getattr(model.config, "touchstone", None) or {}
    try:
        mean, std = float(constants.get("reward_mean", 0.0)), float(constants.get("reward_std", 1.0))
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelCorrupt(f"The centring constants of {path} cannot be read: {constants!r}.") from error
    if not std > 0:
        raise ModelCorrupt(f"reward_std in {path} is {std}; it must be above zero.")
    return RewardModel(model=model, mean=mean, std=std)
