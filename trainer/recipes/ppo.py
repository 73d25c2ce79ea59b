"""Proximal policy optimization of the SFT policy against a score, the reward model's above all, held near its start.

As in Ouyang et al. 2022, section 3.5, step 3: KL enters the reward, token by token; the critic starts as the reward
model; one rollout, a few clipped epochs on it. Unlike them: no pretraining mix; the critic keeps its own learning rate
and gradient clipping; and the weights handed back are those with the highest reward (score - kl_coef x KL) on the
prompts of the selection split among those within `kl_budget`, since over-optimization grows with the KL spent (Gao et
al. 2023). Only prompts of the train split are trained on. `ppo_math` has the formulas, `ppo_trainer` the machinery,
`ppo_alarms` what ends a run that goes wrong. Each look at the selection prompts leaves its answers in
`looks/step-N.jsonl` for a better judge than the score.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TypedDict

from trainer.data.columns import decode_completion, encode_prompts
from trainer.data.json_lines import write_lines
from trainer.data.snapshot import Messages, open_snapshot
from trainer.errors import DataUnusable, NothingToLearn, OutOfMemory, RunDiverged, StopRequested
from trainer.json_types import Metrics
from trainer.metrics.naming import with_prefix
from trainer.modeling.loading import load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt, frozen_reference
from trainer.modeling.reward_scoring import load_judge, load_terms
from trainer.ppo.alarms import Alarm, alarms
from trainer.ppo.critics import make_critic, remove_critic
from trainer.ppo.kl_budget import budget_of
from trainer.ppo.rollouts import Rollout, context_room, distinct_prompts, fitting, fitting_pairs, repetition
from trainer.ppo.trainer import PPOTrainer
from trainer.run.checkpoints import checkpoint_step, newest_checkpoint
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.loop import agreed, keep_best, load_best, release
from trainer.run.microbatching import rows_at
from trainer.run.progress import Sample, Ticker
from trainer.run.seeds import seed_everything, stable_seed

LOOKS = "looks"
CRITIC = "critic."  # what its parts are called in the policy

Figures = dict[str, float]


class EvaluationRow(TypedDict):
    """A line of looks/step-N.jsonl."""

    prompt: list[dict[str, str]]
    text: str
    tokens: int
    finish_reason: str
    reward: float
    kl: float


def run(context: RunContext) -> StageResult:
    """Improve the base model against the reward model on the train split's prompts and hand back a policy."""
    config = context.config
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    tokenizer.padding_side = "left"
    seed_everything(context.seed, "ppo")
    context.report.state("loading the policy, its reference and the reward model")
    policy = adapt(load_policy(base, tokenizer), config.lora)
    reference = frozen_reference(policy) if config.lora else load_policy(base, tokenizer)
    reward = load_judge(context.inputs["reward_model"], tokenizer)
    judge = load_terms(context.inputs, config.terms, tokenizer, "ppo", reward)

    context.report.state("reading the prompts")
    snapshot = open_snapshot(context.inputs["snapshot"])
    room = context_room(policy, config.max_new_tokens)
    prompts, left_out = fitting(encode_prompts(tokenizer, distinct_prompts(snapshot, "train")), room)
    if not prompts:
        raise DataUnusable(
            "The snapshot has no prompts to train on.", remedy="Collect prompts, or lower max_new_tokens."
        )
    watched = distinct_prompts(snapshot, "selection") or distinct_prompts(snapshot, "train")
    watched, watched_ids = fitting_pairs(watched, encode_prompts(tokenizer, watched), room)
    monitor = PPOMonitor(context, watched, watched_ids, reward.usual_spread)
    trainer = PPOTrainer(
        policy,
        reference,
        make_critic(config, policy, reward, context.report.state),
        judge,
        tokenizer,
        prompts,
        config,
        context.seed,
        context.checkpoints,
        monitor.after_iteration,
    )
    monitor.trainer = trainer
    newest = newest_checkpoint(context.checkpoints)
    if newest is not None:
        context.report.state(f"going on from step {checkpoint_step(newest)}")
    elif context.report.path is not None:
        shutil.rmtree(context.folder / LOOKS, ignore_errors=True)
    context.report.state("training")
    trainer.train(resume_from_checkpoint=newest and str(newest))
    if monitor.interrupted:
        raise StopRequested

    release(trainer)
    chosen, last = monitor.chosen(), int(monitor.history[-1]["iteration"])
    finalizer = RunFinalizer(context, policy, tokenizer, last)
    if chosen != last and finalizer.restore(lambda: load_best(context, chosen, policy, CRITIC)) is None:
        chosen = last
    # Before the model is saved, since it takes critic and reference, and as much memory as each look before it did.
    finalizer.verify_best(monitor.seen(chosen), monitor.selection_figures)
    remove_critic(policy)
    finalizer.metrics = {
        **monitor.summary(),
        "chosen_iteration": chosen,
        "train_prompts": len(prompts),
        "left_out": left_out,
        "parameters": parameters(policy),
    }
    finalizer.save()
    return finalizer.result()


def selection_figures_of(figures: Figures) -> Figures:
    """Those that were measured on the selection prompts."""
    return {name: value for name, value in figures.items() if name.startswith("selection_")}


class PPOMonitor:
    """Watches over a PPO run: figures, samples, alarms, which weights to keep, when to checkpoint and stop.

    What it remembers lies in the trainer's history, one entry an iteration, which checkpoints bring back.

    Args:
        context: the run.
        prompts: of the selection split, as messages, and `prompt_ids` the same as token ids. At every look the same
            seeds are used, so that what changes is the policy.
        usual_spread: of the reward model's heads on the SFT policy's completions; 0 when it has one.
    """

    trainer: PPOTrainer

    def __init__(
        self,
        context: RunContext,
        prompts: Sequence[Messages],
        prompt_ids: Sequence[list[int]],
        usual_spread: float = 0.0,
    ) -> None:
        self.context, self.config = context, context.config
        self.prompts = prompts
        self.prompt_ids = list(prompt_ids)
        self.usual_spread = usual_spread
        self.checkpoint_due = Ticker(context.config.checkpoint_seconds)
        self.checkpoint_due.due()
        self.interrupted = False
        self.sounded: set[str] | None = None

    @property
    def history(self) -> list[Figures]:
        """Figures of every iteration so far."""
        return self.trainer.history

    def after_iteration(self, iteration: int, figures: Figures) -> None:
        """Called by the trainer when an iteration has ended; adds what a look at the selection prompts shows."""
        config, trainer = self.config, self.trainer
        last = iteration >= config.iterations
        if config.evaluate_every and (iteration % config.evaluate_every == 0 or iteration == 1 or last):
            try:
                figures |= self.evaluate(iteration)
            except OutOfMemory as error:
                sentence = (
                    f"Responses to the selection prompts could not be sampled: {error.message} "
                    "Training continues without them."
                )
                self.context.report.alarm(iteration, "not_measured", sentence)
        improved = self.is_best(figures)
        if improved:
            keep_best(self.context, trainer.policy, iteration, CRITIC)
        reported = dict(figures)
        reported.pop("iteration", None)
        self.context.report.metrics(iteration, config.iterations, reported)
        trainer.wants_stop = self.sound_alarms(iteration) and config.stop_on_alarm
        due, stop = agreed(
            self.checkpoint_due.due() or bool(config.checkpoint_steps and iteration % config.checkpoint_steps == 0),
            self.context.should_stop(),
            device=trainer.args.device,
        )
        if stop and not last and not trainer.wants_stop:
            self.interrupted = trainer.wants_stop = True
        trainer.wants_checkpoint = (due or stop or improved) and not last

    def evaluate(self, iteration: int) -> Figures:
        """Answer the selection prompts with the present policy; reports samples, returns figures."""
        if not self.prompt_ids:
            return {}
        rows, rollout = self.answered()
        kl = (rollout.log_probs - rollout.ref_log_probs).sum(dim=1)
        lines: list[EvaluationRow] = []
        for n, row in enumerate(rows):
            ids = rollout.completion(n)
            finish_reason = "stop" if bool(rollout.has_eos[n]) else "length"
            lines.append(
                {
                    "prompt": list(self.prompts[row]),
                    "text": decode_completion(self.trainer.tokenizer, ids),
                    "tokens": len(ids),
                    "finish_reason": finish_reason,
                    "reward": round(float(rollout.scores[n]), 4),
                    "kl": round(float(kl[n]), 4),
                }
            )
        if self.context.report.path is not None:
            (self.context.folder / LOOKS).mkdir(exist_ok=True)
            write_lines(self.context.folder / LOOKS / f"step-{iteration}.jsonl", lines)
        shown: list[Sample] = []
        for line in lines[: min(self.config.samples, len(self.prompt_ids))]:
            question = line["prompt"][-1]["content"]
            shown.append({"prompt": question, "text": line["text"], "reward": round(line["reward"], 3)})
        if shown:
            self.context.report.samples(iteration, shown)
        return self.figures_of(rollout)

    def answered(self) -> tuple[list[int], Rollout]:
        """Answers to the selection prompts and which prompt each belongs to, always with the same seeds."""
        count = self.config.watched_completions
        rows = [n % len(self.prompt_ids) for n in range(count)]
        seeds = [stable_seed(self.context.seed, "watch", n) for n in range(count)]
        return rows, self.trainer.collect(rows_at(self.prompt_ids, rows), seeds)

    def selection_figures(self) -> Figures:
        """What a look would show now, without leaving anything behind."""
        return self.figures_of(self.answered()[1])

    def figures_of(self, rollout: Rollout) -> Figures:
        """Figures of answers to the selection prompts."""
        names = ("score", "kl", "reward", "entropy", "eos_rate", "length")
        figures: Figures = {}
        for name, value in self.trainer.describe(rollout).items():
            if name in names or name.startswith("reward_"):
                figures[name] = value
        figures["repetition"] = repetition(list(map(rollout.completion, range(len(rollout.scores)))))
        return with_prefix("selection", figures)

    def seen(self, iteration: int) -> Figures:
        """What the look after an iteration showed; empty where there was none."""
        for entry in self.history:
            if entry["iteration"] == iteration:
                return selection_figures_of(entry)
        return {}

    def is_best(self, figures: Figures) -> bool:
        """Whether this iteration's weights are the ones to hand back if nothing better comes."""
        if "selection_reward" not in figures or not self.within_budget(figures):
            return False
        rivals = self.evaluated(self.history[:-1])
        return all(figures["selection_reward"] > rival["selection_reward"] for rival in rivals)

    def evaluated(self, history: Sequence[Figures]) -> list[Figures]:
        """Iterations whose policy was evaluated on the selection prompts and lay within the KL budget."""
        return [entry for entry in history if "selection_reward" in entry and self.within_budget(entry)]

    def within_budget(self, figures: Figures) -> bool:
        return not self.kl_budget or figures["selection_kl"] <= self.kl_budget

    @property
    def kl_budget(self) -> float:
        """Nats per completion, 0 for none: the first rollout's completions are the reference's own."""
        return budget_of(self.config.kl_budget, self.history[0]["length"])

    def chosen(self) -> int:
        """The iteration whose weights are handed back: the best look within the budget, the last one without any."""
        best = self.evaluated(self.history)
        if not best or not self.config.choose_best:
            return int(self.history[-1]["iteration"])
        return int(max(best, key=lambda e: e["selection_reward"])["iteration"])

    def sound_alarms(self, iteration: int) -> bool:
        """Each alarm once, with a sentence saying what was seen. Returns whether one of them calls for a stop.

        Raises:
            RunDiverged: KL is negative beyond chance.
            NothingToLearn: the first rollout shows that there is nothing to learn from.
        """
        if self.sounded is None:  # of a run that went on: what sounded before it was left
            self.sounded = set()
            for count in range(1, len(self.history)):
                for alarm in self.alarms(self.history[:count]):
                    self.sounded.add(alarm.name)
        now = self.alarms(self.history)
        for alarm in now:
            if alarm.name not in self.sounded:
                self.sounded.add(alarm.name)
                self.context.report.alarm(iteration, alarm.name, alarm.text)
        if self.history[-1]["kl"] < -0.5:
            raise RunDiverged(
                f"KL to the reference is {self.history[-1]['kl']:.2f} nats per completion; it cannot be negative.",
                step=iteration,
                remedy="Sampling and log-probs disagree; this is a fault of the trainer.",
            )
        failing = next((alarm for alarm in now if alarm.fails), None)
        if failing is not None and self.config.stop_on_alarm:
            raise NothingToLearn(failing.text, step=iteration, remedy=failing.remedy)
        return any(alarm.stops for alarm in now)

    def alarms(self, history: Sequence[Figures]) -> list[Alarm]:
        return alarms(history, self.config, self.usual_spread)

    def summary(self) -> Metrics:
        """Figures for result.json: of the last iteration, and of the selection prompts at first and at best."""
        last, looks = self.history[-1], [e for e in self.history if "selection_reward" in e]
        figures: Metrics = {}
        for name, value in last.items():
            if not name.startswith("selection_") and not name.endswith("seconds"):
                figures[name] = value
        figures["seconds_per_iteration"] = sum(e["seconds"] for e in self.history) / len(self.history)
        figures["alarms"] = sorted(self.sounded or ())
        figures["kl_budget"] = self.kl_budget
        figures["stopped_early"] = last["iteration"] < self.config.iterations
        if looks:
            best = max(filter(self.within_budget, looks), key=lambda e: e["selection_reward"], default=looks[-1])
            figures |= selection_figures_of(best)
        return figures
