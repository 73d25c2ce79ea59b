"""Tokenizers, chat templates and tiny models declared as those of well-known families are.

The vocabularies are small and the templates are written here, in the families' shape: which tokens are marks, whether
they are named, what stands before and after an answer, what opens a text, and which ids the configs list as ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = (
    "What colour is the sky? The sky is blue.",
    "My router is slow, please help me. Try to restart the device and wait.",
    "system user model assistant You are a helpful assistant. Be brief.",
    "Surely the grass is green. I think the coal is black.\n\nHello there, how are you today?",
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
THINKING = (
    "{% set ns = namespace(last=0) %}{% for message in messages %}{% if message.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for message in messages %}"
    "{% set content = message.content %}{% if message.role == 'assistant' %}{% set thought = '' %}"
    "{% if '</think>' in content %}{% set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>assistant\n' }}"
    "{% if loop.index0 > ns.last %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}"
    "{{ content + '<|im_end|>\n' }}{% else %}"
    "{{ '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TURNS = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n'"
    " + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
TURNS_WITH_SYSTEM = (
    "{{ bos_token }}{% set first = '' %}{% set rest = messages %}{% if messages[0]['role'] == 'system' %}"
    "{% set first = messages[0]['content'] + '\n\n' %}{% set rest = messages[1:] %}{% endif %}"
    "{% for message in rest %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role'])"
    " + '\n' + (first if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
INSTRUCTIONS = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + '[/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + eos_token }}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
ENDS_OF_TURNS = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """One family of models.

    Attributes:
        name: as transformers' `model_type`. template: None where the family has no chat template.
        pieces: "bytes" (GPT-2's kind), "prefixed" (a blank before every text), "first" (before the first), "plain".
        marks: control tokens that no name points to. swallowing: those that take the white space behind with them.
        ordinary: added tokens that are not declared special. eos, bos, pad: named tokens; "" is none.
        begins: whether the tokenizer puts its BOS in front of a text. ends: what the generation config lists.
        stops: what ends a completion, the one that is learned first.
        shape: of a tiny model.
    """

    name: str
    template: str | None
    pieces: str
    eos: str
    stops: tuple[str, ...]
    marks: tuple[str, ...] = ()
    swallowing: tuple[str, ...] = ()
    ordinary: tuple[str, ...] = ()
    bos: str = ""
    pad: str = ""
    begins: bool = False
    ends: tuple[str, ...] = ()
    system: bool = True
    shape: dict[str, Any] = field(default_factory=dict)


SMALL: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
LLAMA = SMALL | {"num_key_value_heads": 1, "max_position_embeddings": 128}
GEMMA = LLAMA | {"head_dim": 16, "sliding_window": 64, "query_pre_attn_scalar": 16}
MOE = LLAMA | {"num_local_experts": 2, "num_experts_per_tok": 1}
FAMILIES = (
    Family(
        "llama", HEADERS, "bytes", "<|eot_id|>", ("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"),
        marks=("<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>"),
        bos="<|begin_of_text|>", pad="<|finetune_right_pad_id|>", begins=True,
        ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"), shape=LLAMA,
    ),
    Family(
        "mistral", INSTRUCTIONS, "prefixed", "</s>", ("</s>",), marks=("[INST]", "[/INST]", "[TOOL_CALLS]"),
        bos="<s>", begins=True, system=False, shape=LLAMA | {"sliding_window": None},
    ),
    Family(
        "qwen2", CHATML, "bytes", "<|endoftext|>", ("<|im_end|>", "<|endoftext|>"),
        marks=("<|im_start|>", "<|im_end|>"), ordinary=("<tool_call>",), ends=("<|im_end|>", "<|endoftext|>"),
        shape=LLAMA,
    ),
    Family(
        "qwen3", THINKING, "bytes", "<|im_end|>", ("<|im_end|>", "<|endoftext|>"), pad="<|endoftext|>",
        marks=("<|im_start|>",), ordinary=("<think>", "</think>"), ends=("<|im_end|>", "<|endoftext|>"),
        shape=LLAMA | {"head_dim": 16},
    ),
    Family(
        "gemma2", TURNS, "plain", "<eos>", ("<end_of_turn>", "<eos>"), marks=("<start_of_turn>", "<end_of_turn>"),
        ordinary=("\n\n", "<table>"), bos="<bos>", pad="<pad>", begins=True, ends=("<eos>", "<end_of_turn>"),
        system=False, shape=GEMMA,
    ),
    Family(
        "gemma3_text", TURNS_WITH_SYSTEM, "plain", "<eos>", ("<end_of_turn>", "<eos>"),
        marks=("<start_of_turn>", "<end_of_turn>"), ordinary=("\n\n",), bos="<bos>", pad="<pad>", begins=True,
        ends=("<eos>", "<end_of_turn>"), shape=GEMMA,
    ),
    Family(
        "phi3", ENDS_OF_TURNS, "prefixed", "<|endoftext|>", ("<|end|>", "<|endoftext|>", "<|assistant|>"),
        swallowing=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), bos="<s>",
        ends=("<|endoftext|>", "<|assistant|>", "<|end|>"), shape=LLAMA | {"pad_token_id": 0},
    ),
    Family(
        "gpt2", None, "bytes", "<|endoftext|>", ("<|endoftext|>",), bos="<|endoftext|>",
        shape={"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128},
    ),
    Family(
        "gpt_neox", None, "bytes", "<|endoftext|>", ("<|endoftext|>",), bos="<|endoftext|>",
        shape=SMALL | {"max_position_embeddings": 128},
    ),
    Family(
        "opt", None, "bytes", "</s>", ("</s>",), bos="</s>", pad="<pad>", begins=True,
        shape={"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        | {"max_position_embeddings": 128, "word_embed_proj_dim": 32},
    ),
    Family("mixtral", INSTRUCTIONS, "first", "</s>", ("</s>",), bos="<s>", begins=True, system=False, shape=MOE),
)  # fmt: skip
BY_NAME = {family.name: family for family in FAMILIES}


@cache
def tokenizer_of(name: str) -> Any:
    """The tokenizer as a family publishes it: what it lacks (a pad token, a template) is still lacking."""
    from transformers import PreTrainedTokenizerFast

    family = BY_NAME[name]
    named = [token for token in dict.fromkeys((family.bos, family.eos, family.pad)) if token]
    inner = trained(family.pieces, ["<unk>", *named, *family.marks])
    inner.add_special_tokens([AddedToken(mark, rstrip=True, normalized=False) for mark in family.swallowing])
    inner.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in family.ordinary])
    if family.begins:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[(family.bos, inner.token_to_id(family.bos))]
        )
    names = {"eos_token": family.eos, "bos_token": family.bos, "pad_token": family.pad}
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        **{name: token for name, token in names.items() if token},
        **({"chat_template": family.template} if family.template else {}),
    )


def trained(pieces: str, special: Sequence[str]) -> Tokenizer:
    """A small BPE tokenizer whose pieces are cut as the family's are."""
    if pieces == "bytes":
        inner = Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        inner.train_from_iterator(
            TEXTS * 3, trainers.BpeTrainer(vocab_size=400, special_tokens=list(special), initial_alphabet=alphabet)
        )
        return inner
    learned = Tokenizer(models.BPE(unk_token="<unk>"))
    learned.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    letters = [chr(code) for code in range(33, 127)] + ["\u2581"]
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    learned.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(vocab_size=320, special_tokens=[*special, *spelled], initial_alphabet=letters),
    )
    import json

    told = json.loads(learned.to_str())["model"]
    inner = Tokenizer(
        models.BPE(told["vocab"], [tuple(pair) for pair in told["merges"]], byte_fallback=True, unk_token="<unk>")
    )
    inner.add_special_tokens(list(special))
    blank = normalizers.Replace(" ", "\u2581")
    back: list[Any] = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    if pieces == "first":
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        inner.normalizer = (
            normalizers.Sequence([normalizers.Prepend("\u2581"), blank]) if pieces == "prefixed" else blank
        )
    if pieces != "plain":
        back.append(decoders.Strip(" ", 1, 0))
    inner.decoder = decoders.Sequence(back)
    return inner


def save_model(folder: Path, name: str, seed: int = 0, **more: Any) -> Path:
    """A tiny untrained model of the family with tokenizer and generation config, as downloaded."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    family, tokenizer = BY_NAME[name], tokenizer_of(name)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        name,
        **(family.shape | {"vocab_size": len(tokenizer)} | more),
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    ends = [tokenizer.convert_tokens_to_ids(end) for end in family.ends] or tokenizer.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=ends, bos_token_id=tokenizer.bos_token_id)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
