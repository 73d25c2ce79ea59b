"""Three ways to foresee the reward to come, and how a critic stands in the policy's forward.

| critic | learns | reads | costs a step |
|---|---|---|---|
| `TopCritic` | the reward model's last layers | what the frozen others made of the rollout, once | these layers |
| `Critic` | a whole copy of the reward model | the tokens | as much as the policy |
| `ValueHead` | a head | the policy's own states | next to nothing |
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from trainer.ppo import arithmetic
from trainer.ppo.rollouts import answer_log_probs

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutput
    from transformers.utils import ModelOutput

    from trainer.configs.online import PPOConfig
    from trainer.modeling.reward_scoring import RewardModel


class Unsplittable(ValueError):
    """A trunk whose last layers cannot be called by themselves."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__(f"a {type(trunk).__name__} cannot be entered in the middle of its layers")


class Critic(nn.Module):
    """A value for every position: a reward model's trunk with its scalar head read at each token.

    The head starts as the reward model's (the mean of several), centered and scaled with the same constants, so that
    before any training the value of a finished text is its reward times `weight`.
    """

    rate = 1.0  # its learning rate, in those of the policy, unless the config says otherwise

    def __init__(self, reward_model: PreTrainedModel, mean: float = 0.0, std: float = 1.0, weight: float = 1.0) -> None:
        super().__init__()
        self.trunk = cast("PreTrainedModel", reward_model.base_model)
        score = cast(nn.Linear, reward_model.score)
        self.head = nn.Linear(score.in_features, 1, device=score.weight.device)
        with torch.no_grad():
            bias = score.bias if score.bias is not None else torch.zeros(1)
            self.head.weight.copy_(weight * score.weight.mean(dim=0, keepdim=True) / std)
            self.head.bias.copy_(weight * (bias.mean() - mean) / std)

    def read(self, **inputs: Tensor) -> Tensor | None:
        """States (b, p + c, hidden) to be held through a rollout and given back to `forward`; None where none are."""
        return None

    def forward(self, answer_length: int, states: Tensor | None = None, **inputs: Tensor) -> Tensor:
        """Values (b, c) of the states before each of the last `answer_length` tokens."""
        hidden = self.trunk(**inputs, use_cache=False).last_hidden_state
        values: Tensor = self.head(hidden[:, -answer_length - 1 : -1]).squeeze(-1).float()
        return values


class TopCritic(Critic):
    """As `Critic`, but only the last layers of the trunk learn, on states that the frozen rest makes once a rollout.

    So an optimizer step costs these layers, and gradients and moments are held for them alone. The reward model itself
    is not changed and may be the one that scores.

    Args:
        layers: how many learn, >= 1; all of them where the trunk has no more.

    Raises:
        Unsplittable: the trunk cannot be entered in its middle, or gives something else there.
    """

    rate = 5.0  # few layers catch up with a whole trunk only by learning faster: table in docs/results.md

    def __init__(
        self,
        reward_model: PreTrainedModel,
        mean: float = 0.0,
        std: float = 1.0,
        weight: float = 1.0,
        layers: int = 1,
    ) -> None:
        super().__init__(reward_model, mean, std, weight)
        whole = self.trunk
        if not isinstance(getattr(whole, "layers", None), nn.ModuleList):
            raise Unsplittable(whole)
        self.entry = max(0, len(layers_of(whole)) - layers)  # the first layer that learns
        self.whole = (whole,)  # in a tuple, where torch does not look for modules: it is held, not trained
        self.trunk = last_layers(whole, self.entry)
        self.check_split()

    @torch.no_grad()
    def read(self, **inputs: Tensor) -> Tensor:
        """States (b, p + c, hidden) that enter the layers that learn."""
        entering: list[Tensor] = []

        def keep(layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
            entering.append(args[0] if args else kwargs["hidden_states"])

        hook = layers_of(self.whole[0])[self.entry].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            self.whole[0](**inputs, use_cache=False)
        finally:
            hook.remove()
        return entering[0]

    def forward(self, answer_length: int, states: Tensor | None = None, **inputs: Tensor) -> Tensor:
        """Values (b, c) of the states before each of the last `answer_length` tokens, from what `read` gave."""
        entering = self.read(**inputs) if states is None else states
        rest = {name: value for name, value in inputs.items() if name != "input_ids"}
        return super().forward(answer_length, inputs_embeds=entering, **rest)

    @torch.no_grad()
    def check_split(self) -> None:
        """Families may scale what enters their layers, or count layers by number: refused rather than learned wrong."""
        device = self.head.weight.device
        ids = torch.arange(1, 5, device=device).unsqueeze(0)
        inputs = {"attention_mask": torch.ones_like(ids), "position_ids": torch.arange(4, device=device).unsqueeze(0)}
        expected = self.whole[0](input_ids=ids, **inputs, use_cache=False).last_hidden_state
        entering = self.read(input_ids=ids, **inputs)
        got = self.trunk(inputs_embeds=entering, **inputs, use_cache=False).last_hidden_state
        if not torch.allclose(got, expected, rtol=1e-3, atol=1e-3):
            raise Unsplittable(self.whole[0])


class ValueHead(nn.Module):
    """A value for every position read from the policy's own hidden states: one trunk and one pass for both.

    The cheapest, but it knows nothing before the first rollout: the head starts at zero, the mean of the centered
    reward, and the policy's states have to learn what rewards depend on.
    """

    rate = 20.0

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.head = nn.Linear(policy.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.hidden: Tensor | None = None
        # A hook, since a forward that computes only some logits does not return what it computed them from.
        self.hook = policy.base_model.register_forward_hook(self.keep)

    def keep(self, trunk: nn.Module, given: object, outputs: BaseModelOutput) -> None:
        """Hold what the trunk has just computed, until the values are read from it."""
        self.hidden = outputs.last_hidden_state

    def read(self, **inputs: Tensor) -> Tensor | None:
        """Nothing is held: the policy's states change with every step."""
        return None

    def forward(self, answer_length: int, states: Tensor | None = None, **inputs: Tensor) -> Tensor:
        """Values (b, c) of the states before each of the last `answer_length` tokens of the policy's last forward."""
        hidden, self.hidden = self.hidden, None
        assert hidden is not None
        values: Tensor = self.head(hidden[:, -answer_length - 1 : -1]).squeeze(-1).float()
        return values


def make_critic(
    config: PPOConfig, policy: PreTrainedModel, reward: RewardModel, tell: Callable[[str], None] = print
) -> Critic | ValueHead:
    """The critic that a config names, ready to learn; `reward` is left as it is.

    A reward model that cannot be split gets a critic that is a whole copy of it, and `tell` hears of it: a chain should
    not end in its last stage for what only costs time.

    Raises:
        ConfigInvalid: see `lora.adapt`.
    """
    from trainer.modeling.lora import adapt

    if config.critic == "shared":
        return ValueHead(policy)
    weight = config.terms.model.weight if config.terms.model else 0.0
    constants = (reward.mean + float(reward.offsets.mean()), reward.std, weight)
    critic: Critic | None = None
    if config.critic == "top":
        try:
            depth = int(reward.model.config.get_text_config().num_hidden_layers)
            critic = TopCritic(reward.model, *constants, layers=learning_layers(config, depth))
        except Unsplittable as unsplittable:
            tell(f"{unsplittable}: its critic is a whole copy of it")
    critic = critic or Critic(copy.deepcopy(reward.model), *constants)
    critic.requires_grad_(True)
    adapt(critic.trunk, config.lora)
    return critic


def learning_layers(config: PPOConfig, depth: int) -> int:
    """Layers that learn in the critic `top` of a reward model of so many."""
    return config.critic_layers or max(1, depth // 4)


def layers_of(trunk: PreTrainedModel) -> nn.ModuleList:
    return cast(nn.ModuleList, trunk.layers)


def last_layers(trunk: PreTrainedModel, entry: int) -> PreTrainedModel:
    """A copy of a trunk without its embeddings and the layers before number `entry`, to be called on hidden states."""
    left_behind = [*layers_of(trunk)[:entry], trunk.get_input_embeddings()]
    top = copy.deepcopy(trunk, {id(module): None for module in left_behind})
    top.layers = nn.ModuleList(list(layers_of(top))[entry:])
    top.config.num_hidden_layers = len(top.layers)
    if getattr(top.config, "layer_types", None):
        top.config.layer_types = top.config.layer_types[entry:]
    return top


def add_critic(policy: PreTrainedModel, critic: Critic | ValueHead, temperature: float) -> None:
    """Let one call of the policy's forward return log-probs and values: DDP synchronizes what its forward touched.

    With `answer_length=C` the forward returns (log_probs, values, entropy or None), each (b, C); `states` is what the
    critic has read of these rows, if anything. Without, it is as it was, so generation and saving see an ordinary
    model with one more submodule.
    """
    policy.add_module("critic", critic)
    ordinary = policy.forward

    def forward(
        self: PreTrainedModel,
        *args: object,
        answer_length: int = 0,
        with_entropy: bool = False,
        states: Tensor | None = None,
        **kwargs: Tensor,
    ) -> ModelOutput | tuple[Tensor, Tensor, Tensor | None]:
        if not answer_length:
            return ordinary(*args, **kwargs)
        logits, log_probs = answer_log_probs(ordinary, answer_length, temperature, **kwargs)
        entropy = arithmetic.token_entropy(logits, temperature) if with_entropy else None
        return log_probs, critic(answer_length, states, **kwargs), entropy

    policy.forward = MethodType(forward, policy)


def remove_critic(policy: PreTrainedModel) -> None:
    """Undo `add_critic` and TRL's patch, so that what is saved is the policy alone."""
    if isinstance(policy.critic, ValueHead):
        policy.critic.hook.remove()
    del policy.critic
    del policy.forward  # the instance's patches; the class's own forward is below them
