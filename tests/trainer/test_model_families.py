"""A model of each well-known family goes through every stage, and what the stages promise holds for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import BY_NAME, FAMILIES, save_model
from micro import COLOURS, ONCE, MakeRun, answer, ask, corpus_rows, feedback_rows, weights, write_snapshot

from trainer.data.columns import encode_completions, encode_prompts
from trainer.data.packing import keeps_apart
from trainer.modeling.chat_format import chat_format, ends_of
from trainer.modeling.loading import load_policy, load_tokenizer
from trainer.preflight.adopt import adopt
from trainer.recipes.generate import Generator

RunHere = Callable[[Path], dict[str, Any]]
NAMES = [family.name for family in FAMILIES]
SHORT = ("gemma2", "mixtral")  # a turn end of its own and two ends; experts, and marks that are plain words
PPO: dict[str, Any] = {
    "iterations": 2, "rollout_batch": 8, "max_new_tokens": 12, "learning_rate": 0.001, "evaluate_every": 1,
    "watched_completions": 4, "samples": 1, "kl_budget": 0, "stop_on_alarm": False, "reward_floor": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = feedback_rows(12)
    splits = {"train": rows, "selection": rows[1::3], "test": rows[2::5]}
    return write_snapshot(tmp_path_factory.mktemp("families") / "s", splits)


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A family's model as adoption leaves it; made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = save_model(tmp_path_factory.mktemp(name) / "model", name)
            adopt(made[name], "policy")
        return made[name]

    return make


def stages(
    name: str, base: Path, snapshot: Path, make_run: MakeRun, run_here: RunHere, algorithm: str = "ppo"
) -> dict[str, tuple[Path, dict[str, Any]]]:
    """SFT, reward and an online stage in a row: of each the folder of its run and its figures."""
    done: dict[str, tuple[Path, dict[str, Any]]] = {}

    def carry_out(stage: str, config: dict[str, Any], **inputs: Path) -> Path:
        given = {"snapshot": snapshot, "base_model": base, **inputs}
        folder = make_run(stage, given, config, name=f"{name}-{stage}")
        done[stage] = folder, run_here(folder)["metrics"]
        return folder / "model"

    small = {"epochs": 1, "max_length": 128, "learning_rate": 0.003}
    sft = carry_out("sft", small | {"epochs": 2, "batch_size": 4, "samples": 1})
    reward = carry_out("reward", small | {**ONCE, "batch_size": 4, "normalise_samples": 8}, base_model=sft)
    few = {"steps": 2, "batch_size": 4, "num_generations": 2, "max_new_tokens": 12, "stop_on_alarm": False}
    online = PPO if algorithm == "ppo" else few  # alarms rightly find that such models learn nothing
    carry_out(algorithm, online, base_model=sft, reward_model=reward)
    return done


def check_stages(name: str, done: dict[str, tuple[Path, dict[str, Any]]], snapshot: Path) -> None:
    from trainer.data.snapshot import Demonstration, open_snapshot
    from trainer.recipes.sft import completion_loss, sft_columns

    stops = list(BY_NAME[name].stops)
    folder, figures = done["sft"]
    tokenizer = load_tokenizer(folder / "model")
    model = load_policy(folder / "model", tokenizer)
    assert tokenizer.convert_ids_to_tokens(ends_of(tokenizer)) == tokenizer.convert_ids_to_tokens(
        tokenizer.convert_tokens_to_ids(stops)
    ) or set(tokenizer.convert_ids_to_tokens(ends_of(tokenizer))) == set(stops)
    said = json.loads((folder / "model" / "generation_config.json").read_text())["eos_token_id"]
    assert said == (ends_of(tokenizer) if len(stops) > 1 else ends_of(tokenizer)[0])
    held = list(open_snapshot(snapshot).rows("selection", Demonstration))
    loss = completion_loss(model, tokenizer.pad_token_id, sft_columns(tokenizer, held, 128))
    assert abs(loss - figures["selection_loss"]) < 1e-4, "what was measured is what was handed back"
    assert 0 <= figures["eos_rate"] <= 1
    assert done["reward"][1]["selection_pairs"] > 0
    folder, figures = done["ppo"]
    first = next(json.loads(line) for line in (folder / "progress.jsonl").open() if '"metrics"' in line)["metrics"]
    assert first["first_ratio_deviation"] < 1e-3, "what was sampled is as likely when it is learnt from"
    assert abs(first["kl"]) < 1e-3, "before it has learnt anything it is its reference"
    assert not [key for key in weights(folder / "model") if key.startswith("critic.")]


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SHORT])
def test_every_stage_runs_for_every_family(
    name: str, adopted: Callable[[str], Path], snapshot: Path, make_run: MakeRun, run_here: RunHere
) -> None:
    check_stages(name, stages(name, adopted(name), snapshot, make_run, run_here), snapshot)


@pytest.mark.parametrize("name", SHORT)
def test_every_stage_runs_for_two_unlike_families(
    name: str, adopted: Callable[[str], Path], snapshot: Path, make_run: MakeRun, run_here: RunHere
) -> None:
    check_stages(name, stages(name, adopted(name), snapshot, make_run, run_here), snapshot)


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen3", "mixtral", "gpt2"])
def test_the_stages_without_a_critic_run_too(
    name: str, algorithm: str, adopted: Callable[[str], Path], snapshot: Path, make_run: MakeRun, run_here: RunHere
) -> None:
    done = stages(name, adopted(name), snapshot, make_run, run_here, algorithm)
    assert done[algorithm][1]["steps"] == 2


@pytest.mark.long
@pytest.mark.parametrize("stage", ["dpo", "kto", "pretrain", "generate"])
@pytest.mark.parametrize("name", NAMES)
def test_the_other_stages_run_for_every_family(
    name: str, stage: str, adopted: Callable[[str], Path], snapshot: Path, tmp_path: Path, make_run: MakeRun,
    run_here: RunHere,
) -> None:  # fmt: skip
    inputs, config = {"base_model": adopted(name), "snapshot": snapshot}, {"max_length": 128, "epochs": 1}
    if stage == "pretrain":
        rows = corpus_rows(24)
        texts = write_snapshot(tmp_path / "texts", {"train": rows[:20], "selection": rows[20:]}, "corpus")
        inputs, config = inputs | {"snapshot": texts}, {"block_size": 64, "steps": 2, "batch_size": 2}
    elif stage == "generate":
        del inputs["snapshot"]
        inputs["prompts"] = tmp_path / "prompts.jsonl"
        lines = [json.dumps({"prompt": ask(thing)}) + "\n" for thing in COLOURS]
        inputs["prompts"].write_text("".join(lines))
        config = {"max_new_tokens": 6}
    made = run_here(make_run(stage, inputs, config))
    assert made["ok"]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_ends_its_turn_at_once_has_stopped(name: str, adopted: Callable[[str], Path]) -> None:
    """Each id that ends a turn, whoever lists it: template, tokenizer or generation config."""
    generator = Generator(adopted(name))
    tokenizer = generator.tokenizer
    for stop in BY_NAME[name].stops:
        says = tokenizer.convert_tokens_to_ids(stop)

        def only(outputs: Any, says: Any = says) -> Any:
            outputs.logits = torch.full_like(outputs.logits, -30.0)
            outputs.logits[..., says] = 30.0
            return outputs

        hook = generator.model.register_forward_hook(lambda module, given, outputs, only=only: only(outputs))
        [made] = generator.generate([ask("sky")], seeds=[1], max_new_tokens=40)
        hook.remove()
        assert (made.text, made.tokens, made.finish_reason) == ("", 1, "stop")


@pytest.mark.parametrize("name", NAMES)
def test_one_answer_is_as_likely_in_any_company(name: str, adopted: Callable[[str], Path]) -> None:
    """Sampled log-probs equal recomputed ones; padding on either side, the batch and packing change nothing."""
    from trainer.preflight.model_check import close, outputs_of, same_twice, sampled_as_recomputed
    from trainer.recipes.preference import completion_logps

    tokenizer = load_tokenizer(adopted(name))
    model = load_policy(adopted(name), tokenizer).eval()
    heads = encode_prompts(tokenizer, [ask(thing) for thing in COLOURS])
    rows = list(zip(heads, encode_completions(tokenizer, [answer(*pair) for pair in COLOURS.items()]), strict=True))
    assert same_twice(model, heads) is None
    assert sampled_as_recomputed(model, heads) is None
    together = completion_logps(model, rows, tokenizer.pad_token_id)
    alone = torch.cat([completion_logps(model, [row], tokenizer.pad_token_id) for row in rows])
    assert torch.allclose(together, alone, atol=1e-3)
    whole = [head + completion for head, completion in rows]
    left = outputs_of(model, whole, left=True)
    for place, ids in enumerate(whole):
        assert close(left[place, -len(ids) :], outputs_of(model, [ids])[0])
    assert keeps_apart(model, whole) == (name != "opt")


def test_a_family_that_reads_across_documents_gets_a_block_for_each(
    adopted: Callable[[str], Path], tmp_path: Path, make_run: MakeRun, run_here: RunHere
) -> None:
    rows = corpus_rows(12)
    texts = write_snapshot(tmp_path / "texts", {"train": rows[:10], "selection": rows[10:]}, "corpus")
    folder = make_run(
        "pretrain",
        {"base_model": adopted("opt"), "snapshot": texts},
        {"block_size": 128, "steps": 1, "batch_size": 2, "evaluations": 1},
    )
    run_here(folder)
    assert "giving each document a block of its own" in (folder / "progress.jsonl").read_text()


def test_a_text_cannot_reach_a_mark_in_any_stage_that_encodes(adopted: Callable[[str], Path]) -> None:
    """Rows of every stage, scored text and served prompts are made of `encode_prompts` and `encode_completions`."""
    from trainer.data.columns import preference_columns, sft_columns
    from trainer.data.snapshot import Demonstration, Preference, Snapshot
    from trainer.modeling.reward_model import finished_rows
    from trainer.recipes.preference import pair_columns

    class Rows(Snapshot):
        def rows(self, split: str, row_type: Any) -> Any:
            return iter([Preference(sly, text, text + "!", 1)])

    tokenizer = load_tokenizer(adopted("llama"))
    marks = chat_format(tokenizer).control
    text = "".join(marks)
    sly = ({"role": "user", "content": text},)
    usual = ({"role": "user", "content": "sky"},)
    [head], [plain] = encode_prompts(tokenizer, [usual]), encode_completions(tokenizer, ["blue"])
    wanted = [token for token in head + plain if token in marks.values()]

    def marked(ids: list[int]) -> list[int]:
        return [token for token in ids if token in marks.values()]

    assert marked(sft_columns(tokenizer, [Demonstration(sly, text)], 10_000)["input_ids"][0]) == wanted
    pairs = preference_columns(tokenizer, [Preference(sly, text, text + "!", 1)], 10_000)
    assert marked(pairs["chosen_ids"][0]) == marked(pairs["rejected_ids"][0]) == wanted
    columns, _ = pair_columns(tokenizer, Rows(Path(), {}), "train", 10_000)
    assert marked(columns["prompt_ids"][0] + columns["chosen_ids"][0]) == wanted
    assert marked(finished_rows(tokenizer, [sly], [text])[0]) == wanted
