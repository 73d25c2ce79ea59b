"""What a completion is scored by: a reward model, and whatever other terms a config names, each seen apart.

Token ids pass between policy and reward model, so their tokenizers must agree; a guard reads text, by its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import torch
from torch import Tensor

from trainer.data.columns import decode_completion, joined
from trainer.errors import ConfigInvalid
from trainer.modeling.chat_format import ends_of
from trainer.modeling.heads import spread
from trainer.modeling.reward_model import RewardModel, load_reward
from trainer.modeling.sampling import end_flags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainer.configs.online import Terms
    from trainer.recipes.classify import Classifier

Rows = Sequence[Sequence[int]]


class RewardFigures(TypedDict):
    """What is reported of one response: its reward, and with several heads each head's and their spread."""

    reward: float
    reward_heads: NotRequired[list[float]]
    reward_spread: NotRequired[float]


@dataclass(frozen=True)
class Scores:
    """Scores of B completions.

    Attributes:
        parts: term -> weight x value, (B,).
        heads: rewards by each head of the reward model, in the unit of its reward, (B, H); None when it has one.
    """

    parts: Mapping[str, Tensor]
    heads: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """The sum of the parts, (B,)."""
        return torch.stack(list(self.parts.values())).sum(dim=0)

    def apart(self) -> dict[str, Tensor]:
        """What is logged apart, each (B,): the parts; of several heads also their `spread` and the `floor`, the reward
        of the least pleased."""
        if self.heads is None:
            return dict(self.parts)
        return {**self.parts, "spread": spread(self.heads), "floor": self.heads.min(dim=1).values}


# (prompt ids, completion ids) of each row -> scores, on exactly the tokens that were sampled.
Judge = Callable[[Rows, Rows], Scores]


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


def scorer(reward: RewardModel, batch_size: int | None = None) -> Callable[[Rows, Rows], Tensor]:
    """`reward` alone as a function of prompts and completions, (B,); a completion that ended has its end token."""

    def score(prompts: Rows, completions: Rows) -> Tensor:
        return reward.score_ids(joined(prompts, completions), batch_size)

    return score


def load_terms(
    inputs: Mapping[str, Path],
    terms: Terms,
    tokenizer: PreTrainedTokenizerBase,
    stage: str,
    reward: RewardModel | None = None,
) -> Judge:
    """The judge that a config's terms and a run's inputs make; `reward` is the input reward_model, if loaded already.

    Raises:
        ConfigInvalid: a term lacks its input or an input its term, or the guard has no such class.
        ModelCorrupt: nothing loadable there.
    """
    guard = None
    if terms.model is not None and reward is None:
        if "reward_model" not in inputs:
            raise ConfigInvalid(f"`{stage}.terms.model` needs the input reward_model.", remedy="Give it, or set null.")
        reward = load_judge(inputs["reward_model"], tokenizer)
    if (terms.guard is None) != ("guard" not in inputs):
        raise ConfigInvalid(
            f"The input guard and `{stage}.terms.guard` belong together; only one of them is given.",
            remedy="Give both or neither.",
        )
    if terms.guard is not None:
        from trainer.recipes.classify import Classifier

        guard = Classifier(inputs["guard"])
        if terms.guard.label not in guard.classes:
            raise ConfigInvalid(
                f"`{stage}.terms.guard.label` is {terms.guard.label!r}, which the guard does not know.",
                remedy=f"Its classes: {', '.join(guard.classes)}.",
            )
    return judge(terms, tokenizer, reward, guard)


def judge(
    terms: Terms,
    tokenizer: PreTrainedTokenizerBase,
    reward: RewardModel | None = None,
    guard: Classifier | None = None,
    batch_size: int | None = None,
) -> Judge:
    """A weighted sum of terms, as `config_online` describes each, as a function of prompts and completions.

    Args:
        tokenizer: of the policy; it decodes what the guard and the pattern read.
        reward, guard: needed where the term of that name is given.
    """

    def scores(prompts: Rows, completions: Rows) -> Scores:
        parts: dict[str, Tensor] = {}
        heads = None
        texts = [decode_completion(tokenizer, ids) for ids in completions] if terms.guard or terms.format else []
        if terms.model is not None:
            assert reward is not None
            rewards = reward.head_rewards(joined(prompts, completions), batch_size)
            parts["model"] = terms.model.weight * reward.combined(rewards)
            heads = rewards if rewards.size(1) > 1 else None
        if terms.guard is not None:
            assert guard is not None
            chances = [chance[terms.guard.label] for chance in guard.scores(texts)]
            parts["guard"] = terms.guard.weight * torch.tensor(chances)
        if terms.length is not None:
            beyond = [max(0, len(ids) - terms.length.target) for ids in completions]
            parts["length"] = -terms.length.weight * torch.tensor(beyond, dtype=torch.float32)
        if terms.format is not None:
            pattern = re.compile(terms.format.pattern)
            fits: list[bool] = []
            for text, ended in zip(texts, end_flags(completions, ends_of(tokenizer)), strict=True):
                fits.append(ended and bool(text.strip()) and pattern.search(text) is not None)
            parts["format"] = terms.format.weight * torch.tensor(fits, dtype=torch.float32)
        return Scores(parts, heads)

    return scores


def reward_figures(reward: RewardModel, heads: Tensor) -> list[RewardFigures]:
    """What is reported of each response by its heads' rewards, (B, H): `reward`; of several also `reward_heads` and
    `reward_spread`."""
    per_response: list[RewardFigures] = [{"reward": round(value, 6)} for value in reward.combined(heads).tolist()]
    if heads.size(1) > 1:
        for figures, row, apart in zip(per_response, heads.tolist(), spread(heads).tolist(), strict=True):
            figures |= {"reward_heads": [round(value, 6) for value in row], "reward_spread": round(apart, 6)}
    return per_response
