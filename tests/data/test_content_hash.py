"""Same rows, same hash, on any machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.rules.data.content_hash import canonical, row_hash, snapshot_hash

ROW = {
    "kind": "preference",
    "prompt": [{"role": "user", "content": "Wie geht’s?"}],
    "chosen": "gut",
    "rejected": "",
    "strength": 2,
}


def test_golden_row_hash() -> None:
    assert canonical(ROW) == (
        '{"chosen":"gut","kind":"preference","prompt":[{"content":"Wie geht’s?","role":"user"}],'
        '"rejected":"","strength":2}'
    )
    assert row_hash(ROW) == "989ce986802ee4efb59eaa586191a4a21fbd358576ecd6eb25352da5c17e35b4"


def test_key_order_and_unicode_composition_do_not_matter() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert row_hash({"a": composed, "b": 1}) == row_hash({"b": 1, "a": decomposed})


def test_white_space_and_case_do_matter() -> None:
    assert row_hash({"a": "x"}) != row_hash({"a": "x "})
    assert row_hash({"a": "x"}) != row_hash({"a": "X"})


@pytest.mark.parametrize("value", [1.5, float("nan"), {1: "a"}, {"a": {1, 2}}, b"bytes"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no canonical form"):
        canonical(value)


@given(st.lists(st.text("abcdef0123456789", min_size=4, max_size=4)), st.randoms())
def test_order_of_rows_does_not_matter(hashes: list[str], chance: object) -> None:
    shuffled = list(hashes)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert snapshot_hash({"train": hashes}) == snapshot_hash({"train": shuffled})


def test_split_and_count_do_matter() -> None:
    assert snapshot_hash({"train": ["aa"]}) != snapshot_hash({"test": ["aa"]})
    assert snapshot_hash({"train": ["aa"]}) != snapshot_hash({"train": ["aa", "aa"]})
