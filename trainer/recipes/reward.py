"""A scalar model of preference: Bradley-Terry on pairs, with TRL's RewardTrainer, centered and scaled once at the end.

P(chosen beats rejected) = sigmoid(r_chosen - r_rejected), as in Ouyang et al. 2022, equation 1. As there, pairs that
share a response stay in one batch, since apart they make the model overfit; unlike there, several prompts share one.
A margin by strength (Touvron et al. 2023, section 3.2.2) is off unless requested.

The reward is read at the last real token of `prompt + completion + end token`, encoded in `columns` for training and
for serving alike, and is given in standard deviations above the mean of the SFT policy's own completions. Several heads
on one trunk (`heads`) are begun and fed differently; where they disagree, the reward is not to be trusted.

Few pairs make one training a lottery. So it takes `min_steps` at least, and `restarts` repeats it with other seeds.
Votes of unreliable annotators count less, or as their opposites: by the errors beside the rows (`vote_errors`), or, as
long as too few votes are shared to estimate these, by a temperature per annotator that is learned (`temperatures`).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from torch import nn

from trainer.data.columns import NOBODY, Columns, encode_prompts, joined, preference_columns
from trainer.data.snapshot import Preference, Snapshot, occurrences, open_snapshot, turns_of
from trainer.errors import DataUnusable
from trainer.json_types import Metrics
from trainer.losses.temperatures import ERRORS, NAME, Temperatures, detach, remembered
from trainer.modeling.loading import load_classifier, load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt
from trainer.modeling.passes import continuations
from trainer.modeling.reward_model import RewardModel, preference_figures
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.launch import wait_for_all
from trainer.run.microbatching import free_memory
from trainer.run.progress import CURVE_POINTS, Buckets, Reporter
from trainer.run.restarts import Ended, Restart, best_of, drop_others, ended, note_ended, restarts_of
from trainer.run.seeds import seed_everything, stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainer.run.loop import Hook

NO_TEMPERATURES = (
    "Every vote counts the same: how reliable annotators are cannot be learned while weights are sharded. Train on one "
    "device or with copies of the model, or collect more tasks with two annotators, so that errors are estimated."
)
SHARDING = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")


def run(context: RunContext) -> StageResult:
    """Train on the preferences of the train split, keep the weights with the lowest selection loss, normalize."""
    from trainer.run.loop import load_best

    config = context.config
    tokenizer = load_tokenizer(context.inputs["base_model"])
    context.report.state("reading the preferences")
    snapshot = open_snapshot(context.inputs["snapshot"])
    rows = list(snapshot.rows("train", Preference))
    columns = preference_columns(tokenizer, rows, config.max_length, config.margin_scale)
    check_columns(rows, columns, config.max_length)
    selection_rows = list(snapshot.rows("selection", Preference))
    selection = preference_columns(tokenizer, selection_rows, config.max_length, 0.0)

    training = Training(
        context, tokenizer, columns, shared_groups(rows, columns), selection, learned_from(snapshot, context.report)
    )
    reward, hook, results = training.run()
    best = best_of(results, "selection_loss")
    restart = training.restarts[best.number - 1]
    model = reward.model
    finalizer = RunFinalizer(context, model, tokenizer, restart.before + best.steps)
    restored = finalizer.restore(lambda: load_best(restart.context, best.kept_step, model))
    temperatures = detach(model)
    context.report.state("centring and scaling")
    on = normalize(finalizer, snapshot, reward, columns)
    model.config.touchstone = {**reward.constants(), "normalised_on": on}
    if temperatures is not None:
        model.config.touchstone[ERRORS] = remembered(temperatures, snapshot)
    last = results[-1]
    steps = training.restarts[last.number - 1].before + last.steps
    finalizer.metrics |= {
        **best.figures,
        "steps": steps,
        "best_step": restart.before + best.best_step if restored and best.best_step else steps,
        "parameters": parameters(model),
        "train_pairs": len(columns["row"]),
        "left_out": occurrences(rows) - len(columns["row"]),
        "reward_mean": reward.mean,
        "reward_std": reward.std,
        "normalised_on": on,
    }
    if len(results) > 1:
        losses = {str(result.number): result.figures.get("selection_loss") for result in results}
        finalizer.metrics |= {"restarts": len(results), "best_restart": best.number, "restart_losses": losses}
    if config.heads > 1:
        finalizer.metrics |= {"heads": config.heads, "reward_spread": reward.usual_spread}
    if temperatures is not None:
        finalizer.metrics["annotator_temperatures"] = temperatures.by_index()
    if "error" in columns:
        finalizer.metrics["doubted_pairs"] = sum(error > 0 for error in columns["error"])
    finalizer.save()
    if hook.measure is not None:
        measure = hook.measure
        finalizer.verify_best(best.figures, lambda: measure(model))
    if selection["row"]:
        context.report.state("measuring on the selection split")
        strengths = [row.strength for row in selection_rows]
        finalizer.measure("selection_figures", lambda: preference_figures(reward, selection, strengths, temperatures))
    return finalizer.result("reward")


def learned_from(snapshot: Snapshot, report: Reporter) -> bool:
    """Whether the snapshot asks for a temperature per annotator, and this run can learn them.

    Sharded weights cannot be read apart from the model's forward, so such a run takes every vote as it is, and says so.
    """
    reliability = snapshot.manifest.get("reliability") or {}
    if reliability.get("applied") != "temperature":
        return False
    is_sharded = any(os.environ.get(name, "").lower() in ("1", "true", "yes") for name in SHARDING)
    if is_sharded:
        report.alarm(0, "no_temperatures", NO_TEMPERATURES)
    return not is_sharded


@dataclass
class Training:
    """What every restart of a run shares.

    Attributes:
        columns: of the train split. groups: positions in them that stay in one batch.
        selection: columns of the selection split.
        by_annotator: learn a temperature per annotator, if the columns name any.
    """

    context: RunContext
    tokenizer: PreTrainedTokenizerBase
    columns: Columns
    groups: list[list[int]]
    selection: Columns
    by_annotator: bool

    def __post_init__(self) -> None:
        from trainer.modeling.reward_trainer import planned_batches

        config = self.context.config
        selects = bool(self.selection["row"])
        of = config.restarts if selects else 1
        shape = self.columns, self.groups, selects
        steps: list[int] = []
        for restart in restarts_of(self.context, [1] * of):  # their seeds, before their lengths are known
            steps.append(-(-len(planned_batches(restart.context, *shape)) // config.accumulate))
        self.restarts = restarts_of(self.context, steps)
        self.batches = [planned_batches(restart.context, *shape) for restart in self.restarts]

    def run(self) -> tuple[RewardModel, Hook, list[Ended]]:
        """Train as often as wanted, going on where a killed run was.

        Returns:
            A model that the best weights can be put into, what measures it, and what each restart came to.
        """
        *others, last = self.restarts
        results: list[Ended] = []
        for restart in others:
            result = ended(restart) or self.train(restart, None)[2]
            results.append(result)
            if restart.context.leads:
                drop_others(self.restarts, best_of(results, "selection_loss"))
            free_memory()
        reward, hook, result = self.train(last, ended(last))
        return reward, hook, [*results, result]

    def train(self, restart: Restart, before: Ended | None) -> tuple[RewardModel, Hook, Ended]:
        """One restart, unless it has ended `before`; then only its model is made."""
        from trainer.modeling.reward_trainer import make_trainer
        from trainer.run.loop import keep_best, run_training

        context = restart.context
        seed_everything(context.seed, "reward")
        context.report.state("loading the base model")
        config = context.config
        model = adapt(
            load_classifier(context.inputs["base_model"], self.tokenizer, config.heads), config.lora, ("score",)
        )
        if self.by_annotator and "annotator" in self.columns:
            others = self.selection.get("annotator", [NOBODY])
            model.add_module(NAME, Temperatures(self.columns["annotator"], others))
        reward = RewardModel(model, self.tokenizer)
        trainer, hook = make_trainer(context, reward, self.columns, self.batches[restart.number - 1], self.selection)
        hook.buckets = Buckets(max(1, CURVE_POINTS // restart.of))
        if before is not None:
            return reward, hook, before
        context.report.state("training")
        steps = run_training(trainer, context, hook)
        best = hook.best_step
        result = Ended(restart.number, steps, best or 0, hook.figures_at(best))
        if restart.of > 1:
            if best is None:
                keep_best(context, model, steps)
            if context.leads:
                note_ended(restart, result)
            wait_for_all()
            result = ended(restart) or result  # every process reads what one of them wrote
        return reward, hook, result


def normalize(finalizer: RunFinalizer, snapshot: Snapshot, reward: RewardModel, columns: Columns) -> str:
    """Centre and scale on the base policy's completions; where these cannot be had, on those it was trained on.

    Returns:
        On what. Where neither can be done the reward stays as it is, and the model has a fault.
    """
    config = finalizer.context.config

    def normalize_on(samples: list[list[int]], named: str) -> Metrics:
        reward.center_and_scale(samples, config.combine, config.spread_coef)
        return {"normalised_on": named}

    finalizer.measure(
        "reward_of_the_base_policy",
        lambda: normalize_on(*usual_completions(finalizer.context, snapshot, reward, columns)),
    )
    if "normalised_on" not in finalizer.metrics:
        finalizer.measure("reward_of_training_completions", lambda: normalize_on(*training_completions(columns)))
    if "normalised_on" not in finalizer.metrics:
        finalizer.fault("not_normalised", "The reward could not be centered and scaled, so its unit means nothing.")
    return str(finalizer.metrics.get("normalised_on", "nothing"))


def training_completions(columns: Columns) -> tuple[list[list[int]], str]:
    """Rows of ids that were trained on, and a word for them."""
    return [*columns["chosen_ids"], *columns["rejected_ids"]], "training completions"


def check_columns(rows: Sequence[Preference], columns: Columns, max_length: int) -> None:
    """Refuse what would train on nothing.

    Raises:
        DataUnusable: no pairs, none short enough, or every pair says that a response beats itself.
    """
    if not rows:
        raise DataUnusable("The snapshot has no preferences to train on.", remedy="Collect or import comparisons.")
    if not columns["row"]:
        raise DataUnusable(f"No pair fits into {max_length} tokens.", remedy="Raise max_length.")
    if columns["chosen_ids"] == columns["rejected_ids"]:
        raise DataUnusable(
            "In every pair chosen and rejected are the same text, so there is nothing to tell apart.",
            remedy="Check how the preferences were collected or imported.",
        )


def shared_groups(rows: Sequence[Preference], columns: Columns) -> list[list[int]]:
    """Columns that belong in one batch: those of one prompt that are linked by a response they share.

    n ranked responses make n-choose-2 pairs in which each response occurs n - 1 times; spread over an epoch they
    act like n - 1 epochs (Ouyang et al. 2022, section 3.5). Pairs with no response in common are independent evidence
    and stay apart, so that a prompt with hundreds of comparisons does not fill batches alone.

    Returns:
        Lists of positions in `columns`, in order of first appearance.
    """
    parent: dict[tuple[object, str], tuple[object, str]] = {}

    def root(node: tuple[object, str]) -> tuple[object, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    prompts = [turns_of(row.prompt) for row in rows]
    for prompt, row in zip(prompts, rows, strict=True):
        parent[root((prompt, row.chosen))] = root((prompt, row.rejected))
    groups: dict[tuple[object, str], list[int]] = defaultdict(list)
    for position, number in enumerate(columns["row"]):
        groups[root((prompts[number], rows[number].chosen))].append(position)
    return list(groups.values())


def usual_completions(
    context: RunContext, snapshot: Snapshot, reward: RewardModel, columns: Columns
) -> tuple[list[list[int]], str]:
    """Rows of ids that the reward is centered and scaled on, completions of the base policy, and a word for them.

    Falls back to the training completions when `normalise_samples` is 0.
    """
    config = context.config
    base = context.inputs["base_model"]
    samples, named = training_completions(columns)
    if not config.normalise_samples:
        return samples, named
    encoded = encode_prompts(reward.tokenizer, list(snapshot.prompts("train", Preference)))
    distinct = list(map(list, dict.fromkeys(map(tuple, encoded))))
    prompts = list(islice(cycle(distinct), config.normalise_samples))
    longest = max(map(len, samples)) - min(map(len, prompts))
    policy = load_policy(base, reward.tokenizer)
    nn.Module.to(policy, reward.model.device)
    seed = stable_seed(context.seed, "reward", "normalise") % 2**32
    written = continuations(policy, prompts, max(longest, 1), seed)
    return joined(prompts, written), "samples of the base policy"
