"""Passes that measure stay within context and memory, and say the same however they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_models import tiny
from torch import nn

from trainer.errors import OutOfMemory
from trainer.modeling import passes
from trainer.modeling.sampling import context_length
from trainer.run.microbatching import BUDGET, in_batches

ROWS = [([5, 6, 7, 8, 9], [0, 0, 1, 1, 1]), ([11, 12], [0, 1]), (list(range(20, 34)), [0] * 6 + [1] * 8), ([40], [1])]


@pytest.fixture(autouse=True)
def fresh_budget() -> Iterator[None]:
    BUDGET.begin(1)
    yield
    BUDGET.begin(1)


def by_hand(model: Any, ids: list[int], mask: list[int]) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].float()
    nats = nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")
    return float((nats * torch.tensor(mask[1:])).sum())


@pytest.mark.parametrize("family", ["llama_tied", "gpt_neox", "mixtral", "gpt2", "opt", "gemma2"])
@pytest.mark.parametrize("at_once", [2**24, 200])
def test_cross_entropy_is_that_of_whole_logits_and_they_are_never_whole(
    family: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family).eval()
    monkeypatch.setattr(passes, "LOGITS_AT_ONCE", at_once)
    largest = 0
    head = model.get_output_embeddings()

    def watch(head: Any, given: Any, out: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, out.numel())

    head.register_forward_hook(watch)
    nats, tokens = passes.summed_nats(model, ROWS, 0)
    assert tokens.tolist() == [3, 1, 8, 0]
    assert largest <= max(at_once, len(ROWS) * 64)
    assert nats.tolist() == pytest.approx([by_hand(model, *row) for row in ROWS[:3]] + [0.0], abs=1e-4)
    assert model.base_model.__dict__.get("forward") is None  # nothing of ours is left in it


def test_the_trunk_runs_once_for_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama_tied").eval()
    calls = []
    model.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(passes, "LOGITS_AT_ONCE", 1)
    passes.summed_nats(model, ROWS[2:3], 0)
    assert len(calls) == 1


def test_entropy_and_log_probs_are_those_of_whole_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.ppo import arithmetic
    from trainer.ppo.rollouts import answer_log_probs

    model = tiny("llama_tied").eval()
    ids = torch.arange(24).view(2, 12)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        logits, expected = answer_log_probs(model, 5, 0.7, **inputs)
        monkeypatch.setattr(passes, "LOGITS_AT_ONCE", 64 * 3)
        log_probs, entropy = passes.answer_figures(model, 5, 0.7, **inputs)
    assert torch.allclose(log_probs, expected, atol=1e-6)
    assert torch.allclose(entropy, arithmetic.token_entropy(logits, 0.7), atol=1e-6)


def test_rows_longer_than_learned_positions_are_cut_and_their_continuations_end_there() -> None:
    model = tiny("gpt2").eval()
    assert context_length(model) == 96
    long = [number % 60 for number in range(150)]
    nats, tokens = passes.summed_nats(model, [(long, [0] + [1] * 149)], 0)
    assert tokens.tolist() == [95]
    assert float(nats) == pytest.approx(by_hand(model, long[:96], [0] + [1] * 95), abs=1e-3)
    written = passes.continuations(model, [long[:90], long[:96], [1, 2]], 40)
    assert len(written[0]) <= 6 and written[1] == [] and 0 < len(written[2]) <= 40


def test_a_pass_that_runs_out_of_memory_goes_on_with_half_as_many_rows() -> None:
    seen: list[list[int]] = []

    def apply(numbers: list[int]) -> None:
        if len(numbers) > 3:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: can't allocate memory")
        seen.append(numbers)

    in_batches([10] * 10, apply)
    assert sorted(number for numbers in seen for number in numbers) == list(range(10))
    assert max(map(len, seen)) <= 3
    assert BUDGET.tokens < BUDGET.usual  # the next pass begins where this one ended


def test_a_single_row_that_does_not_fit_is_said_to_be_one_that_was_measured() -> None:
    def apply(numbers: list[int]) -> None:
        raise MemoryError

    with pytest.raises(OutOfMemory, match="one sequence of 7 tokens was measured separately") as caught:
        in_batches([7, 3], apply)
    assert "context" not in caught.value.message and caught.value.remedy


def test_another_error_is_not_taken_for_lack_of_memory() -> None:
    def apply(numbers: list[int]) -> None:
        raise IndexError("index out of range in self")

    with pytest.raises(IndexError):
        in_batches([7, 3], apply)


def test_long_rows_share_a_pass_with_fewer_others() -> None:
    seen: list[list[int]] = []
    BUDGET.tokens = 100
    in_batches([90, 10, 10, 10, 60], seen.append)
    assert seen == [[0], [4], [3, 2, 1]]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "modernbert"])
def test_masked_tokens_are_guessed_as_by_whole_logits(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoConfig, AutoModelForMaskedLM

    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, vocab_size=64, max_position_embeddings=34, pad_token_id=1, **sizes)
    model = AutoModelForMaskedLM.from_config(config).eval()
    ids = torch.arange(4, 24).view(2, 10)
    is_asked = torch.zeros(2, 10, dtype=torch.bool)
    is_asked[0, [2, 7]] = is_asked[1, 3] = True
    monkeypatch.setattr(passes, "LOGITS_AT_ONCE", 128)
    with passes.measuring(model):
        found = dict.fromkeys(range(3), torch.empty(0))
        for some, logits in passes.masked_logits(model, is_asked, input_ids=ids):
            assert len(logits) <= 2
            found |= dict(zip(some.tolist(), logits, strict=True))
        whole = model(input_ids=ids).logits[is_asked]
    assert torch.allclose(torch.stack(list(found.values())), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "expected"), [("roberta", 32), ("xlm-roberta", 32), ("camembert", 32), ("mpnet", 32), ("bert", 34)]
)
def test_an_encoder_whose_positions_begin_behind_its_padding_reads_so_many_tokens_fewer(
    model_type: str, expected: int
) -> None:
    from transformers import AutoConfig, AutoModelForTokenClassification

    from trainer.modeling.encoders import logits_of, room

    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model(model_type, vocab_size=64, max_position_embeddings=34, pad_token_id=1, **sizes)
    model = AutoModelForTokenClassification.from_config(config).eval()
    assert room(model, 512) == expected
    [logits] = logits_of(model, [[5] * expected], 1)
    assert len(logits) == expected
