"""Passes over rows that measure or sample and learn nothing: within the context, and never more at once than fits.

Three things are never done here: to feed a model positions it was not made for, to take a fixed number of rows at once
however long they are, and to hold the logits of all positions, which are as many numbers as rows x tokens x vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from trainer.modeling.sampling import context_length, draw, end_flags, end_ids
from trainer.ppo import arithmetic
from trainer.run.microbatching import CACHED, in_batches, rows_at
from trainer.run.seeds import stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutput
    from transformers.utils import ModelOutput

LOGITS_AT_ONCE = 2**24  # numbers

Masked = tuple[Sequence[int], Sequence[int]]  # token ids of a row, and 1 at those that count


def pad(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Rows of unequal length as one tensor, (B, T), filled on the right."""
    padded = torch.full((len(rows), max(map(len, rows))), filler)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = torch.tensor(list(row), dtype=torch.long)
    return padded


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Rows of ids as (ids, is_token), both (B, T), padded on the right."""
    ids = pad(rows, pad_id)
    lengths = torch.tensor(list(map(len, rows)))
    is_token = torch.arange(ids.size(1)) < lengths.unsqueeze(1)
    return ids, is_token.long()


def counted_from(ids: Sequence[int], first: int) -> Masked:
    """A row of which the tokens from number `first` on count."""
    return ids, [0] * first + [1] * (len(ids) - first)


@contextmanager
def measuring(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model is in evaluation mode, keeps no gradients, and adds no loss of its experts' router."""
    was_training = model.training
    config = model.config.get_text_config()
    routes = getattr(config, "output_router_logits", False)
    model.eval()
    if routes:
        config.output_router_logits = False  # its loss takes no cache, and is not what is measured
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
        if routes:
            config.output_router_logits = routes


@contextmanager
def trunk_once(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the trunk below a model's head computes at the first call, and gives the same again at those after it."""
    trunk = model.base_model
    if trunk is model:
        yield
        return
    patched = trunk.__dict__.get("forward")
    compute = trunk.forward
    kept: list[ModelOutput] = []

    def forward(*args: object, **kwargs: object) -> ModelOutput:
        if not kept:
            kept.append(compute(*args, **kwargs))
        return kept[0]

    trunk.forward = forward
    try:
        yield
    finally:
        if patched is None:
            del trunk.forward
        else:
            trunk.forward = patched


def logits_at(model: PreTrainedModel, places: Tensor, **inputs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits of some positions, a few at a time: (their numbers (p,), logits (B, p, vocabulary)).

    Args:
        model: a causal language model. places: numbers of positions, (P,). inputs: of one forward.
    """
    each = len(inputs["input_ids"]) * int(model.config.get_text_config().vocab_size)
    pieces = places.split(max(1, LOGITS_AT_ONCE // each))
    if len(pieces) == 1:
        yield places, model(**inputs, logits_to_keep=places, use_cache=False).logits
        return
    with trunk_once(model):
        for some in pieces:
            yield some, model(**inputs, logits_to_keep=some, use_cache=False).logits


def summed_nats(model: PreTrainedModel, rows: Sequence[Masked], pad_id: int) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the tokens that count, and how many they are, of each row; nats, both (N,), on the CPU.

    A row beyond the model's context is cut there. The first token of a row is never predicted. Padding changes nothing.
    """
    limit = context_length(model)
    cut_ids: list[list[int]] = []
    cut_masks: list[list[int]] = []
    counted: list[float] = []
    for row_ids, mask in rows:
        cut_ids.append(list(row_ids[:limit]))
        cut_masks.append(list(mask[:limit]))
        counted.append(float(sum(cut_masks[-1][1:])))
    nats, tokens = torch.zeros(len(rows)), torch.tensor(counted)

    def apply(numbers: list[int]) -> None:
        ids, is_token = pad_right(rows_at(cut_ids, numbers), pad_id)
        counts = pad(rows_at(cut_masks, numbers), 0)
        ids, is_token, counts = ids.to(model.device), is_token.to(model.device), counts.to(model.device)
        places = torch.nonzero(counts[:, 1:].any(dim=0)).squeeze(1)  # the position before each token that counts
        total = torch.zeros(len(numbers), device=model.device)
        if len(places):
            for at, logits in logits_at(model, places, input_ids=ids, attention_mask=is_token):
                loss = nn.functional.cross_entropy(
                    logits.float().transpose(1, 2), ids[:, at + 1], reduction="none"
                )  # (B, p)
                total += (loss * counts[:, at + 1]).sum(dim=1)
        nats[numbers] = total.cpu()

    with measuring(model):
        in_batches(list(map(len, cut_ids)), apply)
    return nats, tokens


def answer_figures(
    model: PreTrainedModel, answer_length: int, temperature: float, **inputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probs of the last `answer_length` tokens, and entropy where they were drawn; nats, both (B, C)."""
    ids = inputs["input_ids"]
    first = ids.size(1) - answer_length - 1
    log_probs, entropy = torch.zeros(2, len(ids), answer_length, device=ids.device)
    places = torch.arange(first, ids.size(1) - 1, device=ids.device)
    for at, logits in logits_at(model, places, **inputs):
        log_probs[:, at - first] = arithmetic.token_log_probs(logits, ids[:, at + 1], temperature)
        entropy[:, at - first] = arithmetic.token_entropy(logits, temperature)
    return log_probs, entropy


def continuations(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], max_new_tokens: int, seed: int | None = None
) -> list[list[int]]:
    """What the model writes after each row of ids, up to and with its end token.

    Greedy without a seed; sampled at temperature 1 with one, each row by its own. What does not fit into the context is
    not written; a row that fills it by itself gets nothing.
    """
    limit = context_length(model) or 2**31
    temperature = 1.0
    if seed is None:
        temperature = 0.0
    written: list[list[int]] = [[] for _ in rows]
    fitting: list[int] = []
    lengths: list[int] = []
    for number, row in enumerate(rows):
        if len(row) < limit:
            fitting.append(number)
            lengths.append(min(len(row) + max_new_tokens, limit))

    def apply(places: list[int]) -> None:
        numbers = rows_at(fitting, places)
        seeds = [stable_seed(seed or 0, "row", number) for number in numbers]
        drawn = draw(
            model,
            rows_at(rows, numbers),
            seeds,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            batch_size=len(numbers),
        )
        for number, one in zip(numbers, drawn, strict=True):
            written[number] = one.ids

    with measuring(model):
        in_batches(lengths, apply, weight=CACHED)
    return written


def share_that_ends(model: PreTrainedModel, rows: Sequence[Sequence[int]], max_new_tokens: int) -> float:
    """Share of prompts whose greedy answer ends by itself within max_new_tokens; 0 without prompts."""
    written = continuations(model, rows, max_new_tokens)
    return sum(end_flags(written, end_ids(model))) / max(len(written), 1)


def masked_logits(model: PreTrainedModel, is_asked: Tensor, **inputs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits of some tokens of a masked language model, a few at a time: (their numbers (p,), logits (p, vocabulary)).

    Args:
        is_asked: True at the tokens wanted, (B, T); numbers count them row by row.
    """
    trunk = model.base_model
    every = torch.arange(int(is_asked.sum()), device=is_asked.device)
    if trunk is model:
        yield every, model(**inputs).logits[is_asked]
        return
    wanted = every

    def pick(trunk: nn.Module, given: object, outputs: BaseModelOutput) -> BaseModelOutput:
        hidden = cast(Tensor, outputs.last_hidden_state)
        return type(outputs)(last_hidden_state=hidden[is_asked][wanted].unsqueeze(0))

    vocabulary = int(model.config.get_text_config().vocab_size)
    hook = trunk.register_forward_hook(pick)
    try:
        with trunk_once(model):
            for wanted in every.split(max(1, LOGITS_AT_ONCE // vocabulary)):
                yield wanted, model(**inputs).logits[0]
    finally:
        hook.remove()
