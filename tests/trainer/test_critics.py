"""A critic made from a reward model of whatever family: split where its layers can be entered, else copied whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from trainer.configs.online import PPOConfig
from trainer.modeling.loading import load_policy
from trainer.modeling.reward_model import RewardModel
from trainer.ppo import critics
from trainer.ppo.critics import Critic, TopCritic, Unsplittable, make_critic


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral", "gemma2", "gpt2"])
def test_16_a_reward_model_is_split_into_equal_values_or_copied_whole(
    family: str, base_folder: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPT-2 would add positions to what enters in the middle; whatever gives other values there is not split either."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 32, "pad_token_id": 0}
    more = {"n_inner": 16} if family == "gpt2" else {"intermediate_size": 16, "num_key_value_heads": 2, "head_dim": 8}
    shape = AutoConfig.for_model(family, **sizes, **more, num_labels=1, bos_token_id=1, eos_token_id=1)
    model = AutoModelForSequenceClassification.from_config(shape).eval()
    if family == "gpt2":
        told: list[str] = []
        critic = make_critic(
            PPOConfig(critic="top"), load_policy(base_folder, tokenizer), RewardModel(model, tokenizer), told.append
        )
        assert told == ["a GPT2Model cannot be entered in the middle of its layers: its critic is a whole copy of it"]
        assert type(critic) is Critic and critic.trunk is not model.base_model
        return
    critic = TopCritic(model, layers=2)
    trunk, whole = cast(Any, critic.trunk), cast(Any, model.base_model)
    assert len(trunk.layers) == 2 and len(whole.layers) == 3
    ids = torch.tensor([[3, 4, 5, 6, 7]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "position_ids": torch.arange(5).unsqueeze(0)}
    with torch.no_grad():
        expected = model.score(model.base_model(**given).last_hidden_state)[:, 1:-1, 0]
        torch.testing.assert_close(critic(3, **given), expected, atol=1e-5, rtol=1e-5)
    split = critics.last_layers
    monkeypatch.setattr(critics, "last_layers", lambda trunk, entry: split(trunk, entry - 1))
    with pytest.raises(Unsplittable, match="cannot be entered"):
        TopCritic(model)
