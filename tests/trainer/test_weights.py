"""What is kept of a model in training comes back whole, in families whose published files have other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import FAMILIES, tiny

from trainer.errors import ModelCorrupt
from trainer.modeling.weights import differing, load_weights, own_weights, read_weights, write_weights


def disturbed(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_comes_back(family: str, tmp_path: Path) -> None:
    model = tiny(family)
    kept = {name: value.clone() for name, value in own_weights(model).items()}
    write_weights(tmp_path / "w", own_weights(model))
    disturbed(model)
    assert len(differing(own_weights(model), kept)) >= len(list(model.parameters()))
    load_weights(model, tmp_path / "w")
    assert differing(own_weights(model), kept) == []


@pytest.mark.parametrize("family", ["gpt_neox", "mixtral"])
def test_every_tensor_comes_back_with_adapters(family: str, tmp_path: Path) -> None:
    from trainer.configs.setting import LoRA
    from trainer.modeling.lora import adapt

    model = adapt(tiny(family), LoRA(r=2))
    kept = {name: value.clone() for name, value in own_weights(model).items()}
    assert any("lora_A" in name for name in kept)
    write_weights(tmp_path / "w", own_weights(model))
    load_weights(disturbed(model), tmp_path / "w")
    assert differing(own_weights(model), kept) == []


def test_a_tied_tensor_is_written_once_and_stays_tied(tmp_path: Path) -> None:
    model = tiny("llama_tied")
    write_weights(tmp_path / "w", own_weights(model))
    from safetensors.torch import load_file

    assert "lm_head.weight" not in load_file(tmp_path / "w")
    assert read_weights(tmp_path / "w").keys() == own_weights(model).keys()
    load_weights(model, tmp_path / "w")
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_views_of_one_tensor_are_written_apart(tmp_path: Path) -> None:
    whole = torch.arange(8.0)
    write_weights(tmp_path / "w", {"first": whole[:4], "second": whole[4:], "again": whole[4:]})
    back = read_weights(tmp_path / "w")
    assert back["first"].tolist() == [0, 1, 2, 3] and back["second"].tolist() == back["again"].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_a_file_that_does_not_fit_is_refused_and_nothing_is_loaded(change: str, tmp_path: Path) -> None:
    model = tiny("gpt_neox")
    kept = {name: value.clone() for name, value in own_weights(model).items()}
    wrong = dict(kept)
    name = next(iter(wrong))
    value = wrong.pop(name)
    if change == "unknown":
        wrong |= {name: value, "embed_out.weight": value.clone()}
    elif change == "shape":
        wrong[name] = value[:1].clone()
    write_weights(tmp_path / "w", wrong)
    with pytest.raises(ModelCorrupt, match="do not fit the model"):
        load_weights(model, tmp_path / "w")
    assert differing(own_weights(model), kept) == []


def test_a_part_that_is_not_kept_is_not_touched(tmp_path: Path) -> None:
    model = tiny("gpt_neox")
    model.critic = torch.nn.Linear(2, 1)
    write_weights(tmp_path / "w", own_weights(model, without="critic."))
    before = model.critic.weight.clone()
    load_weights(model, tmp_path / "w", without="critic.")
    assert torch.equal(model.critic.weight, before)
    with pytest.raises(ModelCorrupt, match="2 missing"):
        load_weights(model, tmp_path / "w")
