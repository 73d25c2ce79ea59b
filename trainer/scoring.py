"""A reward model as judge of what another model writes: token ids pass between them, so their tokenizers must agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.errors import ConfigInvalid
from trainer.reward import RewardModel, load_reward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# (prompt ids, completion ids) of each row -> rewards (B,): the reward model on exactly the tokens that were sampled.
Scorer = Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]]], Tensor]


def load_judge(path: Path, tokenizer: PreTrainedTokenizerBase) -> RewardModel:
    """The reward model in `path`, frozen, on the accelerator if there is one.

    Raises:
        ConfigInvalid: its tokenizer gives other ids than `tokenizer`, the policy's.
        ModelCorrupt: nothing loadable there.
    """
    reward = load_reward(path)
    if reward.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise ConfigInvalid(
            f"The reward model in {path} has another tokenizer than the policy.",
            remedy="Train the reward model from a base model of the policy's family.",
        )
    return reward.to("cuda" if torch.cuda.is_available() else "cpu").requires_grad_(False)


def scorer(reward: RewardModel, batch_size: int = 256) -> Scorer:
    """`reward` as a function of prompts and completions; a completion that ended has its end token."""

    def score(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
        return reward.score_ids([[*p, *c] for p, c in zip(prompts, completions, strict=True)], batch_size)

    return score
