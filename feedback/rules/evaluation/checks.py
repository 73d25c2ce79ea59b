"""What was checked about a policy before people compare it, and passed; what did not pass is a finding."""

from dataclasses import dataclass
from typing import Any, TypeGuard

from feedback.rules.evaluation.intervals import FEWEST
from feedback.rules.evaluation.preconditions import Figures, Finding, kl_budget

GROUPS: dict[str, tuple[str, ...]] = {  # check -> the findings that stand in its place
    "kl": ("kl_unknown", "kl_budget"),
    "eos_rate": ("eos_rate_unknown", "eos_rate"),
    "entropy": ("entropy_unknown", "entropy"),
    "repetition": ("repetition_unknown", "repetition"),
    "length": ("length",),
    "contamination": ("contamination_unknown", "contamination", "few_prompts"),
    "reward_model": ("reward_model_unmeasured", "reward_model_at_chance"),
}


@dataclass(frozen=True)
class Passed:
    """A check without a finding. `name` as in `GROUPS`."""

    name: str
    sentence: str


def passed(metrics: Figures, findings: list[Finding], opponent: str, own_budget: float = 0.0) -> list[Passed]:
    """The checks that were made and led to no finding, in words.

    Args:
        metrics: of the evaluation, as the trainer's stage `evaluate` reports them.
        opponent: the version that it compared with.
        own_budget: nats per response that the run allowed itself; 0 for no budget of its own.
    """
    named = {one.name for one in findings}
    ours, theirs = metrics.get("policy") or {}, metrics.get("incumbent") or {}
    sentences = {
        "kl": _kl(ours, metrics.get("reference") or theirs, own_budget),
        "eos_rate": _share(ours.get("eos_rate"), "ends {} of its responses"),
        "entropy": _ratio(ours.get("entropy"), theirs.get("entropy"), "entropy {} of " + opponent),
        "repetition": _share(ours.get("repetition"), "repeats {} of its 4-grams"),
        "length": _length(ours.get("length"), theirs.get("length"), opponent),
        "contamination": "",
        "reward_model": _reward_model(metrics.get("reward_model") or {}),
    }
    if metrics.get("contaminated_prompts", 0) == 0 and (metrics.get("prompts") or 0) >= FEWEST:
        sentences["contamination"] = f"no contamination in {metrics['prompts']:,} held-out prompts"
    return [
        Passed(name, sentence)
        for name, sentence in sentences.items()
        if sentence and not named.intersection(GROUPS[name])
    ]


def _kl(ours: Figures, reference: Figures, own_budget: float) -> str:
    kl, length = ours.get("kl"), reference.get("length")
    if not _is_number(kl) or ours.get("kl_to", "reference") != "reference":
        return ""
    return f"KL {kl:.1f} of {kl_budget(own_budget, length if _is_number(length) else None):.1f} nats"


def _reward_model(measured: Figures) -> str:
    accuracy, low, high = (measured.get(name) for name in ("accuracy", "accuracy_low", "accuracy_high"))
    if not _is_number(accuracy):
        return ""
    interval = f" ({100 * low:.0f}–{100 * high:.0f} %)" if _is_number(low) and _is_number(high) else ""
    return f"reward model right on {100 * accuracy:.0f} %{interval} of unseen pairs"


def _length(ours: Any, theirs: Any, opponent: str) -> str:
    if not _is_number(ours) or not _is_number(theirs) or not theirs:
        return ""
    change = ours / theirs - 1
    return f"responses {100 * abs(change):.0f} % {'longer' if change >= 0 else 'shorter'} than {opponent}"


def _share(value: Any, words: str) -> str:
    return words.format(f"{100 * value:.0f} %") if _is_number(value) else ""


def _ratio(ours: Any, theirs: Any, words: str) -> str:
    if not _is_number(ours) or not _is_number(theirs) or not theirs:
        return ""
    return words.format(f"{100 * ours / theirs:.0f} %")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
