"""Draw completions from a causal language model, each from a seed of its own.

Every row carries its own random numbers (one per token, from its seed), so what is drawn for a prompt does not depend
on which other prompts share the batch, on their order, or on anything drawn before. Batches pad and matrix products
round differently, so two batches can differ where a random number falls within about 1e-6 of a boundary between tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy
import torch
from torch import Tensor

from trainer.errors import DataUnusable, PromptTooLong
from trainer.run.microbatching import rows_at

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache

FinishReason = Literal["stop", "length"]


class Listener(Protocol):
    """Hears what is drawn as it is drawn. What it raises ends the drawing."""

    def token(self, index: int, token: int) -> bool:
        """The next token for the prompt of this index. True ends its completion here ("stop")."""

    def step(self) -> None:
        """Every sequence of the batch has its token."""


@dataclass(frozen=True)
class Drawn:
    """Token ids of one completion, with the end token if it ended by itself ("stop") and not for lack of room."""

    ids: list[int]
    finish_reason: FinishReason


def ids_of(drawn: Sequence[Drawn]) -> list[list[int]]:
    """Token ids of completions."""
    return [one.ids for one in drawn]


def stop_flags(drawn: Sequence[Drawn]) -> list[bool]:
    """Whether each completion ended by itself."""
    return [one.finish_reason == "stop" for one in drawn]


def end_flags(rows: Sequence[Sequence[int]], ends: Sequence[int]) -> list[bool]:
    """Whether each row of token ids ends with one of `ends`; a row without tokens does not."""
    return [bool(ids) and ids[-1] in ends for ids in rows]


def length_buckets(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in batches of at most `size`, sorted by length (longest first) so that little padding is needed."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def end_ids(model: PreTrainedModel) -> list[int]:
    """Ids that end a completion, as the model's configs declare them."""
    for config in (getattr(model, "generation_config", None), model.config):
        declared = getattr(config, "eos_token_id", None)
        if declared is not None:
            return [declared] if isinstance(declared, int) else list(dict.fromkeys(declared))
    return []


def context_length(model: PreTrainedModel) -> int | None:
    """Longest sequence that a model was made for, tokens; None where it states none.

    Where positions begin behind the padding's, as in RoBERTa, the table has rows to which no token comes.
    """
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit is None:
        return None
    return int(limit) - unused_positions(model)


def unused_positions(model: PreTrainedModel) -> int:
    """Rows of a model's table of positions up to the padding's, to which no token comes; mostly 0."""
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return int(padding) + 1
    return 0


def room_for(model: PreTrainedModel, prompt_lengths: Sequence[int], max_new_tokens: int) -> list[int]:
    """New tokens that fit after each prompt within the model's context.

    Raises:
        DataUnusable: a prompt fills the context by itself.
    """
    limit = context_length(model)
    if limit is None:
        return [max_new_tokens] * len(prompt_lengths)
    if max(prompt_lengths) >= limit:
        raise PromptTooLong(
            f"A prompt of {max(prompt_lengths)} tokens leaves no room in a context of {limit}.",
            remedy="Shorten the prompt, or use a model with a longer context.",
        )
    return [min(max_new_tokens, limit - length) for length in prompt_lengths]


@torch.no_grad()
def draw(
    model: PreTrainedModel,
    prompt_ids: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    batch_size: int = 64,
    listener: Listener | None = None,
) -> list[Drawn]:
    """One completion for each prompt.

    Args:
        model: a causal language model; its mode (train or eval) is left as it is.
        prompt_ids: token ids, not padded, at least one each.
        seeds: one for each prompt, in [0, 2**63).
        max_new_tokens: longest completion, >= 1.
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_p, top_k: keep the likeliest tokens that hold this share of the mass, or this many; 1 and 0 keep all.
        batch_size: sequences decoded together.
        listener: hears every token as it is drawn.

    Returns:
        In the order of the prompts.

    Raises:
        DataUnusable: a prompt is empty or fills the model's context.
    """
    if len(prompt_ids) != len(seeds):
        raise ValueError(f"{len(prompt_ids)} prompts, but {len(seeds)} seeds")
    if not prompt_ids:
        return []
    lengths = list(map(len, prompt_ids))
    if min(lengths) == 0:
        raise DataUnusable("A prompt has no tokens.")
    rooms = room_for(model, lengths, max_new_tokens)
    drawn: list[Drawn | None] = [None] * len(prompt_ids)
    for rows in length_buckets(lengths, batch_size):
        batch = Batch(model, rows_at(prompt_ids, rows), rows_at(seeds, rows), rows_at(rooms, rows))
        heard_by = None if listener is None else (listener, rows)
        for row, completion in zip(rows, batch.run(temperature, top_p, top_k, heard_by), strict=True):
            drawn[row] = completion
    return [completion for completion in drawn if completion is not None]


class Batch:
    """Decoding of one padded batch. Rows that have ended leave it as soon as half of it is idle."""

    def __init__(
        self, model: PreTrainedModel, prompts: list[Sequence[int]], seeds: list[int], rooms: list[int]
    ) -> None:
        self.model, self.prompts, self.rooms = model, prompts, rooms
        self.device = model.device
        self.ends = torch.tensor(end_ids(model), dtype=torch.long, device=self.device)
        # Philox streams are read from the front, so a longer limit only adds numbers behind the ones used before.
        uniforms = numpy.empty((len(seeds), max(rooms)))
        for row, seed in enumerate(seeds):
            uniforms[row] = numpy.random.Generator(numpy.random.Philox(seed)).random(max(rooms))
        self.uniforms = torch.from_numpy(uniforms).to(self.device)  # (rows, T)

    def run(
        self, temperature: float, top_p: float, top_k: int, heard_by: tuple[Listener, list[int]] | None = None
    ) -> list[Drawn]:
        """`heard_by` is who listens, and by which index each row is known there."""
        width = max(map(len, self.prompts))
        pad = self.model.config.get_text_config().pad_token_id or 0
        ids = torch.full((len(self.prompts), width), pad, dtype=torch.long)
        is_real = torch.zeros(len(self.prompts), width, dtype=torch.long)
        for row, prompt in enumerate(self.prompts):
            ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
            is_real[row, width - len(prompt) :] = 1
        ids, is_real = ids.to(self.device), is_real.to(self.device)
        positions = (is_real.cumsum(dim=1) - 1).clamp(min=0)  # left padding must not shift positions
        completions: list[list[int]] = [[] for _ in self.prompts]
        reasons: list[FinishReason] = ["length"] * len(self.prompts)
        rows = torch.arange(len(self.prompts), device=self.device)  # which prompt stands in which place of the batch
        ended = torch.zeros(len(self.prompts), dtype=torch.bool, device=self.device)
        cache: Cache | None = None
        for step in range(max(self.rooms)):
            outputs = self.model(
                input_ids=ids,
                attention_mask=is_real,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = outputs.past_key_values
            chosen = choose(outputs.logits[:, -1], self.uniforms[rows, step], temperature, top_p, top_k)
            is_end = torch.isin(chosen, self.ends)
            for place, (row, token, over, stop) in enumerate(
                zip(rows.tolist(), chosen.tolist(), ended.tolist(), is_end.tolist(), strict=True)
            ):
                if not over:
                    completions[row].append(token)
                    stop = stop or (heard_by is not None and heard_by[0].token(heard_by[1][row], token))
                    if stop:
                        reasons[row] = "stop"
                    if stop or len(completions[row]) >= self.rooms[row]:
                        ended[place] = True
            if heard_by is not None:
                heard_by[0].step()
            if bool(ended.all()):
                break
            ids, positions = chosen.unsqueeze(1), positions[:, -1:] + 1
            is_real = torch.cat([is_real, is_real.new_ones(len(rows), 1)], dim=1)
            if int(ended.sum()) * 2 >= len(rows):
                keep = torch.nonzero(~ended).squeeze(1)
                cache.batch_select_indices(keep)
                ids, positions, is_real = ids[keep], positions[keep], is_real[keep]
                rows, ended = rows[keep], ended[keep]
        return list(map(Drawn, completions, reasons))


def choose(logits: Tensor, uniforms: Tensor, temperature: float, top_p: float = 1.0, top_k: int = 0) -> Tensor:
    """The token at which the cumulative probability of each row passes its uniform number.

    Args:
        logits: shape (B, vocabulary).
        uniforms: in [0, 1), shape (B,), float64.
        temperature: >= 0; 0 takes the likeliest token.
        top_p, top_k: see `draw`.

    Returns:
        Token ids, shape (B,).
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.double() / temperature, dim=-1)
    if top_k > 0 or top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        is_kept = torch.ones_like(ordered, dtype=torch.bool)
        if top_k > 0:
            is_kept[:, top_k:] = False
        if top_p < 1:
            is_kept &= ordered.cumsum(dim=-1) - ordered < top_p  # the token that passes top_p is kept
        kept = torch.where(is_kept, ordered, torch.zeros_like(ordered))
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, kept)
    cumulative = probabilities.cumsum(dim=-1)
    threshold = (uniforms.to(cumulative.dtype) * cumulative[:, -1]).unsqueeze(1)
    # right=True skips tokens of probability zero, which add nothing to the cumulative sum.
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(1).clamp(max=logits.size(-1) - 1)
