"""Learning from a reward model without a critic, on TRL's trainers: RLOO and GRPO, beside which PPO can be compared.

RLOO: Ahmadian et al. 2024, equation 6: a completion's baseline is the mean reward of the others of its prompt. GRPO:
Shao et al. 2024, section 4.1. Prompts go through the chat template as everywhere; the score is of the ids that were
sampled, a sum of terms, and fixed and low for a completion without an end, as in PPO. Each step is a rollout of its
own, so that a checkpoint never falls inside one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from trainer.configs.online import GRPOConfig
from trainer.data.columns import encode_prompts
from trainer.data.snapshot import Messages, open_snapshot
from trainer.errors import DataUnusable, NothingToLearn
from trainer.json_types import JsonObject
from trainer.metrics.naming import with_prefix
from trainer.modeling.chat_format import ends_of
from trainer.modeling.loading import load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt, frozen_reference
from trainer.modeling.passes import continuations, share_that_ends
from trainer.modeling.reward_scoring import Judge, Scores, load_terms
from trainer.modeling.sampling import end_flags
from trainer.modeling.served_weights import serve_as_saved
from trainer.ppo.alarms import FLAT_IN_A_ROW, Alarm, is_flat, of_first_rollout
from trainer.ppo.arithmetic import score_with_eos_rule
from trainer.ppo.rollouts import context_room, distinct_prompts, fitting_pairs, generation_arguments
from trainer.recipes.preference import completion_logps
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.loop import (
    Hook,
    common_arguments,
    plan_rows,
    prompt_sampler,
    restore_best,
    run_training,
    verify_best,
)
from trainer.run.run_trainer import RolloutTrainer
from trainer.run.seeds import seed_everything, stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState

    from trainer.configs.online import OnlineTraining

WATCHED_PROMPTS = 64


def run(context: RunContext) -> StageResult:
    """Improve the base model by the run's stage, `rloo` or `grpo`, and hand back a policy."""
    config, stage = context.config, context.stage
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    seed_everything(context.seed, stage)
    context.report.state("loading the policy, its reference and the reward model")
    model = adapt(load_policy(base, tokenizer), config.lora)
    reference = frozen_reference(model) if config.lora else load_policy(base, tokenizer).eval().requires_grad_(False)
    judge = load_terms(context.inputs, config.terms, tokenizer, stage)

    context.report.state("reading the prompts")
    snapshot = open_snapshot(context.inputs["snapshot"])
    room = context_room(model, config.max_new_tokens)
    all_prompts = distinct_prompts(snapshot, "train")
    prompts, _ = fitting_pairs(all_prompts, encode_prompts(tokenizer, all_prompts), room)
    if not prompts:
        raise DataUnusable(
            "The snapshot has no prompts to train on.", remedy="Collect prompts, or lower max_new_tokens."
        )
    watched = (distinct_prompts(snapshot, "selection") or prompts)[:WATCHED_PROMPTS]
    watched, watched_ids = fitting_pairs(watched, encode_prompts(tokenizer, watched), room)
    if not watched:
        watched_ids = encode_prompts(tokenizer, prompts[:1])
    shown = watched[: config.samples]

    def measure(model: PreTrainedModel) -> dict[str, float]:
        seed = stable_seed(context.seed, stage, "watch") % 2**32
        written = continuations(model, watched_ids, config.max_new_tokens, seed)
        rows = list(zip(watched_ids, written, strict=True))
        pad_id = tokenizer.pad_token_id
        judged = judge(watched_ids, written)
        reward = float(penalized(judged, written, ends_of(tokenizer), config).mean())
        kl = float((completion_logps(model, rows, pad_id) - completion_logps(reference, rows, pad_id)).mean())
        return {
            "selection_score": reward,
            "selection_kl": kl,
            "selection_cost": config.beta * kl - reward,
            "selection_length": sum(map(len, written)) / len(written),
            **with_prefix("selection", means(judged)),
        }

    hook = Hook(
        context,
        sample=prompt_sampler(tokenizer, shown, watched_ids[: len(shown)], config.max_new_tokens),
        measure=measure,
        evaluations=config.evaluations,
        better="selection_cost",
        choose_best=config.choose_best,
    )
    trainer = make_trainer(context, model, tokenizer, prompts, judge, hook)
    context.report.state("training")
    steps = run_training(trainer, context, hook)

    finalizer = RunFinalizer(context, model, tokenizer, steps)
    best = restore_best(finalizer, hook)
    finalizer.metrics |= {
        "steps": steps,
        "best_step": best or steps,
        "parameters": parameters(model),
        "train_prompts": len(prompts),
        "left_out": len(all_prompts) - len(prompts),
    }
    if config.lora is None:
        finalizer.save()
    verify_best(finalizer, hook, best)
    if config.lora is not None:  # saving merges the adapters, and without them there is no reference to measure KL to
        finalizer.save()
    finalizer.measure("eos_rate", lambda: {"eos_rate": share_that_ends(model, watched_ids, config.max_new_tokens)})
    return finalizer.result()


def penalized(
    judged: Scores, completions: Sequence[Sequence[int]], ends: Sequence[int], config: OnlineTraining
) -> torch.Tensor:
    """Scores, but of a completion that does not end by itself -missing_eos_penalty. Shape (B,)."""
    has_eos = torch.tensor(end_flags(completions, ends))
    return score_with_eos_rule(judged.total, has_eos, -config.missing_eos_penalty)


def means(judged: Scores) -> dict[str, float]:
    """Means of what is logged apart."""
    return {f"reward_{name}": float(part.mean()) for name, part in judged.apart().items()}


class Rollouts:
    """Checks each rollout's rewards: whether completions end, and whether those of one prompt are distinguished.

    Attributes:
        flat: rollouts in a row in which no prompt's completions differ in reward.
    """

    def __init__(self, context: RunContext, hook: Hook) -> None:
        self.context, self.hook = context, hook
        self.flat = 0

    def check(self, rewards: torch.Tensor, ends: torch.Tensor, step: int) -> dict[str, float]:
        """Figures of a rollout, completions of a prompt in a row, after `step` steps.

        Args:
            rewards, ends: of each completion, and whether it ended by itself, (B,).

        Raises:
            NothingToLearn: so it is at the first rollout.
        """
        config = self.context.config
        apart = rewards.view(-1, config.num_generations).std(dim=1, correction=0)
        mean = float(rewards.mean())
        flat = torch.tensor([is_flat(deviation, mean) for deviation in apart.tolist()]).float()
        found = []
        if step == 0:
            eos_rate, most_apart = float(ends.float().mean()), float(apart.max())
            found = of_first_rollout(eos_rate, most_apart, mean, config.max_new_tokens)
        self.flat += 1
        if not bool(flat.all()):
            self.flat = 0
        if step and self.flat == FLAT_IN_A_ROW:
            sentence = (
                f"In {FLAT_IN_A_ROW} rollouts in a row no prompt's completions differed in reward; nothing is learned."
            )
            found.append(Alarm("flat_reward", sentence))
        for alarm in found:
            self.context.report.alarm(step, alarm.name, alarm.text)
            if config.stop_on_alarm and alarm.fails:
                raise NothingToLearn(alarm.text, step=step, remedy=alarm.remedy)
            self.hook.wants_stop = self.hook.wants_stop or config.stop_on_alarm
        return {"rollout_eos_rate": float(ends.float().mean()), "flat_groups": float(flat.mean())}


def reward_function(
    tokenizer: PreTrainedTokenizerBase, judge: Judge, config: OnlineTraining, rollouts: Rollouts
) -> Callable[..., list[float]]:
    """`judge` as TRL calls it: with messages and the sampled ids, which are cut at their end token already."""

    def reward(
        prompts: list[Messages],
        completion_ids: list[list[int]],
        log_metric: Callable[[str, float], None],
        trainer_state: TrainerState,
        **_: object,
    ) -> list[float]:
        judged = judge(encode_prompts(tokenizer, prompts), completion_ids)
        ends = ends_of(tokenizer)
        scored = penalized(judged, completion_ids, ends, config)
        ended = torch.tensor(end_flags(completion_ids, ends))
        seen = rollouts.check(scored, ended, int(trainer_state.global_step))
        for name, value in (means(judged) | seen).items():
            log_metric(name, value)
        rewards: list[float] = scored.tolist()
        return rewards

    return reward


def make_trainer(
    context: RunContext,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Messages],
    judge: Judge,
    hook: Hook,
) -> RolloutTrainer:
    """TRL's trainer of the run's stage on planned batches, ready to go."""
    from datasets import Dataset

    config = context.config
    trainer_type, config_type = online_types(context.stage)
    rows = list(map(list, prompts))
    more: JsonObject = {}
    if isinstance(config, GRPOConfig):
        more = {"loss_type": config.loss_type, "scale_rewards": config.scale_rewards, "epsilon_high": config.clip_high}
    tokenizer.padding_side = "left"
    trainer = trainer_type(
        model=model,
        reward_funcs=reward_function(tokenizer, judge, config, Rollouts(context, hook)),
        args=config_type(
            **common_arguments(context)
            | {
                "max_steps": config.steps,
                "per_device_train_batch_size": config.batch_size,
                "gradient_accumulation_steps": config.accumulate,
                "num_generations": config.num_generations,
                "learning_rate": config.learning_rate,
                "lr_scheduler_type": "linear",
                "max_grad_norm": config.max_grad_norm,
                "beta": config.beta,
                "max_completion_length": config.max_new_tokens,
                "temperature": config.temperature,
                "gradient_checkpointing": False,
            }
            | generation_arguments(config.generation)
            | more
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": rows}),
        callbacks=[hook],
    )
    serve_as_saved(trainer, model)
    trainer.batches = plan_rollouts(len(rows), config, context.seed, context.stage)
    return trainer


def plan_rollouts(prompts: int, config: OnlineTraining, *seed: object) -> list[list[int]]:
    """Prompts of each rollout, num_generations times in a row, in an order shuffled anew at each pass.

    TRL asks for a rollout's rows once for each of its backwards, and samples at the first.
    """
    each = config.batch_size * config.accumulate // config.num_generations
    passes = math.ceil(config.steps * each / prompts)
    order: list[int] = []
    for batch in plan_rows(range(prompts), 1, passes, *seed):
        order += batch
    planned: list[list[int]] = []
    for step in range(config.steps):
        rollout: list[int] = []
        for row in order[step * each : (step + 1) * each]:
            rollout += [row] * config.num_generations
        planned += [rollout] * config.accumulate
    return planned


def online_types(stage: str) -> tuple[Any, Any]:
    """Trainer and arguments of a stage: TRL's, with our batches, seeds and checkpoints."""
    import trl

    types: dict[str, tuple[Any, Any]] = {
        "rloo": (trl.RLOOTrainer, trl.RLOOConfig),
        "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
    }
    trl_trainer, arguments = types[stage]

    class OnlineTrainer(RolloutTrainer, trl_trainer):  # type: ignore[misc, valid-type]
        def _tokenize_prompts(self, prompts: list[Messages]) -> tuple[list[list[int]], None, dict[str, object]]:
            # As everywhere else here; TRL's own way reads marks that a text spells.
            return encode_prompts(self._tokenizer, prompts), None, {}

        def _generate_and_score_completions(self, inputs: list[JsonObject]) -> JsonObject:
            # Chance follows from the step, so a resumed run samples what the unbroken one would have.
            parts = (self.args.seed, self.state.global_step, self.accelerator.process_index, self.model.training)
            torch.manual_seed(stable_seed(*parts) % 2**32)
            return super()._generate_and_score_completions(inputs)

    return OnlineTrainer, arguments
