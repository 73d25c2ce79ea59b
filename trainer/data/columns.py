"""Rows -> what TRL and the models take. Here, and only here, a response becomes a *completion*.

A sequence is always `prompt ids + completion ids`, the same in training, scoring and serving. Both are written as the
model's own chat template writes them (see `chat_format`): a prompt ends where the answer begins, a completion with the
token that ends a turn. They are encoded apart, so that a boundary never merges, and no text becomes a control token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from trainer.data.snapshot import ROLES, Demonstration, Document, Preference, Unpaired
from trainer.modeling.chat_format import ChatFormat, chat_format
from trainer.modeling.chat_templates import TemplateRefused

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Columns = dict[str, list[Any]]

STRENGTH_MARGINS = (0.0, 1 / 3, 2 / 3, 1.0)
NOBODY = -1  # in place of the index of an annotator: the row is nobody's own

Answered = TypeVar("Answered", Demonstration, Unpaired)


class EncodedAnswer(NamedTuple, Generic[Answered]):
    """A row with one response, and the token ids of its prompt and of the completion."""

    row: Answered
    prompt: list[int]
    completion: list[int]


class EncodedPair(NamedTuple):
    """A preference, and the token ids of its prompt and of both completions."""

    row: Preference
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def length(self) -> int:
        """Tokens of the longer one of its two sequences."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def encode_prompts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[dict[str, str]]]) -> list[list[int]]:
    """Token ids of each prompt, ending where the assistant's answer begins; not padded.

    Raises:
        TemplateRefused: the model's chat template does not take one of them; `row` says which.
    """
    if not prompts:
        return []
    return chat_format(tokenizer).heads(list(map(list, prompts)))


def encode_completions(tokenizer: PreTrainedTokenizerBase, completions: Sequence[str]) -> list[list[int]]:
    """Token ids of each completion, last the token with which the chat template ends a turn."""
    if not completions:
        return []
    return chat_format(tokenizer).completions(completions)


def joined(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> list[list[int]]:
    """Prompt and completion of each row as one row."""
    return [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]


def encode_documents(tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]) -> list[list[int]]:
    """Token ids of each document, the end token last.

    A document of kind `conversation` whose every line begins with "system: ", "user: " or "assistant: " goes through
    the chat template, so that pretraining already shows the turns that fine-tuning will use; one that the template does
    not take is read as it is.
    """
    written = chat_format(tokenizer)
    rows: list[list[int]] = []
    plain: dict[int, str] = {}  # texts that are read as they are, by their place
    for place, document in enumerate(documents):
        rows.append(_conversation(written, document_turns(document)))
        if not rows[place]:
            plain[place] = document.text
    for place, row in zip(plain, written.documents(list(plain.values())), strict=True):
        rows[place] = row
    end = int(tokenizer.eos_token_id)
    for row in rows:
        if row[-1:] != [end]:
            row.append(end)
    return rows


def encode_answers(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Answered]) -> list[EncodedAnswer[Answered]]:
    """Rows with one response each as token ids, in their order."""
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    completions = encode_completions(tokenizer, [row.completion for row in rows])
    return list(map(EncodedAnswer, rows, prompts, completions))


def encode_pairs(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Preference]) -> list[EncodedPair]:
    """Preferences as token ids, in their order."""
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    chosen = encode_completions(tokenizer, [row.chosen for row in rows])
    rejected = encode_completions(tokenizer, [row.rejected for row in rows])
    return list(map(EncodedPair, rows, prompts, chosen, rejected))


def _conversation(written: ChatFormat, turns: list[dict[str, str]] | None) -> list[int]:
    """Token ids of a conversation; none where there is no conversation, or the template does not take it."""
    if turns is None:
        return []
    try:
        return written.conversations([turns])[0]
    except TemplateRefused:
        return []


def document_turns(document: Document) -> list[dict[str, str]] | None:
    """Messages of a document of kind `conversation`, None for any other or if a line names no speaker."""
    if document.document_kind != "conversation":
        return None
    turns = []
    for line in document.text.rstrip("\r\n").split("\n"):  # not splitlines: U+2028 ends no line of ours
        role, colon, content = line.rstrip("\r").partition(": ")
        if not colon or role not in ROLES:
            return None
        turns.append({"role": role, "content": content})
    return turns or None


def decode_completion(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> str:
    """Text of a completion without its end. Control tokens elsewhere are spelled out: what is shown is what was
    written. Bytes that are no UTF-8 become U+FFFD."""
    return chat_format(tokenizer).decode(list(ids))


def decode_document(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> str:
    """Text of a document's ids, without any control token."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def sft_columns(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Demonstration], max_length: int) -> Columns:
    """TRL's prompt-completion columns: `input_ids` and `completion_mask` (1 counts in the loss), cut to max_length.

    A row occurs `count` times. Rows whose prompt leaves no room for a single completion token are left out.
    """
    columns: Columns = {"input_ids": [], "completion_mask": []}
    for row, prompt, completion in encode_answers(tokenizer, rows):
        ids = (prompt + completion)[:max_length]
        mask = ([0] * len(prompt) + [1] * len(completion))[:max_length]
        if any(mask):
            columns["input_ids"] += [ids] * row.count
            columns["completion_mask"] += [mask] * row.count
    return columns


def preference_columns(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Preference], max_length: int, margin_scale: float = 0.0
) -> Columns:
    """TRL's preference columns: `chosen_ids`, `rejected_ids`, `margin` (log-odds, by strength).

    `weight`, `error` and `annotator` are there as `with_votes` says. A row occurs `count` times. Pairs longer than
    max_length are left out: a cut answer is not what was judged.
    """
    columns: Columns = {"chosen_ids": [], "rejected_ids": [], "margin": [], "row": []}
    votes: list[Preference] = []
    for number, pair in enumerate(encode_pairs(tokenizer, rows)):
        row = pair.row
        if pair.length > max_length:
            continue
        margin = STRENGTH_MARGINS[min(max(row.strength, 0), 3)] * margin_scale
        for _ in range(row.count):
            columns["chosen_ids"].append(pair.prompt + pair.chosen)
            columns["rejected_ids"].append(pair.prompt + pair.rejected)
            columns["margin"].append(margin)
            columns["row"].append(number)
            votes.append(row)
    with_votes(columns, votes)
    return columns


def with_votes(columns: Columns, votes: Sequence[Preference | Unpaired]) -> None:
    """Add how the rows of the columns count: `weight` and `error` where they differ from plain votes', `annotator`.

    Args:
        votes: the row of each column.
    """
    with_weights(columns, [vote.weight for vote in votes])
    errors = [vote.error for vote in votes]
    if any(errors):
        columns["error"] = errors
    annotators = [NOBODY if vote.annotator is None else vote.annotator for vote in votes]
    if set(annotators) - {NOBODY}:
        columns["annotator"] = annotators


def with_weights(columns: Columns, weights: Sequence[float]) -> None:
    """Add `weight`, of mean 1 over the columns, unless all rows weigh the same: then the loss is the plain one."""
    if weights and min(weights) != max(weights):
        mean = sum(weights) / len(weights)
        columns["weight"] = [weight / mean for weight in weights]
