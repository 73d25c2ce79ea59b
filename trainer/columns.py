"""Rows -> what TRL and the models take. Here, and only here, a response becomes a *completion*.

A sequence is always `prompt ids + completion ids + end token`, the same in training, scoring and serving: prompts go
through the chat template up to the mark that opens the assistant's turn; completions are encoded apart and appended,
so that a boundary never merges, and the end token stands once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from trainer.snapshot import ROLES, Demonstration, Document, Messages, Preference

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Columns = dict[str, list[Any]]

STRENGTH_MARGINS = (0.0, 1 / 3, 2 / 3, 1.0)


def strip_marks(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """`text` with special tokens spelled out: nobody writes a role mark or an end token into a prompt by hand."""
    for mark in tokenizer.all_special_tokens:
        if len(mark) > 1:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def encode_prompts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages]) -> list[list[int]]:
    """Token ids of each prompt, ending with the mark that opens the assistant's turn; not padded."""
    if not prompts:
        return []
    texts = [
        tokenizer.apply_chat_template(
            [{"role": m["role"], "content": strip_marks(tokenizer, m["content"])} for m in messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        for messages in prompts
    ]
    ids: list[list[int]] = tokenizer(list(map(str, texts)), add_special_tokens=False)["input_ids"]
    return ids


def encode_completions(tokenizer: PreTrainedTokenizerBase, completions: Sequence[str]) -> list[list[int]]:
    """Token ids of each completion, the end token last."""
    if not completions:
        return []
    texts = [strip_marks(tokenizer, text) for text in completions]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [[*row, tokenizer.eos_token_id] for row in ids]


def encode_documents(tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]) -> list[list[int]]:
    """Token ids of each document, the end token last.

    A document of kind `conversation` whose every line begins with "system: ", "user: " or "assistant: " goes through
    the chat template, so that pretraining already shows the turns that fine-tuning will use.
    """
    texts = []
    for document in documents:
        turns = document_turns(document)
        if turns is None:
            texts.append(strip_marks(tokenizer, document.text))
        else:
            turns = [{"role": m["role"], "content": strip_marks(tokenizer, m["content"])} for m in turns]
            texts.append(str(tokenizer.apply_chat_template(turns, tokenize=False)))
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    return [row if row and row[-1] == end else [*row, end] for row in ids]


def document_turns(document: Document) -> list[dict[str, str]] | None:
    """Messages of a document of kind `conversation`, None for any other or if a line names no speaker."""
    if document.document_kind != "conversation":
        return None
    turns = []
    for line in document.text.splitlines():
        role, colon, content = line.partition(": ")
        if not colon or role not in ROLES:
            return None
        turns.append({"role": role, "content": content})
    return turns or None


def decode_completion(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> str:
    """Text of sampled ids, without special tokens. Bytes that are no UTF-8 become U+FFFD."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


def sft_columns(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Demonstration], max_length: int) -> Columns:
    """TRL's prompt-completion columns: `input_ids` and `completion_mask` (1 counts in the loss), cut to max_length.

    A row occurs `count` times. Rows whose prompt leaves no room for a single completion token are left out.
    """
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    completions = encode_completions(tokenizer, [row.completion for row in rows])
    columns: Columns = {"input_ids": [], "completion_mask": []}
    for row, prompt, completion in zip(rows, prompts, completions, strict=True):
        ids = (prompt + completion)[:max_length]
        mask = ([0] * len(prompt) + [1] * len(completion))[:max_length]
        if any(mask):
            columns["input_ids"] += [ids] * row.count
            columns["completion_mask"] += [mask] * row.count
    return columns


def preference_columns(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Preference], max_length: int, margin_scale: float = 0.0
) -> Columns:
    """TRL's preference columns: `chosen_ids`, `rejected_ids`, `margin` (log-odds, by strength), `weight` if unlike.

    A row occurs `count` times. Pairs longer than max_length are left out: a cut answer is not what was judged.
    """
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    chosen = encode_completions(tokenizer, [row.chosen for row in rows])
    rejected = encode_completions(tokenizer, [row.rejected for row in rows])
    columns: Columns = {"chosen_ids": [], "rejected_ids": [], "margin": [], "row": []}
    for number, (row, prompt, yes, no) in enumerate(zip(rows, prompts, chosen, rejected, strict=True)):
        if len(prompt) + max(len(yes), len(no)) > max_length:
            continue
        margin = STRENGTH_MARGINS[min(max(row.strength, 0), 3)] * margin_scale
        for _ in range(row.count):
            columns["chosen_ids"].append(prompt + yes)
            columns["rejected_ids"].append(prompt + no)
            columns["margin"].append(margin)
            columns["row"].append(number)
    with_weights(columns, [rows[number].weight for number in columns["row"]])
    return columns


def with_weights(columns: Columns, weights: Sequence[float]) -> None:
    """Add `weight`, of mean 1 over the columns, unless all rows weigh the same: then the loss is the plain one."""
    if weights and min(weights) != max(weights):
        mean = sum(weights) / len(weights)
        columns["weight"] = [weight / mean for weight in weights]
