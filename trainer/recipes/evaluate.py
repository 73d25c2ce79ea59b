"""How good a reward model and a policy are, on rows nothing was trained on.

Of the reward model: accuracy on the split's preferences, by strength, its calibration, and how much it leans to length.
Of the policy: reward, KL to the reference, entropy, how it ends and repeats itself, and how often the reward model
prefers it to the incumbent, which is what serves, and to the reference, which it began as. That win rate is the reward
model's opinion and nobody else's: a policy trained on a reward model wins by it even where it got worse. Whoever has a
better judge finds every completion in `responses.jsonl`: `{"prompt", "model": "candidate" | "incumbent" | "reference",
"text", "tokens", "finish_reason", "seed", "reward"}`. Which pairs the reward model got right stands in `pairs.jsonl`,
`{"hash", "prompt", "right"}` by the row's hash, so that whoever knows who judged them can tell its accuracy by
annotator: rows name nobody.

Intervals are 95 % and by prompt, since completions of one prompt are alike (ignoring it made 5 % tests fire in 43 % of
cases); see `intervals.py`. Below eight prompts there is none: `low` and `high` are null.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import torch

from trainer.data.columns import decode_completion, encode_completions, encode_prompts, joined, preference_columns
from trainer.data.json_lines import write_lines
from trainer.data.snapshot import Messages, Preference, occurrences, open_snapshot
from trainer.errors import ConfigInvalid, DataUnusable, StopRequested
from trainer.json_types import Metrics
from trainer.losses.temperatures import with_errors
from trainer.losses.vote_errors import accuracy_without_errors, vote_loss
from trainer.metrics import intervals
from trainer.metrics.report_figures import lengths, reliability
from trainer.metrics.win_rates import Answers, by_prompt, reward_model_rate, win_rates
from trainer.modeling.loading import load_tokenizer
from trainer.modeling.passes import answer_figures
from trainer.modeling.reward_model import RewardModel, calibration_error, error_of, reward_gap, selected
from trainer.modeling.reward_scoring import load_judge, scorer
from trainer.modeling.sampling import Drawn, FinishReason, end_ids, ids_of, stop_flags
from trainer.modeling.template_check import refused_rows
from trainer.ppo import arithmetic
from trainer.ppo.rollouts import context_room, distinct_prompts, fitting, fitting_pairs, lay_out, repetition
from trainer.recipes.best_of_n import kl_of_best
from trainer.recipes.evaluate_texts import HeldOutTexts
from trainer.recipes.generate import Generator, drawing
from trainer.run.context import RunContext, StageResult
from trainer.run.microbatching import in_batches, rows_at
from trainer.run.seeds import stable_seed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from trainer.configs.stages import EvaluateConfig

Vote = tuple[float, float]  # whether the reward model agrees with a vote, 1, ½ or 0, and the vote's error
LONGEST_PAIR = 4096  # tokens; longer pairs are left out where a reward model states no context of its own


class PairRow(TypedDict):
    """A line of pairs.jsonl."""

    hash: str
    prompt: int
    right: float
    error: NotRequired[float]


class ResponseRow(TypedDict):
    """A line of responses.jsonl."""

    prompt: list[dict[str, str]]
    model: str
    text: str
    tokens: int
    finish_reason: FinishReason
    seed: int
    reward: float | None


def run(context: RunContext) -> StageResult:
    """Measure what is given: a reward model, a policy, or both, and the policy against an incumbent."""
    config, inputs = context.config, context.inputs
    if not {"base_model", "reward_model"} & set(inputs):
        raise ConfigInvalid("evaluate needs the input base_model, reward_model, or both.")
    if {"incumbent", "reference", "pretrained", "texts"} & set(inputs) and "base_model" not in inputs:
        raise ConfigInvalid("evaluate compares an incumbent or reference with base_model, which is missing.")
    snapshot = open_snapshot(inputs["snapshot"])
    tokenizer = load_tokenizer(inputs.get("base_model") or inputs["reward_model"])
    metrics: Metrics = {"split": config.split}
    reward = None
    held_out = HeldOutTexts(snapshot, config.split, inputs.get("texts"), config.max_texts)
    if "reward_model" in inputs:
        context.report.state("loading the reward model")
        reward = load_judge(inputs["reward_model"], tokenizer)
        rows = with_errors(list(snapshot.rows(config.split, Preference)), snapshot, inputs["reward_model"])
        if rows:
            context.report.state("reading the preferences")
            metrics["reward_model"] = judge_figures(context, reward, rows)
        elif "base_model" not in inputs:
            raise DataUnusable(f"The {config.split} split has no preferences to measure the reward model on.")
    if "base_model" in inputs:
        measure_policies(context, reward, distinct_prompts(snapshot, config.split), held_out, metrics)
    return StageResult(metrics=metrics)


# --- the reward model ------------------------------------------------------------------------------------


def judge_figures(context: RunContext, reward: RewardModel, rows: Sequence[Preference]) -> Metrics:
    """How well the reward model predicts held-out preferences.

    Returns:
        accuracy: share of pairs whose chosen completion has the higher reward, a tie counts a half; of votes with
            errors, what it would be without. `accuracy_low` and `accuracy_high` are its interval, None of too few
            prompts. accuracy_by_strength, pairs_by_strength: strength -> figure.
        loss: mean of `vote_loss`: -log sigmoid(r_chosen - r_rejected) without errors, nats. calibration_error: of the
            probability that a vote comes out as it did, expected, over the ten bins that are `reliability`.
        prefers_longer: share of pairs of unequal length in which the longer has the higher reward;
        people_prefer_longer: in which the longer was chosen.
        pairs, prompts, left_out: pairs measured, of so many prompts, and pairs too long to be.
    """
    limit = getattr(reward.model.config.get_text_config(), "max_position_embeddings", None) or LONGEST_PAIR
    columns = preference_columns(reward.tokenizer, rows, int(limit))
    if not columns["row"]:
        raise DataUnusable(f"No pair of the split fits into {limit} tokens.")
    gap, error = reward_gap(reward, columns), error_of(columns)
    loss = vote_loss(gap, error)
    chance = torch.sigmoid(gap) if error is None else torch.exp(-loss)
    right = (gap > 0).float() + 0.5 * (gap == 0).float()
    errors = [0.0] * len(gap) if error is None else error.tolist()
    prompts, strengths = defaultdict[str, list[Vote]](list), defaultdict[int, list[int]](list)
    differences: list[int] = []
    for position, number in enumerate(columns["row"]):
        differences.append(len(columns["chosen_ids"][position]) - len(columns["rejected_ids"][position]))
        prompts[str(rows[number].prompt)].append((float(right[position]), errors[position]))
        strengths[rows[number].strength].append(position)
    accuracy_by_strength: dict[str, float] = {}
    pairs_by_strength: dict[str, int] = {}
    for strength, places in sorted(strengths.items()):
        among = torch.tensor(places)
        accuracy_by_strength[str(strength)] = accuracy_without_errors(right[among], selected(error, among))
        pairs_by_strength[str(strength)] = len(places)
    longer = torch.tensor(differences)
    unequal = longer != 0
    accuracy = accuracy_without_errors(right, error)
    low, high = interval_of(list(prompts.values()), accuracy)
    if context.report.path is not None:
        write_lines(context.folder / "pairs.jsonl", pair_lines(rows, columns["row"], right.tolist()))
    return {
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_by_strength": accuracy_by_strength,
        "pairs_by_strength": pairs_by_strength,
        "loss": float(loss.mean()),
        "calibration_error": calibration_error(chance),
        "reliability": reliability(chance.tolist()),
        "prefers_longer": share((gap * longer)[unequal] > 0),
        "people_prefer_longer": share(longer[unequal] > 0),
        "pairs": len(gap),
        "prompts": len(prompts),
        "left_out": occurrences(rows) - len(gap),
    }


def interval_of(votes: Sequence[Sequence[Vote]], accuracy: float) -> intervals.Interval:
    """Of the accuracy on the votes of each prompt, with their errors if any has one."""
    if any(error for group in votes for _, error in group):
        return intervals.of_doubted_share(votes, accuracy)
    return intervals.of_share([[right for right, _ in group] for group in votes])


def pair_lines(rows: Sequence[Preference], measured: Sequence[int], right: Sequence[float]) -> list[PairRow]:
    """Lines of pairs.jsonl: each measured row once, `prompt` a number that its pairs share, `right` 1, ½ or 0.

    `right` is of the vote as it was cast, since the service tells by it whose votes the model agrees with; `error` is
    there where the row has one.
    """
    prompts: dict[str, int] = {}
    lines: list[PairRow] = []
    for number, one in dict(zip(measured, right, strict=True)).items():
        row = rows[number]
        prompt = prompts.setdefault(str(row.prompt), len(prompts))
        line: PairRow = {"hash": row.hash, "prompt": prompt, "right": one}
        if row.error:
            line["error"] = row.error
        lines.append(line)
    return lines


def share(is_so: torch.Tensor) -> float | None:
    """Share of True; None of nothing."""
    return float(is_so.float().mean()) if len(is_so) else None


# --- policies --------------------------------------------------------------------------------------------


def measure_policies(
    context: RunContext,
    reward: RewardModel | None,
    prompts: Sequence[Messages],
    held_out: HeldOutTexts,
    metrics: Metrics,
) -> None:
    """Answer the split's prompts with candidate, incumbent and reference, and put into `metrics`:

    `policy`, `incumbent` and, where it is another model than those, `reference` (see `policy_figures`). With an
    incumbent and a reward model `reward_model_win_rate`: how often it gives a completion of the candidate more than one
    of the incumbent to the same prompt, all pairs, ties one half, with `low` and `high`; `length_controlled_win_rate`,
    what is left of it at equal lengths; with a reference `reward_model_win_rate_over_reference`. `held_out_texts`: what
    policy, incumbent and the pretrained model make of texts (see `HeldOutTexts`). Writes responses.jsonl.
    """
    config, inputs = context.config, context.inputs
    context.report.state("loading the policy")
    candidate = Generator(inputs["base_model"])
    kept, ids = answerable(candidate, prompts, config)
    answers: dict[str, Answers] = {}
    reference_path = inputs.get("reference", inputs.get("incumbent"))
    for name, path in compared(inputs).items():
        if context.should_stop():
            raise StopRequested
        context.report.state(f"sampling responses to {len(kept)} prompts with the {name}")
        generator = candidate if name == "candidate" else Generator(path)
        key = "policy" if name == "candidate" else name
        if generator.tokenizer.get_vocab() == candidate.tokenizer.get_vocab():
            answers[name] = answer(context, generator, ids, reward)
            metrics[key] = policy_figures(context, generator.model, answers[name], candidate.tokenizer.pad_token_id)
        else:
            answers[name] = answer_in_other_tokens(context, generator, kept, candidate, ids, reward)
            metrics[key] = policy_figures(context, None, answers[name], candidate.tokenizer.pad_token_id)
            metrics[key]["other_tokenizer"] = True
        if name != "reference":
            held_out.read_by(key, generator.model, generator.tokenizer)
    if "pretrained" in inputs:
        context.report.state("reading held-out texts with the pretrained model")
        pretrained = Generator(inputs["pretrained"])
        held_out.read_by("pretrained", pretrained.model, pretrained.tokenizer)
    if held_out.figures:
        metrics["held_out_texts"] = held_out.figures
    same_tokens = "reference" in inputs or "other_tokenizer" not in metrics.get("incumbent", {})
    if config.best_of > 1:
        metrics["best_of_kl"] = kl_of_best(config.best_of)  # to the policy that draws
    elif reference_path is not None and config.temperature > 0 and same_tokens:
        context.report.state("measuring KL to the reference")
        reference = Generator(reference_path).model
        metrics["policy"]["kl"] = kl_between(
            context, candidate.model, reference, answers["candidate"], candidate.tokenizer.pad_token_id
        )
        metrics["policy"]["kl_to"] = "reference" if "reference" in inputs else "incumbent"
    if reward is not None:
        if "incumbent" in answers:
            metrics |= win_rates(answers["candidate"], answers["incumbent"])
        if "reference" in answers:
            rate = reward_model_rate(answers["candidate"], answers["reference"])
            metrics["reward_model_win_rate_over_reference"] = rate
    metrics["prompts"], metrics["prompts_left_out"] = len(kept), len(prompts[: config.max_prompts]) - len(kept)
    if context.report.path is not None:
        lines: list[ResponseRow] = []
        for name, made in answers.items():
            lines += response_lines(name, made, kept, candidate)
        write_lines(context.folder / "responses.jsonl", lines)


def compared(inputs: Mapping[str, Path]) -> dict[str, Path]:
    """The models that answer, by their names: each once, so that a reference which is the incumbent is left out."""
    models: dict[str, Path] = {}
    for name, key in (("candidate", "base_model"), ("incumbent", "incumbent"), ("reference", "reference")):
        if key in inputs and (name == "incumbent" or inputs[key] not in models.values()):
            models[name] = inputs[key]
    return models


def answerable(
    generator: Generator, prompts: Sequence[Messages], config: EvaluateConfig
) -> tuple[list[Messages], list[list[int]]]:
    """Of the first `max_prompts` prompts those that the model's template takes and that leave room for an answer, and
    their ids.

    Raises:
        DataUnusable: there is none.
    """
    room = context_room(generator.model, config.max_new_tokens)
    chosen_prompts = list(prompts[: config.max_prompts])
    refused = refused_rows(generator.tokenizer, chosen_prompts)
    taken = [messages for place, messages in enumerate(chosen_prompts) if place not in refused]
    kept, kept_ids = fitting_pairs(taken, encode_prompts(generator.tokenizer, taken), room)
    if not kept:
        raise DataUnusable(f"The {config.split} split has no usable prompts.")
    return kept, kept_ids


def answer(context: RunContext, generator: Generator, ids: list[list[int]], reward: RewardModel | None) -> Answers:
    """`responses` completions to each prompt, each the best of `best_of`; the same seeds whichever model answers."""
    config = context.config
    prompt: list[int] = []
    seeds: list[int] = []
    for number, response in product(range(len(ids)), range(config.responses)):
        prompt.append(number)
        seeds.append(stable_seed(context.seed, "evaluate", number, response))
    rows = rows_at(ids, prompt)
    drawn = drawing(context, generator)(rows, seeds)
    return Answers(rows, drawn, seeds, prompt, rewards_of(reward, rows, drawn))


def rewards_of(reward: RewardModel | None, rows: list[list[int]], drawn: Sequence[Drawn]) -> list[float] | None:
    """Reward of each completion of `rows`, in the reward model's unit; None without one."""
    if reward is None:
        return None
    rewards: list[float] = scorer(reward)(rows, ids_of(drawn)).tolist()
    return rewards


def answer_in_other_tokens(
    context: RunContext,
    generator: Generator,
    prompts: Sequence[Messages],
    candidate: Generator,
    ids: list[list[int]],
    reward: RewardModel | None,
) -> Answers:
    """What a model of another tokenizer answers, in the tokens of the candidate, which the reward model reads.

    Args:
        prompts, ids: the same prompts, the latter in the candidate's tokens.

    Raises:
        DataUnusable: a prompt is too long for that model.
    """
    its_ids = encode_prompts(generator.tokenizer, prompts)
    too_long = fitting(its_ids, context_room(generator.model, context.config.max_new_tokens))[1]
    if too_long:
        raise DataUnusable(f"{too_long} of the prompts do not fit into the context of the model that serves.")
    made = answer(context, generator, its_ids, None)
    drawn = []
    for one in made.drawn:
        text = decode_completion(generator.tokenizer, one.ids)
        whole = encode_completions(candidate.tokenizer, [text])[0]
        if one.finish_reason == "length" and len(whole) > 1:
            whole = whole[:-1]  # it was cut, so it has no end token
        drawn.append(Drawn(whole, one.finish_reason))
    rows = rows_at(ids, made.prompt)
    return Answers(rows, drawn, made.seeds, made.prompt, rewards_of(reward, rows, drawn))


def policy_figures(context: RunContext, model: PreTrainedModel | None, answers: Answers, pad_id: int) -> Metrics:
    """Figures of one model's completions.

    Args:
        model: None where it has other tokens than `answers`: entropy per token then compares with nothing.

    Returns:
        reward, reward_low, reward_high: mean in the reward model's unit, with its interval; absent without one.
        entropy: nats per token of the distribution that was sampled (at temperature 0, of that at 1).
        eos_rate: share that ended by itself. length: tokens with the end token, mean.
        repetition: share of 4-grams that stood earlier in the same completion.
        distinct: share of different completions among all. lengths: how many are how long.
    """
    tokens = ids_of(answers.drawn)
    sizes = list(map(len, tokens))
    figures: Metrics = {
        "eos_rate": sum(stop_flags(answers.drawn)) / len(tokens),
        "length": sum(sizes) / len(tokens),
        "repetition": repetition(tokens),
        "distinct": len(set(map(tuple, tokens))) / len(tokens),
        "completions": len(tokens),
        "lengths": lengths(sizes),
    }
    if model is not None:
        figures["entropy"] = token_figures(context, model, None, answers, pad_id)[0]
    if answers.rewards is not None:
        low, high = intervals.of_mean(by_prompt(answers.prompt, answers.rewards))
        figures |= {"reward": sum(answers.rewards) / len(tokens), "reward_low": low, "reward_high": high}
    return figures


def kl_between(
    context: RunContext, model: PreTrainedModel, reference: PreTrainedModel, answers: Answers, pad_id: int
) -> float:
    """KL(policy ‖ reference), nats per completion: the mean log-ratio of the policy's own completions."""
    return token_figures(context, model, reference, answers, pad_id)[1]


@torch.no_grad()
def token_figures(
    context: RunContext, model: PreTrainedModel, reference: PreTrainedModel | None, answers: Answers, pad_id: int
) -> tuple[float, float]:
    """(mean entropy per token, mean Σ log-ratio per completion; 0 without a reference), both at temperature."""
    temperature = context.config.temperature or 1.0
    completions = ids_of(answers.drawn)
    unscored = torch.zeros(len(completions), device=model.device)
    rollout = lay_out(
        answers.prompt_ids, completions, unscored, pad_id=pad_id, eos_ids=end_ids(model), missing_eos_score=0.0
    )

    def apply(batch: list[int]) -> None:
        rows = torch.tensor(batch, device=model.device)
        inputs, length = rollout.inputs(rows)
        is_answer = rollout.is_answer[rows, :length]
        log_probs, entropy = answer_figures(model, length, temperature, **inputs)
        rollout.entropy[rows, :length] = entropy * is_answer
        if reference is not None:
            ref_log_probs, _ = answer_figures(reference, length, temperature, **inputs)
            rollout.log_probs[rows, :length] = (log_probs - ref_log_probs) * is_answer

    whole_lengths = list(map(len, joined(answers.prompt_ids, completions)))
    in_batches(whole_lengths, apply, context.config.batch_size)
    log_ratio = float(rollout.log_probs.sum())
    return float(arithmetic.masked_mean(rollout.entropy, rollout.is_answer)), log_ratio / len(completions)


def response_lines(name: str, answers: Answers, prompts: Sequence[Messages], generator: Generator) -> list[ResponseRow]:
    """Lines of responses.jsonl of one model."""
    lines: list[ResponseRow] = []
    for number, one, seed in zip(answers.prompt, answers.drawn, answers.seeds, strict=True):
        line: ResponseRow = {
            "prompt": list(prompts[number]),
            "model": name,
            "text": decode_completion(generator.tokenizer, one.ids),
            "tokens": len(one.ids),
            "finish_reason": one.finish_reason,
            "seed": seed,
            "reward": None,
        }
        if answers.rewards is not None:
            line["reward"] = round(answers.rewards[len(lines)], 6)
        lines.append(line)
    return lines
