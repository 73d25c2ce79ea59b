"""What is asked and what was sampled: prompts of a snapshot, rollouts, and the critic in the policy's forward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainer import ppo_math
from trainer.errors import ConfigInvalid
from trainer.snapshot import Demonstration, Messages, Preference, Prompt, Snapshot

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Critic(nn.Module):
    """A value for every position: a reward model's trunk with its scalar head read at each token.

    The head starts as the reward model's (the mean of several), centred and scaled with the same constants, so that
    before any training the value of a finished text is its reward times `weight`.
    """

    def __init__(self, reward_model: PreTrainedModel, mean: float = 0.0, std: float = 1.0, weight: float = 1.0) -> None:
        super().__init__()
        self.trunk = reward_model.base_model
        score: Any = reward_model.score
        self.head = nn.Linear(score.in_features, 1)
        with torch.no_grad():
            bias = score.bias if score.bias is not None else torch.zeros(1)
            self.head.weight.copy_(weight * score.weight.mean(dim=0, keepdim=True) / std)
            self.head.bias.copy_(weight * (bias.mean() - mean) / std)

    def forward(self, answer_length: int, **inputs: Tensor) -> Tensor:
        """Values (B, C) of the states before each of the last `answer_length` tokens."""
        hidden = self.trunk(**inputs, use_cache=False).last_hidden_state
        values: Tensor = self.head(hidden[:, -answer_length - 1 : -1]).squeeze(-1).float()
        return values


class ValueHead(nn.Module):
    """A value for every position read from the policy's own hidden states: one trunk and one pass for both.

    Half the time and memory of a critic with a trunk of its own, but it knows nothing before the first rollout: the
    head starts at zero, the mean of the centred reward.
    """

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.head = nn.Linear(policy.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.hidden: Tensor | None = None
        # A hook, since a forward that computes only some logits does not return what it computed them from.
        self.hook = policy.base_model.register_forward_hook(self.keep)

    def keep(self, trunk: nn.Module, given: Any, outputs: Any) -> None:
        """Hold what the trunk has just computed, until the values are read from it."""
        self.hidden = outputs.last_hidden_state

    def forward(self, answer_length: int, **inputs: Tensor) -> Tensor:
        """Values (B, C) of the states before each of the last `answer_length` tokens of the policy's last forward."""
        hidden, self.hidden = self.hidden, None
        assert hidden is not None
        values: Tensor = self.head(hidden[:, -answer_length - 1 : -1]).squeeze(-1).float()
        return values


@dataclass
class Rollout:
    """What was sampled in one go and what is known of it. B completions, P prompt and C completion tokens at most.

    Attributes:
        prompt_ids: (B, P), padded on the left. prompt_lengths: (B,).
        completion_ids: (B, C), padded on the right; nothing after the first end token.
        is_answer: (B, C), True on tokens the policy chose.
        log_probs, ref_log_probs, entropy, values: (B, C), under the policy that sampled, the reference, the critic.
        scores: (B,) after the rule for missing ends. raw_scores: (B,) before it.
        apart: what is logged apart of the raw score, by name, each (B,); see `scoring.Scores`.
        has_eos: (B,).
        advantages, returns: (B, C); whitened advantages; zeros until training asks for them.
    """

    prompt_ids: Tensor
    prompt_lengths: Tensor
    completion_ids: Tensor
    is_answer: Tensor
    log_probs: Tensor
    ref_log_probs: Tensor
    entropy: Tensor
    values: Tensor
    scores: Tensor
    raw_scores: Tensor
    has_eos: Tensor
    advantages: Tensor
    returns: Tensor
    apart: Mapping[str, Tensor] = field(default_factory=dict)

    def inputs(self, rows: Tensor) -> tuple[dict[str, Tensor], int]:
        """Model inputs of some rows with all padding cut that these rows do not need, and their C."""
        width = int(self.prompt_lengths[rows].max())
        length = max(1, int(self.is_answer[rows].sum(dim=1).max()))
        is_prompt = torch.arange(width, device=rows.device) >= width - self.prompt_lengths[rows].unsqueeze(
            1
        )  # (b, P) True on real prompt tokens
        is_real = torch.cat([is_prompt, self.is_answer[rows, :length]], dim=1).long()
        start = self.prompt_ids.size(1) - width
        ids = torch.cat([self.prompt_ids[rows, start:], self.completion_ids[rows, :length]], dim=1)
        # Given explicitly: models with learned positions would otherwise count the padding.
        positions = (is_real.cumsum(dim=1) - 1).clamp(min=0)
        return {"input_ids": ids, "attention_mask": is_real, "position_ids": positions}, length

    def completion(self, row: int) -> list[int]:
        """Token ids of one completion without padding."""
        ids: list[int] = self.completion_ids[row][self.is_answer[row]].tolist()
        return ids


def add_critic(policy: PreTrainedModel, critic: Critic | ValueHead, temperature: float) -> None:
    """Let one call of the policy's forward return log-probs and values: DDP synchronises what its forward touched.

    With `answer_length=C` the forward returns (log_probs, values, entropy or None), each (b, C); without, it is as it
    was, so generation and saving see an ordinary model with one more submodule.
    """
    policy.add_module("critic", critic)
    ordinary = policy.forward

    def forward(
        self: PreTrainedModel, *args: Any, answer_length: int = 0, with_entropy: bool = False, **kwargs: Any
    ) -> Any:
        if not answer_length:
            return ordinary(*args, **kwargs)
        logits, log_probs = answer_log_probs(ordinary, answer_length, temperature, **kwargs)
        entropy = ppo_math.token_entropy(logits, temperature) if with_entropy else None
        return log_probs, critic(answer_length, **kwargs), entropy

    policy.forward = MethodType(forward, policy)


def remove_critic(policy: PreTrainedModel) -> None:
    """Undo `add_critic` and TRL's patch, so that what is saved is the policy alone."""
    if isinstance(policy.critic, ValueHead):
        policy.critic.hook.remove()
    del policy.critic
    del policy.forward  # the instance's patches; the class's own forward is below them


def answer_log_probs(
    forward: Callable[..., Any], answer_length: int, temperature: float, **inputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits (b, C, vocabulary) and log-probs (b, C) of the last C tokens; the head runs on no other position."""
    outputs = forward(**inputs, logits_to_keep=answer_length + 1, use_cache=False)
    logits = outputs.logits[:, :-1]
    return logits, ppo_math.token_log_probs(logits, inputs["input_ids"][:, -answer_length:], temperature)


def lay_out(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    raw_scores: Tensor,
    *,
    pad_id: int,
    eos_ids: list[int],
    missing_eos_score: float,
) -> Rollout:
    """Token ids in rectangles, cut after the first end token, scored by the rule for missing ends; the rest is zero.

    Args:
        prompts, completions: token ids of each row.
        raw_scores: what the reward model says, shape (B,).
        pad_id: fills what is left over. eos_ids: tokens that end a completion.
        missing_eos_score: see `ppo_math.score_with_eos_rule`.
    """
    device = raw_scores.device
    rows, width, length = len(prompts), max(map(len, prompts)), max(1, *map(len, completions))
    prompt_ids = torch.full((rows, width), pad_id)
    completion_ids = torch.full((rows, length), pad_id)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        prompt_ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        completion_ids[row, : len(completion)] = torch.tensor(list(completion))
    prompt_ids, completion_ids = prompt_ids.to(device), completion_ids.to(device)
    sampled = torch.tensor([len(completion) for completion in completions], device=device)
    is_answer = ppo_math.answer_mask(completion_ids, eos_ids, sampled)
    completion_ids = torch.where(is_answer, completion_ids, torch.full_like(completion_ids, pad_id))
    has_eos = (torch.isin(completion_ids, torch.tensor(eos_ids, device=device)) & is_answer).any(dim=1)
    zeros = [torch.zeros(rows, length, device=device) for _ in range(6)]
    return Rollout(
        prompt_ids=prompt_ids,
        prompt_lengths=torch.tensor([len(prompt) for prompt in prompts], device=device),
        completion_ids=completion_ids,
        is_answer=is_answer,
        log_probs=zeros[0],
        ref_log_probs=zeros[1],
        entropy=zeros[2],
        values=zeros[3],
        scores=ppo_math.score_with_eos_rule(raw_scores, has_eos, missing_eos_score),
        raw_scores=raw_scores,
        has_eos=has_eos,
        advantages=zeros[4],
        returns=zeros[5],
    )


def distinct_prompts(snapshot: Snapshot, split: str) -> list[Messages]:
    """Prompts of one split, each once, in file order; those of preferences and demonstrations count when it has no
    rows that are prompts alone."""
    for kinds in ((Prompt,), (Preference, Demonstration)):
        rows: list[Messages] = [row.prompt for kind in kinds for row in snapshot.rows(split, kind)]  # type: ignore[attr-defined, type-var]
        if rows:
            return list({tuple((m["role"], m["content"]) for m in prompt): prompt for prompt in rows}.values())
    return []


def generation_arguments(generation: str) -> dict[str, Any]:
    """Arguments of TRL's for what writes rollouts. With vLLM it shares the GPU with training. Not run by us: no GPU.

    Raises:
        ConfigInvalid: vLLM is not installed.
    """
    if generation == "transformers":
        return {}
    if find_spec("vllm") is None:
        raise ConfigInvalid(
            "`generation` is vllm, which is not installed here.",
            remedy="Install vllm on a machine with a GPU, or set generation to transformers.",
        )
    return {"use_vllm": True, "vllm_mode": "colocate"}


def context_room(policy: Any, max_new_tokens: int) -> int:
    """Longest prompt, in tokens, that leaves `max_new_tokens` free in the policy's context."""
    limit = getattr(policy.config.get_text_config(), "max_position_embeddings", None)
    return 2**31 if limit is None else int(limit) - max_new_tokens


def fitting(prompts: Sequence[list[int]], room: int) -> tuple[list[list[int]], int]:
    """Prompts of at most `room` tokens, and how many were left out: a cut prompt asks something else."""
    kept = [ids for ids in prompts if len(ids) <= room]
    return kept, len(prompts) - len(kept)


def repetition(rows: Sequence[Sequence[int]], n: int = 4) -> float:
    """Share of n-grams that occurred earlier in the same completion, over all completions; 0 to 1."""
    repeated = total = 0
    for row in rows:
        grams = Counter(tuple(row[i : i + n]) for i in range(len(row) - n + 1))
        total += sum(grams.values())
        repeated += sum(grams.values()) - len(grams)
    return repeated / total if total else 0.0
