"""What Ben and Chloe label and mark becomes rows that a classifier and a tagger learn from."""

import json

import pytest

from feedback.models import Task
from feedback.rules.data.content_hash import normal_span
from feedback.selectors.data.training_queries import Policy
from feedback.selectors.data.training_rows import feedback_rows
from feedback.services.collection import tasks
from feedback.services.platform import projects
from tests.factories import make_annotation, make_prompt, make_prompt_in, make_response, make_snapshot

pytestmark = pytest.mark.database

TOPIC = {"kind": "classification", "labels": [{"name": "work"}, {"name": "play"}]}
NAMES = {"kind": "spans", "labels": [{"name": "person"}, {"name": "place"}]}


@pytest.fixture
def schemes(project, hana):
    projects.set_scheme(by=hana, project=project, name="topic", scheme=TOPIC)
    projects.set_scheme(by=hana, project=project, name="names", scheme=NAMES)
    project.refresh_from_db()


def ask(project, kind, prompt, response=None, **options) -> Task:
    scheme = {"classification": "topic", "spans": "names"}[kind]
    responses = [response] if response else []
    return tasks.create_task(
        project=project, by=None, kind=kind, prompt=prompt, responses=responses, ask={"scheme": scheme}, **options
    )[0]


def rows(project, kind, **policy):
    project.refresh_from_db()
    return [one for one in feedback_rows(project, Policy(**policy)) if one.row["kind"] == kind]


def test_every_label_is_a_row_of_its_prompt_s_split(project, schemes, ben):
    for split in ("train", "test"):
        prompt = make_prompt_in(project, split)
        said = make_annotation(project, ben, ask(project, "classification", prompt), {"labels": ["play"]})
        (row,) = [one for one in rows(project, "classification") if one.split == split]
        assert row.row == {
            "kind": "classification",
            "text": prompt.text,
            "labels": ["play"],
            "scheme": "topic",
            "classes": ["work", "play"],
            "many": False,
        }
        assert row.annotations == ((said.pk, str(said.public_id)),)
        assert said.payload["scheme"] == "topic"


def test_spans_of_a_response_keep_their_offsets(project, schemes, ben):
    prompt = make_prompt(project)
    task = ask(project, "spans", prompt, make_response(prompt, "Ask Zoë in Graz."))
    make_annotation(project, ben, task, {"spans": [{"start": 4, "end": 7, "label": "person"}]})
    (row,) = rows(project, "spans")
    assert row.row == {
        "kind": "spans",
        "text": "Ask Zoë in Graz.",
        "spans": [{"start": 4, "end": 7, "label": "person"}],
        "scheme": "names",
        "classes": ["person", "place"],
    }


def test_offsets_count_the_characters_that_are_frozen(project, schemes, ben):
    prompt = make_prompt(project)
    task = ask(project, "spans", prompt, make_response(prompt, "Ask Zoe\u0308 in Graz."))  # e and a combining mark
    spans = [{"start": 4, "end": 8, "label": "person"}, {"start": 12, "end": 16, "label": "place"}]
    make_annotation(project, ben, task, {"spans": spans})
    (row,) = rows(project, "spans")
    assert [(one["start"], one["end"]) for one in row.row["spans"]] == [(4, 7), (11, 15)]
    assert normal_span("Zoe\u0308!", 0, 3) == (0, 3)  # a bound within the letter moves outwards
    assert normal_span("Zoe\u0308!", 3, 5) == (2, 4)


@pytest.mark.parametrize(("second", "kept"), [(["work"], ["work"]), (["play"], None)])
def test_consensus_is_what_most_say(project, schemes, ben, chloe, second, kept):
    task = ask(project, "classification", make_prompt(project))
    make_annotation(project, ben, task, {"labels": ["work"]})
    make_annotation(project, chloe, task, {"labels": second})
    assert len(rows(project, "classification")) == 2
    found = rows(project, "classification", pairs="consensus")
    assert [one.row["labels"] for one in found] == ([kept] if kept else [])
    assert all(len(one.annotations) == 2 for one in found)


def test_checks_and_training_rounds_do_not_teach(project, schemes, ben):
    task = ask(project, "classification", make_prompt(project))
    make_annotation(project, ben, task, {"labels": ["work"]})
    for column in ({"training_round": True}, {"training_round": False, "gold": {"labels": ["work"]}}):
        assert len(rows(project, "classification")) == 1
        Task.objects.filter(pk=task.pk).update(**column)
        assert rows(project, "classification") == []
        Task.objects.filter(pk=task.pk).update(training_round=False, gold=None)


def test_a_scheme_that_is_gone_leaves_no_row(project, schemes, ben, hana):
    task = ask(project, "classification", make_prompt(project), annotations_wanted=1)
    make_annotation(project, ben, task, {"labels": ["work"]})
    projects.set_scheme(by=hana, project=project, name="topic", scheme=None)
    assert rows(project, "classification") == []


def test_they_are_counted_and_downloaded(project, schemes, ben, ada, client_for):
    prompt = make_prompt_in(project, "train")
    make_annotation(project, ben, ask(project, "classification", prompt), {"labels": ["work"]})
    snapshot = make_snapshot(project, ada)
    assert snapshot.counts["train"]["classification"] == 1
    url = f"/api/v1/snapshots/{snapshot.public_id}/rows/?kind=classification"
    reply = client_for(ada).get(url, headers={"accept": "application/x-ndjson"})
    assert json.loads(reply.getvalue()) == {"text": prompt.text, "label": "work"}
