"""PPO on TRL's RLOOTrainer. Every internal of TRL and transformers' Trainer that we touch is in this file.

Taken from RLOOTrainer: model and tokenizer set-up, generation through vLLM when requested, gradient accumulation,
clipping, data parallelism, checkpoint and resume. Not taken: its rewards and advantages. RLOO compares a completion
with the others of its prompt, subtracts KL per sequence, and loads no reference model at beta 0; here each completion
stands alone, KL is subtracted per token, and the frozen reference is always there. `beta` stays 0: TRL's own KL path
is never entered, `kl_coef` is ours.

One iteration is a rollout of `rollout_batch` completions and `ppo_epochs` x `minibatches` optimizer steps on it. Where
a run stands is one number, the optimizer step: prompts, seeds and minibatches follow from it and the run's seed, so
that a run that goes on from a checkpoint does exactly what the unbroken one would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from trl import RLOOTrainer

from trainer.errors import ConfigInvalid, RunDiverged
from trainer.json_types import JsonObject
from trainer.modeling.passes import answer_figures
from trainer.modeling.sampling import draw, end_ids
from trainer.modeling.served_weights import serve_as_saved
from trainer.ppo import arithmetic
from trainer.ppo.critics import Critic, ValueHead, add_critic
from trainer.ppo.rollouts import Rollout, lay_out
from trainer.ppo.trl_arguments import accelerate_processes, trl_arguments, usable_rate
from trainer.run.microbatching import CACHED, in_batches, rows_at
from trainer.run.run_trainer import RunFolderTrainer
from trainer.run.seeds import stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerControl, TrainerState, TrainingArguments

    from trainer.configs.online import PPOConfig
    from trainer.modeling.reward_scoring import Judge


def as_numbers(figures: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of one value each as plain numbers."""
    return {name: float(value) for name, value in figures.items()}


def unused_reward(prompts: list[object], **_: object) -> list[float | None]:
    """RLOOTrainer insists on a reward function; ours is a `Judge`, called where the rollout is made."""
    return [0.0] * len(prompts)


class IterationCallback(TrainerCallback):
    """Calls back after the last optimizer step of each iteration."""

    def __init__(self, trainer: PPOTrainer, done: Callable[[int, dict[str, float]], None]) -> None:
        self.trainer, self.done = trainer, done

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> TrainerControl:
        if state.global_step % self.trainer.steps_per_iteration == 0:
            iteration = state.global_step // self.trainer.steps_per_iteration
            figures = {"iteration": iteration, **self.trainer.iteration_metrics()}
            state.log_history.append(figures)  # checkpoints bring it back
            self.done(iteration, figures)
            control.should_save = self.trainer.wants_checkpoint
            control.should_training_stop = control.should_training_stop or self.trainer.wants_stop
            self.trainer.wants_checkpoint = False
        return control


class PPOTrainer(RunFolderTrainer, RLOOTrainer):
    """Clipped PPO with a critic, on prompts given as token ids.

    Args:
        policy: the causal language model to train, dropout off; it is changed in place.
        reference: the frozen model KL is measured to. Always needed, also at kl_coef 0, where KL is only watched.
        critic: see `critics`; it learns in place.
        judge: scores of completions.
        tokenizer: of all of them; its pad and end tokens differ.
        prompts: token ids of the training prompts, each ending where the answer begins.
        config: see PPOConfig.
        seed: of the run; prompts, samples and minibatches follow from it.
        checkpoints: folder for `step-N`.
        after_iteration: called with (iterations done, figures) after each; may add to the figures, which are kept in
            `history`, and set `wants_checkpoint`, `wants_stop`.

    Raises:
        RunDiverged: a loss, gradient, log-prob or score is not a number; the message names step and rows.
    """

    # The loss is a sum over the micro-batch divided by the minibatch's tokens, so accumulation must not divide again.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        policy: PreTrainedModel,
        reference: PreTrainedModel,
        critic: Critic | ValueHead,
        judge: Judge,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Sequence[int]],
        config: PPOConfig,
        seed: int,
        checkpoints: Path,
        after_iteration: Callable[[int, dict[str, float]], None] = lambda iteration, metrics: None,
    ) -> None:
        if config.rollout_batch % (config.minibatches * accelerate_processes()):
            raise ConfigInvalid("`ppo.rollout_batch` must be a multiple of `ppo.minibatches` x the processes.")
        self.ppo = config
        self.prompts = list(map(list, prompts))
        self.tokenizer = tokenizer
        self.run_seed = seed
        self.judge = judge
        self.steps_per_iteration = config.ppo_epochs * config.minibatches
        self.rollout: Rollout | None = None
        self.wants_checkpoint = self.wants_stop = False
        self.sampling_seconds = 0.0
        super().__init__(
            model=policy,
            reward_funcs=unused_reward,
            args=trl_arguments(config, seed, checkpoints),
            train_dataset=Dataset.from_dict({"prompt": [""]}),  # RLOO insists on one; see get_train_dataloader
            processing_class=tokenizer,
        )
        # Apart, critic and policy have gradients of their own and need no weight between them.
        self.value_weight = config.value_loss_weight if isinstance(critic, ValueHead) else 1.0
        self.policy, self.critic = policy, critic.to(self.accelerator.device)
        add_critic(policy, self.critic, config.temperature)
        serve_as_saved(self, policy)
        self.reference = reference.to(self.accelerator.device).requires_grad_(False).eval()
        self.add_callback(IterationCallback(self, after_iteration))
        self.processes, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.micro_sums: dict[str, list[Tensor]] = {}
        self.rollout_metrics: dict[str, float] = {}
        self.iteration_started = time.perf_counter()

    @property
    def history(self) -> list[dict[str, float]]:
        """Figures of every iteration so far, those before a resume included."""
        return [entry for entry in self.state.log_history if "iteration" in entry]

    # --- what Trainer asks for ---------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader:
        """A counter of micro-steps. What a step trains on follows from the step, not from an iterator's state."""
        steps = self.args.max_steps * self.args.gradient_accumulation_steps
        return DataLoader(range(steps), batch_size=1, collate_fn=lambda step: {"step": step[0]})  # type: ignore[arg-type]

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Adam with eps 1e-5 and no weight decay; the critic has a learning rate of its own, more where it is small."""
        if self.optimizer is None:
            rate = usable_rate(self.ppo)
            critic = [p for p in self.critic.parameters() if p.requires_grad]
            policy = [p for n, p in self.policy.named_parameters() if p.requires_grad and not n.startswith("critic.")]
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": policy, "lr": rate},
                    {"params": critic, "lr": self.ppo.value_learning_rate or rate * self.critic.rate},
                ],
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                eps=self.ppo.adam_eps,
                weight_decay=0.0,
                fused=True,
            )
        return self.optimizer

    def floating_point_ops(self, inputs: JsonObject) -> int:
        """Not counted: what the loader hands over holds no tokens."""
        return 0

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clip policy and critic apart, so that a surprised critic does not shrink the policy's step."""
        # Lists, not sets: a norm is a sum of floats, and a set of tensors has another order in every process.
        critic = list(self.critic.parameters())
        policy = [p for name, p in self.policy.named_parameters() if not name.startswith("critic.")]
        norm: Tensor = self.accelerator.clip_grad_norm_(policy, self.args.max_grad_norm)
        value_norm: Tensor = self.accelerator.clip_grad_norm_(critic, self.args.max_grad_norm)
        if not (math.isfinite(float(norm)) and math.isfinite(float(value_norm))):
            raise self.diverged(f"The gradient's norm is {float(norm)} (policy), {float(value_norm)} (critic)")
        self.note(grad_norm=norm.detach(), value_grad_norm=value_norm.detach())
        return norm

    def _prepare_inputs(self, generation_batch: JsonObject) -> JsonObject:
        """Rows of this micro-step; makes a new rollout when one begins."""
        step, part = divmod(int(generation_batch["step"]), self.args.gradient_accumulation_steps)
        iteration, place = divmod(step, self.steps_per_iteration)
        if self.rollout is None or (place == 0 and part == 0):
            self.iteration_started = time.perf_counter()
            self.rollout = self.training_rollout(iteration)
            self._metrics["train"].clear()  # TRL's own; ours go through iteration_metrics
        epoch, minibatch = divmod(place, self.ppo.minibatches)
        rows = self.minibatch_rows(iteration, epoch, minibatch)
        tokens = self.total(self.rollout.is_answer[rows].sum())
        lengths = self.rollout.is_answer[rows].sum(dim=1) + self.rollout.prompt_lengths[rows]
        micro = rows[torch.argsort(lengths, stable=True)].chunk(self.args.gradient_accumulation_steps)[part]
        return {"rows": micro, "tokens": tokens}

    def _compute_loss(self, model: nn.Module, inputs: JsonObject) -> Tensor:
        """Policy and value loss of one micro-batch, as parts of their minibatch's mean over tokens."""
        rollout, rows = self.rollout, inputs["rows"]
        assert rollout is not None
        # DDP averages gradients over processes; the token count is over all of them, so the mean must be undone.
        tokens = inputs["tokens"].float() / self.processes
        model_inputs, length = rollout.inputs(rows)
        states = rollout.kept_states(rows, model_inputs["input_ids"].size(1))
        log_probs, values, _ = model(**model_inputs, answer_length=length, states=states)
        is_answer = rollout.is_answer[rows, :length]
        policy = arithmetic.policy_loss(
            log_probs,
            rollout.log_probs[rows, :length],
            rollout.advantages[rows, :length],
            is_answer,
            clip=self.ppo.clip_range,
            tokens=tokens,
        )
        value = arithmetic.value_loss(
            values,
            rollout.values[rows, :length],
            rollout.returns[rows, :length],
            is_answer,
            clip=self.ppo.value_clip,
            tokens=tokens,
        )
        loss = policy.loss + self.value_weight * value
        if not bool(torch.isfinite(loss)):
            raise self.diverged(f"The loss is {float(loss)} on rollout rows {rows.tolist()}")
        self.note(
            policy_loss=policy.loss.detach(),
            value_loss=value.detach(),
            clipped=policy.clipped,
            approx_kl=policy.approx_kl,
            answer_tokens=is_answer.sum(),
            ratio_deviation=policy.ratio_deviation,
        )
        return loss

    # --- rollouts ----------------------------------------------------------------------------------------

    def training_rollout(self, iteration: int) -> Rollout:
        """This process's share of an iteration's completions, with advantages."""
        share = self.ppo.rollout_batch // self.processes
        first = iteration * self.ppo.rollout_batch + self.rank * share
        order = arithmetic.prompt_order(
            len(self.prompts), first, share, lambda shuffle: stable_seed(self.run_seed, "prompts", shuffle)
        )
        seeds = [stable_seed(self.run_seed, "rollout", place) for place in range(first, first + share)]
        rollout = self.collect(rows_at(self.prompts, order), seeds)
        log_ratios = rollout.log_probs - rollout.ref_log_probs
        kl_coef = self.kl_coef()
        rewards = arithmetic.token_rewards(rollout.scores, log_ratios, rollout.is_answer, kl_coef)
        advantages, rollout.returns = arithmetic.generalized_advantages(
            rewards, rollout.values, rollout.is_answer, gamma=self.ppo.gamma, lam=self.ppo.lam
        )
        rollout.advantages = arithmetic.whiten(advantages, rollout.is_answer, total=self.total)
        self.rollout_metrics = {**self.describe(rollout, kl_coef), "kl_coef": kl_coef}
        ev = arithmetic.explained_variance(rollout.values, rollout.returns, rollout.is_answer, self.total)
        self.rollout_metrics["explained_variance"] = float(ev)
        return rollout

    def kl_coef(self) -> float:
        """Weight of the KL penalty in the iteration that begins: it follows from the last one, so it is resumed."""
        history = self.history
        if not history or not self.ppo.kl_target:
            return self.ppo.kl_coef
        last = history[-1]
        return arithmetic.adapted_kl_coef(last["kl_coef"], last["kl"], self.ppo.kl_target, self.ppo.kl_gain)

    @torch.no_grad()
    def collect(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> Rollout:
        """Sample one completion for each prompt with the present policy, and score and measure it.

        Raises:
            RunDiverged: a log-prob, value or score is not a number.
        """
        started = time.perf_counter()
        completions = self.sample(prompts, seeds)
        self.sampling_seconds = time.perf_counter() - started
        judged = self.judge(prompts, completions)
        raw = judged.total.to(self.accelerator.device).float()
        rollout = lay_out(
            prompts,
            completions,
            raw,
            pad_id=self.tokenizer.pad_token_id,
            eos_ids=end_ids(self.policy),
            missing_eos_score=-self.ppo.missing_eos_penalty,
        )
        rollout.apart = {name: part.to(raw.device) for name, part in judged.apart().items()}
        lengths = (rollout.prompt_lengths + rollout.is_answer.sum(dim=1)).tolist()

        def measure(batch: list[int]) -> None:
            rows = torch.tensor(batch, device=raw.device)
            inputs, length = rollout.inputs(rows)
            is_answer = rollout.is_answer[rows, :length]
            states = self.critic.read(**inputs)
            if states is not None:
                rollout.keep_states(rows, states)
            log_probs, entropy = answer_figures(self.policy, length, self.ppo.temperature, **inputs)
            values = self.critic(length, states, **inputs)  # after the policy's pass, whose states it may read
            ref_log_probs, _ = answer_figures(self.reference, length, self.ppo.temperature, **inputs)
            rollout.log_probs[rows, :length] = log_probs * is_answer
            rollout.ref_log_probs[rows, :length] = ref_log_probs * is_answer
            rollout.values[rows, :length] = values * is_answer
            rollout.entropy[rows, :length] = entropy * is_answer

        in_batches(lengths, measure, 2 * self.ppo.micro_batch)
        for name in ("log_probs", "ref_log_probs", "values", "raw_scores"):
            is_bad = ~torch.isfinite(getattr(rollout, name))
            if bool(is_bad.any()):
                rows_hit = sorted(set(torch.nonzero(is_bad)[:, 0].tolist()))
                raise self.diverged(f"{name} is not a number in rollout rows {rows_hit}")
        return rollout

    def sample(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
        """Completions at the policy's temperature, all tokens allowed: the log-probs are of that distribution."""
        if self.use_vllm:
            ids: list[list[int]] = self._generate_single_turn(list(map(list, prompts)), None, {})
            return ids
        completions: list[list[int]] = [[] for _ in prompts]

        def write(batch: list[int]) -> None:
            drawn = draw(
                self.policy,
                rows_at(prompts, batch),
                rows_at(seeds, batch),
                max_new_tokens=self.ppo.max_new_tokens,
                temperature=self.ppo.temperature,
                batch_size=len(batch),
            )
            for row, completion in zip(batch, drawn, strict=True):
                completions[row] = completion.ids

        in_batches([len(prompt) + self.ppo.max_new_tokens for prompt in prompts], write, weight=CACHED)
        return completions

    def minibatch_rows(self, iteration: int, epoch: int, minibatch: int) -> Tensor:
        """Rows of one minibatch: a fresh shuffle of the rollout in every epoch."""
        rows = self.ppo.rollout_batch // self.processes
        generator = torch.Generator().manual_seed(stable_seed(self.run_seed, "minibatch", iteration, epoch, self.rank))
        order = torch.randperm(rows, generator=generator)
        size = rows // self.ppo.minibatches
        return order[minibatch * size : (minibatch + 1) * size].to(self.accelerator.device)

    # --- figures -----------------------------------------------------------------------------------------

    def describe(self, rollout: Rollout, kl_coef: float | None = None) -> dict[str, float]:
        """Figures of a rollout over all processes; padding counts nowhere.

        `kl` is nats per completion, `kl_per_token` and `entropy` nats per token, `length` tokens with the end token.
        `reward` is score - kl_coef x kl, with the config's coefficient unless specified otherwise; `reward_<term>` what
        a term gave to the score, and so on as in `scoring.Scores.apart`.
        """
        kl_coef = self.ppo.kl_coef if kl_coef is None else kl_coef
        every, is_answer = torch.ones_like(rollout.has_eos), rollout.is_answer
        log_ratios = rollout.log_probs - rollout.ref_log_probs
        kl = log_ratios.sum(dim=1)
        figures = {
            "score": arithmetic.masked_mean(rollout.scores, every, self.total),
            "score_deviation": arithmetic.masked_deviation(rollout.scores, every, self.total),
            "kl": arithmetic.masked_mean(kl, every, self.total),
            "reward": arithmetic.masked_mean(rollout.scores - kl_coef * kl, every, self.total),
            "kl_per_token": arithmetic.masked_mean(log_ratios, is_answer, self.total),
            "entropy": arithmetic.masked_mean(rollout.entropy, is_answer, self.total),
            "eos_rate": arithmetic.masked_mean(rollout.has_eos.float(), every, self.total),
            "length": arithmetic.masked_mean(is_answer.sum(dim=1).float(), every, self.total),
        }
        for name, part in rollout.apart.items():
            figures[f"reward_{name}"] = arithmetic.masked_mean(part, every, self.total)
        return as_numbers(figures)

    def iteration_metrics(self) -> dict[str, float]:
        """Figures of the iteration that has just ended: its rollout, its updates, its time."""
        sums = {name: torch.stack(values).float() for name, values in self.micro_sums.items()}
        self.micro_sums = {}
        parts = self.args.gradient_accumulation_steps
        tokens = self.total(sums["answer_tokens"].sum())
        updates = {
            "policy_loss": self.total(sums["policy_loss"].mean() * parts) / self.processes,
            "value_loss": self.total(sums["value_loss"].mean() * parts) / self.processes,
            "clip_fraction": self.total(sums["clipped"].sum()) / tokens,
            "approx_kl": self.total(sums["approx_kl"].sum()) / tokens,
            "first_ratio_deviation": sums["ratio_deviation"][:parts].max(),
            "grad_norm": sums["grad_norm"].mean(),
            "value_grad_norm": sums["value_grad_norm"].mean(),
        }
        return {
            **self.rollout_metrics,
            **as_numbers(updates),
            "learning_rate": float(self.create_optimizer().param_groups[0]["lr"]),
            "sampling_seconds": self.sampling_seconds,
            "seconds": time.perf_counter() - self.iteration_started,
        }

    def note(self, **values: Tensor) -> None:
        """Keep a figure of this micro-step for `iteration_metrics`."""
        for name, value in values.items():
            self.micro_sums.setdefault(name, []).append(value)

    def total(self, value: Tensor) -> Tensor:
        """Sum over all processes."""
        summed: Tensor = self.accelerator.reduce(value, reduction="sum") if self.processes > 1 else value
        return summed

    def diverged(self, what: str) -> RunDiverged:
        return RunDiverged(
            f"{what} (optimizer step {self.state.global_step}).",
            step=self.state.global_step // self.steps_per_iteration,
            remedy="Lower the learning rate, raise kl_coef, or check the reward model's scores.",
        )
