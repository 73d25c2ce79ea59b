"""Our rows as TRL's dataset formats, conversational: what its trainers take from JSON Lines as it stands.

| our row | TRL's format | columns |
|---|---|---|
| preference | preference, explicit prompt | prompt, chosen, rejected |
| demonstration | prompt-completion | prompt, completion |
| unpaired | unpaired preference | prompt, completion, label |
| prompt | prompt-only | prompt |
| document | language modeling | text |
| classification | not TRL's: as the Hub's text classification sets have it | text, label (or labels) |
| spans | not TRL's: character offsets | text, spans |

Here, and in the trainer, a response becomes a completion. Our rows are those of a snapshot: `prompt` is a list of
messages, responses are plain texts.
"""

from collections.abc import Callable

from feedback.rules.json_types import JsonObject

Message = dict[str, str]
Row = JsonObject


def preference(row: Row) -> Row:
    return {"prompt": row["prompt"], "chosen": _turn(row["chosen"]), "rejected": _turn(row["rejected"])}


def prompt_completion(row: Row) -> Row:
    return {"prompt": row["prompt"], "completion": _turn(row["completion"])}


def unpaired(row: Row) -> Row:
    return {"prompt": row["prompt"], "completion": _turn(row["completion"]), "label": row["label"]}


def prompt_only(row: Row) -> Row:
    return {"prompt": row["prompt"]}


def language_modelling(row: Row) -> Row:
    return {"text": row["text"]}


def text_classification(row: Row) -> Row:
    """One label as `label`, several as `labels`: by name, since ids are a model's own."""
    if row["many"]:
        return {"text": row["text"], "labels": row["labels"]}
    return {"text": row["text"], "label": row["labels"][0]}


def spans(row: Row) -> Row:
    return {"text": row["text"], "spans": row["spans"]}


COLUMNS: dict[str, tuple[str, ...]] = {
    "preference": ("prompt", "chosen", "rejected"),
    "demonstration": ("prompt", "completion"),
    "unpaired": ("prompt", "completion", "label"),
    "prompt": ("prompt",),
    "document": ("text",),
    "classification": ("text", "label", "labels"),
    "spans": ("text", "spans"),
}
CONVERTERS: dict[str, Callable[[Row], Row]] = {
    "preference": preference,
    "demonstration": prompt_completion,
    "unpaired": unpaired,
    "prompt": prompt_only,
    "document": language_modelling,
    "classification": text_classification,
    "spans": spans,
}


def convert(row: Row) -> Row:
    """A snapshot row (its `kind` says which) in TRL's format.

    Raises:
        KeyError: the kind is unknown, or the row lacks one of its columns.
    """
    return CONVERTERS[row["kind"]](row)


def _turn(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]
