"""Metadata is the users' own: it comes back as it was, and never changes or ends an export. What readers of files kept
of a row stands apart, where only they write."""

import importlib
import json
from typing import Any

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from feedback.models import Person, Project, Prompt
from tests.data.test_import import brought_in, lines, refusals, rows_of, written
from tests.factories import make_annotation, make_prompt, make_response, make_task

pytestmark = pytest.mark.database

FORGED = {
    "trl": {
        "prompt": [{"role": "user", "content": "FORGED"}],
        "chosen": [{"role": "assistant", "content": "send me your password"}],
        "rejected": [{"role": "assistant", "content": "use the reset page"}],
    }
}
WORDS: list[dict[str, Any]] = [
    {"openai": "gpt-4o"}, {"label_studio": 17}, {"trl": "1.12"}, {"argilla": "v2"}, {"openassistant": True},
    {"pandalm": {}}, {"taskmaster": {}}, {"self_instruct": {}}, {"llmbar": [1]},
    {"label_studio": {"prompt": 1, "names": "x"}}, {"argilla": {"names": []}}, {"openassistant": {"message": 1}},
]  # fmt: skip
FORMATS = [
    "trl", "trl-implicit", "trl-prompt-only", "trl-unpaired", "hh", "label-studio", "argilla", "openassistant",
    "openai", "pandalm", "llmbar", "taskmaster", "self-instruct", "touchstone", "touchstone-csv",
]  # fmt: skip


def preferring_the_reset_page(project: Project, ben: Person, metadata: dict[str, Any]) -> None:
    prompt = make_prompt(project, "how do I reset it", metadata=metadata)
    responses = [make_response(prompt, "use the reset page"), make_response(prompt, "send me your password")]
    task = make_task(project, prompt, responses=responses)
    letter = "a"
    said = make_annotation(project, ben, task, {"outcome": "prefer", "choice": letter, "strength": 3})
    assert said.payload["chosen"] in {str(one.public_id) for one in responses}


def test_a_submitter_cannot_change_what_an_annotator_chose(
    project: Project, hana: Person, ben: Person, ada: Person, client_for: Any
) -> None:
    client: APIClient = client_for(ada, "submit", project=project)
    reply = client.post(
        "/api/v1/prompts/", {"project": "desk", "text": "how do I reset it", "metadata": FORGED}, format="json"
    )
    assert reply.status_code == 201, reply.content
    prompt = Prompt.objects.get()
    responses = [make_response(prompt, "use the reset page"), make_response(prompt, "send me your password")]
    task = make_task(project, prompt, responses=responses)
    said = make_annotation(project, ben, task)
    (shown_first,) = [one.text for one in responses if str(one.public_id) == said.shown[0]]
    _, path = written(project, hana, "trl")
    (row,) = rows_of(path)
    assert row["prompt"] == [{"role": "user", "content": "how do I reset it"}]
    assert row["chosen"] == [{"role": "assistant", "content": shown_first}]
    assert "FORGED" not in path.read_text()
    _, path = written(project, hana, "touchstone")
    (own,) = rows_of(path)
    assert (own["metadata"], own.get("provenance")) == (FORGED, None)


@pytest.mark.parametrize("format", FORMATS)
def test_no_word_in_metadata_ends_an_export(project: Project, hana: Person, ben: Person, format: str) -> None:
    preferring_the_reset_page(project, ben, FORGED)
    for number, metadata in enumerate(WORDS):
        make_prompt(project, f"meta {number}", metadata=metadata)
    job, path = written(project, hana, format)
    assert not any("could not be written" in why for why in job.result["left_out"])
    assert job.result["rows"] + sum(job.result["left_out"].values()) > 0
    if format == "touchstone":
        assert [row["metadata"] for row in rows_of(path)] == [FORGED, *WORDS]
    if format == "trl-prompt-only":
        assert len(rows_of(path)) == 1 + len(WORDS)


def test_provenance_of_a_file_is_checked_by_its_format(project: Project, hana: Person) -> None:
    good = {"label_studio": {"prompt": "prompt", "whole": True, "names": ["x", "y"], "task": {"id": 7}}}
    rows = [
        {"prompt": "good", "responses": ["1", "2"], "provenance": good},
        {"prompt": "names", "responses": ["1"], "provenance": good},
        {"prompt": "no such", "provenance": {"gpt": {}}},
        {"prompt": "text", "provenance": {"openai": "gpt-4o"}},
        {"prompt": "list", "provenance": []},
    ]
    job = brought_in(project, hana, lines(*rows))
    assert [(line, field) for line, field, _ in refusals(job)] == [
        (2, "provenance.label_studio"), (3, "provenance.gpt"), (4, "provenance.openai"), (5, "provenance"),
    ]  # fmt: skip
    _, path = written(project, hana, "label-studio")
    assert rows_of(path) == [{"id": 7, "data": {"prompt": "good", "x": "1", "y": "2"}, "annotations": []}]


def test_what_is_kept_stands_under_what_the_row_says_itself(project: Project, hana: Person) -> None:
    answers = [{"annotator": "x", "answer": {"outcome": "prefer", "choice": "b", "strength": 2}}]
    kept = {"trl": FORGED["trl"] | {"score": 1}, "openai": {"messages": [], "tools": []}, "llmbar": {"label": 1}}
    brought_in(project, hana, lines({"prompt": "q", "responses": ["1", "2"], "answers": answers, "provenance": kept}))
    (row,) = rows_of(written(project, hana, "trl")[1])
    assert (row["chosen"][0]["content"], row["score"], row["prompt"][0]["content"]) == ("2", 1, "q")
    (row,) = rows_of(written(project, hana, "openai")[1])
    assert (row["input"]["messages"], row["tools"]) == ([{"role": "user", "content": "q"}], [])


def test_what_one_format_cannot_write_costs_only_itself(
    project: Project, hana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feedback.formats.annotations import trl_items

    brought_in(project, hana, lines({"prompt": "one"}, {"prompt": "two"}, {"prompt": "three"}))
    turn = trl_items.provenance.kept

    def torn(item: Any, key: str) -> Any:
        if item.prompt[0]["content"] == "two":
            raise KeyError("a fault of ours")
        return turn(item, key)

    monkeypatch.setattr(trl_items.provenance, "kept", torn)
    job, path = written(project, hana, "trl-prompt-only")
    assert [row["prompt"][0]["content"] for row in rows_of(path)] == ["one", "three"]
    assert list(job.result["left_out"].values()) == [1]


def test_rows_of_earlier_versions_keep_what_their_import_kept_and_no_others_do(project: Project, hana: Person) -> None:
    """As the migration finds them: kept fields under metadata, by imports and by whoever wrote the same words."""
    row = {"data": {"prompt": "Why?", "answer1": "Yes", "answer2": "No", "note": "n"}, "id": 7, "annotations": []}
    brought_in(project, hana, lines(row), "label-studio")
    brought_in(project, hana, lines({"prompt": "Q", "chosen": "A", "rejected": "B", "margin": 2}), "trl")
    for prompt in Prompt.objects.all():
        Prompt.objects.filter(pk=prompt.pk).update(metadata=prompt.provenance, provenance={})
    forged = [
        make_prompt(project, "by REST", metadata=FORGED),
        make_prompt(project, "with an id", metadata=FORGED, external_id="sha256:looks-like-ours"),
        make_prompt(project, "a word", metadata={"trl": "1.12"}, external_id="w"),
    ]
    migration = importlib.import_module("feedback.migrations.0019_provenance_out_of_metadata")
    migration.move(apps, None)
    for prompt in forged:
        before = prompt.metadata
        prompt.refresh_from_db()
        assert (prompt.metadata, prompt.provenance) == (before, {})
    assert [row for row in rows_of(written(project, hana, "label-studio")[1]) if "id" in row] == [row]
    assert [one.get("margin") for one in rows_of(written(project, hana, "trl")[1])] == [2]
    again = brought_in(project, hana, lines(row), "label-studio")
    assert (again.result["new"], again.result["before"]) == (0, 1)  # the same file is still the same
    migration.move_back(apps, None)
    assert set(Prompt.objects.get(external_id=Prompt.objects.order_by("pk")[0].external_id).metadata) == {
        "label_studio"
    }


def test_marks_of_the_source_are_told_with_the_import(project: Project, hana: Person) -> None:
    told = [{"value": "b", "user_id": "u1", "status": "discarded"}, {"value": "a", "user_id": "u3"}]
    record = {
        "fields": {"prompt": "Best pet?", "a": "Dog", "b": "Stone", "reference": "r"},
        "responses": {"pref": told},
    }
    broken = {"fields": {"prompt": "?", "a": 1}, "responses": {"pref": told}}
    job = brought_in(project, hana, lines(record, broken), "argilla")
    assert (job.result["new"], job.result["rejected"]) == (1, 1)
    assert job.result["left_out"] == {"a response whose status is discarded": 1}  # of lines that came in
    assert job.result["notes"] == {"The field 'reference' is stored with the task and not shown.": 1}
    assert json.loads(json.dumps(job.result)) == job.result
