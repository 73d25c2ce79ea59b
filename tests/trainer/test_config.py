"""A wrong key or value is refused by name before anything is loaded."""

from __future__ import annotations

import dataclasses
import json

import pytest
from trl import GRPOConfig, RLOOConfig

from trainer.configs import parsing
from trainer.errors import ConfigInvalid
from trainer.ppo.rollouts import generation_arguments
from trainer.stages import STAGES


def test_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(ConfigInvalid, match="epoch") as caught:
        parsing.parse("sft", {"epoch": 3})
    assert "epochs" in caught.value.remedy


@pytest.mark.parametrize(
    ("stage", "values", "says"),
    [
        ("sft", {"learning_rate": 0}, "greater than 0"),
        ("sft", {"learning_rate": float("nan")}, "finite"),
        ("sft", {"batch_size": 0}, "at least 1"),
        ("sft", {"batch_size": 8.0}, "must be int"),
        ("sft", {"batch_size": True}, "must be int"),
        ("sft", {"choose_best": 1}, "must be bool"),
        ("ppo", {"gamma": 1.5}, "at most 1"),
        ("evaluate", {"split": "train"}, "one of test, selection"),
        ("pretrain", {"hidden_size": 30, "heads": 4}, "multiple of"),
        ("pretrain", {"block_size": 512, "context_length": 256}, "at most"),
    ],
)
def test_value_out_of_range_is_refused_by_name(stage: str, values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says) as caught:
        parsing.parse(stage, values)
    assert f"{stage}.{next(iter(values))}" in caught.value.message


def test_whole_number_is_taken_for_a_float() -> None:
    parsed = parsing.parse("sft", {"epochs": 2})
    assert parsed.epochs == 2.0
    assert isinstance(parsed.epochs, float)


def test_unknown_stage_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="sfft"):
        parsing.parse("sfft", {})


def test_config_cannot_be_changed_once_parsed() -> None:
    parsed = parsing.parse("reward", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed.epochs = 1


def test_own_values_stand_before_those_of_a_preset() -> None:
    preset = parsing.parse("sft", {"preset": "tiny"})
    mine = parsing.parse("sft", {"preset": "tiny", "batch_size": 7})
    assert mine.batch_size == 7
    assert mine.learning_rate == preset.learning_rate


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="huge"):
        parsing.parse("sft", {"preset": "huge"})


@pytest.mark.parametrize("path", sorted(parsing.PRESETS.glob("*.json")), ids=lambda path: path.stem)
def test_every_preset_is_valid_and_names_its_sources(path: object) -> None:
    stages = json.loads(path.read_text())  # type: ignore[attr-defined]
    for stage, settings in stages.items():
        parsing.parse(stage, {"preset": path.stem})  # type: ignore[attr-defined]
        assert all(entry["source"] for entry in settings.values())


def test_every_setting_is_described() -> None:
    for config_type in (row.config for row in STAGES.values()):
        described = "".join(base.__doc__ or "" for base in config_type.__mro__)
        for field in dataclasses.fields(config_type):
            assert field.name in described, f"{config_type.__name__}.{field.name} is not in its docstring"


def test_vllm_where_it_is_not_installed_is_refused_with_what_to_do() -> None:
    """Not run by us: that TRL knows the arguments, and that nobody waits for a missing package, is all that is held."""
    assert generation_arguments("transformers") == {}
    with pytest.raises(ConfigInvalid, match="not installed") as refused:
        generation_arguments("vllm")
    assert "transformers" in refused.value.remedy
    known = {field.name for field in dataclasses.fields(RLOOConfig)} & {f.name for f in dataclasses.fields(GRPOConfig)}
    assert {"use_vllm", "vllm_mode"} <= known
