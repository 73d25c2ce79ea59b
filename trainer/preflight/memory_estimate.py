"""What a run is going to need of memory, by formula, before anything is loaded; and what this machine has.

Weights, gradients and Adam's moments are counted exactly. Activations are counted per token for a transformer without
recomputation, in float32: 18 hidden and 6 intermediate vectors a layer are kept for the backward, and 4 vectors over
the vocabulary around the loss; a quarter more with adapters. docs/trainer.md compares it with the peak of real steps.
"""

from __future__ import annotations

import json
import resource
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.configs.encoders import EncoderShape
from trainer.configs.online import PPOConfig
from trainer.configs.stages import PretrainConfig, RewardConfig

if TYPE_CHECKING:
    from trainer.configs.setting import LoRA

from trainer.stages import STAGES

FLOAT = 4  # bytes
HIDDEN_KEPT, INTERMEDIATE_KEPT, LOGITS_KEPT = 18, 6, 4
HIDDEN_HELD, INTERMEDIATE_HELD, LOGITS_HELD = 6, 3, 3  # of one layer, where nothing is kept for a backward
CHUNK = 2**24  # logits at once, as in `passes`, which needs torch
ADAPTED = 1.25  # of the activations, where adapters run beside the layers
LIBRARIES = 600 * 2**20  # torch, transformers and TRL, loaded; bytes


@dataclass(frozen=True)
class Shape:
    """Of one transformer: parameters in all, and what an activation is as large as."""

    parameters: int
    hidden: int
    intermediate: int
    layers: int
    vocabulary: int
    context: int


@dataclass(frozen=True)
class Estimate:
    """Bytes by what they hold, with what was assumed of the rows.

    Attributes:
        weights: of every model held, frozen ones too. gradients, optimizer: of what is trained.
        activations: of `sequences` of `length` tokens at once. libraries: the code itself.
        states: what PPO's critic of a few layers holds of a rollout.
        passes: what measuring takes beyond what learning holds, which it has let go by then.
        parameters, trained: of the model that is trained.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int
    libraries: int
    states: int
    passes: int
    sequences: int
    length: int
    parameters: int
    trained: int

    @property
    def total(self) -> int:
        learning = self.weights + self.gradients + self.optimiser + self.activations + self.libraries
        return learning + self.states + self.passes

    def as_json(self) -> dict[str, int]:
        return {**asdict(self), "total": self.total}


def estimate(
    stage: str, config: object, paths: Mapping[str, Path], length: int | None = None, rows: int = 0
) -> Estimate:
    """What `stage` needs with this config on these inputs.

    Args:
        length: tokens of the longest sequence; by default as long as the config allows.
        rows: at once; by default the config's.
    """
    from trainer.run.microbatching import Budget, rows_at_once

    base = paths.get("base_model")
    shape = shape_of(base) if base is not None else shape_from_scratch(config, paths.get("tokenizer"))
    held = [shape.parameters]
    lora = getattr(config, "lora", None)
    trained = shape.parameters if lora is None else adapter_parameters(shape, lora)
    row = STAGES[stage]
    references = row.references
    if row.samples and lora is None:
        references += 1  # ours is the policy without its adapters, where it has some
    held += [shape.parameters] * references
    for name in ("reward_model", "guard", "incumbent", "reference", "pretrained"):
        if name in paths:
            held.append(shape_of(paths[name]).parameters)
    if isinstance(config, PPOConfig):
        judge = shape_of(paths["reward_model"]) if "reward_model" in paths else shape  # made from such a policy
        critic = critic_parameters(config, judge)
        held.append(critic)
        if lora is None:
            trained += critic
        else:
            trained += int(critic_share(config, judge.layers) * adapter_parameters(judge, lora))
    sequences = (rows or rows_at_once(stage, config)) * row.sequences
    length = min(length or longest(config, shape), shape.context)
    per_token = shape.layers * (HIDDEN_KEPT * shape.hidden + INTERMEDIATE_KEPT * shape.intermediate)
    vocabulary = LOGITS_KEPT * shape.vocabulary
    if row.small_head:
        vocabulary = 0
    learns = row.trains
    if not learns:
        per_token //= max(shape.layers, 1)  # nothing is kept for a backward
    if isinstance(config, PPOConfig):
        per_token = int(per_token * (1 + critic_share(config, judge.layers)))
    if lora is not None:
        per_token = int(per_token * ADAPTED)
    activations = FLOAT * sequences * length * (per_token + vocabulary)
    if not learns:
        trained = 0
    gradients, optimiser = FLOAT * trained, 2 * FLOAT * trained
    states = 0
    if isinstance(config, PPOConfig) and config.critic == "top":
        states = FLOAT * (rows or config.rollout_batch) * length * judge.hidden
    tokens = length
    if rows != 1:
        tokens = max(length, Budget.usual)
    measuring = pass_activations(shape, tokens)
    released = gradients + activations
    if (
        isinstance(config, RewardConfig) and config.normalise_samples
    ):  # the base policy writes what the reward is scaled on
        measuring, released = measuring + FLOAT * shape.parameters, released + optimiser
    passes = 0
    if learns:
        passes = max(0, measuring - released)
    return Estimate(
        weights=FLOAT * sum(held),
        gradients=gradients,
        optimiser=optimiser,
        activations=activations,
        libraries=LIBRARIES,
        states=states,
        passes=passes,
        sequences=sequences,
        length=length,
        parameters=shape.parameters,
        trained=trained,
    )


def pass_activations(shape: Shape, tokens: int) -> int:
    """Bytes of a forward of so many tokens that keeps nothing for a backward, with its cache and a chunk of logits."""
    each = HIDDEN_HELD * shape.hidden + INTERMEDIATE_HELD * shape.intermediate + 2 * shape.layers * shape.hidden
    return FLOAT * (tokens * each + LOGITS_HELD * min(tokens * shape.vocabulary, CHUNK))


def critic_share(config: PPOConfig, layers: int) -> float:
    """How much of a reward model of so many layers learns as PPO's critic, 0 to 1."""
    top = config.critic_layers or max(1, layers // 4)  # as critics.learning_layers, which needs torch
    return {"separate": 1.0, "top": min(1.0, top / max(layers, 1)), "shared": 0.0}[config.critic]


def critic_parameters(config: PPOConfig, judge: Shape) -> int:
    """Numbers in PPO's critic that are not the reward model's or the policy's own."""
    if config.critic == "separate":
        return judge.parameters
    return int(critic_share(config, judge.layers) * (judge.parameters - judge.vocabulary * judge.hidden))


def longest(config: object, shape: Shape) -> int:
    """Tokens of the longest sequence that the config lets through."""
    if isinstance(config, PretrainConfig):
        return config.block_size
    return int(getattr(config, "max_length", shape.context))


def shape_of(folder: Path) -> Shape:
    """The shape of a model folder, from config.json and the headers of its weights; nothing is loaded."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    hidden = int(config.get("hidden_size") or config.get("n_embd") or config.get("d_model") or 0)
    return Shape(
        parameters=parameters_of(folder),
        hidden=hidden,
        intermediate=int(config.get("intermediate_size") or config.get("n_inner") or 4 * hidden),
        layers=int(config.get("num_hidden_layers") or config.get("n_layer") or 1),
        vocabulary=int(config.get("vocab_size") or 0),
        context=int(config.get("max_position_embeddings") or config.get("n_positions") or 2**31),
    )


def parameters_of(folder: Path) -> int:
    """Numbers in all safetensors files of a folder, read from their headers."""
    count = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as weights:
            header = json.loads(weights.read(struct.unpack("<Q", weights.read(8))[0]))
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for side in tensor["shape"]:
                    size *= side
                count += size
    return count


def shape_from_scratch(config: object, tokenizer: Path | None) -> Shape:
    """The shape that a stage's config describes, with the tokenizer's vocabulary and tied embeddings."""
    if not isinstance(config, EncoderShape | PretrainConfig):
        raise ValueError("this stage makes no transformer from scratch")
    vocabulary = vocabulary_of(tokenizer) if tokenizer is not None else 0
    h, i = config.hidden_size, config.intermediate_size
    a_layer = 4 * h * h + 3 * h * i + 2 * h
    return Shape(vocabulary * h + config.layers * a_layer + h, h, i, config.layers, vocabulary, config.context_length)


def vocabulary_of(folder: Path) -> int:
    """Tokens of the tokenizer in a folder, those added by hand included."""
    described = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = described["model"].get("vocab") or ()
    if isinstance(pieces, list):  # Unigram's pieces stand with their likelihoods
        pieces = [piece for piece, _ in pieces]
    names = set(pieces)
    return len(names | {added["content"] for added in described.get("added_tokens", ())})


def adapter_parameters(shape: Shape, lora: LoRA) -> int:
    """Numbers in the adapters of every linear layer of a Llama-shaped model; fewer where `targets` names some."""
    a_layer = 4 * 2 * shape.hidden + 3 * (shape.hidden + shape.intermediate)
    return int(lora.r * a_layer * shape.layers)


def free_memory() -> tuple[int, str]:
    """Bytes that a run can still take, and where: on the first device, or on this machine."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0]), torch.cuda.get_device_name(0)
    return free_host_memory(), "this machine"


def free_host_memory() -> int:
    """What the machine has left, or less if this process or its container may take less. Bytes."""
    least = []
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            least.append(int(line.split()[1]) * 1024)
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        least.append(limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    group = Path("/sys/fs/cgroup")
    try:
        allowed = int((group / "memory.max").read_text())
        taken = int((group / "memory.current").read_text())
        least.append(allowed - taken)
    except (OSError, ValueError):
        pass  # no limit
    return max(0, min(least, default=0))


def size(count: float) -> str:
    """Bytes for people."""
    for unit, digits in (("B", 0), ("KiB", 0), ("MiB", 1), ("GiB", 1)):
        if count < 1024:
            return f"{count:.{digits}f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def too_large(stage: str, config: object, paths: Mapping[str, Path]) -> str:
    """What to do where not even a single row fits, with what it would take."""
    try:
        need = estimate(stage, config, paths, rows=1)
    except (OSError, ValueError, KeyError, AttributeError):
        return "Use a machine with more memory, or train on less at once."
    have, where = free_memory()
    if need.total <= have:
        return (
            f"One row needs about {size(need.total)} by estimate, and {where} has {size(have)} free "
            "now. Another process may have used memory: retry later, or use shorter texts "
            "(max_length), LoRA, or a smaller base model."
        )
    parts = {"weights": need.weights, "gradients": need.gradients, "optimiser": need.optimiser}
    parts |= {"activations of one row": need.activations, "libraries": need.libraries}
    listed = ", ".join(f"{name} {size(count)}" for name, count in parts.items())
    return (
        f"About {size(need.total)} are needed: {listed}; {where} has {size(have)} free. "
        "Use a smaller base model, shorter texts (max_length) or lora, or a larger machine."
    )
