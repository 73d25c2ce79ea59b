"""Agreement against numbers worked by hand and by others."""

import pytest

from feedback.rules.quality.agreement import (
    agreement,
    cohen_kappa,
    kendall_tau,
    krippendorff_alpha,
    ordinal,
    raw_agreement,
)


def test_raw_agreement_counts_every_pair_once() -> None:
    # a,a agree; a,a,b: one pair of three agrees; a single value says nothing: 2 of 4.
    assert raw_agreement([["a", "a"], ["a", "a", "b"], ["b"]]) == 0.5


def test_alpha_of_krippendorffs_own_example() -> None:
    # Krippendorff 2011, section B: two observers, nominal data, alpha = 0.692.
    one = ["a", "a", "b", "b", "d", "c", "c", "c", "e", "d", "d", "a"]
    other = ["b", "a", "b", "b", "b", "c", "c", "c", "e", "d", "d", "d"]
    assert krippendorff_alpha([list(pair) for pair in zip(one, other, strict=True)]) == pytest.approx(0.692, abs=5e-4)


def test_alpha_with_missing_values() -> None:
    # Krippendorff 2011, section C: four observers, missing values, nominal alpha = 0.743.
    table = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    rows = [line.split() for line in table]
    units = [[row[unit] for row in rows if row[unit] != "."] for unit in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_perfect_and_undefined() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1.0
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
    assert krippendorff_alpha([]) is None


def test_interval_encloses_alpha_and_is_reproducible() -> None:
    units = [["a", "a"], ["a", "b"], ["b", "b"], ["a", "a"], ["b", "a"], ["b", "b"]] * 10
    first, second = agreement(units), agreement(units)
    assert first == second
    assert first.low is not None and first.alpha is not None and first.high is not None
    assert first.low < first.alpha < first.high


def test_ordinal_alpha_of_krippendorffs_own_example() -> None:
    # Krippendorff 2011, section E: the four observers again, ordinal alpha = 0.815.
    table = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    rows = [line.split() for line in table]
    units = [[int(row[unit]) for row in rows if row[unit] != "."] for unit in range(12)]
    assert krippendorff_alpha(units, ordinal) == pytest.approx(0.815, abs=5e-4)


def test_kappa_by_hand() -> None:
    # 20 and 15 agree of 50; one says yes 25 times, the other 30: (0.7 - 0.5) / (1 - 0.5).
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert cohen_kappa([("y", "y")] * 3) is None
    assert cohen_kappa([]) is None


def test_tau_by_hand() -> None:
    assert kendall_tau([["a"], ["b"], ["c"]], [["c"], ["b"], ["a"]]) == -1
    # Of ab, ac, bc: one agrees twice and is tied once in the other: 2 / sqrt(3 x 2).
    assert kendall_tau([["a"], ["b"], ["c"]], [["a"], ["b", "c"]]) == pytest.approx(2 / 6**0.5)
    assert kendall_tau([["a", "b"]], [["a"], ["b"]]) is None
