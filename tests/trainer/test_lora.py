"""Adapters alone learn, the base stays as it was, and what is saved is whole: base and adapters in one."""

# ruff: noqa: F811 - a fixture of another file is imported by its name

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from micro import ONCE, MakeRun, forked, progress, weights
from test_ppo_run import sft_folder  # noqa: F401
from transformers import Trainer

from trainer.configs import parsing
from trainer.configs.setting import LoRA
from trainer.errors import ConfigInvalid
from trainer.modeling.loading import load_policy, save_model
from trainer.modeling.lora import adapt, adapters, frozen_reference, merge

RunHere = Callable[[Path], dict[str, Any]]
ADAPTED = {"lora": {"r": 4, "alpha": 8}, "learning_rate": 0.02}
SLOWER = {"kto": {"learning_rate": 0.004}, "grpo": {"learning_rate": 0.005}}
CONFIGS: dict[str, dict[str, Any]] = {
    "sft": {"epochs": 6, "batch_size": 4, "evaluations": 2, "samples": 0},
    "reward": {**ONCE, "epochs": 8, "batch_size": 8, "evaluations": 2, "normalise_samples": 8},
    "dpo": {"epochs": 2, "batch_size": 8, "evaluations": 2, "samples": 0},
    "kto": {"epochs": 2, "batch_size": 8, "evaluations": 2, "samples": 0},
    "rloo": {
        "steps": 12,
        "batch_size": 16,
        "max_new_tokens": 16,
        "evaluations": 3,
        "samples": 0,
        "beta": 0.001,
        "stop_on_alarm": False,
    },
    "grpo": {
        "steps": 12,
        "batch_size": 16,
        "max_new_tokens": 16,
        "evaluations": 3,
        "samples": 0,
        "beta": 0.001,
        "stop_on_alarm": False,
    },
    "ppo": {
        "iterations": 10,
        "rollout_batch": 32,
        "max_new_tokens": 16,
        "evaluate_every": 5,
        "kl_budget": 0,
        "stop_on_alarm": False,
    },
}
BETTER = {"rloo": "selection_cost", "grpo": "selection_cost"}


@pytest.mark.parametrize("stage", CONFIGS)
def test_only_adapters_learn_and_the_model_that_is_saved_is_whole(
    stage: str,
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    sft_folder: Path,
    reward_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained: set[str] = set()
    train = Trainer.train

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        trained.update(name for name, weight in self.model.named_parameters() if weight.requires_grad)
        groups = self.create_optimizer().param_groups
        assert all(weight.requires_grad for group in groups for weight in group["params"])
        return train(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "train", watched)
    inputs = {"snapshot": feedback, "base_model": sft_folder}
    inputs |= {"reward_model": reward_folder} if stage in ("rloo", "grpo", "ppo") else {}
    folder = make_run(stage, inputs, CONFIGS[stage] | ADAPTED | SLOWER.get(stage, {}))
    run_here(folder)

    assert trained and all(
        "lora_" in name or name in ("score.weight", "critic.head.weight", "critic.head.bias") for name in trained
    )
    one, other = weights(sft_folder), weights(folder / "model")
    kept = {name.replace("score.weight", "lm_head.weight") for name in other}
    assert kept >= one.keys() - {"lm_head.weight"}
    assert not any("lora" in name or "base_layer" in name for name in other)
    moved = {name for name in one.keys() & other.keys() if not torch.equal(one[name], other[name])}
    assert moved and all("_proj" in name for name in moved)  # the embeddings and norms are not adapted

    name = BETTER.get(stage, "reward" if stage == "ppo" else "selection_loss")
    seen = [line["metrics"][name] for line in progress(folder, "metrics") if name in line["metrics"]]
    slack = 1e-3 if stage in BETTER else 0.0  # these are at their best by the first look already
    assert (seen[-1] > seen[0]) if stage == "ppo" else (seen[-1] < seen[0] + slack), seen


def test_merged_weights_compute_what_base_and_adapters_do(base_folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    model: Any = load_policy(base_folder, tokenizer)
    ids = torch.arange(12).reshape(2, 6) + 20
    with torch.no_grad():
        before = model(input_ids=ids).logits
    adapt(model, LoRA(r=2, alpha=4))
    reference = frozen_reference(model)
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, before)  # B is zero at first
        for _, layer in adapters(model):
            cast(torch.nn.Linear, cast(torch.nn.ModuleDict, layer.lora_B)["default"]).weight.normal_(std=0.3)
        adapted = model(input_ids=ids).logits
        assert torch.equal(reference(input_ids=ids).logits, before)
        assert torch.equal(model(input_ids=ids).logits, adapted)
        assert list(reference.parameters()) == []
        save_model(tmp_path, model, tokenizer)
        loaded: Any = load_policy(tmp_path, tokenizer)
        merged = loaded(input_ids=ids).logits
    assert float((adapted - before).abs().max()) > 0.1
    assert float((merged - adapted).abs().max()) < 1e-5
    assert adapters(model) == [] and not hasattr(model, "peft_config")
    merge(model)  # an ordinary model stays as it is
    assert {path.name for path in tmp_path.glob("adapter*")} == set()


def test_targets_are_the_layers_that_get_an_adapter(base_folder: Path, tokenizer: Any) -> None:
    model: Any = adapt(load_policy(base_folder, tokenizer), LoRA(r=1, targets="q_proj v_proj"))
    assert {name.rpartition(".")[2] for name, _ in adapters(model)} == {"q_proj", "v_proj"}
    with pytest.raises(ConfigInvalid, match=r"lora\.targets.*quite_wrong"):
        adapt(load_policy(base_folder, tokenizer), LoRA(targets="quite_wrong"))
    with pytest.raises(ConfigInvalid, match=r"sft\.lora: rank"):
        parsing.parse("sft", {"lora": {"rank": 8}})
    with pytest.raises(ConfigInvalid, match=r"sft\.lora\.r"):
        parsing.parse("sft", {"lora": {"r": 0}})
    assert parsing.parse("sft", {"lora": {}}).lora == LoRA() and parsing.parse("sft", {}).lora is None


def test_an_adapted_run_that_was_killed_goes_on_exactly(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path
) -> None:
    from test_resume import die_at_step

    settings = CONFIGS["sft"] | ADAPTED | {"checkpoint_steps": 4}
    inputs = {"snapshot": feedback, "base_model": base_folder}
    unbroken, killed = (
        make_run("sft", inputs, settings, name="unbroken"),
        make_run("sft", inputs, settings, name="killed"),
    )
    run_here(unbroken)
    assert forked(killed, die_at_step(7)) == -9
    run_here(killed)
    one, other = weights(unbroken / "model"), weights(killed / "model")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stage", ["sft", "ppo"])
def test_bf16_learns_too_and_hands_back_float32(
    stage: str, make_run: MakeRun, run_here: RunHere, feedback: Path, sft_folder: Path, reward_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": sft_folder}
    inputs |= {"reward_model": reward_folder} if stage == "ppo" else {}
    rate = 0.003 if stage == "ppo" else 0.01
    folder = make_run(stage, inputs, CONFIGS[stage] | {"precision": "bf16", "learning_rate": rate})
    run_here(folder)
    name = "reward" if stage == "ppo" else "selection_loss"
    seen = [line["metrics"][name] for line in progress(folder, "metrics") if name in line["metrics"]]
    assert (seen[-1] > seen[0]) if stage == "ppo" else (seen[-1] < seen[0]), seen
    assert {weight.dtype for weight in weights(folder / "model").values()} == {torch.float32}


def test_an_encoder_is_adapted_with_its_new_head_in_full(
    make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, tmp_path: Path
) -> None:
    from test_resume import CONFIGS as WHOLE
    from test_resume import labeled

    from trainer.modeling.encoders import load_encoder_tokenizer, make_encoder

    shape: Any = parsing.parse("classify", {key: WHOLE["classify"][key] for key in ("hidden_size", "layers", "heads")})
    tokenizer = load_encoder_tokenizer(tokenizer_folder)
    torch.manual_seed(0)
    base = tmp_path / "encoder"
    save_model(base, make_encoder("MaskedLM", None, shape, tokenizer), tokenizer)
    settings = WHOLE["classify"] | {"epochs": 8, "lora": {"r": 4}, "learning_rate": 0.02}
    inputs = {"snapshot": labeled(tmp_path / "s"), "base_model": base}
    folder = make_run("classify", inputs, settings)
    run_here(folder)
    one, other = weights(base), weights(folder / "model")
    moved = {name for name in one.keys() & other.keys() if "layers" in name and not torch.equal(one[name], other[name])}
    assert moved and not any("norm" in name or "embed" in name for name in moved)
    assert not any("lora" in name for name in other)
    seen = [
        line["metrics"]["selection_loss"] for line in progress(folder, "metrics") if "selection_loss" in line["metrics"]
    ]
    assert seen[-1] < seen[0]
    scratch = {"snapshot": tmp_path / "s", "tokenizer": tokenizer_folder}
    with pytest.raises(ConfigInvalid, match="needs a base model"):
        run_here(make_run("classify", scratch, settings, name="scratch"))
