"""Reliability and findings: worked by hand, and with simulated crowds whose faults are known."""

import math

import pytest

from feedback.rules.quality.findings import Seen, findings
from feedback.rules.quality.reliability import Reliability, Vote, consensus_of, threshold
from tests.quality.crowds import judged
from workers.demo.annotators import Annotator, crowd

FAULTS = [
    Annotator(spammer=True),
    Annotator(inverter=True),
    Annotator(left_lean=1.2),
    Annotator(length_love=0.2),
]


def test_one_round_by_hand() -> None:
    # Two say first, one second; all start at 3/4, so the odds are 3 to 1: the two are right with 3/4, the one with 1/4.
    # With four prior votes at 3/4: (3/4 + 3) / 5 = 0.75 and (1/4 + 3) / 5 = 0.65.
    told = consensus_of([Vote(1, 1, True), Vote(1, 2, True), Vote(1, 3, False)], rounds=1)
    assert told.annotators[1].share == pytest.approx(0.75)
    assert told.annotators[3].share == pytest.approx(0.65)
    assert told.others[2] == pytest.approx(2 * math.log(3))  # what the first two say, without the third
    assert (told.annotators[1].with_others, told.annotators[3].with_others) == (1.0, 0.0)


def test_who_judges_alone_is_neither_right_nor_wrong() -> None:
    told = consensus_of([Vote(task, 1, True) for task in range(50)])
    assert told.others == [0.0] * 50
    assert (told.annotators[1].met, told.annotators[1].with_others) == (0, None)
    assert consensus_of([]).annotators == {}


def test_the_bar_rises_with_the_number_of_looks() -> None:
    assert threshold(1) == pytest.approx(2.326, abs=1e-3)  # 1 % on either side
    assert threshold(48) > threshold(8) > threshold(1)


@pytest.mark.parametrize("seed", range(5))
def test_planted_faults_are_found_and_nobody_else(seed: int) -> None:
    found = judged(crowd(8, seed, FAULTS), seed)
    checks: dict[int, set[str]] = {}
    for finding in found:
        checks.setdefault(finding.annotator, set()).add(finding.check)
    assert set(checks) == {4, 5, 6, 7}
    assert {"agreement", "too_fast"} <= checks[4]  # the spammer
    assert "inverted" in checks[5]
    assert "side" in checks[6]
    assert "length" in checks[7]


@pytest.mark.parametrize("seed", range(5))
def test_a_crowd_without_faults_raises_no_flag(seed: int) -> None:
    assert judged(crowd(8, seed), seed) == []


def test_gold_is_held_against_the_others() -> None:
    def asked(hits: int, n: int) -> Seen:
        answers = [place * hits // n != (place + 1) * hits // n for place in range(n)]  # spread evenly
        assert sum(answers) == hits
        return Seen(None, None, checks=answers)

    told = findings({1: asked(36, 40), 2: asked(35, 40), 3: asked(14, 40), 4: asked(1, 2)})
    assert [(one.annotator, one.check, one.n) for one in told] == [(3, "gold", 40)]


def test_two_people_who_differ_are_not_both_to_blame() -> None:
    alone = Reliability(share=0.5, met=10, with_others=0.2, with_others_of=10)
    assert findings({1: Seen(alone, None)}) == []
