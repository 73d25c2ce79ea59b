"""Evaluation: figures that can be recomputed from what it writes, intervals that know of prompts."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy
import pytest
import torch
from micro import MakeRun, ask, feedback_rows, forked

from trainer.configs.stages import EvaluateConfig
from trainer.data.columns import encode_completions, encode_prompts
from trainer.data.snapshot import Demonstration, Document, Preference, open_snapshot
from trainer.metrics.win_rates import Answers, win_rates
from trainer.modeling.loading import load_policy, save_model
from trainer.modeling.reward_model import load_reward
from trainer.modeling.sampling import Drawn
from trainer.recipes.evaluate import token_figures
from trainer.recipes.evaluate_texts import of_demonstrations, of_documents

RunHere = Callable[[Path], dict[str, Any]]
CONFIG = {"responses": 3, "max_new_tokens": 6}


def responses(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]


@pytest.fixture
def other_policy(base_folder: Path, tokenizer: Any, tmp_path: Path) -> Path:
    """The base policy with its weights shaken."""
    model = load_policy(base_folder, tokenizer)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    save_model(tmp_path / "other", model, tokenizer)
    return tmp_path / "other"


def test_a_reward_model_is_measured_on_held_out_preferences(
    make_run: MakeRun, run_here: RunHere, feedback: Path, reward_folder: Path
) -> None:
    folder = make_run("evaluate", {"snapshot": feedback, "reward_model": reward_folder}, CONFIG)
    made = run_here(folder)["metrics"]["reward_model"]
    reward = load_reward(reward_folder)
    rows = [row for row in feedback_rows()[2::5] if row["kind"] == "preference"]
    gaps = [
        float(reward.score([row["prompt"]], [row["chosen"]]) - reward.score([row["prompt"]], [row["rejected"]]))
        for row in rows
    ]
    assert made["pairs"] == len(rows)
    assert made["accuracy"] == pytest.approx(numpy.mean([gap > 0 for gap in gaps]))
    assert made["prompts"] == len({str(row["prompt"]) for row in rows}) < 8
    assert (made["accuracy_low"], made["accuracy_high"]) == (None, None), "not enough prompts to tell"
    assert sum(made["pairs_by_strength"].values()) == len(rows)
    for strength, accuracy in made["accuracy_by_strength"].items():
        of = [gap > 0 for gap, row in zip(gaps, rows, strict=True) if row["strength"] == int(strength)]
        assert accuracy == pytest.approx(numpy.mean(of))
    assert 0 <= made["calibration_error"] <= 1
    bins = made["reliability"]
    error = sum(one["pairs"] * abs(one["predicted"] - one["observed"]) for one in bins) / made["pairs"]
    assert made["calibration_error"] == pytest.approx(error, abs=1e-6)
    assert not (folder / "responses.jsonl").exists()
    lines = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    stands = {row.hash: (row.prompt, row.count) for row in open_snapshot(feedback).rows("test", Preference)}
    assert {line["hash"] for line in lines} == set(stands) and len(lines) == len(stands)
    right = sum(line["right"] * stands[line["hash"]][1] for line in lines)
    assert made["accuracy"] == pytest.approx(right / made["pairs"])
    assert len({(line["prompt"], str(stands[line["hash"]][0])) for line in lines}) == len({p["prompt"] for p in lines})


def test_a_policy_is_measured_against_its_incumbent_and_anybody_can_judge_again(
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    base_folder: Path,
    other_policy: Path,
    reward_folder: Path,
    tokenizer: Any,
    corpus: Path,
) -> None:
    inputs = {"snapshot": feedback, "base_model": other_policy, "incumbent": base_folder, "reward_model": reward_folder}
    inputs |= {"pretrained": base_folder, "texts": corpus}
    folder = make_run("evaluate", inputs, CONFIG)
    made = run_here(folder)["metrics"]
    rows = responses(folder)
    own = [row for row in rows if row["model"] == "candidate"]
    assert len(rows) == 2 * len(own) == 2 * 3 * made["prompts"]
    assert made["policy"]["reward"] == pytest.approx(numpy.mean([row["reward"] for row in own]), abs=1e-5)
    assert made["policy"]["length"] == pytest.approx(numpy.mean([row["tokens"] for row in own]))
    assert made["policy"]["eos_rate"] == numpy.mean([row["finish_reason"] == "stop" for row in own])
    assert made["policy"]["kl"] > 0 and made["policy"]["kl_to"] == "incumbent"
    assert made["policy"]["entropy"] > 0 and made["incumbent"]["entropy"] > 0
    rate = made["reward_model_win_rate"]
    assert (rate["judge"], rate["low"], rate["high"]) == ("reward_model", None, None), "of fewer than eight prompts"
    assert "reference" not in made and "reward_model_win_rate_over_reference" not in made, "none was given"
    by_prompt: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        by_prompt.setdefault(json.dumps(row["prompt"]), {}).setdefault(row["model"], []).append(row["reward"])
    wins = [
        (a > b) + 0.5 * (a == b) for group in by_prompt.values() for a in group["candidate"] for b in group["incumbent"]
    ]
    assert rate["value"] == pytest.approx(numpy.mean(wins))
    controlled = made["length_controlled_win_rate"]
    assert 0 <= controlled["value"] <= 1 and controlled["prompts"] == rate["prompts"] == made["prompts"] < 8
    assert sum(one["completions"] for one in made["policy"]["lengths"]) == len(own)
    for sort, texts in (
        ("demonstrations", sum(row["kind"] == "demonstration" for row in feedback_rows()[2::5])),
        ("documents", len(list(open_snapshot(corpus).rows("selection", Document)))),
    ):
        read = made["held_out_texts"][sort]
        assert read["pretrained"] == read["incumbent"] != read["policy"]
        assert read["policy"]["texts"] == texts > 0 and read["policy"]["perplexity"] > 1


def test_a_policy_against_itself_wins_half_and_has_no_kl(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, reward_folder: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": base_folder, "incumbent": base_folder, "reward_model": reward_folder}
    made = run_here(make_run("evaluate", inputs, CONFIG))["metrics"]
    rate = made["reward_model_win_rate"]
    assert rate["value"] == 0.5
    assert made["policy"]["kl"] == 0
    assert {k: v for k, v in made["policy"].items() if not k.startswith("kl")} == made["incumbent"]


def test_a_reference_may_be_another_than_the_incumbent(
    make_run: MakeRun, run_here: RunHere, feedback: Path, base_folder: Path, other_policy: Path
) -> None:
    inputs = {"snapshot": feedback, "base_model": other_policy, "incumbent": base_folder, "reference": other_policy}
    made = run_here(make_run("evaluate", inputs, CONFIG))["metrics"]
    assert made["policy"]["kl_to"] == "reference" and made["policy"]["kl"] == 0
    assert "reward_model_win_rate" not in made and "reward" not in made["policy"]


def test_the_policy_that_it_began_as_is_compared_too_and_named_apart(
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    base_folder: Path,
    other_policy: Path,
    reward_folder: Path,
    tmp_path: Path,
) -> None:
    """Three models: the candidate, what serves, and the candidate's own beginning."""
    began = tmp_path / "began"
    shutil.copytree(base_folder, began)
    inputs = {"snapshot": feedback, "base_model": other_policy, "incumbent": base_folder, "reference": began}
    folder = make_run("evaluate", {**inputs, "reward_model": reward_folder}, CONFIG)
    made = run_here(folder)["metrics"]
    assert {row["model"] for row in responses(folder)} == {"candidate", "incumbent", "reference"}
    assert made["reference"] == made["incumbent"], "a copy, answering from the same seeds"
    assert made["reward_model_win_rate_over_reference"] == made["reward_model_win_rate"]
    assert made["policy"]["kl_to"] == "reference"


def test_what_serves_may_have_another_tokenizer(
    make_run: MakeRun,
    run_here: RunHere,
    feedback: Path,
    base_folder: Path,
    reward_folder: Path,
    tokenizer: Any,
    tmp_path: Path,
) -> None:
    """Its texts are read in the candidate's tokens; what cannot be compared is left out, not made up."""
    other = tmp_path / "other-tokens"
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens(["Surely the grass"])
    model = load_policy(base_folder, tokenizer)
    model.resize_token_embeddings(len(larger), mean_resizing=False)
    save_model(other, model, larger)
    inputs = {"snapshot": feedback, "base_model": base_folder, "incumbent": other, "reference": base_folder}
    made = run_here(make_run("evaluate", {**inputs, "reward_model": reward_folder}, CONFIG))["metrics"]
    assert made["incumbent"]["other_tokenizer"] is True and "entropy" not in made["incumbent"]
    assert made["incumbent"]["length"] > 0 and 0 <= made["incumbent"]["repetition"] <= 1
    assert 0 <= made["reward_model_win_rate"]["value"] <= 1
    assert (made["policy"]["kl"], made["policy"]["kl_to"]) == (0, "reference")


def test_entropy_and_kl_equal_a_plain_forward(base_folder: Path, other_policy: Path, tokenizer: Any) -> None:
    model, reference = load_policy(base_folder, tokenizer), load_policy(other_policy, tokenizer)
    prompts = encode_prompts(tokenizer, [row["prompt"] for row in feedback_rows()[:3]])
    completions = encode_completions(tokenizer, ["The sky", "Surely the grass is", "I"])
    answers = Answers(prompts, [Drawn(ids, "stop") for ids in completions], [0] * 3, [0, 1, 2], None)
    context: Any = SimpleNamespace(config=EvaluateConfig(temperature=0.8, batch_size=2))
    entropy, kl = token_figures(context, model, reference, answers, tokenizer.pad_token_id)
    entropies, ratios = [], []
    for prompt, completion in zip(prompts, completions, strict=True):
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            both = [torch.log_softmax(m(ids).logits[0, len(prompt) - 1 : -1] / 0.8, -1) for m in (model, reference)]
        entropies += (-(both[0].exp() * both[0]).sum(-1)).tolist()
        chosen = [lp[torch.arange(len(completion)), torch.tensor(completion)] for lp in both]
        ratios.append(float((chosen[0] - chosen[1]).sum()))
    assert entropy == pytest.approx(numpy.mean(entropies), abs=1e-5)
    assert kl == pytest.approx(numpy.mean(ratios), abs=1e-4)


def test_perplexity_and_bits_per_byte_by_hand(base_folder: Path, tokenizer: Any) -> None:
    """A model without a clue is as surprised as by a die of as many sides as there are tokens, whatever the prompt."""
    model = load_policy(base_folder, tokenizer)
    with torch.no_grad():
        cast(torch.nn.Embedding, model.get_input_embeddings()).weight.zero_()
    rows = [Demonstration(tuple(ask("sky")), text) for text in ("The sky is blue.", "Blue")]
    found = of_demonstrations(model, tokenizer, rows, 64)
    tokens = sum(len(ids) for ids in encode_completions(tokenizer, [row.completion for row in rows]))
    assert found is not None and (found["texts"], found["left_out"]) == (2, 0)
    assert found["perplexity"] == pytest.approx(len(tokenizer), rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(tokens * math.log2(len(tokenizer)) / 20, rel=1e-4)
    shortest = min(len(prompt) for prompt in encode_prompts(tokenizer, [ask("sky")]))
    assert of_demonstrations(model, tokenizer, rows, shortest) is None, "neither fits"
    documents = [Document("The sky is blue.", "", "article", "")]
    read = of_documents(model, tokenizer, documents, 4)
    assert read is not None and read["perplexity"] == pytest.approx(len(tokenizer), rel=1e-4)
    assert of_documents(model, tokenizer, [], 4) is None


def test_win_rate_by_hand() -> None:
    """Prompt 0: 2 and 0 against 1 and 1: two wins of four. Prompt 1: 5 and 3 against 3 and 3: 1, 1, ½, ½."""

    def answers(rewards: list[float]) -> Answers:
        return Answers([], [Drawn([1, 2], "stop")] * 4, [], [0, 0, 1, 1], rewards)

    rates = win_rates(answers([2, 0, 5, 3]), answers([1, 1, 3, 3]))
    made = rates["reward_model_win_rate"]
    assert rates["length_controlled_win_rate"]["value"] == pytest.approx(made["value"], abs=0.001), "lengths are equal"
    assert made["value"] == (0.5 + 0.75) / 2 and made["prompts"] == 2
    assert (made["low"], made["high"]) == (None, None), "two prompts are not enough to tell"
    assert (rates["length_controlled_win_rate"]["low"], made["judge"]) == (None, "reward_model")


def test_nothing_to_measure_is_refused(make_run: MakeRun, feedback: Path, base_folder: Path) -> None:
    for inputs in ({"snapshot": feedback}, {"snapshot": feedback, "incumbent": base_folder}):
        folder = make_run("evaluate", inputs, CONFIG, name=f"run{len(inputs)}")
        assert forked(folder) == 2
        assert json.loads((folder / "result.json").read_text())["error"]["kind"] == "config"
