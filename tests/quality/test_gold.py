"""Tasks become checks: with an answer given, or with what their answers came to. Whoever is right is told from who is
not, and LLMBar's pairs, whose better answer is known, find an annotator who inverts."""

import json
from typing import Any

import pytest

from feedback.errors import Conflict, Invalid
from feedback.models import Assignment, Person, Project, Task
from feedback.rules.quality.gold import is_right
from feedback.selectors.quality.quality import quality
from feedback.services.collection import annotations, assignment_queue
from feedback.services.platform import projects
from feedback.services.quality import gold
from tests.conftest import SHARED_DATA
from tests.data.test_import import brought_in, written
from tests.factories import make_task, take
from tests.kinds import make_kind

pytestmark = pytest.mark.database

TIE = {"outcome": "tie"}
NAME = {"start": 0, "end": 4, "label": "name"}


@pytest.mark.parametrize(
    ("kind", "scheme", "right", "said", "wrong"),
    [
        (
            "comparison",
            "",
            {"outcome": "prefer", "choice": "a"},
            {"chosen": 0, "outcome": "prefer"},
            {"outcome": "tie"},
        ),
        ("ranking", "", {"ranking": [["a", "b"], ["c"], ["d"]]}, {"ranking": [[1, 0], [2], [3]]}, {"ranking": [[0]]}),
        (
            "rating",
            "",
            {"ratings": {"truthful": 4}, "tolerance": 1},
            {"ratings": {"truthful": 5}},
            {"ratings": {"truthful": 2}},
        ),
        (
            "classification",
            "topic",
            {"labels": ["device", "billing"]},
            {"labels": ["device", "billing"]},
            {"labels": []},
        ),
        (
            "spans",
            "names",
            {"spans": [NAME], "tolerance": 2},
            {"spans": [NAME | {"end": 6}]},
            {"spans": [NAME | {"end": 7}]},
        ),
    ],
)
def test_every_kind_that_has_a_right_answer(
    project: Project, ada: Person, kind: str, scheme: str, right: Any, said: Any, wrong: Any
) -> None:
    task = make_kind(project, kind, scheme=scheme, text="Mara Vell moved.") if scheme else make_kind(project, kind)
    names = [str(placed.response.public_id) for placed in task.placed.select_related("response")]

    def named(value: Any) -> Any:
        """Places into public ids."""
        if isinstance(value, dict):
            return {key: named(one) if key in ("ranking", "chosen") else one for key, one in value.items()}
        return [named(one) for one in value] if isinstance(value, list) else names[value]

    task = gold.mark(by=ada, task=task, answer=right, explanation="As the guidelines say.")
    assert (task.annotations_wanted, task.state, task.explanation) == (None, "open", "As the guidelines say.")
    assert task.gold is not None
    assert is_right(named(said), task.gold)
    assert not is_right(named(wrong), task.gold)


@pytest.mark.parametrize(
    ("kind", "answer", "field"),
    [
        ("comparison", {"outcome": "prefer", "choice": "c"}, "gold.choice"),
        ("comparison", {"outcome": "tie", "tolerance": 1}, "gold.tolerance"),
        ("rating", {"ratings": {"truthful": 9}}, "gold.ratings.truthful"),
        ("rating", {"ratings": {"truthful": 3}, "tolerance": 5}, "gold.tolerance"),
        ("demonstration", {"text": "So."}, "gold.gold"),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused(
    project: Project, ada: Person, kind: str, answer: Any, field: str
) -> None:
    task = make_kind(project, kind)
    with pytest.raises(Invalid) as caught:
        gold.mark(by=ada, task=task, answer=answer)
    assert caught.value.field == field
    assert Task.objects.get(pk=task.pk).gold is None


def test_from_what_its_answers_came_to(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    task = make_task(project)
    for person in (ben, chloe):
        annotations.submit(assignment=take(project, person), answer=TIE)
    marked = gold.mark(by=ada, task=task)
    assert marked.gold == {"outcome": "tie"}
    assert Assignment.objects.filter(task=task, counted=True).count() == 2, "what was said stays"

    again = gold.unmark(by=ada, task=marked)
    assert (again.gold, again.annotations_wanted, again.state, again.free_slots) == (None, 2, "settled", 0)


def test_a_draw_is_no_right_answer(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    task = make_task(project)
    for person, said in ((ben, TIE), (chloe, {"outcome": "both_bad"})):
        annotations.submit(assignment=take(project, person), answer=said)
    with pytest.raises(Conflict, match="no majority"):
        gold.mark(by=ada, task=task)


def test_llmbar_serves_as_gold(project: Project, hana: Person, ada: Person, ben: Person, chloe: Person) -> None:
    """Ben answers as LLMBar says, Chloe the other way round."""
    path = SHARED_DATA / "llmbar" / "pairs.jsonl"
    if not path.exists():
        pytest.skip("the real data set is not here: llmbar")
    lines = path.read_text().splitlines()[:24]
    brought_in(project, ada, "\n".join(lines).encode(), "llmbar")
    checks = Task.objects.filter(project=project, gold__isnull=False)
    assert checks.count() == 24
    projects.update_project(by=ada, project=project, queue_policy={"gold_share": 1})
    better = {(row["output_1"], row["output_2"]): row[f"output_{row['label']}"] for row in map(json.loads, lines)}
    for person in (ben, chloe):
        while isinstance(held := assignment_queue.next_assignment(project=project, annotator=person), Assignment):
            texts = dict(held.task.responses.values_list("pk", "text"))
            shown = [texts[key] for key in held.order]
            right = shown.index(next(text for pair, text in better.items() if set(pair) == set(shown)))
            choice = "ab"[right if person is ben else 1 - right]
            annotations.submit(assignment=held, answer={"outcome": "prefer", "choice": choice, "strength": 2})
    scores = {one.person.username: (one.gold_right, one.gold_asked) for one in quality(project).annotators}
    assert scores == {"ben": (24, 24), "chloe": (0, 24)}


def test_a_check_comes_in_from_a_file_with_its_tolerance_and_goes_out_again(project: Project, ada: Person) -> None:
    row = {
        "kind": "rating",
        "prompt": [{"role": "user", "content": "Why is the sky blue?"}],
        "responses": ["Air scatters blue light most."],
        "gold": {"ratings": {"truthful": 5}, "tolerance": 1},
    }
    broken = row | {"gold": {"ratings": {"truthful": 5}, "tolerance": 9}}
    job = brought_in(project, ada, json.dumps(row).encode() + b"\n" + json.dumps(broken).encode())
    assert (job.result["tasks"], job.result["rejected"]) == (1, 1)
    task = Task.objects.get()
    assert task.gold is not None
    assert (task.gold["ratings"], task.gold["tolerance"]) == ({"truthful": 5}, 1)
    _, path = written(project, ada, "touchstone")
    assert json.loads(path.read_text())["gold"] == row["gold"]
