"""The gate: each condition has a name, what is unknown blocks, and a sound policy meets one finding only."""

from dataclasses import replace
from typing import Any

import pytest

from feedback.rules.evaluation.gate import blocking, findings
from feedback.rules.evaluation.preconditions import (
    BLOCK,
    WARN,
    Case,
    Evaluated,
    kl_budget,
    report_only,
)
from trainer.ppo.kl_budget import budget_of

# As the demo's proof measures it: PPO beside SFT on 20 held-out prompts.
SOUND: dict[str, Any] = {
    "split": "test",
    "prompts": 20,
    "policy": {"kl": 3.9, "kl_to": "reference", "eos_rate": 0.95, "entropy": 0.8, "repetition": 0.03, "length": 18.0},
    "incumbent": {"eos_rate": 0.9, "entropy": 1.3, "repetition": 0.02, "length": 16.0},
    "reward_model": {"accuracy": 0.73, "accuracy_low": 0.66, "pairs": 900, "prompts": 20},
    "reward_model_win_rate": {"value": 0.98, "low": 0.97, "high": 0.99, "prompts": 20},
}
CASE = Case("policy v5", "policy v4", aligned=True, optimized_for="reward v2", kl_budget=10.0)


def case(changes: dict[str, Any] | None = None, **others: Any) -> Case:
    """A sound policy, with changes to its evaluation's metrics ("policy.kl": 12) and to the case."""
    metrics = {name: dict(value) if isinstance(value, dict) else value for name, value in SOUND.items()}
    for path, value in (changes or {}).items():
        *groups, last = path.split(".")
        into = metrics
        for group in groups:
            into = into[group]
        into[last] = value
    evaluation = Evaluated("policy v4", True, "reward v2", metrics)
    return replace(CASE, evaluation=evaluation, **others)


def names(one: Case) -> list[str]:
    return [found.name for found in findings(one)]


def test_a_sound_policy_lacks_people_s_votes_and_nothing_else() -> None:
    (only,) = findings(case())
    assert (only.name, only.level, only.final) == ("no_human_judge", BLOCK, False)
    assert "The preference of reward v2 does not count" in only.sentence and "policy v4" in only.sentence


def test_what_the_reward_model_thinks_changes_nothing() -> None:
    for low in (0.0, 0.5, 1.0):
        assert names(case({"reward_model_win_rate": {"value": low, "low": low, "high": low, "prompts": 20}})) == [
            "no_human_judge"
        ]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"prompts": 5}, "few_prompts", "too few prompts (5 of 8)"),
        ({"prompts": 7}, "few_prompts", "(7 of 8)"),
        ({"reward_model": {}}, "reward_model_unmeasured", "on held-out comparisons is unknown"),
        ({"reward_model": {"accuracy": 0.0, "pairs": 1}}, "reward_model_unmeasured", "(1 of 8)"),
        ({"reward_model": {"accuracy": 1.0, "pairs": 90, "prompts": 3}}, "reward_model_unmeasured", "(3 of 8)"),
        ({"reward_model.accuracy_low": 0.5}, "reward_model_at_chance", "better than chance"),
        ({"reward_model.pairs": 12}, "reward_model_at_chance", "of 12 held-out comparisons"),
        ({"policy.kl": 10.1}, "kl_budget", "10.1 nats per response"),
        ({"policy.kl_to": "incumbent"}, "kl_unknown", "Evaluate it again"),
        ({"policy.eos_rate": 0.89}, "eos_rate", "The EOS rate is 89 %"),
        ({"policy.eos_rate": None}, "eos_rate_unknown", "Evaluate it again"),
        ({"policy.entropy": 0.38}, "entropy", "29 %"),
        ({"policy.entropy": None}, "entropy_unknown", "its entropy"),
        ({"policy.repetition": 0.08}, "repetition", "8 % of its 4-grams"),
        ({"incumbent": {"entropy": 1.3}}, "repetition_unknown", "compared with policy v4"),
        ({"contaminated_prompts": 2}, "contamination", "2 of the held-out prompts"),
        ({"contaminated_prompts": None}, "contamination_unknown", "held-out prompts occur in its training data"),
    ],
)
def test_each_condition_blocks_by_its_name(changes: dict[str, Any], name: str, words: str) -> None:
    found = {one.name: one for one in findings(case(changes))}
    assert found.keys() == {"no_human_judge", name}
    assert found[name].level == BLOCK and words in found[name].sentence


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"policy.entropy": 0.6}, "entropy"),
        ({"policy.length": 21.0}, "length"),
        ({"split": "selection"}, "selection_split"),
    ],
)
def test_what_only_warns(changes: dict[str, Any], name: str) -> None:
    judge, warning = findings(case(changes))
    assert (judge.name, warning.name, warning.level) == ("no_human_judge", name, WARN)
    assert blocking([judge, warning]) == [judge]


@pytest.mark.parametrize(
    ("name", "kl", "eos_rate", "entropy", "repetition", "length"),
    [
        ("PPO, seed 3", 3.3, 1.0, 0.59, 0.0, 19.6),
        ("PPO, seed 0", 2.3, 1.0, 0.55, 0.001, 19.6),
        ("DPO, seed 3", 1.0, 1.0, 0.81, 0.002, 19.3),
        ("KTO, seed 3", 5.3, 0.948, 1.15, 0.004, 21.6),
        ("KTO, seed 0", 3.2, 0.996, 0.84, 0.002, 17.0),
    ],
)
def test_no_sound_run_of_the_proof_is_blocked(
    name: str, kl: float, eos_rate: float, entropy: float, repetition: float, length: float
) -> None:
    """As the trainer's evaluation measured them beside SFT; entropy as a share of SFT's, of 0.57 nats per token."""
    ours = {"kl": kl, "kl_to": "reference", "eos_rate": eos_rate, "entropy": entropy * 0.57}
    theirs = {"eos_rate": 0.988, "entropy": 0.57, "repetition": 0.008, "length": 20.7}
    changes = {"policy": ours | {"repetition": repetition, "length": length}, "incumbent": theirs}
    pleased = "reward v2" if name.startswith("PPO") else ""
    found = findings(case(changes, kl_budget=0.0, optimized_for=pleased))
    assert [one.name for one in blocking(found)] == ["no_human_judge"], name


def test_the_same_policy_optimized_without_kl_is_blocked() -> None:
    """PPO with coefficient 0, seed 3: 144 nats from SFT, while its reward model prefers it in every pair."""
    assert "kl_budget" in names(case({"policy.kl": 144.2}))


def test_limits_themselves_are_kept() -> None:
    at_limits = {"policy.kl": 10.0, "policy.eos_rate": 0.9, "policy.entropy": 0.65, "policy.repetition": 0.07}
    assert names(case({**at_limits, "prompts": 8, "policy.length": 20.0})) == ["no_human_judge"]


def test_an_evaluation_beside_another_version_than_serves_does_not_count() -> None:
    stale = case()
    assert stale.evaluation is not None
    assert names(replace(stale, evaluation=replace(stale.evaluation, opponent="policy v1", serves=False))) == [
        "no_human_judge",
        "other_opponent",
    ]
    assert names(replace(stale, evaluation=None)) == ["no_human_judge", "not_evaluated"]


def test_another_reward_model_s_accuracy_says_nothing_of_the_one_that_was_pleased() -> None:
    one = case()
    assert one.evaluation is not None
    assert "reward_model_unmeasured" in names(
        replace(one, evaluation=replace(one.evaluation, reward_model="reward v9"))
    )


def test_a_policy_that_pleased_no_reward_model_needs_none() -> None:
    """DPO has no reward model, and SFT does not drift from a policy that it began as."""
    assert names(case({"reward_model": {}}, optimized_for="")) == ["no_human_judge"]
    assert names(case({"policy.kl": 99.0}, aligned=False, optimized_for="")) == ["no_human_judge"]


def test_no_reason_overrides_what_is_final() -> None:
    spoilt = case(not_promotable=("the saved weights are not those that were measured.",), tainted=True)
    final = [one for one in findings(spoilt) if one.final]
    assert [one.name for one in final] == ["not_promotable", "tainted"]
    assert final[0].sentence == "The saved weights are not those that were measured."
    for state in ("rejected", "revoked"):
        assert findings(case(state=state))[0].name == state and findings(case(state=state))[0].final


def test_the_first_policy_is_exempt_from_all_but_the_final() -> None:
    assert findings(replace(CASE, serving="")) == []
    assert [one.name for one in findings(replace(CASE, serving="", not_promotable=("Broken.",)))] == ["not_promotable"]
    assert findings(replace(CASE, serving="policy v5")) == [], "it serves"


def test_without_a_budget_of_its_own_kl_is_bounded_by_length() -> None:
    assert [kl_budget(0.0, length) for length in (None, 4.0, 27.0, 500.0)] == [3.0, 3.0, 9.0, 20.0]
    assert kl_budget(10.0, 4.0) == 10.0
    assert "kl_budget" in names(case({"policy.kl": 5.4}, kl_budget=0.0)), "16 tokens: 5.3 nats"


@pytest.mark.parametrize("length", [1.0, 12.0, 13.0, 21.0, 80.0, 81.0, 4000.0])
def test_the_run_and_the_gate_go_by_one_rule(length: float) -> None:
    assert kl_budget(0.0, length) == budget_of(None, length)


def test_what_pleased_no_reward_model_is_blocked_without_a_word_about_one() -> None:
    for pleased, told in (("reward v2", True), ("", False)):
        found = {one.name: one for one in findings(case({"policy.kl": 40.0}, kl_budget=0.0, optimized_for=pleased))}
        assert found["kl_budget"].level == BLOCK
        assert ("reward model is unreliable" in found["kl_budget"].sentence) == told


def test_the_budget_goes_by_the_length_of_what_kl_is_measured_from() -> None:
    """PPO serves with short responses; the candidate drifted from SFT, whose responses are twice as long."""
    drifted = {"policy.kl": 8.0, "policy.length": 16.0}
    assert "kl_budget" in names(case(drifted, kl_budget=0.0))
    assert names(case({**drifted, "reference": {"length": 30.0}}, kl_budget=0.0)) == ["no_human_judge"]
    assert "kl_budget" in names(case({**drifted, "policy.kl": 10.1, "reference": {"length": 30.0}}, kl_budget=0.0))


def test_preconditions_that_only_report_warn_all_the_same_and_the_final_ones_block() -> None:
    found = findings(case({"policy.kl": 144.0, "policy.entropy": 0.05}, tainted=True))
    reported = report_only(found)
    assert [(one.name, one.sentence) for one in reported] == [(one.name, one.sentence) for one in found]
    assert [one.name for one in blocking(reported)] == ["tainted"]


def test_a_collapsed_policy_after_careless_answers_meets_at_least_five_findings() -> None:
    """Eight pairs, a reward model right in none of one, a policy that says one thing whatever it is asked."""
    changes: dict[str, Any] = {
        "prompts": 2,
        "policy": {
            "kl": 46.0,
            "kl_to": "reference",
            "eos_rate": 0.4,
            "entropy": 0.08,
            "repetition": 0.31,
            "length": 30,
        },
        "reward_model": {"accuracy": 0.0, "accuracy_low": 0.0, "accuracy_high": 0.0, "pairs": 1},
    }
    against = {one.name for one in blocking(findings(case(changes)))}
    assert against == {
        "no_human_judge",
        "few_prompts",
        "reward_model_unmeasured",
        "kl_budget",
        "eos_rate",
        "entropy",
        "repetition",
    }
