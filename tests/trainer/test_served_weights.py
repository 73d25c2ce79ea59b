"""What goes to another server before a rollout is what a saved model has: same names, same numbers, nothing beside."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from families import save_model
from micro import weights

from trainer.configs.online import PPOConfig
from trainer.configs.setting import LoRA
from trainer.modeling.loading import load_classifier, load_policy, load_tokenizer
from trainer.modeling.loading import save_model as save
from trainer.modeling.lora import adapt
from trainer.modeling.reward_model import RewardModel
from trainer.modeling.served_weights import serve_as_saved, served_weights
from trainer.ppo.critics import ValueHead, add_critic, make_critic, remove_critic
from trainer.preflight.adopt import adopt


@pytest.mark.parametrize("critic", ["top", "shared"])
@pytest.mark.parametrize("adapters", [False, True], ids=["whole", "lora"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "mixtral"])
def test_a_policy_in_training_is_served_as_it_would_be_saved(
    name: str, adapters: bool, critic: str, tmp_path: Path
) -> None:
    base = save_model(tmp_path / "base", name)
    adopt(base, "policy")
    tokenizer = load_tokenizer(base)
    torch.manual_seed(3)
    lora = LoRA(r=2) if adapters else None
    policy: Any = adapt(load_policy(base, tokenizer), lora)
    for parameter in policy.parameters():
        if parameter.requires_grad:  # as after some steps; adapters begin at zero
            parameter.data += 0.02 * torch.randn_like(parameter)
    reward = RewardModel(load_classifier(base, tokenizer), tokenizer)
    value = make_critic(PPOConfig(critic=critic), policy, reward, lambda text: None)
    add_critic(policy, value, 1.0)
    before = copy.deepcopy(policy.state_dict())
    served = dict(served_weights(policy))
    after = policy.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "the policy itself stays as it is"
    remove_critic(policy)
    save(tmp_path / "saved", policy, tokenizer)
    saved = weights(tmp_path / "saved")
    assert sorted(served) == sorted(saved)
    assert max(float((served[key] - saved[key]).abs().max()) for key in saved) < 1e-6
    assert isinstance(value, ValueHead) == (critic == "shared")


def test_a_trainer_that_samples_here_is_left_alone() -> None:
    policy: Any = torch.nn.Linear(1, 1)
    trainer: Any = SimpleNamespace(use_vllm=False)
    serve_as_saved(trainer, policy)
    assert vars(trainer) == {"use_vllm": False}
    there: Any = SimpleNamespace(use_vllm=True, vllm_generation=SimpleNamespace())
    serve_as_saved(there, policy)
    assert callable(there.vllm_generation._iter_named_params)
