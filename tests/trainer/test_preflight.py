"""Before a run: what is learned is shown token by token, what would waste the run blocks it, and nothing is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from micro import COLOURS, MakeRun, answer, ask, feedback_rows, forked, progress, write_snapshot
from tiny_models import write_policy

from trainer.configs.learning_rates import usual_rate
from trainer.modeling.loading import load_classifier, load_policy, parameters
from trainer.modeling.reward_model import RewardModel
from trainer.ppo.critics import make_critic
from trainer.preflight.memory_estimate import estimate, parameters_of
from trainer.preflight.preflight import run_preflight

RunHere = Callable[[Path], dict[str, Any]]
TRAIN, HELD, OTHER = ("sky", "grass"), "coal", "snow"


def rows_about(*things: str) -> list[dict[str, Any]]:
    asked = [ask(thing) for thing in things]
    return [row for row in feedback_rows() if row["prompt"] in asked]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A snapshot in which no prompt stands in two splits."""
    splits = {"train": rows_about(*TRAIN), "selection": rows_about(HELD), "test": rows_about(OTHER)}
    return write_snapshot(tmp_path / "clean", splits)


def found(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = run_preflight(folder, json.loads((folder / "run.json").read_text())).as_json()
    return told


def names(told: dict[str, Any], severity: str) -> list[str]:
    return [finding["name"] for finding in told["findings"] if finding["severity"] == severity]


def finding(told: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (one for one in told["findings"] if one["name"] == name)
    assert one["sentence"].endswith(".") and one["remedy"].endswith(".")
    return one


def test_a_good_run_is_shown_with_what_is_learned_and_what_it_costs(
    make_run: MakeRun, clean: Path, base_folder: Path, tokenizer: Any
) -> None:
    folder = make_run("sft", {"snapshot": clean, "base_model": base_folder}, {"batch_size": 4, "max_length": 64})
    told = found(folder)
    assert told["ok"] and names(told, "block") == []
    assert told["learned"]["rows"] == 6 and told["learned"]["nothing"] == 0
    assert told["snapshot"]["rows"]["train"]["demonstration"] == 6
    shown = told["examples"][0]
    (sequence,) = shown["sequences"]
    learned = "".join(text for text, is_learned in sequence["tokens"] if is_learned)
    unlearned = "".join(text for text, is_learned in sequence["tokens"] if not is_learned)
    row = json.loads((clean / "train.jsonl").read_text().splitlines()[shown["line"] - 1])["row"]
    assert learned == row["completion"] + "<|end|>"
    assert unlearned == f"<|user|>{row['prompt'][0]['content']}<|assistant|>"
    assert told["memory"]["weights"] == 4 * parameters_of(base_folder) and told["memory"]["free"] > 0
    assert 0 < told["seconds"]["low"] < told["seconds"]["high"] and told["seconds"]["steps"] == 4
    assert not (folder / "model").exists() and not (folder / "checkpoints").exists()


def test_rows_that_would_train_on_nothing_are_counted_by_line(
    make_run: MakeRun, base_folder: Path, tmp_path: Path
) -> None:
    rows = rows_about(*TRAIN)
    long = {"kind": "demonstration", "prompt": [{"role": "user", "content": "sky " * 60}], "completion": "Blue."}
    same = {"kind": "preference", "prompt": ask("sky"), "chosen": "Blue.", "rejected": "Blue.", "strength": 1}
    snapshot = write_snapshot(tmp_path / "s", {"train": [*rows, long, same], "selection": rows_about(HELD)})
    at = {
        json.loads(line)["row"]["kind"]: number
        for number, line in enumerate((snapshot / "train.jsonl").read_text().splitlines(), start=1)
        if json.loads(line)["row"] in (long, same)
    }
    inputs = {"snapshot": snapshot, "base_model": base_folder}
    told = finding(found(make_run("sft", inputs, {"max_length": 40})), "learns_nothing")
    assert (told["severity"], told["lines"]) == ("warn", [at["demonstration"]])
    assert told["sentence"] == "1 of 7 rows have no training tokens: the prompt alone fills max_length."
    told = finding(found(make_run("reward", inputs, {"max_length": 64})), "learns_nothing")
    assert told["lines"] == [at["preference"]] and "the same text" in told["sentence"]
    only = write_snapshot(tmp_path / "only", {"train": [long]})
    blocked = found(make_run("sft", inputs | {"snapshot": only}, {"max_length": 40}))
    assert names(blocked, "block") == ["learns_nothing"] and not blocked["ok"]


def test_what_is_asked_in_two_splits_blocks_and_what_is_nearly_so_warns(
    make_run: MakeRun, base_folder: Path, tmp_path: Path
) -> None:
    def row(text: str) -> dict[str, Any]:
        return {"kind": "demonstration", "prompt": [{"role": "user", "content": text}], "completion": "Yes."}

    long = "could you please tell me what the colour of the evening sky above the old harbour is today"
    splits = {"train": [row("Is it blue?"), row(long)], "test": [row("is  it BLUE?"), row("Is it green?")]}
    splits["selection"] = [row(long + " then")]
    snapshot = write_snapshot(tmp_path / "s", splits)
    told = found(make_run("sft", {"snapshot": snapshot, "base_model": base_folder}))
    assert names(told, "block") == ["contamination"]
    blue = 1 + [json.loads(line)["row"] for line in (snapshot / "test.jsonl").read_text().splitlines()].index(
        splits["test"][0]
    )
    assert finding(told, "contamination")["lines"] == [blue]
    assert "1 prompts of selection.jsonl nearly match" in finding(told, "near_contamination")["sentence"]


@pytest.mark.parametrize(("repeated", "severity"), [(1, "warn"), (4, "block")])
def test_labeled_texts_may_repeat_a_little(
    repeated: int, severity: str, make_run: MakeRun, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """One reply may answer several prompts, in several splits."""

    def row(text: str, number: int) -> dict[str, Any]:
        common = {"kind": "classification", "scheme": "s", "classes": ["blue", "green"], "many": False}
        return common | {"text": text, "labels": [("blue", "green")[number % 2]]}

    train = [row(f"Text {number}.", number) for number in range(30)]
    held = [*train[:repeated], *(row(f"Another {number}.", number) for number in range(30))]
    snapshot = write_snapshot(tmp_path / "s", {"train": train, "selection": held})
    told = found(make_run("classify", {"snapshot": snapshot, "tokenizer": tokenizer_folder}))
    assert finding(told, "contamination")["severity"] == severity


def test_broken_lines_are_named_and_block(make_run: MakeRun, clean: Path, base_folder: Path, tmp_path: Path) -> None:
    rows = rows_about(*TRAIN)
    broken = write_snapshot(tmp_path / "s", {"train": [*rows, {"kind": "demonstration", "prompt": ask("sky")}]})
    told = finding(found(make_run("sft", {"snapshot": broken, "base_model": base_folder})), "schema")
    assert told["severity"] == "block" and "needs `completion`" in told["sentence"]
    torn = Path(shutil.copytree(clean, tmp_path / "torn"))
    (torn / "train.jsonl").write_text("{}\n")
    assert names(found(make_run("sft", {"snapshot": torn, "base_model": base_folder})), "block") == ["unusable"]
    wrong = found(make_run("sft", {"snapshot": clean, "base_model": base_folder}, {"epoks": 1}))
    assert [(one["kind"], "epoks" in one["sentence"]) for one in wrong["findings"]] == [("config", True)]


def test_one_class_blocks_and_a_rare_one_warns(make_run: MakeRun, tokenizer_folder: Path, tmp_path: Path) -> None:
    def row(number: int, label: str) -> dict[str, Any]:
        common = {"kind": "classification", "scheme": "s", "classes": ["blue", "green"], "many": False}
        return common | {"text": f"{label} number {number}", "labels": [label]}

    def classes(*labels: str) -> dict[str, Any]:
        snapshot = write_snapshot(
            tmp_path / "".join(labels), {"train": [row(n, label) for n, label in enumerate(labels)]}
        )
        return found(make_run("classify", {"snapshot": snapshot, "tokenizer": tokenizer_folder}))

    assert names(classes("blue", "blue"), "block") == ["one_class"]
    told = classes(*["blue"] * 9, "green")
    assert names(told, "block") == [] and told["balance"] == {"blue": 9, "green": 1}
    assert finding(told, "class_balance")["sentence"] == "Fewer than 8 rows of green."
    assert told["examples"][0]["told"] == "label: " + told["examples"][0]["told"].split()[-1]


def test_a_template_that_answers_in_another_way_than_it_asks_is_named(
    make_run: MakeRun, clean: Path, base_folder: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(base_folder, tmp_path / "other"))
    template = other / "chat_template.jinja"
    template.write_text(
        template.read_text().replace(
            "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}", "{%- if add_generation_prompt -%}{{- 'now: ' -}}"
        )
    )
    told = found(make_run("sft", {"snapshot": clean, "base_model": other}, {"max_length": 64}))
    assert names(told, "block") == []
    assert finding(told, "opens_otherwise")["kind"] == "config"
    template.write_text("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}")
    told = found(make_run("sft", {"snapshot": clean, "base_model": other}, {"max_length": 64}))
    assert names(told, "block") == ["chat_template"]
    assert finding(told, "chat_template")["kind"] == "config"


def test_rows_that_the_template_refuses_block_by_line_and_by_its_own_sentence(
    make_run: MakeRun, run_here: RunHere, base_folder: Path, tmp_path: Path
) -> None:
    from trainer.errors import DataUnusable

    other = Path(shutil.copytree(base_folder, tmp_path / "other"))
    ours = (other / "chat_template.jinja").read_text()
    (other / "chat_template.jinja").write_text(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + ours
    )
    nice = {"role": "system", "content": "be nice"}
    rows = rows_about(*TRAIN)
    refused = [{**row, "prompt": [nice, *row["prompt"]]} for row in rows[1:3]]
    snapshot = write_snapshot(tmp_path / "s", {"train": [*rows, *refused], "selection": rows_about(HELD)})
    at = [
        number
        for number, line in enumerate((snapshot / "train.jsonl").read_text().splitlines(), start=1)
        if json.loads(line)["row"]["prompt"][0] == nice
    ]
    inputs = {"snapshot": snapshot, "base_model": other}
    told = found(make_run("sft", inputs, {"max_length": 64}))
    one = finding(told, "chat_template")
    assert (one["severity"], one["kind"], one["lines"]) == ("block", "data", at)
    assert one["sentence"] == "The chat template of the model rejects 2 of 8 rows: System role not supported."
    assert told["learned"]["rows"] == 6, "the others are looked at all the same"
    with pytest.raises(DataUnusable, match="System role not supported"):
        run_here(make_run("sft", inputs, {"max_length": 64}, name="trained"))


def test_a_reward_model_below_the_floor_blocks_ppo(
    make_run: MakeRun, base_folder: Path, reward_folder: Path, tmp_path: Path
) -> None:
    pairs = [row | {"strength": 1} for row in rows_about(HELD, OTHER) if row["kind"] == "preference"]
    both = [*pairs, *(row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in pairs)]
    asked = [{"kind": "prompt", "prompt": ask(thing)} for thing in TRAIN]
    snapshot = write_snapshot(tmp_path / "s", {"train": asked, "selection": both})
    inputs = {"snapshot": snapshot, "base_model": base_folder, "reward_model": reward_folder}
    assert len(both) >= 20
    told = found(make_run("ppo", inputs, {"max_new_tokens": 16}))
    assert finding(told, "reward_floor")["severity"] == "block"
    assert "agrees with 50.0% of" in finding(told, "reward_floor")["sentence"]
    assert found(make_run("ppo", inputs, {"max_new_tokens": 16, "reward_floor": 0}))["ok"]
    few = write_snapshot(tmp_path / "few", {"train": asked, "selection": both[:4]})
    assert names(found(make_run("ppo", inputs | {"snapshot": few}, {"max_new_tokens": 16})), "warn") == ["reward_floor"]
    assert found(make_run("ppo", inputs, {"max_new_tokens": 16}))["examples"][0]["told"].startswith(
        "the response is sampled"
    )


def test_more_memory_than_there_is_blocks_or_warns(
    make_run: MakeRun, clean: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("sft", {"snapshot": clean, "base_model": base_folder}, {"batch_size": 256, "max_length": 64})
    monkeypatch.setattr("trainer.preflight.cost.free_memory", lambda: (605 * 2**20, "this machine"))
    assert names(found(folder), "warn") == ["memory"]
    monkeypatch.setattr("trainer.preflight.cost.free_memory", lambda: (100 * 2**20, "this machine"))
    assert names(found(folder), "block") == ["memory"]
    assert "A batch of one row needs about" in finding(found(folder), "memory")["sentence"]


@pytest.mark.parametrize(("rate", "severity"), [(0.02, None), (0.1, "warn"), (0.5, "block")])
def test_a_learning_rate_far_beyond_what_the_size_bears_is_found(
    rate: float, severity: str | None, make_run: MakeRun, clean: Path, base_folder: Path
) -> None:
    """Some 30,000 parameters bear about 0.004; ten times that warns, forty times blocks."""
    settings = {"learning_rate": rate, "max_length": 64}
    told = found(make_run("sft", {"snapshot": clean, "base_model": base_folder}, settings))
    assert [one["severity"] for one in told["findings"] if one["name"] == "learning_rate"] == [severity] * bool(
        severity
    )
    if severity:
        assert "parameters" in finding(told, "learning_rate")["sentence"]


def test_adapters_bear_ten_times_the_rate_and_null_is_the_usual_one(
    make_run: MakeRun, clean: Path, base_folder: Path
) -> None:
    inputs = {"snapshot": clean, "base_model": base_folder}
    for settings in ({"learning_rate": 0.2, "lora": {"r": 2}}, {"learning_rate": None}):
        told = found(make_run("sft", inputs, {"max_length": 64, **settings}))
        assert "learning_rate" not in names(told, "warn") + names(told, "block")


@pytest.mark.parametrize(
    ("stage", "size", "lora", "least", "most"),
    [
        ("sft", 1_000_000_000, False, 1e-5, 2e-5),
        ("sft", 1_000_000_000, True, 1e-4, 2e-4),
        ("sft", 155_000, False, 1e-3, 2e-3),
        ("dpo", 1_000_000_000, False, 5e-7, 5e-6),
        ("dpo", 155_000, False, 5e-5, 2e-4),
        ("ppo", 1_000_000_000, False, 1e-6, 3e-6),
        ("ppo", 155_000, False, 2e-4, 1e-3),
        ("classify", 110_000_000, False, 2e-5, 7e-5),
        ("pretrain", 125_000_000, False, 3e-4, 6e-4),
        ("pretrain", 2_000_000, False, 1e-3, 4e-3),
    ],
)
def test_usual_rates_are_those_of_the_papers_and_of_our_own_runs(
    stage: str, size: int, lora: bool, least: float, most: float
) -> None:
    rate = usual_rate(stage, size, lora)
    assert rate is not None and least <= rate <= most


@pytest.mark.parametrize(("most", "severity"), [(40, None), (9, "warn"), (3, "block")])
def test_answers_longer_than_what_may_be_sampled_are_found_before_the_run(
    most: int,
    severity: str | None,
    make_run: MakeRun,
    base_folder: Path,
    reward_folder: Path,
    tmp_path: Path,
    tokenizer: Any,
) -> None:
    rows = [row for row in rows_about(*TRAIN) if row["kind"] != "preference"]
    short = [{"kind": "demonstration", "prompt": ask("sky"), "completion": word} for word in ("blue", "Blue.") * 4]
    snapshot = write_snapshot(tmp_path / "lengths", {"train": rows + short * 2, "selection": rows_about(HELD)})
    inputs = {"snapshot": snapshot, "base_model": base_folder, "reward_model": reward_folder}
    told = found(make_run("grpo", inputs, {"max_new_tokens": most, "reward_floor": 0}))
    assert [one["severity"] for one in told["findings"] if one["name"] == "answer_length"] == [severity] * bool(
        severity
    )
    if severity:
        assert "max_new_tokens" in finding(told, "answer_length")["remedy"]


def test_a_family_without_a_head_for_scores_is_told_of_before_the_policy_is_trained(
    make_run: MakeRun, clean: Path, tokenizer: Any, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path / "granite", "granite", tokenizer)
    told = found(make_run("sft", {"snapshot": clean, "base_model": policy}, {"max_length": 64}, name="sft"))
    assert names(told, "block") == [] and "granite" in finding(told, "reward_head")["sentence"]
    told = found(make_run("reward", {"snapshot": clean, "base_model": policy}, {"max_length": 64}, name="reward"))
    assert names(told, "block") == ["reward_head"]


def test_a_model_that_is_yet_to_be_made_is_no_fault(make_run: MakeRun, clean: Path) -> None:
    told = found(make_run("reward", {"snapshot": clean}))
    assert told["ok"] and "An earlier stage produces" in told["notes"][0]


@pytest.mark.parametrize("stage", ["tokenizer", "pretrain", "mlm", "dpo", "kto", "tag"])
def test_every_stage_can_be_looked_at(
    stage: str, make_run: MakeRun, clean: Path, corpus: Path, tokenizer_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    texts = [answer(thing, colour) for thing, colour in COLOURS.items()]
    spans = [
        {
            "kind": "spans",
            "text": text,
            "spans": [{"start": 0, "end": 3, "label": "a"}],
            "scheme": "s",
            "classes": ["a"],
        }
        for text in texts
    ]
    inputs = {
        "tag": {"snapshot": write_snapshot(tmp_path / "s", {"train": spans}), "tokenizer": tokenizer_folder},
        "tokenizer": {"snapshot": corpus},
        "pretrain": {"snapshot": corpus, "tokenizer": tokenizer_folder},
        "mlm": {"snapshot": corpus, "tokenizer": tokenizer_folder},
    }.get(stage, {"snapshot": clean, "base_model": base_folder})
    told = found(make_run(stage, inputs))
    assert told["ok"], told["findings"]
    if stage == "tokenizer":  # nothing falls into tokens yet, and it takes seconds
        assert told["learned"]["rows"] == 140 and told["examples"] == [] and told["memory"] == {}
        return
    assert told["examples"] and told["memory"]["total"] > 0 and told["seconds"]["steps"] >= 1


def test_the_command_writes_it_and_says_whether_it_blocks(
    make_run: MakeRun, clean: Path, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import __main__

    monkeypatch.setattr(__main__, "limit_resources", lambda: None)
    monkeypatch.setattr(__main__, "die_with_parent", lambda parent: None)
    good = make_run("sft", {"snapshot": clean, "base_model": base_folder}, {"max_length": 64}, name="good")
    assert __main__.main([str(good), "--preflight"]) == 0
    assert json.loads((good / "preflight.json").read_text())["ok"]
    assert {path.name for path in good.iterdir()} == {"run.json", "preflight.json"}
    bad = make_run("sft", {"snapshot": clean, "base_model": base_folder}, {"max_length": 8}, name="bad")
    assert __main__.main([str(bad), "--preflight"]) == 2


def test_a_run_that_is_told_to_fails_at_once_by_what_blocks_it(
    make_run: MakeRun, feedback: Path, base_folder: Path
) -> None:
    """The micro world asks the same in every split, which no run with this key may do."""
    folder = make_run("sft", {"snapshot": feedback, "base_model": base_folder}, {"max_length": 64}, preflight=True)
    assert forked(folder) == 2
    error = json.loads((folder / "result.json").read_text())["error"]
    assert error["kind"] == "data" and "also occur in train.jsonl" in error["message"]
    assert progress(folder, "metrics") == [] and not (folder / "model").exists()
    assert json.loads((folder / "preflight.json").read_text())["ok"] is False


def test_the_estimate_counts_weights_exactly(base_folder: Path, reward_folder: Path, tokenizer: Any) -> None:
    from trainer.configs import parsing

    model: Any = load_policy(base_folder, tokenizer)
    need = estimate("sft", parsing.parse("sft", {"batch_size": 3}), {"base_model": base_folder}, length=10)
    assert need.parameters == parameters(model) and need.weights == 4 * parameters(model)
    assert need.optimiser == 2 * need.gradients == 8 * parameters(model)
    assert need.activations == 4 * 3 * 10 * (1 * (18 * 32 + 6 * 64) + 4 * len(tokenizer))
    adapted = estimate("sft", parsing.parse("sft", {"lora": {"r": 2}}), {"base_model": base_folder})
    from trainer.configs.setting import LoRA
    from trainer.modeling.lora import adapt

    adapt(model, LoRA(r=2))
    assert adapted.trained == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    both = {"base_model": base_folder, "reward_model": reward_folder}
    judge = load_classifier(reward_folder, tokenizer)
    for critic in ("top", "separate"):  # beside policy, reference and reward model
        settings = parsing.parse("ppo", {"critic": critic})
        needs = estimate("ppo", settings, both)
        made = make_critic(settings, model, RewardModel(judge, tokenizer))
        learns = sum(weight.numel() for weight in made.parameters() if weight.requires_grad)
        assert needs.trained == pytest.approx(need.parameters + learns, rel=0.01)
        assert needs.weights == pytest.approx(4 * (2 * need.parameters + parameters(judge) + learns), rel=0.01)
    shared = estimate("ppo", parsing.parse("ppo", {"critic": "shared"}), both)
    assert shared.trained == need.parameters and shared.activations < needs.activations
