"""Preconditions of a promotion: findings from a policy's own texts and training, before anybody's vote.

Each is a named finding that blocks or warns. What is unknown speaks against a policy as much as what is bad: a figure
that is missing blocks, and its finding says which one it is. The reward model that a policy was trained to please is no
judge of it, so no win rate by that model is read here; whether that model is better than chance is.

Thresholds were checked on what PPO, DPO and KTO make of the demo world: no sound policy is blocked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from feedback.rules.evaluation.intervals import FEWEST, not_enough, wilson
from feedback.rules.evaluation.noninferiority import Safety
from feedback.rules.training import stage_settings

Level = Literal["block", "warn"]
Figures = Mapping[str, Any]

BLOCK: Level = "block"
WARN: Level = "warn"
LEAST_EOS_RATE = 0.9
LEAST_ENTROPY, LOW_ENTROPY = 0.3, 0.5  # of the opponent's
MORE_REPETITION = 0.05  # of 4-grams, above the opponent's
LENGTH_CHANGE = 0.25  # of the opponent's length
CHANCE = 0.5


@dataclass(frozen=True)
class Finding:
    """A finding against serving a policy.

    Attributes:
        name: steady, for machines.
        level: `block` needs a reason to be overridden; `warn` is shown.
        sentence: what was found, and what to do about it, for people.
        final: no reason overrides it.
    """

    name: str
    level: Level
    sentence: str
    final: bool = False


@dataclass(frozen=True)
class Evaluated:
    """Figures of the newest evaluation of a candidate.

    Attributes:
        opponent: the version it was compared with; empty for none.
        serves: whether that version serves now.
        reward_model: whose held-out accuracy was measured; empty for none.
        metrics: as the trainer's stage `evaluate` reports them.
    """

    opponent: str
    serves: bool
    reward_model: str
    metrics: Figures


@dataclass(frozen=True)
class People:
    """What people's blind votes say about a candidate against the version that serves.

    Attributes:
        decision: promote, give_up or cap; open while it is not decided. Of several candidates only the winner has
            promote; the others have not been shown to be better: cap.
        win_rate, low, high: of the candidate, with the interval that is valid at every look; None where there is none.
        votes: in the evidence. voters: how many people they are from.
    """

    decision: str
    win_rate: float | None = None
    low: float | None = None
    high: float | None = None
    votes: int = 0
    voters: int = 0


@dataclass(frozen=True)
class Judged:
    """What the guard model says about a candidate beside the version that serves.

    Attributes:
        guard: the guard model in words; empty where the project has none.
        outcome: the test so far; None if none was started with this guard.
        running: whether more prompts are being judged.
        at_hand: prompts that could be judged, where there is no test.
    """

    guard: str = ""
    outcome: Safety | None = None
    running: bool = False
    at_hand: int = 0


@dataclass(frozen=True)
class Case:
    """A candidate policy with the figures that the gate uses.

    Attributes:
        candidate, serving: names of versions; `serving` is empty while nothing serves.
        aligned: whether it was trained to please (DPO, KTO, RLOO, GRPO, PPO), away from a policy it began as.
        optimized_for: the reward model that it was trained to please; empty for none.
        kl_budget: nats per completion that its own run went by; 0 for none, the rule by length then applies.
        not_promotable: why its own training says that it must not serve.
        tainted: somebody whose annotations trained it was erased.
        state: of the version; "rejected" and "revoked" must not serve.
        evaluation: None if nobody has measured it.
        people: None if no contest with the version that serves was opened.
        safety: None where it is not asked for.
    """

    candidate: str
    serving: str
    aligned: bool = False
    optimized_for: str = ""
    kl_budget: float = 0.0
    not_promotable: tuple[str, ...] = ()
    tainted: bool = False
    state: str = "candidate"
    evaluation: Evaluated | None = None
    people: People | None = None
    safety: Judged | None = None


def preconditions(case: Case) -> list[Finding]:
    """Findings from the newest evaluation, for a candidate that would replace what serves."""
    evaluation = case.evaluation
    if evaluation is None:
        return [_not_evaluated(case)]
    found = []
    if not evaluation.serves:
        found.append(_other_opponent(case, evaluation))
    found += _of_prompts(evaluation.metrics)
    found += _of_reward_model(case, evaluation)
    found += _of_policy(case, evaluation)
    return found


def report_only(found: list[Finding]) -> list[Finding]:
    """The same findings as warnings, for a contest that is to decide alone; those that are final keep blocking."""
    return [one if one.final else replace(one, level=WARN) for one in found]


def block(name: str, sentence: str, *, final: bool = False) -> Finding:
    """A finding that blocks."""
    return Finding(name, BLOCK, sentence[0].upper() + sentence[1:], final)


def _warn(name: str, sentence: str) -> Finding:
    return Finding(name, WARN, sentence[0].upper() + sentence[1:])


def final_findings(case: Case) -> list[Finding]:
    """Findings that no reason overrides: damaged weights, erased rows, a state that must not serve."""
    found = [block("not_promotable", sentence, final=True) for sentence in case.not_promotable if sentence]
    if case.tainted:
        sentence = f"{case.candidate} was trained on rows that were erased later. Train it again without them."
        found.append(block("tainted", sentence, final=True))
    if case.state in ("rejected", "revoked"):
        sentence = f"{case.candidate} is {case.state}. Train another, or promote another version."
        found.append(block(case.state, sentence, final=True))
    return found


def _not_evaluated(case: Case) -> Finding:
    return block(
        "not_evaluated",
        f"It was not evaluated against {case.serving}. Run the evaluation stage.",
    )


def _other_opponent(case: Case, evaluation: Evaluated) -> Finding:
    against = (
        f"It was compared with {evaluation.opponent}" if evaluation.opponent else "It was not compared with any model"
    )
    return block(
        "other_opponent",
        f"{against}, but {case.serving} serves now. Run the evaluation stage again.",
    )


def _of_prompts(metrics: Figures) -> list[Finding]:
    found = []
    prompts = metrics.get("prompts") or 0
    if prompts < FEWEST:
        sentence = f"It answered {prompts} held-out prompts: {not_enough(prompts)}. Add prompts, then evaluate again."
        found.append(block("few_prompts", sentence))
    if metrics.get("split") == "selection":
        sentence = "It was measured on the selection split, which chose its checkpoint; the result is too optimistic."
        found.append(_warn("selection_split", sentence))
    contaminated = metrics.get("contaminated_prompts", 0)
    if contaminated is None:
        found.append(_unknown("contamination", "whether held-out prompts occur in its training data"))
    elif contaminated:
        sentence = (
            f"{contaminated} of the held-out prompts occur in its training texts (contamination). "
            "Freeze the corpus again, which excludes those texts, and retrain; or evaluate on other "
            "prompts."
        )
        found.append(block("contamination", sentence))
    return found


def _of_reward_model(case: Case, evaluation: Evaluated) -> list[Finding]:
    """Findings about the reward model of the candidate: it must be better than chance."""
    name = case.optimized_for
    if not name:
        return []
    measured = evaluation.metrics.get("reward_model") or {}
    return of_reward_model(name, measured if evaluation.reward_model == name else {})


def of_reward_model(name: str, measured: Figures) -> list[Finding]:
    """Findings against relying on a reward model.

    Args:
        measured: on held-out comparisons: `accuracy`, `pairs`, `prompts`, `accuracy_low`; empty if nobody has.
    """
    if not measured.get("pairs"):
        sentence = (
            f"The accuracy of {name} on held-out comparisons is unknown. Annotate comparisons of test "
            "prompts, then run the evaluation stage."
        )
        return [block("reward_model_unmeasured", sentence)]
    pairs, prompts = measured["pairs"], measured.get("prompts", FEWEST)
    if min(pairs, prompts) < FEWEST:
        sentence = (
            f"{name} was measured on {pairs} held-out comparison{'s' * (pairs != 1)}: "
            f"{not_enough(min(pairs, prompts))}. Annotate more comparisons of test prompts, then "
            "evaluate again."
        )
        return [block("reward_model_unmeasured", sentence)]
    low = wilson(measured["accuracy"] * pairs, pairs)[0]
    clustered = measured.get("accuracy_low")
    low = low if clustered is None else min(low, clustered)
    if low > CHANCE:
        return []
    sentence = (
        f"{name} is not significantly better than chance: it is correct on "
        f"{_percent(measured['accuracy'])} of {pairs} held-out comparisons; the lower 95 % bound is "
        f"{_percent(low)}."
    )
    return [block("reward_model_at_chance", sentence)]


def _of_policy(case: Case, evaluation: Evaluated) -> list[Finding]:
    """Findings about the candidate's texts, compared with those of its opponent."""
    ours, theirs = evaluation.metrics.get("policy") or {}, evaluation.metrics.get("incumbent") or {}
    opponent = evaluation.opponent or case.serving
    found = _of_kl(case, ours, evaluation.metrics.get("reference") or theirs)
    if (eos_rate := _number(ours, "eos_rate")) is None:
        found.append(_unknown("eos_rate", "its EOS rate"))
    elif eos_rate < LEAST_EOS_RATE:
        sentence = f"The EOS rate is {_percent(eos_rate)}; the minimum is {_percent(LEAST_EOS_RATE)}."
        found.append(block("eos_rate", sentence))
    found += _of_entropy(ours, theirs, opponent)
    repetition, usual = _number(ours, "repetition"), _number(theirs, "repetition")
    if repetition is None or usual is None:
        found.append(_unknown("repetition", f"its repetition compared with {opponent}"))
    elif repetition > usual + MORE_REPETITION:
        sentence = (
            f"Repetition: {_percent(repetition)} of its 4-grams occurred earlier in the same response; "
            f"{opponent}: {_percent(usual)}."
        )
        found.append(block("repetition", sentence))
    length, usual = _number(ours, "length"), _number(theirs, "length")
    if length is not None and usual and abs(length - usual) > LENGTH_CHANGE * usual:
        sentence = f"Its responses have {length:.0f} tokens on average; {opponent}: {usual:.0f}."
        found.append(_warn("length", sentence))
    return found


def _of_kl(case: Case, ours: Figures, reference: Figures) -> list[Finding]:
    """Findings about the KL divergence, which applies to aligned policies only.

    `reference`: figures of the policy that KL is measured from; an evaluation has them apart from the incumbent's only
    where that is another version.
    """
    if not case.aligned:
        return []
    kl = _number(ours, "kl")
    if kl is None or ours.get("kl_to", "reference") != "reference":
        return [_unknown("kl", "its KL from the reference model")]
    budget = kl_budget(case.kl_budget, _number(reference, "length"))
    if kl <= budget:
        return []
    sentence = f"Its KL from the reference model is {kl:.1f} nats per response, over the budget of {budget:.1f}."
    if case.optimized_for:
        sentence += " The reward model is unreliable there."
    return [block("kl_budget", sentence)]


def kl_budget(own: float, length: float | None) -> float:
    """Nats per completion: the run's own budget, else by the reference policy's mean length in tokens."""
    if own > 0:
        return own
    return stage_settings.kl_budget(length)


def _of_entropy(ours: Figures, theirs: Figures, opponent: str) -> list[Finding]:
    entropy, usual = _number(ours, "entropy"), _number(theirs, "entropy")
    if entropy is None or not usual:
        return [_unknown("entropy", f"its entropy compared with {opponent}")]
    share = entropy / usual
    if share >= LOW_ENTROPY:
        return []
    sentence = (
        f"Its entropy is {_percent(share)} of {opponent} ({entropy:.2f} of {usual:.2f} nats per "
        "token): its responses have little variety."
    )
    return [block("entropy", sentence) if share < LEAST_ENTROPY else _warn("entropy", sentence)]


def _unknown(name: str, what: str) -> Finding:
    return block(f"{name}_unknown", f"The evaluation did not measure {what}. Evaluate it again.")


def _number(figures: Figures, name: str) -> float | None:
    value = figures.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
