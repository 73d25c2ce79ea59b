"""Ada holds annotators out of training, and reads how well the reward model knows people that it never met."""

import json

import pytest

from feedback.errors import Invalid
from feedback.models import Annotation, DatasetSnapshot, Person, Project, SnapshotAnnotation
from feedback.services.data import preferences, snapshots
from feedback.services.evaluation import evaluations
from tests.factories import make_model, make_prompt_in, make_run, make_snapshot

pytestmark = pytest.mark.database

JUDGES = ("Ines", "Jon", "Kim", "Lea")


@pytest.fixture
def judged(project: Project, ada: Person) -> Project:
    """Four people each judge two training prompts, and all four one test prompt: Lea sees it the other way."""
    held_out = make_prompt_in(project, "test").messages
    for name in JUDGES:
        for messages in (
            make_prompt_in(project, "train").messages,
            make_prompt_in(project, "train").messages,
            held_out,
        ):
            better, worse = ("no", "yes") if name == "Lea" and messages == held_out else ("yes", "no")
            preferences.give_preference(
                project=project,
                by=ada,
                prompt_messages=messages,
                chosen=better,
                rejected=worse,
                source="elsewhere",
                annotator_name=name,
            )
    return project


def frozen(project: Project, by: Person, share: float) -> DatasetSnapshot:
    row = snapshots.request_snapshot(project=project, by=by, policy={"held_out_annotators": share})
    return snapshots.freeze(row)


def test_what_held_out_annotators_say_of_training_prompts_stays_out(judged: Project, ada: Person) -> None:
    snapshot = frozen(judged, ada, 0.25)
    assert snapshot.manifest["counts"]["train"]["preference"] == 6 and snapshot.manifest["counts"]["test"] == {
        "preference": 4,
        "prompt": 1,
    }
    assert snapshot.manifest["left_out"] == {"held_out_annotators": 2}
    there = SnapshotAnnotation.objects.filter(snapshot=snapshot).values_list("annotation__annotator", flat=True)
    counts = sorted(list(there).count(person) for person in set(there))
    assert counts == [1, 3, 3, 3], "of one of them only the test prompt"
    assert frozen(judged, ada, 0.25).content_hash == snapshot.content_hash, "it is the same one each time"
    assert frozen(judged, ada, 0.01).content_hash == snapshot.content_hash, "at least one"
    assert frozen(judged, ada, 0).manifest["left_out"] == {}


def test_a_consensus_is_nobody_s_own(judged: Project, ada: Person) -> None:
    with pytest.raises(Invalid, match="no single annotator"):
        snapshots.request_snapshot(
            project=judged, by=ada, policy={"pairs": "consensus", "held_out_annotators": 0.2}, job=False
        )


def test_accuracy_is_told_by_annotator(judged: Project, ada: Person) -> None:
    snapshot = frozen(judged, ada, 0.25)
    reward = make_model(judged, ada, stage="reward")
    assert reward.run is not None
    reward.run.snapshot = snapshot
    run = make_run(judged, ada, stage="evaluate", snapshot=snapshot, reward_model=reward)
    folder = snapshots.folder_of(snapshot)
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    pairs = [row for row in rows if row["row"]["kind"] == "preference"]
    assert sorted(row["count"] for row in pairs) == [1, 3], "three say the same"
    verdicts = [{"hash": row["hash"], "prompt": 0, "right": float(row["count"] == 3)} for row in pairs]
    lineage = [json.loads(line) for line in (folder / "lineage.jsonl").read_text().splitlines()]

    told = evaluations.by_annotator(run, verdicts, lineage)
    people = {str(person.public_id): person for person in Person.objects.filter(annotations__project=judged)}
    right = {people[one["annotator"]].display_name: one["accuracy"] for one in told["annotators"]}
    assert right == {"Ines": 1, "Jon": 1, "Kim": 1, "Lea": 0}
    train = Annotation.objects.filter(snapshots__snapshot=snapshot, task__prompt__split="train")
    taught = {str(one) for one in train.values_list("annotator__public_id", flat=True)}
    [stranger] = [one for one in told["annotators"] if one["held_out"]]
    assert {one["annotator"] for one in told["annotators"]} - taught == {stranger["annotator"]}
    assert told["held_out"] == {"annotators": 1} | {
        name: stranger[name] for name in ("pairs", "prompts", "accuracy", "low", "high")
    }
    others = told["others"]
    assert others is not None and (others["annotators"], others["pairs"]) == (3, 3)
    assert others["accuracy"] == pytest.approx((3 - stranger["accuracy"]) / 3)

    everybody = make_snapshot(judged, ada)
    reward.run.snapshot = everybody
    told = evaluations.by_annotator(run, verdicts, lineage)
    others = told["others"]
    assert told["held_out"] is None
    assert others is not None and (others["annotators"], others["accuracy"]) == (4, 0.75)
    reward.run = None
    assert evaluations.by_annotator(run, verdicts, lineage) == {}, "a given model: nobody knows who taught it"
