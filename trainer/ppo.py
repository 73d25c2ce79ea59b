"""Proximal policy optimisation of the SFT policy against the reward model, held near where it started.

As in Ouyang et al. 2022, section 3.5, step 3: KL enters the reward, token by token; the critic starts as the reward
model; one rollout, a few clipped epochs on it. Unlike them: no pretraining mix; the critic keeps its own learning rate
and gradient clipping; and the weights handed back are those with the highest reward (score - kl_coef x KL) on the
prompts of the selection split among those within `kl_budget`, since over-optimisation grows with the KL spent (Gao et
al. 2023). Only prompts of the train split are trained on. `ppo_math` has the formulas, `ppo_trainer` the machinery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trainer.checkpoints import checkpoint_step, newest_checkpoint
from trainer.columns import decode_completion, encode_prompts
from trainer.context import RunContext, StageResult
from trainer.errors import DataUnusable, RunDiverged, StopRequested
from trainer.loop import agreed, keep_best
from trainer.models import load_policy, load_tokenizer, parameters, save_model
from trainer.ppo_trainer import PPOTrainer
from trainer.progress import Ticker
from trainer.rollouts import Critic, context_room, distinct_prompts, fitting, remove_critic, repetition
from trainer.scoring import load_judge, scorer
from trainer.seeds import seed_everything, stable_seed
from trainer.snapshot import Messages, open_snapshot

WATCHED_COMPLETIONS = 128  # completions behind every look at the selection prompts

Figures = dict[str, float]


def run(context: RunContext) -> StageResult:
    """Improve the base model against the reward model on the train split's prompts and hand back a policy."""
    config = context.config
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    tokenizer.padding_side = "left"
    seed_everything(context.seed, "ppo")
    context.report.state("loading the policy, its reference and the reward model")
    policy, reference = load_policy(base, tokenizer), load_policy(base, tokenizer)
    reward = load_judge(context.inputs["reward_model"], tokenizer)
    critic_trunk = load_judge(context.inputs["reward_model"], tokenizer).requires_grad_(True)

    context.report.state("reading the prompts")
    snapshot = open_snapshot(context.inputs["snapshot"])
    room = context_room(policy, config.max_new_tokens)
    prompts, left_out = fitting(encode_prompts(tokenizer, distinct_prompts(snapshot, "train")), room)
    if not prompts:
        raise DataUnusable(
            "The snapshot has no prompts to train on.", remedy="Collect prompts, or lower max_new_tokens."
        )
    watched = distinct_prompts(snapshot, "selection") or distinct_prompts(snapshot, "train")
    watch = Watch(context, watched, fitting(encode_prompts(tokenizer, watched), room)[0])
    trainer = PPOTrainer(
        policy,
        reference,
        Critic(critic_trunk.model, critic_trunk.mean, critic_trunk.std),
        scorer(reward),
        tokenizer,
        prompts,
        config,
        context.seed,
        context.checkpoints,
        watch.after_iteration,
    )
    watch.trainer = trainer
    newest = newest_checkpoint(context.checkpoints)
    if newest is not None:
        context.report.state(f"going on from step {checkpoint_step(newest)}")
    context.report.state("training")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    if watch.interrupted:
        raise StopRequested

    chosen = watch.load_best(policy)
    remove_critic(policy)
    folder = context.aside("model")
    save_model(folder, policy, tokenizer)
    metrics: dict[str, Any] = {
        **watch.summary(),
        "chosen_iteration": chosen,
        "train_prompts": len(prompts),
        "left_out": left_out,
        "parameters": parameters(policy),
    }
    return StageResult(metrics=metrics, model=folder)


class Watch:
    """Looks after a PPO run: figures, samples, alarms, which weights to keep, when to checkpoint and stop.

    What it remembers lies in the trainer's `log_history`, one entry an iteration, which checkpoints bring back.

    Args:
        context: the run.
        prompts: of the selection split, as messages, and `prompt_ids` the same as token ids. At every look the same
            seeds are used, so that what changes is the policy.
    """

    trainer: PPOTrainer

    def __init__(self, context: RunContext, prompts: Sequence[Messages], prompt_ids: Sequence[list[int]]) -> None:
        self.context, self.config = context, context.config
        self.prompts = prompts
        self.prompt_ids = list(prompt_ids)
        self.checkpoint_due = Ticker(context.config.checkpoint_seconds)
        self.checkpoint_due.due()
        self.interrupted = False
        self.silenced: set[str] = set()

    @property
    def history(self) -> list[Figures]:
        """Figures of every iteration so far."""
        return [entry for entry in self.trainer.state.log_history if "iteration" in entry]

    def after_iteration(self, iteration: int, metrics: Figures) -> None:
        """Called by the trainer when an iteration has ended."""
        config, trainer = self.config, self.trainer
        last = iteration >= config.iterations
        figures = {"iteration": iteration, **metrics}
        if config.evaluate_every and (iteration % config.evaluate_every == 0 or iteration == 1 or last):
            figures |= self.look(iteration)
        trainer.state.log_history.append(figures)
        improved = self.is_best(figures)
        if improved:
            keep_best(self.context, trainer.policy, iteration)
        self.context.report.metrics(
            iteration, config.iterations, {k: v for k, v in figures.items() if k != "iteration"}
        )
        self.sound_alarms(iteration)
        over = figures.get("selection_kl", figures["kl"])
        trainer.wants_stop = bool(config.stop_at_kl_budget and config.kl_budget and over > config.kl_budget)
        due, stop = agreed(
            self.checkpoint_due.due() or bool(config.checkpoint_steps and iteration % config.checkpoint_steps == 0),
            self.context.should_stop(),
            device=trainer.args.device,
        )
        if stop and not last and not trainer.wants_stop:
            self.interrupted = trainer.wants_stop = True
        trainer.wants_checkpoint = (due or stop or improved) and not last

    def look(self, iteration: int) -> Figures:
        """Answer the selection prompts with the present policy; reports samples, returns figures."""
        if not self.prompt_ids:
            return {}
        trainer, count = self.trainer, WATCHED_COMPLETIONS
        rows = [self.prompt_ids[n % len(self.prompt_ids)] for n in range(count)]
        rollout = trainer.collect(rows, [stable_seed(self.context.seed, "watch", n) for n in range(count)])
        completions = [rollout.completion(row) for row in range(count)]
        shown = min(self.config.samples, len(self.prompt_ids))
        texts = [decode_completion(trainer.tokenizer, completions[n]) for n in range(shown)]
        if shown:
            self.context.report.samples(
                iteration,
                [
                    {
                        "prompt": self.prompts[n][-1]["content"],
                        "text": texts[n],
                        "reward": round(float(rollout.scores[n]), 3),
                    }
                    for n in range(shown)
                ],
            )
        names = ("score", "kl", "reward", "entropy", "eos_rate", "length")
        figures = trainer.describe(rollout)
        return {f"selection_{name}": figures[name] for name in names} | {
            "selection_repetition": repetition(completions)
        }

    def is_best(self, figures: Figures) -> bool:
        """Whether this iteration's weights are the ones to hand back if nothing better comes."""
        if "selection_reward" not in figures or not self.within_budget(figures):
            return False
        rivals = [e["selection_reward"] for e in self.history[:-1] if "selection_reward" in e and self.within_budget(e)]
        return all(figures["selection_reward"] > rival for rival in rivals)

    def within_budget(self, figures: Figures) -> bool:
        return not self.config.kl_budget or figures["selection_kl"] <= self.config.kl_budget

    def load_best(self, policy: Any) -> int:
        """Put the best weights into the policy; returns their iteration (the last one, unless `choose_best`)."""
        from safetensors.torch import load_model

        best = [e for e in self.history if "selection_reward" in e and self.within_budget(e)]
        last = int(self.history[-1]["iteration"])
        if not best or not self.config.choose_best:
            return last
        iteration = int(max(best, key=lambda e: e["selection_reward"])["iteration"])
        folder = self.context.checkpoints / f"best-{iteration}"
        if iteration != last and folder.is_dir():
            load_model(policy, folder / "model.safetensors", strict=False)
        return iteration

    # --- alarms ------------------------------------------------------------------------------------------

    def sound_alarms(self, iteration: int) -> None:
        """Each alarm once, with a sentence saying what was seen."""
        for name, text in self.alarms():
            if name not in self.silenced:
                self.silenced.add(name)
                self.context.report.alarm(iteration, name, text)
        if self.history[-1]["kl"] < -0.5:
            raise RunDiverged(
                f"KL to the reference is {self.history[-1]['kl']:.2f} nats per completion; it cannot be negative.",
                step=iteration,
                remedy="Sampling and log-probs disagree; this is a fault of the trainer.",
            )

    def alarms(self) -> list[tuple[str, str]]:
        """What is amiss now: (name, sentence)."""
        now, first, count = self.history[-1], self.history[0], len(self.history)
        looks = [e for e in self.history if "selection_reward" in e]
        kl = now.get("selection_kl", now["kl"])
        rules: list[tuple[str, bool, Callable[[], str]]] = [
            (
                "kl_budget",
                bool(self.config.kl_budget) and kl > self.config.kl_budget,
                lambda: (
                    f"KL to the reference is {kl:.1f} nats per completion; the budget is {self.config.kl_budget:g}."
                ),
            ),
            (
                "entropy",
                now["entropy"] < 0.3 * first["entropy"],
                lambda: f"Entropy fell from {first['entropy']:.2f} to {now['entropy']:.2f} nats per token.",
            ),
            (
                "eos_rate",
                count > 5 and now["eos_rate"] < min(0.9, first["eos_rate"]),
                lambda: f"Only {now['eos_rate']:.0%} of completions end by themselves.",
            ),
            (
                "clip_fraction",
                now["clip_fraction"] > 0.3,
                lambda: f"The clip stopped {now['clip_fraction']:.0%} of tokens; the steps are too large.",
            ),
            (
                "explained_variance",
                count >= 20 and now["explained_variance"] < 0,
                lambda: f"After {count} iterations the critic is worse than a constant.",
            ),
            (
                "repetition",
                bool(looks)
                and looks[-1] is now
                and now["selection_repetition"] > max(0.1, 2 * looks[0]["selection_repetition"]),
                lambda: f"{now['selection_repetition']:.0%} of 4-grams repeat earlier ones in the same completion.",
            ),
            (
                "length",
                bool(looks) and looks[-1] is now and now["selection_length"] > 1.5 * looks[0]["selection_length"],
                lambda: (
                    f"Completions grew from {looks[0]['selection_length']:.0f} to {now['selection_length']:.0f} tokens."
                ),
            ),
        ]
        return [(name, text()) for name, is_amiss, text in rules if is_amiss]

    def summary(self) -> dict[str, Any]:
        """Figures for result.json: of the last iteration, and of the selection prompts at first and at best."""
        last, looks = self.history[-1], [e for e in self.history if "selection_reward" in e]
        figures: dict[str, Any] = {
            k: v for k, v in last.items() if not k.startswith("selection_") and not k.endswith("seconds")
        }
        figures["seconds_per_iteration"] = sum(e["seconds"] for e in self.history) / len(self.history)
        figures["alarms"] = sorted(self.silenced)
        if looks:
            best = max(filter(self.within_budget, looks), key=lambda e: e["selection_reward"], default=looks[-1])
            figures |= {k: v for k, v in best.items() if k.startswith("selection_")}
        return figures
