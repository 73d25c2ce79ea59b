"""What is requested and what was sampled: prompts of a snapshot, and rollouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.data.snapshot import Demonstration, Messages, Preference, Prompt, Snapshot, each_once
from trainer.errors import ConfigInvalid
from trainer.json_types import JsonObject
from trainer.ppo import arithmetic

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast


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
        states: (B, P + C, hidden), what a critic of a few layers reads, see `critics.TopCritic`; else None.
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
    states: Tensor | None = None

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

    def keep_states(self, rows: Tensor, states: Tensor) -> None:
        """Hold what a critic has read for some rows, (b, p + c, hidden) as `inputs` laid them out."""
        if self.states is None:
            ids = (self.is_answer.size(0), self.prompt_ids.size(1) + self.is_answer.size(1))
            self.states = states.new_zeros(*ids, states.size(2))
        start = self.prompt_ids.size(1) - int(self.prompt_lengths[rows].max())
        self.states[rows, start : start + states.size(1)] = states

    def kept_states(self, rows: Tensor, width: int) -> Tensor | None:
        """States of some rows, (b, width, hidden), cut as `inputs` cuts them; None where none are held."""
        if self.states is None:
            return None
        start = self.prompt_ids.size(1) - int(self.prompt_lengths[rows].max())
        return self.states[rows, start : start + width]

    def completion(self, row: int) -> list[int]:
        """Token ids of one completion without padding."""
        ids: list[int] = self.completion_ids[row][self.is_answer[row]].tolist()
        return ids


def answer_log_probs(
    forward: Callable[..., CausalLMOutputWithPast], answer_length: int, temperature: float, **inputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits (b, C, vocabulary) and log-probs (b, C) of the last C tokens; the head runs on no other position."""
    outputs = forward(**inputs, logits_to_keep=answer_length + 1, use_cache=False)
    assert outputs.logits is not None
    logits = outputs.logits[:, :-1]
    return logits, arithmetic.token_log_probs(logits, inputs["input_ids"][:, -answer_length:], temperature)


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
    sampled = torch.tensor(list(map(len, completions)), device=device)
    is_answer = arithmetic.answer_mask(completion_ids, eos_ids, sampled)
    completion_ids = torch.where(is_answer, completion_ids, torch.full_like(completion_ids, pad_id))
    has_eos = (torch.isin(completion_ids, torch.tensor(eos_ids, device=device)) & is_answer).any(dim=1)
    zeros = [torch.zeros(rows, length, device=device) for _ in range(6)]
    return Rollout(
        prompt_ids=prompt_ids,
        prompt_lengths=torch.tensor(list(map(len, prompts)), device=device),
        completion_ids=completion_ids,
        is_answer=is_answer,
        log_probs=zeros[0],
        ref_log_probs=zeros[1],
        entropy=zeros[2],
        values=zeros[3],
        scores=arithmetic.score_with_eos_rule(raw_scores, has_eos, missing_eos_score),
        raw_scores=raw_scores,
        has_eos=has_eos,
        advantages=zeros[4],
        returns=zeros[5],
    )


def distinct_prompts(snapshot: Snapshot, split: str) -> list[Messages]:
    """Prompts of one split, each once, in file order; those of preferences and demonstrations count when it has no
    rows that are prompts alone."""
    found = each_once(snapshot.prompts(split, Prompt))
    if found:
        return found
    return each_once(chain(snapshot.prompts(split, Preference), snapshot.prompts(split, Demonstration)))


def generation_arguments(generation: str) -> JsonObject:
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


def context_room(policy: PreTrainedModel, max_new_tokens: int) -> int:
    """Longest prompt, in tokens, that leaves `max_new_tokens` free in the policy's context."""
    limit = getattr(policy.config.get_text_config(), "max_position_embeddings", None)
    return 2**31 if limit is None else int(limit) - max_new_tokens


def fitting(prompts: Sequence[list[int]], room: int) -> tuple[list[list[int]], int]:
    """Prompts of at most `room` tokens, and how many were left out: a cut prompt asks something else."""
    kept = [ids for ids in prompts if len(ids) <= room]
    return kept, len(prompts) - len(kept)


def fitting_pairs(
    prompts: Sequence[Messages], ids: Sequence[list[int]], room: int
) -> tuple[list[Messages], list[list[int]]]:
    """Prompts of at most `room` tokens, as messages and as token ids, in the same places."""
    kept_prompts: list[Messages] = []
    kept_ids: list[list[int]] = []
    for prompt, row in zip(prompts, ids, strict=True):
        if len(row) <= room:
            kept_prompts.append(prompt)
            kept_ids.append(row)
    return kept_prompts, kept_ids


def repetition(rows: Sequence[Sequence[int]], n: int = 4) -> float:
    """Share of n-grams that occurred earlier in the same completion, over all completions; 0 to 1."""
    repeated = total = 0
    for row in rows:
        grams = Counter(tuple(row[i : i + n]) for i in range(len(row) - n + 1))
        total += sum(grams.values())
        repeated += sum(grams.values()) - len(grams)
    return repeated / total if total else 0.0
