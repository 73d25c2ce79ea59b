"""Classes are learned, counted as by hand, served as trained, and refused by name where nothing can be learned."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import COLOURS, MakeRun, progress, write_snapshot
from transformers.modeling_outputs import SequenceClassifierOutput

from trainer.configs import parsing
from trainer.data.snapshot import Classification, open_snapshot
from trainer.errors import ConfigInvalid, DataUnusable, ModelCorrupt, SnapshotCorrupt
from trainer.metrics.classification import calibrated, calibration_error, class_figures, cross_fitted, mean_loss, prf
from trainer.modeling.encoder_trainer import label_loss, plan_visits
from trainer.recipes.classify import Classifier

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "context_length": 64,
    "max_length": 32,
    "batch_size": 8,
    "learning_rate": 0.01,
    "evaluations": 3,
    "baseline": False,
}


def rows(count: int = 80, many: bool = False) -> list[dict[str, Any]]:
    """Sentences whose class is their color, or all colors they name."""
    rng = random.Random(7)
    made = []
    for number in range(count):
        colours = rng.sample(sorted(COLOURS.values()), rng.choice((0, 1, 2)) if many else 1)
        text = f"The {rng.choice(list(COLOURS))} is {' and '.join(colours) or 'nothing'}, note {number}."
        more = {"scheme": "colour", "classes": sorted(COLOURS.values()), "many": many}
        made.append({"kind": "classification", "text": text, "labels": colours, **more})
    return made


def splits(many: bool = False) -> dict[str, list[dict[str, Any]]]:
    made = rows(100, many)
    return {"train": made[:64], "selection": made[64:80], "test": made[80:]}


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_it_learns_and_serves_what_it_measured(
    many: bool, make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, tmp_path: Path
) -> None:
    snapshot = write_snapshot(tmp_path / "s", splits(many))
    settings = {**MICRO, "epochs": 20, "baseline": True}
    folder = make_run("classify", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, settings)
    metrics = run_here(folder)["metrics"]
    assert metrics["test_accuracy"] > 0.9
    assert metrics["test_macro_f1"] > 0.9
    assert metrics["class_balance"].keys() == set(COLOURS.values())
    assert sum(metrics["class_balance"].values()) == sum(len(row["labels"]) for row in splits(many)["train"])
    if metrics["baseline"] is not None:
        assert metrics["baseline"]["accuracy"] > 0.7
    seen = [line["metrics"] for line in progress(folder, "metrics") if "selection_loss" in line["metrics"]]
    assert len(seen) == 3
    assert {"selection_accuracy", "selection_macro_f1", "selection_ece"} <= seen[0].keys()

    classifier = Classifier(folder / "model")
    test = list(open_snapshot(snapshot).rows("test", Classification))
    scores = classifier.scores([row.text for row in test])
    given = [
        {name for name, p in one.items() if p > 0.5} if many else {max(one, key=lambda name: one[name])}
        for one in scores
    ]
    figures = class_figures(given, [set(row.labels) for row in test], classifier.classes)
    assert figures["accuracy"] == metrics["test_accuracy"]
    if not many:
        assert all(sum(one.values()) == pytest.approx(1) for one in scores)
    assert classifier.scores(["", "x" * 500])[0].keys() == set(COLOURS.values())
    assert classifier.scores([]) == []


def test_figures_by_hand() -> None:
    figures = class_figures([{"a"}, {"b"}, {"a"}, {"b"}], [{"a"}, {"a"}, {"b"}, {"b"}], ["a", "b", "c"])
    assert figures["accuracy"] == 0.5
    assert figures["per_class"]["a"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert figures["macro_f1"] == 0.5  # c was neither given nor expected
    assert figures["confusion"] == {"a": {"a": 1, "b": 1}, "b": {"a": 1, "b": 1}}
    assert prf(2, 4, 3)["f1"] == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    both = class_figures([{"a", "b"}, set()], [{"a"}, {"b"}], ["a", "b"])
    assert both["accuracy"] == 0
    assert both["micro_f1"] == pytest.approx(0.5)
    assert both["confusion"] == {}, "no class is a text's own where several may hold"


def test_multi_label_loss_by_hand_and_by_torch() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    softplus = [math.log1p(math.exp(x)) for x in (-2.0, -1.0, 0.0, -3.0)]
    loss = label_loss(SequenceClassifierOutput(logits=logits), labels)
    assert float(loss) == pytest.approx(sum(softplus) / 4, rel=1e-6)
    halves = [label_loss(SequenceClassifierOutput(logits=logits[n : n + 1]), labels[n : n + 1], 4) for n in (0, 1)]
    assert float(sum(halves)) == pytest.approx(float(loss), rel=1e-6)


def test_loss_of_one_label_does_not_count_ignored_ones() -> None:
    logits = torch.zeros(1, 3, 5)
    loss = label_loss(SequenceClassifierOutput(logits=logits), torch.tensor([[-100, 2, 4]]))
    assert float(loss) == pytest.approx(math.log(5))


def test_calibration_by_hand() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.65, 0.65])
    assert calibration_error(confidence, torch.tensor([1, 0, 1, 1])) == pytest.approx(0.5 * 0.45 + 0.5 * 0.35)
    truth = torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    logits = torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.0, 9.0], [0.0, 9.0]])
    logits, truth = logits.repeat(200, 1), truth.repeat(200, 1)
    temperature = calibrated(logits, truth, False)
    assert temperature == pytest.approx(8.0, rel=0.1)  # three of four right: log-odds log 3, so 9 / log 3 = 8.19
    assert mean_loss(logits, truth, False, temperature) < mean_loss(logits, truth, False)


def test_few_texts_do_not_make_a_classifier_certain() -> None:
    """Ten texts that are all told apart ask for certainty; what is left of it is far from the bound of an eighth."""
    truth = torch.eye(2)[torch.tensor([0, 1] * 5)]
    few = calibrated(truth * 2.0, truth, False)
    assert 0.4 < few < 1
    assert calibrated(truth.repeat(100, 1) * 2.0, truth.repeat(100, 1), False) < 0.3 < few  # a thousand may ask for it
    assert calibrated(torch.zeros(0, 2), torch.zeros(0, 2), False) == pytest.approx(1.0, abs=1e-3)


def test_calibration_is_judged_on_texts_that_the_temperature_was_not_fitted_on() -> None:
    """Of the even texts all are right, of the odd ones half: each half is scaled as the other one asks."""
    truth = torch.eye(2)[torch.tensor([0] * 200)]
    logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]]).repeat(50, 1)
    scaled = cross_fitted(logits, truth, False)
    assert abs(scaled[0]).max() < 1.0 < 4.0 < abs(scaled[1]).max()
    assert cross_fitted(logits[:1], truth[:1], False).equal(logits[:1])  # one text has no other half


def test_every_text_is_visited_once_an_epoch() -> None:
    batches = plan_visits([5, 1, 9, 2, 7, 3, 3], 3, 2.5, 0, "x")
    visits = [number for batch in batches for number in batch]
    assert sorted(visits)[:14] == list(range(14))
    assert len(visits) == len(set(visits))
    assert batches == plan_visits([5, 1, 9, 2, 7, 3, 3], 3, 2.5, 0, "x")
    assert batches != plan_visits([5, 1, 9, 2, 7, 3, 3], 3, 2.5, 1, "x")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": ["pink"]}, "pink"),
        ({"labels": []}, "exactly one"),
        ({"labels": ["black", "blue"]}, "exactly one"),
        ({"classes": ["black", "black"]}, "classes"),
        ({"many": "no"}, "many"),
    ],
)
def test_broken_row_is_refused_by_file_and_line(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    snapshot = open_snapshot(write_snapshot(tmp_path / "s", {"train": [{**rows(1)[0], **change}]}))
    with pytest.raises(SnapshotCorrupt, match=says) as caught:
        list(snapshot.rows("train", Classification))
    assert "train.jsonl line 1" in caught.value.message


def test_what_cannot_be_learned_is_refused(
    make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    def attempt(name: str, train: list[dict[str, Any]], settings: dict[str, Any]) -> None:
        snapshot = write_snapshot(tmp_path / f"s-{name}", {"train": train})
        run_here(make_run("classify", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, settings, name=name))

    with pytest.raises(DataUnusable, match="no labeled texts"):
        attempt("none", [], MICRO)
    with pytest.raises(DataUnusable, match="same class"):
        attempt("same", [row for row in rows() if row["labels"] == ["blue"]], MICRO)
    with pytest.raises(ConfigInvalid, match="several label schemes: colour, tone"):
        attempt("two", [*rows(), {**rows()[0], "scheme": "tone"}], MICRO)
    with pytest.raises(DataUnusable, match="'tone'"):
        attempt("other", rows(), {**MICRO, "scheme": "tone"})
    with pytest.raises(ModelCorrupt, match="classifier"):
        Classifier(base_folder)


@pytest.mark.parametrize(
    ("stage", "values", "says"),
    [
        ("mlm", {"mask_share": 0}, "greater than 0"),
        ("classify", {"token_dropout": 1.0}, "at most 0.9"),
        ("tag", {"max_length": 512, "context_length": 256}, "at most"),
        ("tag", {"hidden_size": 30}, "multiple of"),
        ("classify", {"scheme": 3}, "must be str"),
    ],
)
def test_config_out_of_range_is_refused_by_name(stage: str, values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says) as caught:
        parsing.parse(stage, values)
    assert f"{stage}.{next(iter(values))}" in caught.value.message


def test_rare_classes_are_said_aloud(
    make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, tmp_path: Path
) -> None:
    few = [row for row in rows() if row["labels"] == ["blue"]] + rows(6)
    snapshot = write_snapshot(tmp_path / "s", {"train": few})
    folder = make_run("classify", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, {**MICRO, "epochs": 1})
    run_here(folder)
    [alarm] = progress(folder, "alarm")
    assert alarm["name"] == "class_balance"
    assert "white" in alarm["text"]
