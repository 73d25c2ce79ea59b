"""What is dropped from a corpus, and why: quality, near duplicates, what evaluation asks; and what is left, told."""

import pytest

from feedback.rules.data.contamination import Evaluation
from feedback.rules.data.diversity import Diversity
from feedback.rules.data.near_duplicates import Neighbors, signature, similarity
from feedback.rules.data.text_quality import Thresholds, fault, normalized, repeated_share, thresholds

STORY = " ".join(f"On day {n} the ferry left the harbour with {n * 7} people and a cargo of salt." for n in range(12))


def test_a_text_is_brought_to_one_form() -> None:
    assert normalized("\ufeffcafe\u0301\r\nnext\rlast\u2028end\x00\x07\ttab") == "café\nnext\nlast\nend\ttab"
    assert normalized(" edges stay \n") == " edges stay \n"


@pytest.mark.parametrize(
    ("text", "why", "figure"),
    [
        (" \n\t", "too_short", "0 characters"),
        ("12 34 56 78 90 a", "not_text", "9% of its characters"),
        ("ab#$%&*!ab#$%&()ab#$ab#", "not_text", "35%"),
        ("ab#$ab#$ab#$abcd", "symbols", "38%"),
        ("a b c d e f g h i", "word_length", "1.0 characters"),
        ("buy it now\n" * 10 + "once", "repeated_lines", "87%"),
    ],
)
def test_what_is_unfit_is_told_with_its_figure(text: str, why: str, figure: str) -> None:
    limits = Thresholds(max_symbols=0.3)
    found = fault(text, limits)
    assert found is not None and found[0] == why
    assert figure in found[1]


@pytest.mark.parametrize("text", [STORY, "Ein Satz.", "猫は静かに眠っている。", "def f(x):\n    return x + 1\n"])
def test_what_is_fit_is_kept(text: str) -> None:
    assert fault(text, Thresholds()) is None


def test_a_play_repeats_its_speakers_and_is_kept() -> None:
    play = "\n\n".join(f"First Citizen:\nSpeech number {n} is about the price of corn in Rome." for n in range(50))
    assert 0.1 < repeated_share(play) < 0.3
    assert fault(play, Thresholds()) is None


def test_zero_switches_a_threshold_off_and_nonsense_is_refused() -> None:
    assert fault("same\n" * 9, Thresholds(max_repeated=0)) is None
    assert thresholds({"min_characters": 20}) == Thresholds(min_characters=20)
    for wrong in ({"min": 1}, {"max_symbols": 2}, {"min_word": "3"}, {"min_letters": True}):
        with pytest.raises(ValueError, match=r"Unknown threshold|must be a number from"):
            thresholds(wrong)


def test_near_duplicates_are_found_and_the_rest_is_not() -> None:
    changed = STORY.replace("On day 7 the", "On day seven a")
    other = STORY.replace("ferry", "train").replace("salt", "coal").replace("people", "sheep")
    seen = Neighbors()
    seen.add(1, signature(STORY))
    seen.add(2, signature(other))
    near = seen.nearest(signature(changed))
    assert near is not None and near[0] == 1 and near[1] > 0.85
    assert similarity(signature(STORY), signature(other)) < 0.2
    assert seen.nearest(signature("Something else entirely was written here by somebody.")) is None
    assert seen.nearest(signature(STORY.upper())) == (1, 1.0)


def test_the_earliest_of_equals_is_named() -> None:
    seen = Neighbors()
    for key in (5, 3, 4):
        seen.add(key, signature(STORY))
    assert seen.nearest(signature(STORY)) == (3, 1.0)


def test_a_signature_is_the_same_on_any_machine() -> None:
    assert len(signature("")) == 512
    assert signature("The quick brown fox jumps.")[:8].hex() == signature("the QUICK brown fox, jumps")[:8].hex()
    assert signature("The quick brown fox jumps.")[:8].hex() == "968417d5105b75c7"


@pytest.mark.parametrize(
    ("text", "touches"),
    [
        ("He said: why is my Router so slow, today? And left.", True),
        ("Why is my router so fast today", False),
        ("user: Thank you!\nassistant: You are welcome.", True),
        ("He wrote: thank you for the fish.", False),
        ("so the long one has words enough that thirteen of them in a row are met here again", True),
        ("the long one has words enough that thirteen of them in a", False),
        ("", False),
    ],
)
def test_what_evaluation_asks_is_found_in_a_text(text: str, touches: bool) -> None:
    asked = Evaluation(
        [
            "Why is my router so slow today?",
            "Thank you",
            "It is said: the long one has words enough that thirteen of them in a row are met, or so.",
            "?!",
        ]
    )
    assert bool(asked.in_text(text)) == touches
    assert Evaluation([]).in_text(text) == ""


def test_the_report_tells_what_a_corpus_is_made_of() -> None:
    told = Diversity()
    told.add(STORY, kind="article", source="gazette", licence="CC0")
    told.add(STORY + " And so on.", kind="article", source="copy", licence="CC0")
    told.add("Short.", kind="book", source="gazette", licence="MIT")
    report = told.report()
    assert (report["documents"], report["characters"]) == (3, 2 * len(STORY) + 11 + 6)
    assert [entry["name"] for entry in report["kinds"]] == ["article", "book"]
    assert {entry["name"]: entry["documents"] for entry in report["licences"]} == {"CC0": 2, "MIT": 1}
    assert sum(entry["documents"] for entry in report["lengths"]) == 3
    assert report["vocabulary"][-1] == {"words": report["words"], "distinct": report["distinct_words"]}
    sources = report["overlap"]["sources"]
    rows = report["overlap"]["rows"]
    assert rows[sources.index("gazette")][sources.index("copy")] == 1.0
    assert 0 < rows[sources.index("copy")][sources.index("gazette")] <= 1.0
    assert Diversity().report()["documents"] == 0
