"""A model from elsewhere is tried before it is taken: what our stages rely on, each in a sentence where it fails.

The model itself is tried where it is small, otherwise one of its config with few layers and fresh weights: what is
requested is a matter of its architecture. `adopt` runs this in a process that can be ended.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.data.packing import close, keeps_apart, some_rows, vocabulary_of
from trainer.modeling.encoders import load_encoder_tokenizer, room
from trainer.modeling.loading import from_folder, load_tokenizer, prepare
from trainer.modeling.reward_model import RewardModel
from trainer.modeling.sampling import Drawn, draw, ids_of
from trainer.modeling.template_check import Fault, template_faults
from trainer.ppo.rollouts import answer_log_probs
from trainer.preflight.memory_estimate import parameters_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

SMALL = 60_000_000  # parameters up to which the model itself is tried
FEW_LAYERS = 4
LONGEST = 1024  # tokens that are tried at once, where the context is longer
OTHER = "Start from another model."


def check_policy(folder: Path) -> list[Fault]:
    """Faults of a causal model that stages would meet, those that block first."""
    tokenizer = load_tokenizer(folder)
    faults = template_faults(tokenizer)
    if any(fault.severity == "block" for fault in faults):
        return faults
    model = tried(folder, tokenizer, "AutoModelForCausalLM")
    rows = some_rows(model)
    checks: list[Callable[[], Fault | None]] = [
        lambda: enough_rows(model, tokenizer),
        lambda: same_twice(model, rows),
        lambda: whole_context(model),
        lambda: padding_changes_nothing(model, rows),
        lambda: sampled_as_recomputed(model, rows),
        lambda: packs(model, rows),
        lambda: comes_back(model, "AutoModelForCausalLM"),
        lambda: rewards(folder, model, tokenizer, rows),
    ]
    return sorted([*faults, *faults_of(checks)], key=lambda fault: fault.severity)


def check_encoder(folder: Path) -> list[Fault]:
    """Faults of an encoder that the stages mlm, classify and tag would meet."""
    tokenizer = load_encoder_tokenizer(folder)
    model = tried(folder, tokenizer, "AutoModelForTokenClassification")
    rows = some_rows(model)
    return faults_of(
        [
            lambda: enough_rows(model, tokenizer),
            lambda: same_twice(model, rows),
            lambda: whole_context(model),
            lambda: right_padding_changes_nothing(model, rows),
            lambda: comes_back(model, "AutoModelForTokenClassification"),
        ]
    )


def faults_of(checks: list[Callable[[], Fault | None]]) -> list[Fault]:
    """What the checks find; one that the model cannot even be requested is a fault of its own."""
    faults: list[Fault] = []
    for check in checks:
        try:
            fault = check()
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if "memory" in str(error).lower():
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            fault = Fault(
                "crashes", "block", f"Its architecture does not work with the training stages: {reason}.", OTHER
            )
        if fault is not None:
            faults.append(fault)
            if fault.severity == "block":
                break
    return faults


def tried(folder: Path, tokenizer: PreTrainedTokenizerBase, auto_class: str) -> PreTrainedModel:
    """The model, or a smaller one of its architecture, ready as our stages make it."""
    import transformers

    auto = getattr(transformers, auto_class)
    config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
    if parameters_of(folder) <= SMALL:
        return prepare(from_folder(auto, folder), tokenizer)
    few_layers(config)
    torch.manual_seed(0)
    return prepare(auto.from_config(config, dtype=torch.float32), tokenizer)


def few_layers(config: PreTrainedConfig) -> None:
    """Cut a config to its first layers and a small vocabulary, in place."""
    config = config.get_text_config()
    config.num_hidden_layers = min(FEW_LAYERS, int(config.num_hidden_layers))
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: config.num_hidden_layers]


# --- what is requested ---------------------------------------------------------------------------------------


def enough_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Fault | None:
    """Each token of the tokenizer needs a row of the embedding."""
    known, needed = vocabulary_of(model), len(tokenizer)
    if known >= needed:
        return None
    sentence = f"Its tokenizer has {needed} tokens, the model only {known}."
    return Fault("too_few_embeddings", "block", sentence, "Find the tokenizer that belongs to it.")


def same_twice(model: PreTrainedModel, rows: list[list[int]]) -> Fault | None:
    """No chance in training mode: what was sampled must be as likely when it is learned from."""
    with training(model):
        first = outputs_of(model, rows[:1])
        second = outputs_of(model, rows[:1])
    if not bool(torch.isfinite(first).all()):
        return Fault(
            "not_a_number", "block", "Its weights produce NaN or infinite values.", "Download or convert it again."
        )
    if torch.equal(first, second):
        return None
    sentence = "Two passes over one text differ: it has a dropout that cannot be switched off."
    return Fault("dropout", "block", sentence, OTHER)


def whole_context(model: PreTrainedModel) -> Fault | None:
    """A text of the length that its config promises, or of `LONGEST` tokens."""
    length = room(model, LONGEST)
    try:
        outputs_of(model, [[3 + place % 5 for place in range(length)]])
    except (IndexError, RuntimeError, ValueError) as error:
        sentence = f"It cannot read the {length} tokens that its config promises: {type(error).__name__}."
        return Fault("context", "block", sentence, "Correct max_position_embeddings in its config.json.")
    return None


def right_padding_changes_nothing(model: PreTrainedModel, rows: list[list[int]]) -> Fault | None:
    """What stands behind a text, and who shares its batch, must not change it."""
    together = outputs_of(model, rows)
    for row, ids in enumerate(rows):
        if not close(together[row, : len(ids)], outputs_of(model, [ids])[0]):
            sentence = "Padding or other rows of the batch change its output for a text."
            return Fault("padding", "block", sentence, OTHER)
    return None


def padding_changes_nothing(model: PreTrainedModel, rows: list[list[int]]) -> Fault | None:
    """The same, and for padding in front, with which texts are sampled."""
    fault = right_padding_changes_nothing(model, rows)
    if fault is not None:
        return fault
    together = outputs_of(model, rows, left=True)
    for row, ids in enumerate(rows):
        if not close(together[row, -len(ids) :], outputs_of(model, [ids])[0]):
            sentence = "Left padding, used in sampling, changes its output for a text."
            return Fault("padding", "block", sentence, OTHER)
    return None


def sampled_as_recomputed(model: PreTrainedModel, rows: list[list[int]]) -> Fault | None:
    """Log-probs token by token, with a cache, are those of one pass; whoever shares the batch."""
    with torch.no_grad():
        if not hasattr(model(input_ids=torch.tensor(rows[:1]), use_cache=True), "past_key_values"):
            kind = model.config.model_type
            return Fault(
                "no_cache", "block", f"Models of the kind {kind} keep no cache that sampling here uses.", OTHER
            )
        seeds = list(range(len(rows)))
        drawn = draw(model, rows, seeds, max_new_tokens=3)
        alone: list[Drawn] = []
        for row, seed in zip(rows, seeds, strict=True):
            alone += draw(model, [row], [seed], max_new_tokens=3)
        sentence = (
            "The log-probabilities of its samples change when recomputed, so it cannot be trained on its samples."
        )
        if ids_of(drawn) != ids_of(alone):
            return Fault("sampling", "block", sentence, OTHER)
        row, answer = rows[0], drawn[0].ids
        inputs = {"input_ids": torch.tensor([row + answer]), "attention_mask": torch.ones(1, len(row + answer))}
        inputs["attention_mask"] = inputs["attention_mask"].long()
        positions = torch.arange(len(row + answer)).unsqueeze(0)
        logits, _ = answer_log_probs(model, len(answer), 1.0, **inputs, position_ids=positions)
        cache, fed, start = None, row, 0
        for place, token in enumerate(answer):
            outputs = model(
                input_ids=torch.tensor([fed]),
                position_ids=torch.arange(start, start + len(fed)).unsqueeze(0),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            if not close(outputs.logits[0, -1], logits[0, place]):
                return Fault("sampling", "block", sentence, OTHER)
            cache, start, fed = outputs.past_key_values, start + len(fed), [token]
    return None


def packs(model: PreTrainedModel, rows: list[list[int]]) -> Fault | None:
    """Whether texts packed into one row leave one another alone."""
    if keeps_apart(model, rows):
        return None
    sentence = "Texts packed into one row read one another, so pretraining gives each a row of its own."
    return Fault("no_packing", "warn", sentence, "Pretraining takes longer.")


def comes_back(model: PreTrainedModel, auto_class: str) -> Fault | None:
    """Saved and loaded again, every tensor is the same."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, safe_serialization=True)
        again = from_folder(getattr(transformers, auto_class), Path(folder)).state_dict()
    before = model.state_dict()
    lost = [name for name, tensor in before.items() if name not in again or not torch.equal(tensor, again[name])]
    if not lost:
        return None
    sentence = f"{len(lost)} of its {len(before)} tensors do not come back after it was saved."
    return Fault("not_saved_whole", "block", sentence, OTHER)


def rewards(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[list[int]]
) -> Fault | None:
    """Whether a reward model can be made of it, that reads a text the same wherever its padding is."""
    import transformers

    auto = transformers.AutoModelForSequenceClassification
    if type(model.config) not in auto._model_mapping:
        sentence = f"No reward model can be made of its architecture, {model.config.model_type}: there is no such head."
        return Fault("no_reward_head", "block", sentence, "Start from a model of another family.")
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    torch.manual_seed(0)
    reward = RewardModel(prepare(auto.from_config(config, dtype=torch.float32), tokenizer).eval(), tokenizer)
    with torch.no_grad():
        right_padded = reward(*padded(rows, False))
        left_padded = reward(*padded(rows, True))
        alone = torch.cat([reward(*padded([row], False)) for row in rows])
    if close(right_padded, alone) and close(left_padded, alone):
        return None
    sentence = "A reward model made of it gives a text another reward for its padding."
    return Fault("reward_padding", "block", sentence, "Start from a model of another family.")


# --- how -------------------------------------------------------------------------------------------------


@contextmanager
def training(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model is in training mode."""
    model.train()
    try:
        yield
    finally:
        model.eval()


def padded(rows: list[list[int]], left: bool) -> tuple[Tensor, Tensor]:
    """Rows as (ids, is_token), both (B, T), padded with token 0 on one side."""
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    is_token = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        start = 0
        if left:
            start = width - len(row)
        ids[number, start : start + len(row)] = torch.tensor(row)
        is_token[number, start : start + len(row)] = 1
    return ids, is_token


@torch.no_grad()
def outputs_of(model: PreTrainedModel, rows: list[list[int]], left: bool = False) -> Tensor:
    """Logits of each token, (B, T, ·), as our stages ask for them."""
    ids, is_token = padded(rows, left)
    inputs: dict[str, Tensor] = {"input_ids": ids, "attention_mask": is_token}
    if left:
        inputs["position_ids"] = (is_token.cumsum(1) - 1).clamp(min=0)
    logits: Tensor = model(**inputs).logits.float()
    return logits
