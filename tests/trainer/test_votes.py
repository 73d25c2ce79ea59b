"""Votes of unreliable annotators: errors in every loss of preferences, or a temperature learned per annotator."""

from __future__ import annotations

import hashlib
import json
import math
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import COLOURS, ONCE, MakeRun, answer, ask, forked, weights, write_snapshot
from test_restarts import dies
from test_resume import same_weights
from test_row_weights import Given, log_sigmoid, loss_of, with_sidecar
from torch import Tensor, nn

from trainer.configs import parsing
from trainer.data.columns import NOBODY, preference_columns
from trainer.data.snapshot import Preference, Snapshot, open_snapshot
from trainer.losses.preference_losses import dpo_loss, kto_loss
from trainer.losses.temperatures import NAME, Temperatures
from trainer.losses.vote_errors import accuracy_without_errors, verdict_chance, vote_loss
from trainer.modeling.heads import heads_loss
from trainer.modeling.loading import load_classifier, load_policy
from trainer.modeling.preference_trainer import WeightedDPOTrainer, WeightedKTOTrainer, make_trainer
from trainer.modeling.reward_model import RewardModel, load_reward, preference_figures
from trainer.modeling.reward_trainer import RewardTrainer, VoteTrainer
from trainer.modeling.reward_trainer import make_trainer as make_reward_trainer
from trainer.recipes.preference import HeldOutPreferences, pair_columns, single_columns
from trainer.run.context import RunContext
from trainer.run.loop import Hook
from trainer.run.progress import Reporter

RunHere = Callable[[Path], dict[str, Any]]
PROMPT = ({"role": "user", "content": "What colour is the sky?"},)
PEOPLE, INVERTERS = 8, (2, 5)
GAPS = torch.tensor([-300.0, -40.0, -19.0, -3.0, -0.7, 0.0, 0.2, 2.0, 21.0, 90.0, 1e4])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def gradient_of(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.clone().requires_grad_(True)
    loss(at).sum().backward()
    assert at.grad is not None
    return at.grad


# --- the loss ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [0.01, 0.2, 0.5, 0.8, 0.98])
def test_the_loss_of_a_vote_by_hand(error: float) -> None:
    for gap in (-5.0, -0.5, 0.0, 1.5, 8.0):
        by_hand = -math.log((1 - error) * sigmoid(gap) + error * sigmoid(-gap))
        assert float(vote_loss(torch.tensor(gap), torch.tensor(error))) == pytest.approx(by_hand, rel=1e-5, abs=1e-6)
        by_hand = (1 - error) * sigmoid(gap) + error * sigmoid(-gap)
        assert float(verdict_chance(torch.tensor(gap), torch.tensor(error))) == pytest.approx(by_hand, rel=1e-5)


def test_it_is_finite_however_far_apart_the_rewards_are() -> None:
    for error in (0.01, 0.5, 0.98):
        errors = torch.full_like(GAPS, error)
        losses = vote_loss(GAPS, errors)
        slopes = gradient_of(partial(vote_loss, error=errors), GAPS)
        assert torch.isfinite(losses).all() and torch.isfinite(slopes).all()
        assert float(losses[0]) == pytest.approx(-math.log(error), abs=1e-4), "never dearer than its error"
        assert float(losses[-1]) == pytest.approx(-math.log(1 - error), abs=1e-2)


def test_a_vote_that_says_nothing_has_no_gradient_at_all() -> None:
    half = torch.full_like(GAPS, 0.5)
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(
            gradient_of(lambda x: vote_loss(x, half), GAPS.to(dtype)), torch.zeros_like(GAPS, dtype=dtype)
        )
    label, weight = torch.arange(len(GAPS)) % 2 == 0, torch.rand(len(GAPS))
    zero = torch.zeros_like(GAPS)
    assert torch.equal(gradient_of(lambda x: dpo_loss(x, zero, 0.3, 0.2, weight, half), GAPS), zero)
    assert torch.equal(
        gradient_of(lambda x: kto_loss(x, label, torch.tensor(0.4), 0.3, 1.0, 2.0, weight, half), GAPS), zero
    )
    counts = torch.rand(len(GAPS), 3)
    by_heads = GAPS.unsqueeze(1).repeat(1, 3)
    assert not gradient_of(lambda x: heads_loss(x, torch.zeros_like(x), counts, None, half), by_heads).any()


def test_a_vote_likelier_wrong_than_right_is_its_opposite() -> None:
    some = torch.randn(200, generator=torch.Generator().manual_seed(1)) * 4
    error = torch.rand(200, generator=torch.Generator().manual_seed(2)) * 0.96 + 0.02
    assert torch.allclose(vote_loss(some, error), vote_loss(-some, 1 - error), atol=1e-5)
    slope = gradient_of(lambda x: vote_loss(x, error), some)
    assert ((slope < 0) == (error < 0.5)).all(), "it pulls the way that it likelier meant"


def test_without_errors_it_is_the_plain_loss_to_the_last_bit() -> None:
    plain, none = -nn.functional.logsigmoid(GAPS), torch.zeros_like(GAPS)
    assert torch.equal(vote_loss(GAPS), plain) and torch.equal(vote_loss(GAPS, none), plain)
    assert torch.equal(
        gradient_of(lambda x: vote_loss(x, none), GAPS), gradient_of(lambda x: -nn.functional.logsigmoid(x), GAPS)
    )
    mixed = torch.where(torch.arange(len(GAPS)) % 2 == 0, 0.0, 0.3)
    assert torch.equal(vote_loss(GAPS, mixed)[::2], plain[::2]), "nor is that of a sound vote beside a doubted one"
    other, label, kl = GAPS.flip(0), GAPS > 0, torch.tensor(0.3)
    assert torch.equal(dpo_loss(GAPS, other, 0.1, 0.2, None, none), dpo_loss(GAPS, other, 0.1, 0.2))
    assert torch.equal(kto_loss(GAPS, label, kl, 0.1, 1.0, 1.3, None, none), kto_loss(GAPS, label, kl, 0.1, 1.0, 1.3))
    counts, rewards = torch.rand(len(GAPS), 2), torch.stack([GAPS, other], dim=1)
    assert torch.equal(
        heads_loss(rewards, rewards.flip(1), counts, None, none), heads_loss(rewards, rewards.flip(1), counts)
    )


def test_losses_of_pairs_and_verdicts_by_hand() -> None:
    chosen, rejected = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 4.0])
    weight, error = torch.tensor([0.5, 1.5]), torch.tensor([0.2, 0.9])
    good = -math.log(0.8 * sigmoid(1.5) + 0.2 * sigmoid(-1.5))
    bad = -math.log(0.1 * sigmoid(-2.0) + 0.9 * sigmoid(2.0))
    loss = dpo_loss(chosen, rejected, 0.5, weight=weight, error=error)
    assert float(loss) == pytest.approx((0.5 * good + 1.5 * bad) / 2, rel=1e-5)
    loss = kto_loss(
        torch.tensor([3.0, 1.0]), torch.tensor([True, False]), torch.tensor(1.5), 0.5, 1.0, 2.0, weight, error
    )
    good = 1 - (0.8 * sigmoid(0.75) + 0.2 * sigmoid(-0.75))
    bad = 1 - (0.1 * sigmoid(0.25) + 0.9 * sigmoid(-0.25))
    assert float(loss) == pytest.approx((0.5 * good + 1.5 * 2 * bad) / 2, rel=1e-5)


def test_accuracy_is_what_it_would_be_without_errors() -> None:
    right = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert accuracy_without_errors(right) == 0.5
    assert accuracy_without_errors(right, weight=torch.tensor([2.0, 1.0, 1.0, 0.0])) == pytest.approx(3 / 4)
    # Two sound votes of which one agrees, one of a coin, and an inverter who disagrees: that one agrees, in truth.
    error = torch.tensor([0.0, 0.5, 0.0, 0.98])
    by_hand = (1 + 0 + (-0.96) * (0 - 0.98)) / (1 + 1 + 0.96**2)
    assert accuracy_without_errors(right, error) == pytest.approx(by_hand)
    assert accuracy_without_errors(right, torch.full((4,), 0.5)) == 0.5, "where nobody says anything"
    assert accuracy_without_errors(right[:2], torch.tensor([0.3, 0.3])) == 1.0, "a share"

    draw = torch.Generator().manual_seed(3)
    error = torch.tensor([0.0, 0.1, 0.5, 0.9]).repeat(5000)
    sound = torch.rand(20000, generator=draw) < 0.7
    voted = torch.where(torch.rand(20000, generator=draw) < error, ~sound, sound).float()
    assert accuracy_without_errors(voted, error) == pytest.approx(0.7, abs=0.02)
    assert abs(accuracy_without_errors(voted) - 0.7) > 0.1


# --- from the sidecar to the trainers ---------------------------------------------------------------------


def voted(folder: Path, applied: str, errors: dict[int, int]) -> Snapshot:
    """Eight people compare, two of them say the opposite of what they see; the freeze knows it, or nothing of it."""
    rng = random.Random(11)
    lines: list[str] = []
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "selection": []}
    given: set[str] = set()
    for number in range(288):
        thing = rng.choice(list(COLOURS))
        wrong = rng.choice([colour for other, colour in COLOURS.items() if other != thing])
        opening = rng.choice(("The", "Surely the", "I think the", "My"))
        pair = [answer(thing, COLOURS[thing], opening), answer(thing, wrong, opening)]
        person = number % PEOPLE
        if (person in INVERTERS) != (rng.random() < 0.2):
            pair.reverse()
        row = {
            "kind": "preference",
            "prompt": ask(thing),
            "chosen": pair[0],
            "rejected": pair[1],
            "strength": number % 4,
        }
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))
        if text in given:
            continue
        given.add(text)
        splits["selection" if number % 5 == 0 else "train"].append({**row, "_": person})
    for rows in splits.values():
        for row in rows:
            person = row.pop("_")
            name = hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
            told = {"errors": {"error": errors.get(person, 0)}, "temperature": {"annotator": person}}.get(applied, {})
            lines.append(json.dumps({"hash": name, "weight": [1, 1], **told}))
    rows_of = write_snapshot(folder, splits)
    with_sidecar(rows_of, lines)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "reliability": {"applied": applied}}))
    return open_snapshot(folder)


ERRORS = {2: 95, 5: 90}


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Snapshot]:
    folder = tmp_path_factory.mktemp("votes")
    return {applied: voted(folder / applied, applied, ERRORS) for applied in ("nothing", "errors", "temperature")}


def gold_order(folder: Path) -> float:
    """Share of pairs in which the right color gets the higher reward."""
    reward = load_reward(folder / "model")
    right: list[bool] = []
    for thing, opening in product(COLOURS, ("The", "Surely the", "I think the", "My")):
        texts = [answer(thing, colour, opening) for colour in COLOURS.values()]
        scores = reward.score([tuple(ask(thing))] * len(texts), texts).tolist()
        best = scores[list(COLOURS.values()).index(COLOURS[thing])]
        right += [best > score for score in scores if score != best]
    return sum(right) / len(right)


def test_columns_say_who_voted_and_how_likely_that_is_wrong(snapshots: dict[str, Snapshot], tokenizer: Any) -> None:
    def columns(applied: str) -> dict[str, list[Any]]:
        return preference_columns(tokenizer, list(snapshots[applied].rows("train", Preference)), 64)

    assert {"weight", "error", "annotator"}.isdisjoint(columns("nothing")), "plain votes train as ever"
    told = columns("errors")
    assert set(told["error"]) == {0.0, 0.9, 0.95} and {"weight", "annotator"}.isdisjoint(told)
    told = columns("temperature")
    assert set(told["annotator"]) == set(range(PEOPLE)) and {"weight", "error"}.isdisjoint(told)
    rows = [Preference(PROMPT, "Blue.", "Red.", 0, annotator=3), Preference(PROMPT, "Blue.", "Black.", 0)]
    assert preference_columns(tokenizer, rows, 64)["annotator"] == [3, NOBODY]
    singles, _ = single_columns(tokenizer, snapshots["errors"], "train", 64)
    assert singles["error"][:2] in ([0.0, 0.0], [0.9, 0.9], [0.95, 0.95]), (
        "both responses of a pair were judged at once"
    )
    for read in (pair_columns, single_columns):
        assert "error" not in read(tokenizer, snapshots["nothing"], "train", 64)[0]


def reward_context(folder: Path, settings: dict[str, Any]) -> RunContext:
    config = parsing.parse("reward", {**ONCE, **settings})
    return RunContext(folder, {"stage": "reward"}, config, {}, Reporter(None), lambda: False, folder)


NONE: dict[str, list[Any]] = {"chosen_ids": [], "rejected_ids": [], "margin": [], "row": []}
VOTED = [
    Preference(PROMPT, "Blue.", "Red.", 3, weight=1 / 3, error=0.9, annotator=0),
    Preference(PROMPT, "It is blue.", "Red.", 0, annotator=1),
]


@pytest.mark.parametrize("heads", [1, 2])
def test_the_reward_loss_with_errors_by_hand(heads: int, base_folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    context = reward_context(tmp_path, {"margin_scale": 1, "heads": heads})
    reward = RewardModel(load_classifier(base_folder, tokenizer, heads), tokenizer)
    columns = preference_columns(tokenizer, VOTED, 64, 1.0)
    trainer, _ = make_reward_trainer(context, reward, columns, [[0, 1]], NONE)
    batch = trainer.data_collator([trainer.train_dataset[number] for number in (0, 1)])
    assert "annotator" not in batch, "nothing is learned of annotators unless the snapshot says so"
    gaps = torch.tensor([[2.0, 1.0], [-1.0, 0.5]])[:, :heads]
    with torch.no_grad():
        loss = loss_of(trainer, Given(torch.cat([gaps, torch.zeros_like(gaps)])), batch)
    if heads == 2:
        counts = batch["counts"] * torch.tensor([[0.5], [1.5]])
        of_heads = heads_loss(gaps, torch.zeros_like(gaps), counts, torch.tensor([1.0, 0.0]), torch.tensor([0.9, 0.0]))
        assert loss == pytest.approx(float(of_heads), rel=1e-6)
        return
    doubted = -math.log(0.1 * sigmoid(2.0 - 1.0) + 0.9 * sigmoid(1.0 - 2.0))
    assert loss == pytest.approx((0.5 * doubted - 1.5 * log_sigmoid(-1.0)) / 2, rel=1e-5)


def test_errors_of_zero_train_with_the_plain_trainer(base_folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    columns = preference_columns(tokenizer, [Preference(PROMPT, "Blue.", "Red.", 1, error=0.0)], 64)
    reward = RewardModel(load_classifier(base_folder, tokenizer), tokenizer)
    trainer, _ = make_reward_trainer(reward_context(tmp_path, {}), reward, columns, [[0]], NONE)
    assert isinstance(trainer, RewardTrainer) and not isinstance(trainer, VoteTrainer)


@pytest.mark.parametrize("stage", ["dpo", "kto"])
def test_policies_learn_from_what_they_are_measured_by(
    stage: str, base_folder: Path, snapshots: dict[str, Snapshot], tokenizer: Any, tmp_path: Path
) -> None:
    """The trainer's loss of a batch is our formula on our log-probs, errors included, and is not the plain one."""
    settings = parsing.parse(stage, {"batch_size": 6, "beta": 0.3, "max_length": 64})
    context = RunContext(
        tmp_path, {"stage": stage}, settings, {}, Reporter(None), threading.Event().is_set, tmp_path / "checkpoints"
    )
    read = pair_columns if stage == "dpo" else single_columns
    columns, _ = read(tokenizer, snapshots["errors"], "train", 64)
    wrong = [place for place, error in enumerate(columns["error"]) if error][:3]
    kept = sorted({*wrong, *range(6)})[:6]
    columns = {name: [values[place] for place in kept] for name, values in columns.items()}
    policy: Any = load_policy(base_folder, tokenizer)
    reference: Any = load_policy(base_folder, tokenizer)
    torch.manual_seed(3)
    with torch.no_grad():
        for tensor in policy.parameters():
            tensor += 0.05 * torch.randn_like(tensor)
    ours = HeldOutPreferences(reference, columns, settings, tokenizer.pad_token_id).figures(policy)
    trainer = make_trainer(context, policy, reference, tokenizer, columns, Hook(context))
    assert isinstance(trainer, WeightedDPOTrainer | WeightedKTOTrainer)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    with torch.no_grad():
        theirs = loss_of(trainer, policy, trainer.data_collator(rows))
    assert theirs == pytest.approx(ours["selection_loss"], rel=1e-4)
    plain = {name: values for name, values in columns.items() if name != "error"}
    without = HeldOutPreferences(reference, plain, settings, tokenizer.pad_token_id).figures(policy)
    assert abs(theirs - without["selection_loss"]) > 1e-3


def test_held_out_figures_of_a_reward_model_use_the_same_errors(base_folder: Path, tokenizer: Any) -> None:
    reward = RewardModel(load_classifier(base_folder, tokenizer), tokenizer)
    gap, error = torch.tensor([2.0, -1.0, 0.5, -3.0]), [0.0, 0.95, 0.5, 0.0]
    columns: dict[str, list[Any]] = {"row": [0, 1, 2, 3], "chosen_ids": [[1]] * 4, "rejected_ids": [[2]] * 4}
    reward.score_ids = lambda rows, **_: torch.cat([gap, torch.zeros(4)])  # type: ignore[method-assign]
    figures = preference_figures(reward, {**columns, "error": error}, [1, 1, 2, 2])
    losses = [-log_sigmoid(2.0), -math.log(0.05 * sigmoid(-1.0) + 0.95 * sigmoid(1.0)), math.log(2), -log_sigmoid(-3.0)]
    assert figures["selection_loss"] == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert figures["selection_accuracy"] == pytest.approx((1 + 0.9 * 0.95) / (2 + 0.9**2))
    assert figures["selection_accuracy_by_strength"]["2"] == 0.0, "the coin has no part in it"

    people = Temperatures([0, 1, 1, 0])
    with torch.no_grad():
        people.raw.copy_(torch.tensor([1.5, -0.5]))
    figures = preference_figures(reward, {**columns, "annotator": [0, 1, 1, NOBODY]}, [1, 1, 2, 2], people)
    losses = [-log_sigmoid(3.0), -log_sigmoid(0.5), -log_sigmoid(-0.25), -log_sigmoid(-3.0)]
    assert figures["selection_loss"] == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert figures["selection_accuracy"] == pytest.approx((1.5 + 0.5) / (1.5 + 0.5 + 0.5 + 1))


# --- a temperature per annotator --------------------------------------------------------------------------


def test_temperatures_by_hand() -> None:
    people = Temperatures([0, 0, 0, 1, NOBODY, NOBODY], others=[2, NOBODY])
    with torch.no_grad():
        people.raw.copy_(torch.tensor([3.0, -1.0, 1.0]))
    size = (3 * 3.0 + 1 * 1.0) / 4
    assert people.values().tolist() == pytest.approx([3 / size, -1 / size, 1 / size])
    assert people(torch.tensor([1, NOBODY, 0])).tolist() == pytest.approx([-1 / size, 1.0, 3 / size])
    off = [(3 / size - 1) ** 2, (-1 / size - 1) ** 2, (1 / size - 1) ** 2]
    assert people.penalty().item() == pytest.approx(sum(off) / (2 * 0.25) / 6)
    assert people.by_index() == {"0": pytest.approx(1.2), "1": pytest.approx(-0.4), "2": pytest.approx(0.4)}
    assert Temperatures([0, 1]).values().tolist() == [1.0, 1.0]


def test_the_reward_loss_with_temperatures_by_hand_and_however_it_is_cut(
    base_folder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    reward = RewardModel(load_classifier(base_folder, tokenizer), tokenizer)
    people = Temperatures([0, 1])
    with torch.no_grad():
        people.raw.copy_(torch.tensor([1.6, -0.4]))
    reward.model.add_module(NAME, people)
    rows = [
        Preference(PROMPT, "Blue.", "Red.", 0, annotator=0),
        Preference(PROMPT, "It is blue.", "Red.", 0, annotator=1),
    ]
    columns = preference_columns(tokenizer, rows, 64)
    trainer, _ = make_reward_trainer(reward_context(tmp_path, {}), reward, columns, [[0, 1]], NONE)
    batch = trainer.data_collator([trainer.train_dataset[number] for number in (0, 1)])
    with torch.no_grad():
        loss = loss_of(trainer, Given(torch.tensor([[2.0], [-1.0], [0.0], [0.0]])), batch)
        cut = []
        for place, gap in enumerate((2.0, -1.0)):
            piece = trainer.data_collator([trainer.train_dataset[place]])
            cut.append(loss_of(trainer, Given(torch.tensor([[gap], [0.0]])), piece))
    prior = ((1.6 - 1) ** 2 + (-0.4 - 1) ** 2) / (2 * 0.25) / 2
    assert loss == pytest.approx((-log_sigmoid(3.2) - log_sigmoid(0.4)) / 2 + prior, rel=1e-5)
    assert sum(cut) / 2 == pytest.approx(loss, rel=1e-5)

    optimizer = trainer.create_optimizer()
    owning = [group for group in optimizer.param_groups if any(one is people.raw for one in group["params"])]
    assert len(owning) == 1 and len(owning[0]["params"]) == 1 and owning[0]["weight_decay"] == 0
    assert owning[0]["lr"] > trainer.args.learning_rate


# --- stories ----------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {**ONCE, "epochs": 12, "batch_size": 16, "learning_rate": 0.02, "max_length": 64}
SMALL |= {"normalise_samples": 16, "evaluations": 4}


@pytest.fixture(scope="module")
def learned(
    snapshots: dict[str, Snapshot], base_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Path, dict[str, Any]]]]:
    """The same votes learned as they are, with errors, and with temperatures: (run folder, metrics) of each."""
    from trainer.__main__ import finish, run_stage

    done: dict[str, tuple[Path, dict[str, Any]]] = {}
    for applied, snapshot in snapshots.items():
        folder = tmp_path_factory.mktemp(applied)
        inputs = {"snapshot": snapshot.path, "base_model": base_folder}
        told = {name: {"path": str(path), "manifest_sha256": None} for name, path in inputs.items()}
        run: Any = {"schema": 1, "stage": "reward", "seed": 0, "config": SMALL, "inputs": told}
        (folder / "checkpoints").mkdir()
        made = run_stage(folder, run, Reporter(folder / "progress.jsonl"), threading.Event())
        finish(folder, run, 1, made)
        done[applied] = folder, made.metrics
    yield done


def test_two_inverters_of_eight_do_less_harm_where_their_errors_are_known(
    learned: dict[str, tuple[Path, dict[str, Any]]],
) -> None:
    orders = {applied: gold_order(folder) for applied, (folder, _) in learned.items()}
    assert orders["errors"] >= orders["nothing"] + 0.05
    metrics = learned["errors"][1]
    assert metrics["selection_accuracy"] > learned["nothing"][1]["selection_accuracy"] + 0.1
    assert metrics["doubted_pairs"] > 40


def test_without_known_errors_they_are_learned_to_count_less(
    learned: dict[str, tuple[Path, dict[str, Any]]],
) -> None:
    folder, metrics = learned["temperature"]
    people = metrics["annotator_temperatures"]
    assert {int(index) for index in sorted(people, key=people.get)[:2]} == set(INVERTERS)
    assert max(people[str(index)] for index in INVERTERS) < 0.6 < 1 < sorted(people.values())[2]
    assert gold_order(folder) >= gold_order(learned["nothing"][0]) + 0.05
    assert not [name for name in weights(folder / "model") if "temperature" in name], "only the reward model is saved"
    assert "faults" not in json.loads((folder / "model" / "manifest.json").read_text())
    kept = json.loads((folder / "model" / "config.json").read_text())["touchstone"]["annotator_errors"]["errors"]
    assert {index for index, error in kept.items() if error > 0.2} == {str(index) for index in INVERTERS}
    assert "annotator_temperatures" not in learned["nothing"][1]


def test_a_killed_run_with_temperatures_and_restarts_goes_on_exactly(
    snapshots: dict[str, Snapshot], base_folder: Path, make_run: MakeRun, run_here: RunHere
) -> None:
    inputs = {"snapshot": snapshots["temperature"].path, "base_model": base_folder}
    config = {**SMALL, "epochs": 1, "restarts": 2, "checkpoint_steps": 3}
    unbroken, killed = (make_run("reward", inputs, config, name=name) for name in ("unbroken", "killed"))
    made = run_here(unbroken)["metrics"]
    assert forked(killed, dies(2, 5)) == -9
    assert run_here(killed)["metrics"] == made
    assert same_weights(unbroken / "model", killed / "model")
