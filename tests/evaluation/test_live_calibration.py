"""Calibration of live labels: bins and error by hand, accuracy by prompt, the ceiling that labels allow."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.rules.evaluation.calibration import Scored, accuracy, ceiling, reliability


def test_bins_and_error_by_hand() -> None:
    """Four labels at .62, three right; one at 1, wrong."""
    labels = [Scored(number, 0.62, float(number > 0)) for number in range(4)] + [Scored(9, 1.0, 0.0)]
    found = reliability(labels)
    low, last = found.bins
    assert (low.start, low.end) == pytest.approx((0.6, 0.65)) and (last.start, last.end) == pytest.approx((0.95, 1.0))
    assert (low.labels, low.predicted, low.observed) == (4, pytest.approx(0.62), 0.75)
    assert (last.labels, last.predicted, last.observed) == (1, 1.0, 0.0)
    assert low.low is low.high is None, "four prompts are too few"
    assert found.error == pytest.approx((4 * 0.13 + 1) / 5)


def test_no_labels_have_no_error() -> None:
    assert reliability([]).error is None and reliability([]).bins == ()
    assert accuracy([]) == (None, None, None)


def test_accuracy_goes_by_prompt() -> None:
    """Forty labels on ten prompts that are all right or all wrong are ten observations."""
    labels = [Scored(number % 10, 0.8, float(number % 10 < 7)) for number in range(40)]
    share, low, high = accuracy(labels)
    once = accuracy(labels[:10])
    assert share == pytest.approx(0.7) and low == pytest.approx(once[1]) and high == pytest.approx(once[2])
    assert accuracy(labels[:7])[1:] == (None, None)


def test_a_calibrated_model_has_a_small_error() -> None:
    rng = random.Random(0)
    labels = [Scored(number, p, float(rng.random() < p)) for number in range(4000) for p in [rng.uniform(0.5, 1)]]
    found = reliability(labels)
    assert found.error is not None and found.error < 0.03 and len(found.bins) == 10
    assert sum(one.low <= one.predicted <= one.high for one in found.bins if one.low and one.high) >= 8


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_ceiling_holds_whatever_people_prefer(shares: list[float]) -> None:
    agreement = sum(q * q + (1 - q) ** 2 for q in shares) / len(shares)
    best = sum(max(q, 1 - q) for q in shares) / len(shares)
    least, most = ceiling(agreement)
    assert least - 1e-9 <= best <= most + 1e-9


def test_people_who_always_agree_leave_no_room() -> None:
    assert ceiling(1.0) == (1, 1)
    assert ceiling(0.5) == (0.5, 0.5) == ceiling(0.4)
