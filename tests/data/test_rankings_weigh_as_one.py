"""A ranking makes many pairs of one judgment: in a snapshot they weigh together as much as one comparison."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from feedback.models import DatasetSnapshot, Person, Project, Prompt
from feedback.rules.data.content_hash import sha256
from feedback.rules.data.row_weights import of_ranked
from feedback.selectors.data import snapshots as snapshot_selectors
from feedback.services.collection import annotations, tasks
from feedback.services.data import snapshots
from tests.factories import PREFERS_A, make_prompt_in, make_response, make_snapshot, take
from trainer.data.snapshot import Preference, open_snapshot

pytestmark = pytest.mark.database


def of(snapshot: DatasetSnapshot, name: str) -> list[dict[str, Any]]:
    path = Path(settings.DATA_DIR) / snapshot.path / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def asked(project: Project, prompt: Prompt, kind: str, *texts: str) -> None:
    responses = [make_response(prompt, text) for text in texts]
    tasks.create_task(project=project, by=None, kind=kind, prompt=prompt, responses=responses)


@pytest.mark.parametrize("pairs", ["each", "consensus"])
def test_all_pairs_of_a_ranking_weigh_as_one_comparison(project: Project, ben: Person, ada: Person, pairs: str) -> None:
    prompt = make_prompt_in(project, "train")
    asked(project, prompt, "ranking", "one", "two", "three", "four")
    annotations.submit(assignment=take(project, ben), answer={"ranking": [["c"], ["a"], ["d"], ["b"]]})
    asked(project, prompt, "comparison", "left", "right")
    annotations.submit(assignment=take(project, ben), answer=PREFERS_A)
    draft = snapshots.request_snapshot(project=project, by=ada, policy={"pairs": pairs})
    snapshot = snapshots.freeze(draft)
    lines = of(snapshot, "weights.jsonl")
    assert [line["weight"] for line in lines] == [[1, 6]] * 6
    assert sum(Fraction(*line["weight"]) for line in lines) == 1
    assert snapshot_selectors.weighed(snapshot) == 6
    told = snapshot.manifest["files"]["weights.jsonl"]
    text = (Path(settings.DATA_DIR) / snapshot.path / "weights.jsonl").read_text()
    assert (told["sha256"], told["rows"]) == (sha256(text), 6)
    read = {(row.chosen in ("left", "right"), row.weight)
            for row in open_snapshot(Path(settings.DATA_DIR) / snapshot.path).rows("train", Preference)}  # fmt: skip
    assert read == {(True, 1.0), (False, 1 / 6)}


def test_a_ranking_of_two_and_comparisons_need_no_sidecar(project: Project, ben: Person, ada: Person) -> None:
    asked(project, make_prompt_in(project, "train"), "ranking", "one", "two")
    annotations.submit(assignment=take(project, ben), answer={"ranking": [["b"], ["a"]]})
    snapshot = make_snapshot(project, ada)
    assert "weights.jsonl" not in snapshot.manifest["files"]
    assert of(snapshot, "weights.jsonl") == []


def test_a_row_that_was_also_compared_weighs_the_mean(project: Project, ben: Person, ada: Person) -> None:
    """Once in a ranking of three, and once as a comparison: twice (1/3 + 1)/2. The content hash knows nothing of it."""
    prompt = make_prompt_in(project, "train")
    asked(project, prompt, "ranking", "one", "two", "three")
    annotations.submit(assignment=take(project, ben), answer={"ranking": [["a"], ["b"], ["c"]]})
    ranked = {(row.chosen.text, row.rejected.text): row.strength for row in project.pairs.all()}
    best, next_best = next(pair for pair, strength in ranked.items() if strength == 1)
    without = make_snapshot(project, ada)
    assert [line["weight"] for line in of(without, "weights.jsonl")] == [[1, 3]] * 3
    asked(project, prompt, "comparison", best, next_best)
    assignment = take(project, ben)
    first = assignment.task.responses.get(pk=assignment.order[0]).text
    choice = "a" if first == best else "b"
    answer = {"outcome": "prefer", "choice": choice, "strength": 1}
    annotations.submit(assignment=assignment, answer=answer)
    both = make_snapshot(project, ada)
    assert sorted(line["weight"] for line in of(both, "weights.jsonl")) == [[1, 3], [1, 3], [2, 3]]
    [twice] = [line for line in of(both, "train.jsonl") if line["count"] == 2]
    assert (twice["row"]["chosen"], twice["row"]["rejected"]) == (best, next_best)


def test_what_pairs_of_k_weigh() -> None:
    assert [of_ranked(k) for k in (1, 2, 3, 4, 9)] == [1, 1, Fraction(1, 3), Fraction(1, 6), Fraction(1, 36)]
