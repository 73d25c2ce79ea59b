"""Prompts of one family fall into one split, and splits have their shares."""

import sys
import unicodedata
from collections import Counter

from feedback.rules.data import splits
from feedback.rules.data.contamination import Evaluation
from feedback.rules.data.splits import family_of, split_of
from trainer.data import text_folding


def ask(text: str, *later: str) -> list[dict[str, str]]:
    turns = [{"role": "user", "content": text}]
    for one in later:
        turns += [{"role": "assistant", "content": "Hm."}, {"role": "user", "content": one}]
    return turns


def test_wording_that_differs_in_case_and_punctuation_is_one_family() -> None:
    assert family_of("salt", ask("My router is slow!")) == family_of("salt", ask("  my ROUTER  is slow"))


def test_later_turns_inherit_the_split_of_the_first() -> None:
    assert family_of("salt", ask("My router is slow")) == family_of("salt", ask("My router is slow", "And now?"))


def test_another_project_splits_otherwise() -> None:
    texts = [f"question {n}" for n in range(200)]
    one = [split_of(family_of("one", ask(text))) for text in texts]
    other = [split_of(family_of("other", ask(text))) for text in texts]
    assert one != other


def test_shares_are_eighty_ten_ten() -> None:
    counts = Counter(split_of(family_of("salt", ask(f"question {n}"))) for n in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.8) < 0.01
    assert abs(counts["selection"] / 20_000 - 0.1) < 0.01
    assert abs(counts["test"] / 20_000 - 0.1) < 0.01


def test_what_is_invisible_makes_no_other_family() -> None:
    for one, other in (
        ("screen blank", "scr\u2060een blank"),
        ("a \u2764 b", "a \u2764\ufe0f b"),
        ("co-op", "co\u00ad-op"),
    ):
        assert family_of("salt", ask(one)) == family_of("salt", ask(other))
    assert family_of("salt", ask("screen blank")) != family_of("salt", ask("screenblank"))


def test_every_format_character_and_variation_selector_is_invisible() -> None:
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) == "Cf" or "VARIATION SELECTOR" in unicodedata.name(chr(code), ""):
            assert splits.INVISIBLE.fullmatch(chr(code)), hex(code)


def test_the_trainer_compares_texts_by_the_same_rule() -> None:
    assert text_folding.INVISIBLE.pattern == splits.INVISIBLE.pattern
    for text in (
        "Stra\u00dfe",
        "\u0390\u0345",
        "\ufb01ne",
        "i\u2060t",
        "\u2764\ufe0f",
        "PLAIN",
        "\u0130stanbul",
        "\u1e9e\u200d",
    ):
        assert text_folding.folded(text) == splits.folded(text) == splits.folded(splits.folded(text))


def test_contamination_is_seen_through_invisible_characters() -> None:
    evaluation = Evaluation(["why is\u200b the screen blank today", "blank scr\u00adeen"])
    assert evaluation.in_text("He asked: Why is the screen bla\u2060nk today, and left.")
    assert evaluation.in_text("user: blank screen")
    assert not evaluation.in_text("the screen is blank")
