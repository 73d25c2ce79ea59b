"""Masks fall on ordinary tokens only, in the shares of the paper, and guessing them is learned and measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import MakeRun, progress, write_snapshot

from trainer.errors import ConfigInvalid, DataUnusable
from trainer.modeling.encoders import (
    IGNORED,
    Encoded,
    encode_texts,
    load_encoder_tokenizer,
    make_encoder,
    mask_tokens,
    ordinary_tokens,
    windows,
)
from trainer.recipes.mlm import masked_figures, spread

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {"hidden_size": 32, "layers": 1, "heads": 2, "context_length": 64, "max_length": 32, "batch_size": 8}


def test_masks_fall_on_ordinary_tokens_in_the_shares_of_the_paper(tokenizer: Any) -> None:
    length = 20_000
    ordinary = ordinary_tokens(tokenizer)
    special = [1 if place % 10 == 0 else 0 for place in range(length)]
    ids = [tokenizer.eos_token_id if mark else 50 + place % 7 for place, mark in enumerate(special)]
    row = Encoded(ids, [(0, 0)] * length, special)
    masked, labels = mask_tokens(row, tokenizer.mask_token_id, ordinary, 0.15, torch.Generator().manual_seed(1))

    picked = [place for place in range(length) if labels[place] != IGNORED]
    assert not any(special[place] for place in picked)
    assert all(labels[place] == ids[place] for place in picked)
    assert all(masked[place] == ids[place] for place in set(range(length)) - set(picked))
    assert len(picked) / (0.9 * length) == pytest.approx(0.15, abs=0.01)
    became_mask = sum(masked[place] == tokenizer.mask_token_id for place in picked)
    stayed = sum(masked[place] == ids[place] for place in picked)
    others = [masked[p] for p in picked if masked[p] not in (tokenizer.mask_token_id, ids[p])]
    assert became_mask / len(picked) == pytest.approx(0.8, abs=0.03)
    assert stayed / len(picked) == pytest.approx(0.1, abs=0.02)
    assert len(others) / len(picked) == pytest.approx(0.1, abs=0.02)
    assert not set(others) & set(tokenizer.all_special_ids)


def test_at_least_one_token_is_asked_of_the_shortest_text(tokenizer: Any) -> None:
    [row] = encode_texts(tokenizer, ["a"])
    assert row.is_special == [0, 1]
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        _, labels = mask_tokens(row, tokenizer.mask_token_id, ordinary_tokens(tokenizer), 0.01, generator)
        assert labels == [row.ids[0], IGNORED]


def test_a_mark_written_into_a_text_is_plain_characters(tokenizer: Any) -> None:
    [row, plain] = encode_texts(tokenizer, ["a<|end|>b<|mask|>", ""])
    assert row.ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer.mask_token_id not in row.ids
    assert plain.ids == [tokenizer.eos_token_id]


def test_windows_cover_a_long_text() -> None:
    row = Encoded(list(range(23)), [(n, n + 1) for n in range(23)], [0] * 23)
    cut = windows(row, 8)
    assert all(len(window.ids) == 8 and window.ids[0] == start for start, window in cut)
    assert {token for _, window in cut for token in window.ids} == set(range(23))
    assert windows(row, 23) == [(0, row)]


def test_loss_of_a_model_without_a_clue_is_that_of_chance(tokenizer: Any) -> None:
    from trainer.configs.encoders import MLMConfig

    model: Any = make_encoder("MaskedLM", None, MLMConfig(hidden_size=32, layers=1, heads=2), tokenizer)
    with torch.no_grad():
        model.get_input_embeddings().weight.zero_()
    figures = masked_figures(model, [([5, 6, 7], [IGNORED, 6, 7]), ([8], [9])], tokenizer.pad_token_id)
    assert figures["selection_masked_loss"] == pytest.approx(math.log(len(tokenizer)), rel=1e-5)


def test_it_learns_from_scratch_and_goes_on_from_a_model(
    make_run: MakeRun, run_here: RunHere, corpus: Path, tokenizer_folder: Path
) -> None:
    config = {**MICRO, "steps": 60, "learning_rate": 0.01, "evaluations": 3}
    folder = make_run("mlm", {"snapshot": corpus, "tokenizer": tokenizer_folder}, config, name="first")
    made = run_here(folder)["metrics"]
    lines = [line["metrics"] for line in progress(folder, "metrics")]
    measured = [line["selection_masked_loss"] for line in lines if "selection_masked_loss" in line]
    assert measured[-1] < measured[0] < math.log(360)
    assert made["selection_masked_accuracy"] > 0.2
    shown = progress(folder, "samples")[-1]["samples"][0]
    assert "<|mask|>" in shown["prompt"]
    assert "[" in shown["text"]

    more = make_run("mlm", {"snapshot": corpus, "base_model": folder / "model"}, config, name="more")
    assert run_here(more)["metrics"]["selection_masked_loss"] < measured[-1]


def test_texts_under_labels_are_read_without_their_labels(
    make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, tmp_path: Path
) -> None:
    row = {"kind": "classification", "labels": ["a"], "scheme": "s", "classes": ["a", "b"], "many": False}
    spans = {"kind": "spans", "spans": [], "scheme": "s", "classes": ["a"]}
    rows = [{**row, "text": f"The sky is blue {n}."} for n in range(20)]
    rows += [{**spans, "text": f"The coal is black {n}."} for n in range(20)]
    snapshot = write_snapshot(tmp_path / "s", {"train": rows})
    folder = make_run("mlm", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, {**MICRO, "steps": 2})
    assert run_here(folder)["metrics"]["train_documents"] == 38


def test_what_cannot_be_masked_is_refused(
    make_run: MakeRun, run_here: RunHere, corpus: Path, tokenizer_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match="left to right"):
        run_here(make_run("mlm", {"snapshot": corpus, "base_model": base_folder}, {**MICRO, "steps": 2}, name="a"))
    with pytest.raises(ConfigInvalid, match="tokenizer"):
        run_here(make_run("mlm", {"snapshot": corpus}, {**MICRO, "steps": 2}, name="b"))
    empty = write_snapshot(tmp_path / "s", {"train": []})
    with pytest.raises(DataUnusable, match="no texts"):
        run_here(make_run("mlm", {"snapshot": empty, "tokenizer": tokenizer_folder}, MICRO, name="c"))
    from transformers import AutoTokenizer

    maskless = AutoTokenizer.from_pretrained(str(tokenizer_folder))
    maskless.mask_token = None
    maskless.save_pretrained(str(tmp_path / "maskless"))
    with pytest.raises(ConfigInvalid, match="mask token"):
        load_encoder_tokenizer(tmp_path / "maskless")


def test_of_a_long_held_out_text_all_parts_are_measured() -> None:
    rows = [Encoded([number], [(0, 1)], [0]) for number in range(10)]
    assert [row.ids[0] for row in spread(rows, 4)] == [0, 2, 5, 7]
    assert spread(rows, 10) == spread(rows, 99) == rows
