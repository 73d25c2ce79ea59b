"""Every kind of task from its making to the rows it trains."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from feedback.errors import Invalid
from feedback.models import DatasetSnapshot, Person, PreferencePair, Project, Prompt, Response, Task
from feedback.services.collection import annotations, tasks
from tests.factories import make_prompt, make_response, make_snapshot, take

pytestmark = pytest.mark.database

SCHEMES = {
    "topic": {"name": "topic", "kind": "classification", "labels": [{"name": "billing"}], "many": False},
    "names": {"name": "names", "kind": "spans", "labels": [{"name": "person"}], "many": True},
}


@pytest.fixture
def prompt(project: Project) -> Prompt:
    project.label_scheme = SCHEMES
    project.save()
    return make_prompt(project)


def make(project: Project, prompt: Prompt, kind: str, count: int, **options: Any) -> Task:
    responses = [make_response(prompt, f"answer {n}") for n in range(count)]
    return tasks.create_task(project=project, by=None, kind=kind, prompt=prompt, responses=responses, **options)[0]


def rows(snapshot: DatasetSnapshot, kind: str) -> list[dict[str, Any]]:
    folder = Path(settings.DATA_DIR) / snapshot.path
    lines = [line for split in ("train", "selection", "test") for line in (folder / f"{split}.jsonl").open()]
    told = [json.loads(line)["row"] for line in lines]
    return [row for row in told if row["kind"] == kind]


def test_a_ranking_of_four_becomes_six_pairs(project: Project, prompt: Prompt, ben: Person, ada: Person) -> None:
    make(project, prompt, "ranking", 4)
    annotations.submit(assignment=take(project, ben), answer={"ranking": [["c"], ["a"], ["d"], ["b"]]})
    assert PreferencePair.objects.standing().count() == 6
    assert len(rows(make_snapshot(project, ada), "preference")) == 6


def test_an_edited_response_is_imitated_and_preferred_to_the_original(
    project: Project, prompt: Prompt, ben: Person, ada: Person
) -> None:
    make(project, prompt, "demonstration", 1)
    assignment = take(project, ben)
    annotations.submit(assignment=assignment, answer={"text": "a better answer"})
    annotations.revise(assignment=assignment, answer={"text": "the best answer"}, by=ben)
    snapshot = make_snapshot(project, ada)
    assert [row["completion"] for row in rows(snapshot, "demonstration")] == ["the best answer"]
    [pair] = rows(snapshot, "preference")
    assert (pair["chosen"], pair["rejected"]) == ("the best answer", "answer 0")
    assert set(Response.objects.filter(author=ben).values_list("text", flat=True)) == {
        "a better answer",
        "the best answer",
    }


def test_a_demonstration_from_scratch_makes_no_pair(project: Project, prompt: Prompt, ben: Person) -> None:
    make(project, prompt, "demonstration", 0)
    annotations.submit(assignment=take(project, ben), answer={"text": "written anew"})
    assert not PreferencePair.objects.exists()
    assert Response.objects.get().author == ben


def test_responses_rated_apart_become_examples_and_a_pair(
    project: Project, prompt: Prompt, ben: Person, ada: Person
) -> None:
    for n in range(2):
        response = make_response(prompt, f"answer {n}")
        tasks.create_task(project=project, by=None, kind="rating", prompt=prompt, responses=[response])
    for _ in range(2):
        assignment = take(project, ben)
        good = assignment.task.responses.get().text == "answer 0"
        annotations.submit(assignment=assignment, answer={"ratings": {"truthful": 5 if good else 1}})
    snapshot = make_snapshot(project, ada)
    assert sorted((row["completion"], row["label"]) for row in rows(snapshot, "unpaired")) == [
        ("answer 0", True),
        ("answer 1", False),
    ]
    [pair] = rows(snapshot, "preference")
    assert (pair["chosen"], pair["rejected"], pair["strength"]) == ("answer 0", "answer 1", 3)


def test_labels_and_spans_are_kept_by_name_and_offset(project: Project, prompt: Prompt, ben: Person) -> None:
    make(project, prompt, "classification", 0, ask={"scheme": "topic"})
    labeled = annotations.submit(assignment=take(project, ben), answer={"labels": ["billing"]})
    assert labeled.payload["labels"] == ["billing"] and labeled.payload["scheme"] == "topic"
    make(project, prompt, "spans", 1, ask={"scheme": "names"})
    marked = annotations.submit(
        assignment=take(project, ben), answer={"spans": [{"start": 0, "end": 6, "label": "person"}]}
    )
    assert marked.payload["spans"] == [{"start": 0, "end": 6, "label": "person", "text": "answer"}]


@pytest.mark.parametrize(
    ("kind", "count", "ask", "field"),
    [
        ("comparison", 3, None, "responses"),
        ("ranking", 1, None, "responses"),
        ("ranking", 10, None, "responses"),
        ("rating", 2, None, "responses"),
        ("classification", 0, None, "ask.scheme"),
        ("classification", 0, {"scheme": "names"}, "ask.scheme"),
        ("spans", 0, {"scheme": "names", "more": 1}, "ask"),
        ("comparison", 2, {"scheme": "topic"}, "ask"),
        ("thumbs", 0, None, "kind"),
    ],
)
def test_a_task_that_does_not_fit_its_kind_is_refused(
    project: Project, prompt: Prompt, kind: str, count: int, ask: dict[str, Any] | None, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        make(project, prompt, kind, count, ask=ask)
    assert caught.value.field == field
    assert not Task.objects.exists()
