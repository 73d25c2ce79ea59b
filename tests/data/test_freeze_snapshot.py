"""Freezing: the same rows give the same hash, evaluation prompts stay out of training, and the thread is kept."""

import json
from pathlib import Path

import pytest
from django.conf import settings

from feedback.errors import SnapshotTooSmall
from feedback.models import DatasetSnapshot, Person, Project, SnapshotAnnotation
from feedback.selectors.registry import lineage
from feedback.services.collection import annotations, thumbs
from feedback.services.data import snapshots
from tests.factories import (
    PREFERS_A,
    make_annotation,
    make_pair,
    make_prompt,
    make_response,
    make_snapshot,
    make_task,
    take,
)

pytestmark = pytest.mark.database


def lines(snapshot: DatasetSnapshot, split: str) -> list[dict]:
    text = (Path(settings.DATA_DIR) / snapshot.path / f"{split}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def rows(snapshot: DatasetSnapshot, kind: str) -> list[dict]:
    return [
        line["row"] for split in ("train", "selection", "test") for line in lines(snapshot, split)
        if line["row"]["kind"] == kind
    ]  # fmt: skip


@pytest.mark.database
def test_the_same_rows_in_another_order_have_the_same_hash(
    project: Project, other_project: Project, ada: Person
) -> None:
    given = [("Which way?", "left", "right"), ("How many?", "two", "three"), ("Café?", "oui", "non")]
    hashes = []
    for where, rows_given in ((project, given), (other_project, given[::-1])):
        where.split_salt = "fixed"
        where.save()
        for prompt, chosen, rejected in rows_given:
            make_pair(where, ada, prompt=prompt, chosen=chosen, rejected=rejected)
        hashes.append(make_snapshot(where, ada).content_hash)
    # It may change only with the row schema.
    assert hashes == ["060ce7c2d9b9a7b16e50183f254eda57c7914465d0a95cff2eab9840ee8fd849"] * 2


def test_a_row_that_occurs_twice_is_counted_not_dropped(project: Project, ada: Person) -> None:
    for _ in range(2):
        make_pair(project, ada, prompt="Which way?", chosen="left", rejected="right")
    snapshot = make_snapshot(project, ada)
    [line] = [x for s in ("train", "selection", "test") for x in lines(snapshot, s) if x["row"]["kind"] == "preference"]
    assert line["count"] == 2
    assert sum(counts.get("preference", 0) for counts in snapshot.counts.values()) == 2


def test_every_row_lies_in_the_split_of_its_prompt(project: Project, ada: Person) -> None:
    project.split_salt = "fixed"
    prompts = {}
    for n in range(60):
        pair = make_pair(project, ada, prompt=f"Question {n}?")
        prompts[f"Question {n}?"] = pair.prompt.split
    snapshot = make_snapshot(project, ada)
    assert set(prompts.values()) == {"train", "selection", "test"}
    for split in ("train", "selection", "test"):
        told = {line["row"]["prompt"][0]["content"] for line in lines(snapshot, split)}
        assert told == {text for text, where in prompts.items() if where == split}


def test_revised_and_withdrawn_answers_are_left_out(project: Project, ben: Person, chloe: Person, ada: Person) -> None:
    make_task(project)
    kept = annotations.submit(assignment=take(project, ben), answer=PREFERS_A)
    gone = take(project, chloe)
    annotations.submit(assignment=gone, answer=PREFERS_A)
    annotations.withdraw(assignment=gone, by=chloe)
    snapshot = make_snapshot(project, ada)
    assert len(rows(snapshot, "preference")) == 1
    assert list(SnapshotAnnotation.objects.values_list("annotation", flat=True)) == [kept.pk]


def test_rows_of_a_withdrawn_person_stay_out(project: Project, ben: Person, ada: Person) -> None:
    make_annotation(project, ben)
    ben.status = Person.Status.WITHDRAWN
    ben.save()
    assert rows(make_snapshot(project, ada), "preference") == []


def test_thumbs_become_unpaired_rows_and_the_last_one_counts(project: Project, dan: Person, ada: Person) -> None:
    response = make_response(make_prompt(project), "Turn it off and on.")
    thumbs.give_thumb(response=response, person=dan, token=None, up=True)
    thumbs.give_thumb(response=response, person=dan, token=None, up=False)
    [row] = rows(make_snapshot(project, ada), "unpaired")
    assert (row["completion"], row["label"]) == ("Turn it off and on.", False)


def test_freezing_twice_changes_nothing(project: Project, ada: Person) -> None:
    make_pair(project, ada)
    snapshot = make_snapshot(project, ada)
    before = (snapshot.content_hash, snapshot.path, snapshot.frozen_at)
    make_pair(project, ada)
    again = snapshots.freeze(snapshot)
    assert (again.content_hash, again.path, again.frozen_at) == before
    assert [path.name for path in (Path(settings.DATA_DIR) / "snapshots").iterdir()] == [Path(snapshot.path).name]


def test_killed_between_folder_and_row_it_is_what_lies_in_the_folder(project: Project, ada: Person) -> None:
    make_pair(project, ada)
    snapshot = make_snapshot(project, ada)
    place = Path(settings.DATA_DIR) / snapshot.path
    told = snapshot.manifest | {"left_out": {"a tie, which was revised since": 1}}
    (place / "manifest.json").write_text(json.dumps(told))
    (place.parent / f".{snapshot.public_id}.half").mkdir()
    DatasetSnapshot.objects.filter(pk=snapshot.pk).update(state="draft", manifest={}, manifest_sha256="")
    again = snapshots.freeze(snapshot)
    assert (again.state, again.manifest) == ("frozen", told)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_an_empty_project_cannot_be_frozen_and_says_so(project: Project, ada: Person) -> None:
    snapshot = snapshots.request_snapshot(project=project, by=ada)
    with pytest.raises(SnapshotTooSmall, match="nothing to freeze"):
        snapshots.freeze(snapshot)
    snapshot.refresh_from_db()
    assert snapshot.state == "failed" and "Collect some first" in snapshot.error


def test_the_thread_from_an_answer_to_its_snapshots(project: Project, ben: Person, ada: Person) -> None:
    annotation = make_annotation(project, ben)
    snapshot = make_snapshot(project, ada)
    assert lineage.of_annotation(annotation)["snapshots"] == [snapshot]
    assert lineage.annotators(snapshot) == [{"person": ben, "annotations": 1}]
    told = [json.loads(x) for x in (Path(settings.DATA_DIR) / snapshot.path / "lineage.jsonl").read_text().splitlines()]
    assert [line["annotations"] for line in told] == [[str(annotation.public_id)]]


def test_consensus_makes_one_pair_of_a_task_and_none_of_a_draw(
    project: Project, ben: Person, chloe: Person, ada: Person
) -> None:
    task = make_task(project)
    for person in (ben, chloe):
        assignment = take(project, person)
        first_placed = task.placed.first().response_id  # type: ignore[union-attr]
        letter = "ab"[assignment.order.index(first_placed)]
        annotations.submit(assignment=assignment, answer={"outcome": "prefer", "choice": letter, "strength": 3})
    snapshot = snapshots.freeze(snapshots.request_snapshot(project=project, by=ada, policy={"pairs": "consensus"}))
    assert len(rows(snapshot, "preference")) == 1
    assert sum(counts.get("preference", 0) for counts in snapshot.counts.values()) == 1

    annotations.revise(
        assignment=assignment,
        answer={"outcome": "prefer", "choice": "ba"["ab".index(letter)], "strength": 3},
        by=chloe,
    )
    drawn = snapshots.freeze(snapshots.request_snapshot(project=project, by=ada, policy={"pairs": "consensus"}))
    assert rows(drawn, "preference") == []
