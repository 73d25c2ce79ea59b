"""Any text comes back as it was; the special tokens are where chat and padding need them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from micro import MakeRun, ask, corpus_rows, write_snapshot
from tokenizers import normalizers

from trainer.errors import ConfigInvalid, DataUnusable
from trainer.modeling.loading import check_tokenizer, load_tokenizer
from trainer.recipes.tokenizer import first_changed, measure, pieces, train_tokenizer


@pytest.mark.parametrize(
    "text", ["The sky is blue.", "  two  spaces\n\n\ttab", "grün 空 🐙", "na\u0131ve\u200d", "", "\x00\x07"]
)
def test_any_text_comes_back(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert measure(tokenizer, [text or "x"])["round_trip"] == 1.0


@pytest.mark.parametrize("algorithm", ["unigram", "wordpiece"])
def test_the_other_algorithms_lose_nothing_either(algorithm: str) -> None:
    documents = [row["text"] for row in corpus_rows()]
    first, second = (train_tokenizer(iter(documents), 360, 2, algorithm) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    assert json.loads(first.backend_tokenizer.to_str())["model"]["type"].lower() == algorithm
    strange = ["  two  spaces\n\n\ttab", "grün 空 🐙\u200d", "\x00\x07", "x" * 1000, "The sky is blue.", ""]
    for text in strange:
        assert first.decode(first(text)["input_ids"]) == text
    assert len(first("The sky is blue.")["input_ids"]) < len("The sky is blue.")
    assert first_changed(first, strange) is None
    assert first.pad_token_id != first.eos_token_id
    check_tokenizer(first, algorithm)


def test_it_says_where_a_text_does_not_come_back() -> None:
    lossy = train_tokenizer(iter(["plain words"]), 300, 2)
    lossy.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert first_changed(lossy, ["plain", "words A"]) == "character 6: 'A' becomes 'a'"
    assert measure(lossy, ["plain", "words A"])["round_trip"] == 0.5


def test_pieces_show_how_a_text_falls_into_tokens(tokenizer: Any) -> None:
    assert "".join(pieces(tokenizer, "The sky is blue.")) == "The sky is blue."
    assert len(pieces(tokenizer, "The sky is blue.")) < len("The sky is blue.")


def test_padding_is_not_the_end(tokenizer: Any) -> None:
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    same = load_tokenizer(Path(tokenizer.name_or_path))
    same.pad_token = same.eos_token
    with pytest.raises(ConfigInvalid, match="pads with its end token"):
        check_tokenizer(same, "it")


def test_tokenizer_without_chat_template_is_refused(tokenizer: Any) -> None:
    bare = load_tokenizer(Path(tokenizer.name_or_path))
    bare.chat_template = None
    with pytest.raises(ConfigInvalid, match="chat template"):
        check_tokenizer(bare, "it")


def test_assistant_mask_covers_the_answer_and_its_end(tokenizer: Any) -> None:
    chat = [*ask("sky"), {"role": "assistant", "content": "Blue."}]
    out = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    said = [token for token, counts in zip(out["input_ids"], out["assistant_masks"], strict=True) if counts]
    assert tokenizer.decode(said) == "Blue.<|end|>"


def test_unknown_role_is_refused(tokenizer: Any) -> None:
    with pytest.raises(Exception, match="unknown role pirate"):
        tokenizer.apply_chat_template([{"role": "pirate", "content": "Arr"}], tokenize=False)


def test_same_documents_make_the_same_tokenizer(
    make_run: MakeRun, run_here: Callable[[Path], dict[str, Any]], corpus: Path
) -> None:
    folders = [make_run("tokenizer", {"snapshot": corpus}, {"vocab_size": 360}, name=name) for name in ("a", "b")]
    names = {run_here(folder)["model"]["manifest_sha256"] for folder in folders}
    assert len(names) == 1


def test_no_documents_is_a_data_error(
    make_run: MakeRun, run_here: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    snapshot = write_snapshot(tmp_path / "s", {"train": []}, "corpus")
    with pytest.raises(DataUnusable) as caught:
        run_here(make_run("tokenizer", {"snapshot": snapshot}))
    assert caught.value.remedy
