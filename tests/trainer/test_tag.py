"""Spans survive tokens and come back as characters, whatever the text; scores are of whole entities."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch
from micro import MakeRun, write_snapshot
from transformers import PretrainedConfig

from trainer.data.snapshot import Span, Spans, open_snapshot
from trainer.errors import DataUnusable, ModelCorrupt, SnapshotCorrupt
from trainer.metrics.classification import span_figures
from trainer.metrics.perceptron import perceptron_spans
from trainer.modeling.encoders import IGNORED, Encoded, encode_texts, lengthened
from trainer.modeling.tag_decoder import TagDecoder
from trainer.recipes.tag import (
    Tagger,
    read_spans,
    recoverable_spans,
    spans_by_label,
    swap_spans,
    tag_tokens,
    tags_of,
    token_logits,
    token_loss,
)

RunHere = Callable[[Path], dict[str, Any]]
MICRO = {
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "context_length": 64,
    "max_length": 32,
    "batch_size": 8,
    "learning_rate": 0.01,
    "evaluations": 2,
}
TAGS = tags_of(["name", "time"])
NAMES = ["Ann", "Jürgen", "Zoë", "Bob", "O'Neill", "李"]


def there_and_back(tokenizer: Any, text: str, *pieces: tuple[str, str]) -> tuple[list[Span], list[Span]]:
    """Spans of the pieces of a text, in order, and what tokens make of them."""
    spans, at = [], 0
    for piece, label in pieces:
        start = text.index(piece, at)
        at = start + len(piece)
        spans.append(Span(start, at, label))
    [encoded] = encode_texts(tokenizer, [text])
    labels = tag_tokens(encoded, spans, TAGS)
    chosen = ["O" if label == IGNORED else TAGS[label] for label in labels]
    return spans, [span for span, _, _ in read_spans(encoded, chosen)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Grüße von Jürgen Müller um 18 Uhr", [("Jürgen Müller", "name"), ("18 Uhr", "time")]),
        ("😀 Zoë 😀😀 7 pm 👩‍👩‍👧", [("Zoë", "name"), ("7 pm", "time")]),
        ("It's Ann's table, don't you see, for 6:45.", [("Ann", "name"), ("6:45", "time")]),
        ("AnnBob? Ann  Bob", [("Ann", "name"), ("Bob", "name")]),
        ("  \n\tAnn\t", [("Ann", "name")]),
        ("李 at 7", [("李", "name"), ("7", "time")]),
        ("the <|end|> of Ann", [("Ann", "name")]),
        ("😀", [("😀", "name")]),
        ("", []),
    ],
)
def test_spans_come_back_from_tricky_text(text: str, pieces: list[tuple[str, str]], tokenizer: Any) -> None:
    if text.startswith("AnnBob"):
        text = text[8:]
    spans, back = there_and_back(tokenizer, text, *pieces)
    assert back == spans


@pytest.mark.parametrize(
    ("text", "offsets", "expected"),
    [
        ("cafe\u0301 au lait", [(0, 4), (6, 8), (9, 13)], [(0, 5), (6, 8), (9, 13)]),  # the accent was stripped
        ("I \u2764\ufe0f it", [(0, 1), (2, 3), (5, 7)], [(0, 1), (2, 4), (5, 7)]),  # so was the variation selector
        ("\u0928\u092e\u0938\u094d\u0924\u0947", [(0, 5)], [(0, 6)]),  # and a vowel sign at the end of the text
        ("cafe\u0301", [(0, 4), (4, 5)], [(0, 4), (4, 5)]),  # a token of its own
        ("ab cd", [(0, 2), (3, 5), (0, 0)], [(0, 2), (3, 5), (0, 0)]),
        ("a\u200bb", [(0, 1), (2, 3)], [(0, 1), (2, 3)]),  # a space without width parts words
    ],
)
def test_a_token_reaches_over_the_signs_that_stand_on_its_last_character(
    text: str, offsets: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    assert lengthened(text, offsets) == expected


def test_neighbors_of_one_label_stay_two_and_overlaps_leave_the_first(tokenizer: Any) -> None:
    [encoded] = encode_texts(tokenizer, ["7 8 9"])
    labels = tag_tokens(encoded, [Span(0, 1, "time"), Span(2, 3, "time"), Span(2, 5, "name")], TAGS)
    chosen = ["O" if label == IGNORED else TAGS[label] for label in labels]
    assert [span for span, _, _ in read_spans(encoded, chosen)] == [Span(0, 1, "time"), Span(2, 5, "name")]


def test_share_of_spans_that_tokens_can_say(tokenizer: Any) -> None:
    row = Spans("aaa the sky", (Span(4, 7, "name"), Span(9, 11, "name")), "s", ("name", "time"))
    [encoded] = encode_texts(tokenizer, [row.text])
    one = Encoded(encoded.ids, encoded.offsets, encoded.is_special)
    inside_a_token = any(start < 9 < end for start, end in one.offsets)
    aligned = [(one, tag_tokens(one, row.spans, TAGS))]
    assert recoverable_spans(aligned, [row], TAGS) == (0.5 if inside_a_token else 1.0)


def test_best_sequence_never_goes_inside_from_outside() -> None:
    tags = tags_of(["x"])
    logits = torch.tensor([[2.0, 1.0, 3.0], [0.0, 0.0, 5.0], [4.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    assert [tags[n] for n in TagDecoder(tags).decode(logits, [0, 1, 2])] == ["B-x", "I-x", "O", "O"]
    assert TagDecoder(tags).decode(logits, []) == [0, 0, 0, 0]


def test_chain_weighs_whole_sequences() -> None:
    """Against every sequence written out: 3 tags, rows of 3, 2 and no tags, one of them with a gap."""
    torch.manual_seed(4)
    chain = TagDecoder(tags_of(["x"]), torch.randn(3, 3).tolist())
    follows = [
        [score - (1e4 if (before, after) == (0, 2) else 0) for after, score in enumerate(row)]
        for before, row in enumerate(chain.learned())
    ]
    logits = torch.randn(3, 4, 3)
    labels = torch.tensor([[1, IGNORED, 2, 0], [0, 1, IGNORED, IGNORED], [IGNORED] * 4])
    slow = 0.0
    for row, truth in zip(logits, labels, strict=True):
        places = [place for place in range(4) if truth[place] != IGNORED]

        def score(sequence: tuple[int, ...], row: Any = row, places: Any = places) -> float:
            own = sum(float(row[place, tag]) for place, tag in zip(places, sequence, strict=True))
            return own + sum(follows[a][b] for a, b in pairwise(sequence))

        every = {sequence: score(sequence) for sequence in product(range(3), repeat=len(places))}
        total = math.log(sum(map(math.exp, every.values())))
        slow += total - score(tuple(truth[places].tolist()))
        chances = chain.marginals(row, places)
        for number, place in enumerate(places):
            for tag in range(3):
                share = sum(math.exp(value - total) for sequence, value in every.items() if sequence[number] == tag)
                assert float(chances[place, tag]) == pytest.approx(share, abs=1e-5)
        if places:
            begun = {sequence: value for sequence, value in every.items() if sequence[0] != 2}
            assert tuple(chain.decode(row, places)[place] for place in places) == max(begun, key=begun.__getitem__)
    assert float(chain.nats(logits, labels).detach()) == pytest.approx(slow, rel=1e-5)
    apart = token_loss(list(logits), labels.tolist(), chain, batch_size=2)
    assert apart == pytest.approx(slow / 5, rel=1e-5)


def test_swapped_spans_stay_where_they_are_marked() -> None:
    row = Spans("At 7 for Ann!", (Span(3, 4, "time"), Span(9, 12, "name")), "booking", ("name", "time"))
    said = spans_by_label([row, Spans("Zoë Li", (Span(0, 6, "name"),), "booking", ("name", "time"))])
    assert said == {"time": ["7"], "name": ["Ann", "Zoë Li"]}
    seen = set()
    for seed in range(20):
        other = swap_spans(row, said, 1.0, torch.Generator().manual_seed(seed))
        assert [other.text[span.start : span.end] for span in other.spans] == ["7", other.text[9:-1]]
        assert other == swap_spans(row, said, 1.0, torch.Generator().manual_seed(seed))
        seen.add(other.text)
    assert seen == {"At 7 for Ann!", "At 7 for Zoë Li!"}
    assert swap_spans(row, said, 0.0, torch.Generator()) is row
    twice = Spans(row.text, (Span(3, 8, "time"), Span(3, 4, "time")), "booking", ("name", "time"))
    assert swap_spans(twice, said, 1.0, torch.Generator()) is twice


def test_entity_figures_by_hand() -> None:
    expected = [[Span(0, 3, "a"), Span(5, 9, "b")], [Span(1, 2, "a")], []]
    given = [[Span(0, 3, "a"), Span(5, 8, "b")], [Span(1, 2, "b")], []]
    figures = span_figures(given, expected, ["a", "b", "c"])
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["recall"] == pytest.approx(1 / 3)
    assert figures["per_class"]["a"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert figures["per_class"]["b"]["f1"] == 0
    assert figures["macro_f1"] == pytest.approx(1 / 3)
    assert figures["exact_texts"] == pytest.approx(1 / 3)


def test_windows_give_each_token_one_answer_with_context() -> None:
    class Echo(torch.nn.Module):
        """Answers with each token's own id and its place in the window."""

        device = torch.device("cpu")
        config = PretrainedConfig()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            places = torch.arange(input_ids.shape[1]).expand(input_ids.shape)
            return type("Out", (), {"logits": torch.stack([input_ids, places], -1).float()})

    row = Encoded(list(range(30)), [(n, n + 1) for n in range(30)], [0] * 30)
    echo: Any = Echo()
    [whole] = token_logits(echo, [row], 12, 0)
    assert whole[:, 0].tolist() == list(range(30))
    assert whole[5:25, 1].min() >= 1  # nothing in the middle of the text is read at the edge of a window


def rows(count: int = 90) -> list[dict[str, Any]]:
    rng = random.Random(2)
    made = []
    for number in range(count):
        name, hour = rng.choice(NAMES), str(rng.randrange(1, 13))
        text = rng.choice(("My name is {name}, at {hour} please", "At {hour} for {name}!", "{name} here. {hour} 😀"))
        said = text.format(name=name, hour=hour)
        found = {"name": said.index(name), "time": said.index(hour)}
        ends = {"name": len(name), "time": len(hour)}
        spans = [{"start": at, "end": at + ends[label], "label": label} for label, at in found.items()]
        if number % 9 == 0:
            said, spans = "Is there a table outside?", []
        made.append({"kind": "spans", "text": said, "spans": spans, "scheme": "booking", "classes": ["name", "time"]})
    return made


def test_it_learns_and_serves_spans(
    make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, tmp_path: Path
) -> None:
    made = rows()
    snapshot = write_snapshot(tmp_path / "s", {"train": made[:64], "selection": made[64:76], "test": made[76:]})
    folder = make_run("tag", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, {**MICRO, "epochs": 20})
    metrics = run_here(folder)["metrics"]
    assert metrics["test_f1"] > 0.85
    assert metrics["spans_that_tokens_can_say"] == 1
    assert metrics["baseline"]["f1"] > 0.85
    tagger = Tagger(folder / "model")
    [found, nothing] = tagger.spans(["At 7 for Jürgen!", ""])
    assert [(span["text"], span["label"]) for span in found] == [("7", "time"), ("Jürgen", "name")]
    assert all(0 < span["score"] <= 1 for span in found)
    assert nothing == []
    long = " ".join(["At 7 for Jürgen!"] * 12)
    assert any(span["start"] > len(long) // 2 and span["text"] == "Jürgen" for span in tagger.spans([long])[0])


def test_perceptron_learns_a_rule_and_repeats_itself() -> None:
    given = [
        Spans(row["text"], tuple(Span(**span) for span in row["spans"]), "booking", ("name", "time")) for row in rows()
    ]
    first = perceptron_spans(given[:60], given[60:], ["name", "time"], epochs=3)
    again = perceptron_spans(given[:60], given[60:], ["name", "time"], epochs=3)
    assert first["f1"] > 0.9
    assert {**first, "cpu_seconds": 0} == {**again, "cpu_seconds": 0}


@pytest.mark.parametrize(
    ("span", "says"),
    [
        ({"start": 0, "end": 99, "label": "name"}, "inside its text"),
        ({"start": 2, "end": 2, "label": "name"}, "inside its text"),
        ({"start": True, "end": 2, "label": "name"}, "inside its text"),
        ({"start": 0, "end": 2, "label": "place"}, "place"),
        ("name", "inside its text"),
    ],
)
def test_broken_span_is_refused_by_file_and_line(span: Any, says: str, tmp_path: Path) -> None:
    snapshot = open_snapshot(write_snapshot(tmp_path / "s", {"train": [{**rows(1)[0], "spans": [span]}]}))
    with pytest.raises(SnapshotCorrupt, match=says) as caught:
        list(snapshot.rows("train", Spans))
    assert "train.jsonl line 1" in caught.value.message


def test_texts_without_any_span_are_refused(
    make_run: MakeRun, run_here: RunHere, tokenizer_folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    snapshot = write_snapshot(tmp_path / "s", {"train": rows(1)})
    with pytest.raises(DataUnusable, match="span"):
        run_here(make_run("tag", {"snapshot": snapshot, "tokenizer": tokenizer_folder}, MICRO))
    with pytest.raises(ModelCorrupt, match="tagger"):
        Tagger(base_folder)
