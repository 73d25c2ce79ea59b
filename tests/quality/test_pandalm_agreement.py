"""PandaLM's three annotators: our figures are those of a computation by the definitions, written apart from ours."""

import json
from itertools import combinations, permutations
from pathlib import Path

import pytest

from feedback.rules.quality.agreement import agreement, cohen_kappa, krippendorff_alpha, raw_agreement

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "pandalm_3annotators" / "pairs.jsonl"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="PandaLM's answers (shared/data) are not on this machine")


def rows() -> list[tuple[int, int, int]]:
    lines = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [(line["annotator1"], line["annotator2"], line["annotator3"]) for line in lines]


def test_raw_agreement_and_alpha() -> None:
    told = rows()
    pairs = [two for row in told for two in combinations(row, 2)]
    raw = sum(a == b for a, b in pairs) / len(pairs)
    # Alpha with nothing missing: disagreement within units over disagreement among all values put in one bag.
    bag = [value for row in told for value in row]
    n = len(bag)
    within = sum(a != b for row in told for a, b in permutations(row, 2)) / 2 / n
    among = sum(bag.count(a) * bag.count(b) for a, b in permutations(set(bag), 2)) / (n * (n - 1))
    assert raw_agreement(told) == pytest.approx(raw)
    assert krippendorff_alpha(told) == pytest.approx(1 - within / among)
    found = agreement(told)
    assert found.units == len(told) == 999
    assert found.low is not None and found.alpha is not None and found.high is not None
    assert 0.01 < found.high - found.alpha < 0.05


def test_kappa_of_every_two() -> None:
    for one, other in combinations(range(3), 2):
        pairs = [(row[one], row[other]) for row in rows()]
        n = len(pairs)
        table = [[sum((a, b) == (i, j) for a, b in pairs) for j in range(3)] for i in range(3)]
        observed = sum(table[i][i] for i in range(3)) / n
        chance = sum(sum(table[i]) * sum(line[i] for line in table) for i in range(3)) / n**2
        assert cohen_kappa(pairs) == pytest.approx((observed - chance) / (1 - chance))
