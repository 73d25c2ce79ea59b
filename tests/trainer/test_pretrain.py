"""Blocks waste nothing, documents stay apart, and the measure compares across tokenizers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from micro import MakeRun, progress, write_snapshot

from trainer.data.columns import decode_completion
from trainer.errors import DataUnusable
from trainer.modeling.loading import load_policy, load_tokenizer
from trainer.recipes.pretrain import (
    IGNORED,
    Block,
    bits_per_byte,
    fill,
    plan_blocks,
    plan_passes,
    predicted_bytes,
    read_windows,
    token_bytes,
)

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {"hidden_size": 32, "layers": 1, "heads": 2, "context_length": 64, "block_size": 32, "batch_size": 8}


def pack(rows: list[list[int]], block_size: int, pad_id: int) -> list[Block]:
    """One pass over rows of token ids."""
    plan = plan_blocks(list(map(len, rows)), block_size)
    return [fill([rows[row][start:end] for row, start, end in block], block_size, pad_id) for block in plan]


def test_blocks_hold_whole_documents_and_every_token_once() -> None:
    blocks = pack([[1, 2, 3, 4, 5], [6, 7], [8, 9, 10]], 4, pad_id=0)
    assert [block.input_ids for block in blocks] == [[1, 2, 3, 4], [5, 6, 7, 0], [8, 9, 10, 0]]
    assert [block.position_ids for block in blocks] == [[0, 1, 2, 3], [0, 0, 1, 0], [0, 1, 2, 0]]
    nothing = IGNORED
    assert [block.labels for block in blocks] == [
        [nothing, 2, 3, 4],
        [nothing, nothing, 7, nothing],
        [nothing, 9, 10, nothing],
    ]


def test_documents_of_a_block_do_not_see_each_other(base_folder: Path, tokenizer: Any) -> None:
    model = load_policy(base_folder, tokenizer).eval()
    model.config.use_cache = False  # as the recipe sets it: with a cache, positions are not read as documents
    alone, before, other = [40, 41, 42, 43], [30, 31, 32, 33], [50, 51, 52, 53]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([alone])).logits[0]
        for first in (before, other):
            [block] = pack([first, alone], 8, tokenizer.pad_token_id)
            batch = torch.tensor([block.input_ids, block.input_ids])
            positions = torch.tensor([block.position_ids, block.position_ids])
            packed = model(input_ids=batch, position_ids=positions).logits[1, 4:]
            assert torch.allclose(packed, expected, atol=1e-5)


def test_bits_per_byte_by_hand(base_folder: Path, tokenizer: Any) -> None:
    """A model without a clue gives each token log2(vocabulary) bits."""
    model = load_policy(base_folder, tokenizer)
    with torch.no_grad():
        cast(torch.nn.Embedding, model.get_input_embeddings()).weight.zero_()
    rows = [tokenizer("The sky is blue.")["input_ids"], tokenizer("No.")["input_ids"]]
    predicted = sum(len(row) - 1 for row in rows)
    said = sum(len(decode_completion(tokenizer, row[1:]).encode()) for row in rows)
    with torch.no_grad():
        measured = bits_per_byte(model, tokenizer, rows, 64)
    assert measured == pytest.approx(predicted * math.log2(len(tokenizer)) / said, rel=1e-5)


@pytest.mark.parametrize("text", ["😀 hello", "東京は今日も晴れです", "é", "abc"])
def test_the_bytes_of_a_torn_first_character_are_counted_as_they_are(text: str, tokenizer: Any) -> None:
    """A tokenizer of bytes gives an emoji's first byte a token of its own; what is left is three bytes, not nine."""
    row = tokenizer(text)["input_ids"]
    first = len(tokenizer.convert_ids_to_tokens(row[:1])[0])  # one sign a byte
    assert token_bytes(tokenizer, row[0]) == first
    assert predicted_bytes(tokenizer, row) == len(text.encode()) - first
    assert predicted_bytes(tokenizer, [tokenizer.eos_token_id, *row]) == len(text.encode())


def test_it_learns_from_scratch_and_goes_on_from_a_model(
    make_run: MakeRun, run_here: RunHere, corpus: Path, tokenizer_folder: Path
) -> None:
    config = {**MICRO, "steps": 60, "learning_rate": 0.01, "evaluations": 3}
    folder = make_run("pretrain", {"snapshot": corpus, "tokenizer": tokenizer_folder}, config, name="first")
    made = run_here(folder)
    measured = [
        line["metrics"]["selection_bits_per_byte"]
        for line in progress(folder, "metrics")
        if "selection_bits_per_byte" in line["metrics"]
    ]
    assert len(measured) == 3
    assert measured[-1] < 0.7 * math.log2(256)
    assert measured[-1] < measured[0]
    assert made["metrics"]["selection_bits_per_byte"] == measured[-1]
    assert len(progress(folder, "samples")) >= 10
    load_tokenizer(folder / "model")

    more = make_run("pretrain", {"snapshot": corpus, "base_model": folder / "model"}, config, name="more")
    assert run_here(more)["metrics"]["selection_bits_per_byte"] < measured[-1]


def test_heldout_documents_are_kept_out_when_there_is_no_selection_split(
    make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, tmp_path: Path
) -> None:
    row = {"kind": "document", "source": "micro", "document_kind": "article", "licence": "ours"}
    rows = [{**row, "text": f"Note {n}: the sky is blue today and the grass is green."} for n in range(40)]
    snapshot = write_snapshot(tmp_path / "s", {"train": rows}, "corpus")
    folder = make_run("pretrain", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, {**MICRO, "steps": 2})
    assert run_here(folder)["metrics"]["train_documents"] == 38


@pytest.mark.parametrize("texts", [[], ["Hi."]], ids=["none", "held out"])
def test_too_little_text_is_a_data_error(
    texts: list[str], make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, tmp_path: Path
) -> None:
    row = {"kind": "document", "source": "micro", "document_kind": "article", "licence": "ours"}
    snapshot = write_snapshot(tmp_path / "s", {"train": [{**row, "text": text} for text in texts]}, "corpus")
    folder = make_run("pretrain", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, {**MICRO, "steps": 2})
    with pytest.raises(DataUnusable) as caught:
        run_here(folder)
    assert caught.value.remedy


def test_a_long_document_is_cut_elsewhere_at_each_pass() -> None:
    plans, batches = plan_passes([2, 10, 3], block_size=4, batch_size=2, wanted=12, seed=0)
    assert plans[0] == [[(0, 0, 2)], [(1, 0, 4)], [(1, 4, 8)], [(1, 8, 10)], [(2, 0, 3)]]
    assert len({tuple(end for block in plan for row, _, end in block if row == 1) for plan in plans}) > 1
    for plan in plans:
        told = [token for block in plan for row, start, end in block for token in [(row, n) for n in range(start, end)]]
        assert told == [(row, n) for row, length in enumerate([2, 10, 3]) for n in range(length)]
    blocks = sum(map(len, plans))
    assert len(batches) == 12
    assert sorted(n for batch in batches for n in batch)[: len(plans[0])] == list(range(len(plans[0])))
    assert max(n for batch in batches for n in batch) < blocks


@pytest.mark.parametrize("length", [2, 8, 9, 12, 13, 100])
def test_windows_score_every_token_but_the_first_once(length: int) -> None:
    row = list(range(length))
    scored = [token for window, new in read_windows(row, 8) for token in window[new:]]
    assert scored == row[1:]
    assert all(len(window) <= 8 and (window[0] == 0 or new >= 4) for window, new in read_windows(row, 8))


def test_all_of_a_long_document_is_measured(base_folder: Path, tokenizer: Any) -> None:
    """With a model without a clue, windows give what one look at the whole gives."""
    model = load_policy(base_folder, tokenizer)
    with torch.no_grad():
        cast(torch.nn.Embedding, model.get_input_embeddings()).weight.zero_()
        row = tokenizer("The sky is blue and the grass is green. " * 4)["input_ids"]
        assert bits_per_byte(model, tokenizer, [row], 16) == pytest.approx(
            bits_per_byte(model, tokenizer, [row], len(row)), rel=1e-5
        )
