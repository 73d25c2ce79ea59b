"""A scalar model of preference: Bradley-Terry on pairs, with TRL's RewardTrainer, centered and scaled once at the end.

P(chosen beats rejected) = sigmoid(r_chosen - r_rejected), as in Ouyang et al. 2022, equation 1. As there, pairs that
share a response stay in one batch, since apart they make the model overfit; unlike there, several prompts share one.
A margin by strength (Touvron et al. 2023, section 3.2.2) is off unless requested.

The reward is read at the last real token of `prompt + completion + end token`, encoded in `columns` for training and
for serving alike, and is given in standard deviations above the mean of the SFT policy's own completions. Several heads
on one trunk (`heads`) are begun and fed differently; where they disagree, the reward is not to be trusted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle, islice

from torch import nn

from trainer.data.columns import Columns, encode_prompts, joined, preference_columns
from trainer.data.snapshot import Preference, Snapshot, occurrences, open_snapshot, turns_of
from trainer.errors import DataUnusable
from trainer.json_types import Metrics
from trainer.modeling.loading import load_classifier, load_policy, load_tokenizer, parameters
from trainer.modeling.lora import adapt
from trainer.modeling.passes import continuations
from trainer.modeling.reward_model import RewardModel, preference_figures
from trainer.run.context import RunContext, StageResult
from trainer.run.finalizing import RunFinalizer
from trainer.run.seeds import seed_everything, stable_seed


def run(context: RunContext) -> StageResult:
    """Train on the preferences of the train split, keep the weights with the lowest selection loss, normalize."""
    from trainer.modeling.reward_trainer import make_trainer
    from trainer.run.loop import restore_best, run_training, verify_best

    config = context.config
    base = context.inputs["base_model"]
    tokenizer = load_tokenizer(base)
    seed_everything(context.seed, "reward")
    context.report.state("loading the base model")
    model = adapt(load_classifier(base, tokenizer, config.heads), config.lora, heads=("score",))
    reward = RewardModel(model, tokenizer)

    context.report.state("reading the preferences")
    snapshot = open_snapshot(context.inputs["snapshot"])
    rows = list(snapshot.rows("train", Preference))
    columns = preference_columns(tokenizer, rows, config.max_length, config.margin_scale)
    check_columns(rows, columns, config.max_length)
    selection_rows = list(snapshot.rows("selection", Preference))
    selection = preference_columns(tokenizer, selection_rows, config.max_length, 0.0)

    trainer, hook = make_trainer(context, reward, columns, shared_groups(rows, columns), selection)
    context.report.state("training")
    steps = run_training(trainer, context, hook)
    finalizer = RunFinalizer(context, model, tokenizer, steps)
    best = restore_best(finalizer, hook)
    context.report.state("centring and scaling")
    on = normalize(finalizer, snapshot, reward, columns)
    model.config.touchstone = {**reward.constants(), "normalised_on": on}
    finalizer.metrics |= {
        "steps": steps,
        "best_step": best or steps,
        "parameters": parameters(model),
        "train_pairs": len(columns["row"]),
        "left_out": occurrences(rows) - len(columns["row"]),
        "reward_mean": reward.mean,
        "reward_std": reward.std,
        "normalised_on": on,
    }
    if config.heads > 1:
        finalizer.metrics |= {"heads": config.heads, "reward_spread": reward.usual_spread}
    finalizer.save()
    verify_best(finalizer, hook, best)
    if selection["row"]:
        context.report.state("measuring on the selection split")
        strengths = [row.strength for row in selection_rows]
        finalizer.measure("selection_figures", lambda: preference_figures(reward, selection, strengths))
    return finalizer.result("reward")


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
