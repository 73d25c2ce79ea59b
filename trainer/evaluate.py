"""How good a reward model and a policy are, on rows nothing was trained on.

Of the reward model: accuracy on the split's preferences, by strength, its calibration, and how much it leans to length.
Of the policy: reward, KL to the reference, entropy, how it ends and repeats itself, and how often the reward model
prefers it to the incumbent. That win rate is the reward model's opinion and nobody else's: a policy trained on a reward
model wins by it even where it got worse. Whoever has a better judge finds every completion in `responses.jsonl`:
`{"prompt", "model": "candidate" | "incumbent", "text", "tokens", "finish_reason", "seed", "reward"}`. Which pairs the
reward model got right stands in `pairs.jsonl`, `{"hash", "prompt", "right"}` by the row's hash, so that whoever knows
who judged them can tell its accuracy by annotator: rows name nobody.

Intervals are 95 %, by bootstrap of whole prompts, since completions of one prompt are alike (`reference`: ignoring it
made 5 % tests fire in 43 % of cases).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import torch

from trainer import ppo_math
from trainer.best_of_n import kl_of_best
from trainer.columns import decode_completion, encode_prompts, preference_columns
from trainer.context import RunContext, StageResult
from trainer.errors import ConfigInvalid, DataUnusable, StopRequested
from trainer.evaluate_texts import HeldOut
from trainer.generate import Generator, drawing, write_lines
from trainer.memory import in_batches
from trainer.models import load_tokenizer
from trainer.passes import answer_figures
from trainer.reward import RewardModel, calibration_error, reward_gap
from trainer.rollouts import context_room, distinct_prompts, fitting, lay_out, repetition
from trainer.sampling import Drawn, end_ids
from trainer.scoring import load_judge, scorer
from trainer.seeds import stable_seed
from trainer.snapshot import Messages, Preference, open_snapshot
from trainer.template_check import refused_rows
from trainer.verdicts import length_controlled, lengths, reliability

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LONGEST_PAIR = 4096  # tokens; longer pairs are left out where a reward model states no context of its own


@dataclass(frozen=True)
class Answers:
    """Completions of one model: `responses` to each prompt, prompt after prompt.

    Attributes:
        prompt_ids, drawn, seeds: one entry each for a completion.
        prompt: which prompt each belongs to, an index.
        rewards: in the reward model's normalised unit, None without one.
    """

    prompt_ids: list[list[int]]
    drawn: list[Drawn]
    seeds: list[int]
    prompt: list[int]
    rewards: list[float] | None


def run(context: RunContext) -> StageResult:
    """Measure what is given: a reward model, a policy, or both, and the policy against an incumbent."""
    config, inputs = context.config, context.inputs
    if not {"base_model", "reward_model"} & set(inputs):
        raise ConfigInvalid("evaluate needs the input base_model, reward_model, or both.")
    if {"incumbent", "reference", "pretrained", "texts"} & set(inputs) and "base_model" not in inputs:
        raise ConfigInvalid("evaluate compares an incumbent or reference with base_model, which is missing.")
    snapshot = open_snapshot(inputs["snapshot"])
    tokenizer = load_tokenizer(inputs["base_model"] if "base_model" in inputs else inputs["reward_model"])
    metrics: dict[str, Any] = {"split": config.split}
    reward = None
    held_out = HeldOut(snapshot, config.split, inputs.get("texts"), config.max_texts)
    if "reward_model" in inputs:
        context.report.state("loading the reward model")
        reward = load_judge(inputs["reward_model"], tokenizer)
        rows = list(snapshot.rows(config.split, Preference))
        if rows:
            context.report.state("reading the preferences")
            metrics["reward_model"] = judge_figures(context, reward, rows)
        elif "base_model" not in inputs:
            raise DataUnusable(f"The {config.split} split has no preferences to measure the reward model on.")
    if "base_model" in inputs:
        measure_policies(context, reward, distinct_prompts(snapshot, config.split), held_out, metrics)
    return StageResult(metrics=metrics)


# --- the reward model ------------------------------------------------------------------------------------


def judge_figures(context: RunContext, reward: RewardModel, rows: Sequence[Preference]) -> dict[str, Any]:
    """How well the reward model predicts held-out preferences.

    Returns:
        accuracy: share of pairs whose chosen completion has the higher reward, a tie counts a half; `accuracy_low`
            and `accuracy_high` are its interval. accuracy_by_strength, pairs_by_strength: strength -> figure.
        loss: mean of -log sigmoid(r_chosen - r_rejected), nats. calibration_error: expected, over the ten bins that are
            `reliability`.
        prefers_longer: share of pairs of unequal length in which the longer has the higher reward;
        people_prefer_longer: in which the longer was chosen.
        pairs, left_out: measured, and too long to be.
    """
    limit = getattr(reward.model.config.get_text_config(), "max_position_embeddings", None) or LONGEST_PAIR
    columns = preference_columns(reward.tokenizer, rows, int(limit))
    if not columns["row"]:
        raise DataUnusable(f"No pair of the split fits into {limit} tokens.")
    gap = reward_gap(reward, columns)
    right = (gap > 0).float() + 0.5 * (gap == 0).float()
    prompts, strengths = defaultdict[str, list[float]](list), defaultdict[int, list[float]](list)
    for position, number in enumerate(columns["row"]):
        prompts[str(rows[number].prompt)].append(float(right[position]))
        strengths[rows[number].strength].append(float(right[position]))
    longer = torch.tensor(
        [len(yes) - len(no) for yes, no in zip(columns["chosen_ids"], columns["rejected_ids"], strict=True)]
    )
    unequal = longer != 0
    low, high = interval(list(prompts.values()), context)
    if context.report.path is not None:
        write_lines(context.folder / "pairs.jsonl", pair_lines(rows, columns["row"], right.tolist()))
    return {
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_by_strength": {str(s): sum(v) / len(v) for s, v in sorted(strengths.items())},
        "pairs_by_strength": {str(s): len(v) for s, v in sorted(strengths.items())},
        "loss": float(-torch.nn.functional.logsigmoid(gap).mean()),
        "calibration_error": calibration_error(torch.sigmoid(gap)),
        "reliability": reliability(torch.sigmoid(gap).tolist()),
        "prefers_longer": share((gap * longer)[unequal] > 0),
        "people_prefer_longer": share(longer[unequal] > 0),
        "pairs": len(gap),
        "left_out": sum(row.count for row in rows) - len(gap),
    }


def pair_lines(rows: Sequence[Preference], measured: Sequence[int], right: Sequence[float]) -> list[dict[str, Any]]:
    """Lines of pairs.jsonl: each measured row once, `prompt` a number that its pairs share, `right` 1, ½ or 0."""
    prompts: dict[str, int] = {}
    found = dict(zip(measured, right, strict=True))
    return [
        {"hash": rows[number].hash, "prompt": prompts.setdefault(str(rows[number].prompt), len(prompts)), "right": one}
        for number, one in found.items()
    ]


def share(is_so: torch.Tensor) -> float | None:
    """Share of True; None of nothing."""
    return float(is_so.float().mean()) if len(is_so) else None


# --- policies --------------------------------------------------------------------------------------------


def measure_policies(
    context: RunContext,
    reward: RewardModel | None,
    prompts: Sequence[Messages],
    held_out: HeldOut,
    metrics: dict[str, Any],
) -> None:
    """Answer the split's prompts with candidate and incumbent, and put into `metrics`:

    `policy` and `incumbent` (see `policy_figures`), and with both and a reward model `reward_model_win_rate`: how often
    it gives a completion of the candidate more than one of the incumbent to the same prompt, all pairs, ties one half,
    with `low` and `high`; and `length_controlled_win_rate`, what is left of it at equal lengths; `held_out_texts`: what
    policy, incumbent and the pretrained model make of texts (see `HeldOut`). Writes responses.jsonl.
    """
    config, inputs = context.config, context.inputs
    context.report.state("loading the policy")
    candidate = Generator(inputs["base_model"])
    kept, ids = answerable(candidate, prompts, config)
    answers: dict[str, Answers] = {}
    reference_path = inputs.get("reference", inputs.get("incumbent"))
    for name, path in (("candidate", inputs["base_model"]), ("incumbent", inputs.get("incumbent"))):
        if path is None:
            continue
        if context.should_stop():
            raise StopRequested
        context.report.state(f"answering {len(kept)} prompts with the {name}")
        generator = candidate if name == "candidate" else Generator(path)
        if generator.tokenizer.get_vocab() != candidate.tokenizer.get_vocab():
            raise ConfigInvalid(f"The {name} has another tokenizer than base_model.")
        answers[name] = answer(context, generator, ids, reward)
        key = "policy" if name == "candidate" else name
        metrics[key] = policy_figures(context, generator.model, answers[name], candidate.tokenizer.pad_token_id)
        held_out.read_by(key, generator.model, generator.tokenizer)
    if "pretrained" in inputs:
        context.report.state("reading held-out texts with the pretrained model")
        pretrained = Generator(inputs["pretrained"])
        held_out.read_by("pretrained", pretrained.model, pretrained.tokenizer)
    metrics |= {"held_out_texts": held_out.figures} if held_out.figures else {}
    if config.best_of > 1:
        metrics["best_of_kl"] = kl_of_best(config.best_of)  # to the policy that draws
    elif reference_path is not None and config.temperature > 0:
        context.report.state("measuring KL to the reference")
        reference = Generator(reference_path).model
        metrics["policy"]["kl"] = kl_between(
            context, candidate.model, reference, answers["candidate"], candidate.tokenizer.pad_token_id
        )
        metrics["policy"]["kl_to"] = "reference" if "reference" in inputs else "incumbent"
    if len(answers) == 2 and reward is not None:
        metrics |= win_rates(context, answers["candidate"], answers["incumbent"])
    metrics["prompts"], metrics["prompts_left_out"] = len(kept), len(prompts[: config.max_prompts]) - len(kept)
    if context.report.path is not None:
        lines = [line for name, made in answers.items() for line in response_lines(name, made, kept, candidate)]
        write_lines(context.folder / "responses.jsonl", lines)


def answerable(
    generator: Generator, prompts: Sequence[Messages], config: Any
) -> tuple[list[Messages], list[list[int]]]:
    """Of the first `max_prompts` prompts those that the model's template takes and that leave room for an answer, and
    their ids.

    Raises:
        DataUnusable: there is none.
    """
    room = context_room(generator.model, config.max_new_tokens)
    asked = list(prompts[: config.max_prompts])
    refused = refused_rows(generator.tokenizer, asked)
    asked = [messages for place, messages in enumerate(asked) if place not in refused]
    pairs = zip(asked, encode_prompts(generator.tokenizer, asked), strict=True)
    kept = [(messages, ids) for messages, ids in pairs if fitting([ids], room)[0]]
    if not kept:
        raise DataUnusable(f"The {config.split} split has no prompt that can be answered.")
    return [messages for messages, _ in kept], [ids for _, ids in kept]


def answer(context: RunContext, generator: Generator, ids: list[list[int]], reward: RewardModel | None) -> Answers:
    """`responses` completions to each prompt, each the best of `best_of`; the same seeds whichever model answers."""
    config = context.config
    prompt = [number for number in range(len(ids)) for _ in range(config.responses)]
    seeds = [stable_seed(context.seed, "evaluate", n, k) for n in range(len(ids)) for k in range(config.responses)]
    rows = [ids[number] for number in prompt]
    drawn = drawing(context, generator)(rows, seeds)
    rewards = scorer(reward)(rows, [one.ids for one in drawn]).tolist() if reward else None
    return Answers(rows, drawn, seeds, prompt, rewards)


def policy_figures(context: RunContext, model: PreTrainedModel, answers: Answers, pad_id: int) -> dict[str, Any]:
    """Figures of one model's completions.

    Returns:
        reward, reward_low, reward_high: mean in the reward model's unit, with its interval; absent without one.
        entropy: nats per token of the distribution that was sampled (at temperature 0, of that at 1).
        eos_rate: share that ended by itself. length: tokens with the end token, mean.
        repetition: share of 4-grams that stood earlier in the same completion.
        distinct: share of different completions among all. lengths: how many are how long.
    """
    tokens = [one.ids for one in answers.drawn]
    figures: dict[str, Any] = {
        "entropy": token_figures(context, model, None, answers, pad_id)[0],
        "eos_rate": sum(one.finish_reason == "stop" for one in answers.drawn) / len(tokens),
        "length": sum(map(len, tokens)) / len(tokens),
        "repetition": repetition(tokens),
        "distinct": len({tuple(ids) for ids in tokens}) / len(tokens),
        "completions": len(tokens),
        "lengths": lengths([len(ids) for ids in tokens]),
    }
    if answers.rewards is not None:
        low, high = interval(by_prompt(answers.prompt, answers.rewards), context)
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
    completions = [one.ids for one in answers.drawn]
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

    lengths = [len(prompt) + len(ids) for prompt, ids in zip(answers.prompt_ids, completions, strict=True)]
    in_batches(lengths, apply, context.config.batch_size)
    log_ratio = float(rollout.log_probs.sum())
    return float(ppo_math.masked_mean(rollout.entropy, rollout.is_answer)), log_ratio / len(completions)


def win_rates(context: RunContext, candidate: Answers, incumbent: Answers) -> dict[str, Any]:
    """How often the reward model prefers the candidate, every completion against every one to the same prompt; and the
    same at equal lengths."""
    assert candidate.rewards is not None and incumbent.rewards is not None
    wins = [
        [float((a > b) + 0.5 * (a == b)) for a in own for b in rivals]
        for own, rivals in both(candidate, incumbent, [candidate.rewards, incumbent.rewards])
    ]
    sizes = [[float(len(one.ids)) for one in answers.drawn] for answers in (candidate, incumbent)]
    longer = [[a - b for a in own for b in rivals] for own, rivals in both(candidate, incumbent, sizes)]
    low, high = interval(wins, context)
    values = [value for group in wins for value in group]
    value = sum(values) / len(values)
    controlled = length_controlled(wins, longer, context.config.bootstrap, stable_seed(context.seed, "bootstrap"))
    return {
        "reward_model_win_rate": {
            "value": value, "low": low, "high": high, "prompts": len(wins), "judge": "reward_model",
        },
        "length_controlled_win_rate": controlled | {"judge": "reward_model"},
    }  # fmt: skip


def both(candidate: Answers, incumbent: Answers, values: Sequence[Sequence[float]]) -> list[tuple[list[float], ...]]:
    """For each prompt the values of the candidate's completions and those of the incumbent's."""
    groups = [by_prompt(one.prompt, of) for one, of in zip((candidate, incumbent), values, strict=True)]
    return list(zip(*groups, strict=True))


def by_prompt(prompt: Sequence[int], values: Sequence[float]) -> list[list[float]]:
    """Values in one list for each prompt, in the order of the prompts."""
    groups: list[list[float]] = [[] for _ in range(max(prompt) + 1)]
    for number, value in zip(prompt, values, strict=True):
        groups[number].append(value)
    return groups


def interval(groups: Sequence[Sequence[float]], context: RunContext) -> tuple[float, float]:
    """95 % interval of the mean over all values, by bootstrap of whole groups."""
    return clustered_interval(groups, context.config.bootstrap, stable_seed(context.seed, "bootstrap"))


def clustered_interval(groups: Sequence[Sequence[float]], resamples: int, seed: int) -> tuple[float, float]:
    """Percentile interval, 2.5 to 97.5, of the mean over all values when whole groups are drawn with replacement.

    Args:
        groups: values of each cluster, at least one each. With one cluster the interval is a point: nothing is known
            of how clusters differ.
        resamples: >= 1. seed: of the draws.
    """
    sums = numpy.array([sum(group) for group in groups], dtype=float)
    sizes = numpy.array([len(group) for group in groups], dtype=float)
    generator = numpy.random.Generator(numpy.random.Philox(seed))
    drawn = generator.integers(0, len(groups), size=(resamples, len(groups)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = numpy.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def response_lines(
    name: str, answers: Answers, prompts: Sequence[Messages], generator: Generator
) -> list[dict[str, Any]]:
    """Lines of responses.jsonl of one model."""
    return [
        {
            "prompt": list(prompts[number]),
            "model": name,
            "text": decode_completion(generator.tokenizer, one.ids),
            "tokens": len(one.ids),
            "finish_reason": one.finish_reason,
            "seed": seed,
            "reward": None if answers.rewards is None else round(answers.rewards[position], 6),
        }
        for position, (number, one, seed) in enumerate(zip(answers.prompt, answers.drawn, answers.seeds, strict=True))
    ]
