"""A model from elsewhere is tried before it is taken: refused in words, or taken with what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, save_model, tokenizer_of
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from trainer.preflight.adopt import Refused, adopt

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "bos_token_id": 1, "eos_token_id": 1}
USUAL = TINY | {"intermediate_size": 16, "num_key_value_heads": 1, "max_position_embeddings": 64}


def foreign(folder: Path, model_type: str, shape: dict[str, Any]) -> Path:
    """A tiny model of a family that is not among ours, with GPT-2's sort of tokenizer."""
    torch.manual_seed(0)
    tokenizer = tokenizer_of("gpt2")
    config = AutoConfig.for_model(model_type, **shape, vocab_size=len(tokenizer))
    AutoModelForCausalLM.from_config(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


def names(told: dict[str, Any]) -> list[str]:
    return [fault["name"] for fault in told["faults"]]


KNOWN = {
    "mistral": ["no_system_message"],
    "gemma2": ["no_system_message"],
    "opt": ["no_packing"],
    "mixtral": ["no_system_message", "plain_marks"],
}


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_each_family_is_taken_with_what_it_cannot_do(name: str, tmp_path: Path) -> None:
    told: dict[str, Any] = adopt(save_model(tmp_path / name, name), "policy")
    assert names(told) == KNOWN.get(name, [])
    assert all(fault["severity"] == "warn" and fault["sentence"].endswith(".") for fault in told["faults"])


@pytest.mark.parametrize(
    ("model_type", "shape", "sentence"),
    [
        ("granite", USUAL, "No reward model can be made of its architecture, granite: there is no such head."),
        ("cohere", USUAL, "No reward model can be made of its architecture, cohere: there is no such head."),
        ("mamba", TINY | {"state_size": 2}, "Models of the kind mamba keep no cache that sampling here uses."),
    ],
)
def test_a_family_that_a_stage_would_fail_on_is_refused_at_once(
    model_type: str, shape: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refused:
        adopt(foreign(tmp_path / "theirs", model_type, shape), "policy")
    assert (refused.value.sentence, refused.value.remedy[:6]) == (sentence, "Start ")


@pytest.mark.parametrize("model_type", ["falcon", "bloom"])
def test_a_family_whose_dropout_is_a_module_works_without_packing(model_type: str, tmp_path: Path) -> None:
    told = adopt(foreign(tmp_path / "theirs", model_type, TINY | {"n_layer": 1, "n_head": 1}), "policy")
    assert names(told) == ["no_packing"]


def test_a_model_that_drops_out_by_chance_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model(tmp_path / "opt", "opt", dropout=0.5)
    assert names(adopt(folder, "policy")) == ["no_packing"], "it is switched off"
    monkeypatch.setattr("trainer.modeling.loading.switch_dropout_off", lambda model: None)
    with pytest.raises(Refused, match="Two passes over one text differ: it has a dropout that cannot be switched off"):
        adopt(folder, "policy")


def test_a_context_that_the_weights_do_not_have_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "gpt2", "gpt2")
    from trainer.preflight import model_check

    tokenizer = model_check.load_tokenizer  # the check is asked alone: loading would refuse weights of another size
    adopt(folder, "policy")
    model = model_check.tried(folder, tokenizer(folder), "AutoModelForCausalLM")
    assert model_check.whole_context(model) is None
    model.config.n_positions = 300
    fault = model_check.whole_context(model)
    assert fault is not None and fault.sentence.startswith("It cannot read the 300 tokens that its config promises")


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{{ messages[0]['content'] }}", "it leaves out the message of the assistant."),
        ("{% for m in messages %}{{ m['content'] * 2 }}{% endfor %}", "it repeats the message of the user."),
        ("{{ raise_exception('No chat.') }}", "No chat."),
        ("{{ 'x' * 10**10 }}", "it needs more memory than a template may have."),
        ("{% for m in messages %}", "Unexpected end of template."),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_in_words(template: str, sentence: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "theirs", "qwen2")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(Refused) as refused:
        adopt(folder, "policy")
    assert refused.value.sentence.startswith("Its chat template cannot render a user message and a response: ")
    assert sentence in refused.value.sentence


DROPS = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ '<start_of_turn>' + m['role'] + '\n' + m['content']"
    " + '<end_of_turn>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>assistant\n'}}{% endif %}"
)
OPENS_NONE = (
    "{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\n' + m['content'] + '<end_of_turn>\n' }}{% endfor %}"
)
OPENS_MORE = OPENS_NONE + "{% if add_generation_prompt %}{{'<start_of_turn>assistant\n<table>'}}{% endif %}"


@pytest.mark.parametrize(
    ("template", "found"),
    [
        (DROPS, {"no_system_message": "Its chat template does not take a system message: it leaves out the message"}),
        (OPENS_NONE, {"opens_otherwise": "Its chat template has no generation prompt."}),
        (OPENS_MORE, {"opens_otherwise": "The generation prompt of its chat template adds text"}),
        ("{{ strftime_now('%d') }}" + OPENS_NONE, {"clock": "Its chat template writes today's date; it is held at"}),
        (
            "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}",
            {"no_turn_end": "Its chat template writes no end token; <eos> is used as EOS", "plain_marks": "Its"},
        ),
    ],
)
def test_what_a_template_loses_or_does_otherwise_is_named(template: str, found: dict[str, str], tmp_path: Path) -> None:
    folder = save_model(tmp_path / "theirs", "gemma3_text")
    (folder / "chat_template.jinja").write_text(template)
    report: dict[str, Any] = adopt(folder, "policy")
    told = {fault["name"]: fault["sentence"] for fault in report["faults"]}
    for name, sentence in found.items():
        assert told[name].startswith(sentence)


def test_a_sentence_encoder_without_a_head_is_an_encoder_and_no_policy(tmp_path: Path) -> None:
    folder = encoder(tmp_path / "mini", "bert", position_embedding_type="absolute")
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["BertModel"]
    assert adopt(folder, "encoder") == {"added": [], "faults": []}
    with pytest.raises(Refused, match="Its architecture is BertModel, which is no policy"):
        adopt(folder, "policy")


@pytest.mark.parametrize("model_type", ["roberta", "albert", "distilbert", "mpnet", "modernbert"])
def test_encoders_of_other_families_read_all_that_fits(model_type: str, tmp_path: Path) -> None:
    assert adopt(encoder(tmp_path / "theirs", model_type), "encoder")["faults"] == []


def encoder(folder: Path, model_type: str, **more: Any) -> Path:
    from tokenizers import Tokenizer, models, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "sky", "is", "blue"]
    inner = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, mask_token="[MASK]", **named)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    if model_type == "distilbert":
        shape = {"dim": 8, "hidden_dim": 8, "n_layers": 1, "n_heads": 1}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, vocab_size=9, max_position_embeddings=34, **shape, **ids, **more)
    AutoModel.from_config(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


def test_a_decoder_is_no_encoder_and_a_model_without_a_kind_is_neither(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "qwen2", "qwen2")
    with pytest.raises(Refused, match="Its architecture is Qwen2ForCausalLM, which is no encoder"):
        adopt(folder, "encoder")
    (folder / "config.json").write_text("{}")
    with pytest.raises(Refused, match="Its architecture is none named, which is no policy"):
        adopt(folder, "policy")
