"""Whatever rows a project holds, a snapshot that freezes is one that the trainer reads to its last line."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from feedback.errors import SnapshotTooSmall
from feedback.models import DatasetSnapshot, Person, Project, Prompt
from feedback.services.collection import prompts, tasks
from feedback.services.data import snapshots
from feedback.services.training import pipelines
from tests.factories import make_model, make_pair, make_prompt, make_prompt_in, make_response, make_snapshot, plan_for
from trainer.data.snapshot import Preference as PreferenceRow
from trainer.data.snapshot import open_snapshot

pytestmark = pytest.mark.database

HALF = [{"role": "user", "content": "continue this"}, {"role": "assistant", "content": "Once upon"}]
LATE = [{"role": "user", "content": "again"}, {"role": "system", "content": "be brief"}]


def read_whole(snapshot: DatasetSnapshot) -> list[Any]:
    """Every row of every split, typed by the trainer, which raises at the first line that it cannot read."""
    read = open_snapshot(Path(settings.DATA_DIR) / snapshot.path)
    kinds = (PreferenceRow,)
    return [row for split in ("train", "selection", "test") for kind in kinds for row in read.rows(split, kind)]


def stored_before(project: Project, pair: Any, messages: list[dict[str, str]]) -> None:
    """As rows that came in before their way in refused them."""
    Prompt.objects.filter(pk=pair.prompt_id).update(messages=messages)


def test_a_prompt_that_does_not_end_with_the_user_is_left_out(project: Project, ada: Person) -> None:
    for number in range(6):
        make_pair(project, ada, prompt=f"Question {number}?", chosen="yes", rejected="no")
    for messages in (HALF, LATE):
        stored_before(project, make_pair(project, ada, chosen="yes", rejected="no"), messages)
    snapshot = make_snapshot(project, ada)
    assert len(read_whole(snapshot)) == 6
    # Each of them was a pair and a prompt.
    assert snapshot.manifest["unfit"] == {"no_question": 4}
    assert snapshot.manifest["left_out"]["unfit"] == 4


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL stores no half of a surrogate pair")
def test_a_character_that_cannot_be_written_is_left_out(project: Project, ada: Person) -> None:
    make_pair(project, ada, chosen="yes", rejected="no")
    stored_before(project, make_pair(project, ada), [{"role": "user", "content": "half \ud800"}])
    snapshot = make_snapshot(project, ada)
    assert len(read_whole(snapshot)) == 1
    assert snapshot.manifest["unfit"] == {"encoding": 2}


def test_responses_that_are_stored_alike_teach_nothing(project: Project, ada: Person) -> None:
    make_pair(project, ada, chosen="yes", rejected="no")
    for chosen, rejected in (("cafe\u0301 au lait", "caf\u00e9 au lait"), ("one\r\ntwo", "one\ntwo")):
        pair = make_pair(project, ada, chosen="first", rejected="second")
        for response, text in ((pair.chosen, chosen), (pair.rejected, rejected)):
            type(response).objects.filter(pk=response.pk).update(text=text)
    snapshot = make_snapshot(project, ada)
    assert [(row.chosen, row.rejected) for row in read_whole(snapshot)] == [("yes", "no")]
    assert snapshot.manifest["unfit"] == {"same_text": 2}


def test_where_all_is_unfit_the_sentence_says_why(project: Project, ada: Person) -> None:
    stored_before(project, make_pair(project, ada), HALF)
    draft = snapshots.request_snapshot(project=project, by=ada)
    with pytest.raises(SnapshotTooSmall, match="does not end with a user's message"):
        snapshots.freeze(draft)
    draft.refresh_from_db()
    assert draft.state == "failed"


def test_texts_to_be_labeled_are_no_prompts_of_a_policy(project: Project, ada: Person) -> None:
    labels = [{"name": "good", "label": "Good"}, {"name": "bad", "label": "Bad"}]
    project.label_scheme = {"mood": {"kind": "classification", "labels": labels, "many": False}}
    project.save()
    ask = {"scheme": "mood"}
    only_text, also_compared, answered = (make_prompt(project, text) for text in ("A text.", "Both.", "Answered?"))
    for prompt in (only_text, also_compared, answered):
        tasks.create_task(project=project, by=ada, kind="classification", prompt=prompt, responses=[], ask=ask)
    tasks.create_task(
        project=project, by=ada, kind="comparison", prompt=also_compared,
        responses=[make_response(also_compared), make_response(also_compared)],
    )  # fmt: skip
    make_response(answered)
    asked = make_prompt(project, "Only asked.")
    snapshot = make_snapshot(project, ada)
    told = []
    for split in ("train", "selection", "test"):
        lines = (Path(settings.DATA_DIR) / snapshot.path / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line)["row"] for line in lines if line]
        told += [row["prompt"][0]["content"] for row in rows if row["kind"] == "prompt"]
    assert sorted(told) == sorted([also_compared.text, answered.text, asked.text])
    assert snapshot.manifest["left_out"] == {"texts_to_label": 1}


def test_prompts_of_a_page_are_asked_for_even_before_they_have_answers(project: Project, ada: Person) -> None:
    prompts.submit_prompt(project=project, by=ada, messages=[{"role": "user", "content": "Hello?"}])
    assert sum(kinds.get("prompt", 0) for kinds in make_snapshot(project, ada).counts.values()) == 1


def test_ppo_does_not_start_on_texts_that_are_only_to_be_labeled(project: Project, ada: Person) -> None:
    labels = [{"name": "good", "label": "Good"}, {"name": "bad", "label": "Bad"}]
    project.label_scheme = {"mood": {"kind": "classification", "labels": labels, "many": False}}
    project.save()
    for stage in ("sft", "reward"):
        make_model(project, ada, stage=stage)
    text = make_prompt_in(project, "train")
    ask = {"scheme": "mood"}
    tasks.create_task(project=project, by=ada, kind="classification", prompt=text, responses=[], ask=ask)
    with pytest.raises(SnapshotTooSmall, match="for labeling only"):
        pipelines.start_chain(plan_for(project, stages=["ppo"]), by=ada)
    make_prompt_in(project, "train")
    assert pipelines.start_chain(plan_for(project, stages=["ppo"]), by=ada).state == "active"
