"""Prompts of one family fall into one split, and splits have their shares."""

from collections import Counter

from feedback.rules.splits import family_of, split_of


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
