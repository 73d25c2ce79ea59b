"""Six people compare, two of them the wrong way round: what a freeze makes of that, and who may read it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from feedback.errors import Invalid
from feedback.models import DatasetSnapshot, Person, Project, SnapshotReliability
from feedback.rules.quality import reliability_weights as rules
from feedback.services.data import snapshots
from tests.conftest import ClientFor
from tests.factories import make_model, make_snapshot
from tests.platform.test_admin_buttons import SETTINGS
from tests.quality.shared_votes import drawn, hire, vote
from trainer.data.snapshot import Preference, open_snapshot

pytestmark = pytest.mark.database

NAMES = ("ines", "jon", "kim", "lea", "max", "ned")
RIGHT = (0.95, 0.95, 0.9, 0.9, 0.05, 0.1)  # Max and Ned prefer the worse response

SignedIn = Callable[[Person], Client]


@pytest.fixture
def crowd(project: Project, hana: Person) -> list[Person]:
    return hire(project, hana, NAMES)


@pytest.fixture
def judged(project: Project, crowd: list[Person]) -> Project:
    """390 comparisons by two of the six each, 130 for everybody, and 30 by one."""
    alone = [[(crowd[number % 6], number % 4 > 0)] for number in range(30)]
    vote(project, drawn(RIGHT, crowd, 390) + alone)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as a database does by itself; hundreds of rows came in one transaction
    return project


def lines(snapshot: DatasetSnapshot, name: str = "weights.jsonl") -> list[dict[str, Any]]:
    path = Path(settings.DATA_DIR) / snapshot.path / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def frozen(project: Project, by: Person, **policy: Any) -> DatasetSnapshot:
    return snapshots.freeze(snapshots.request_snapshot(project=project, by=by, policy=policy))


def kept(snapshot: DatasetSnapshot) -> dict[str, SnapshotReliability]:
    rows = SnapshotReliability.objects.filter(snapshot=snapshot).select_related("person")
    assert {row.manifest_sha256 for row in rows} <= {snapshot.manifest_sha256}
    return {row.person.display_name: row for row in rows}


def test_errors_lie_beside_the_rows(judged: Project, ada: Person) -> None:
    snapshot = make_snapshot(judged, ada)
    errors = {name: row.error or 0 for name, row in kept(snapshot).items()}
    assert set(errors) == set(NAMES) and {name for name, error in errors.items() if error > 50} == {"max", "ned"}
    assert max(errors[name] for name in NAMES[:4]) <= 15
    assert {(row.shared_votes, row.votes) for row in kept(snapshot).values()} == {(130, 135)}

    by_annotation = {
        str(public_id): errors[name]
        for public_id, name in judged.annotations.values_list("public_id", "annotator__display_name")
    }
    behind = {
        line["hash"]: [by_annotation[one] for one in line["annotations"]] for line in lines(snapshot, "lineage.jsonl")
    }
    expected = {one: int(sum(found) / len(found) + 0.5) for one, found in behind.items()}
    told = {line["hash"]: line["error"] for line in lines(snapshot)}
    assert told == {one: error for one, error in expected.items() if error}
    assert {len(found) for found in behind.values()} == {1, 2}, "two who agree make one row"
    assert all(line.keys() == {"hash", "weight", "error"} and line["weight"] == [1, 1] for line in lines(snapshot))
    read = {
        row.hash: row.error
        for split in ("train", "selection")
        for row in open_snapshot(Path(settings.DATA_DIR) / snapshot.path).rows(split, Preference)
    }
    assert read == {one: error / 100 for one, error in expected.items()}


def test_the_manifest_tells_and_names_nobody(judged: Project, ada: Person, crowd: list[Person]) -> None:
    snapshot = make_snapshot(judged, ada)
    told = snapshot.manifest["reliability"]
    errors = [row.error or 0 for row in kept(snapshot).values()]
    assert (told["policy"], told["applied"], told["why"], told["sentence"]) == ("weigh", "errors", "", "")
    assert (told["annotators"], told["shared_votes"], told["able"], told["left_out"]) == (6, 780, 6, 0)
    assert 70 <= told["best"] <= 95
    assert told["histogram"]["annotators"] == rules.histogram(errors)
    assert sum(told["histogram"]["rows"]) == sum(
        counts.get("preference", 0) for counts in snapshot.manifest["counts"].values()
    )
    assert snapshot.manifest["weighted"] == 0, "no row of a ranking"
    assert snapshot.manifest["files"]["weights.jsonl"]["rows"] == len(lines(snapshot))
    folder = Path(settings.DATA_DIR) / snapshot.path
    for name in ("weights.jsonl", "manifest.json", "train.jsonl", "selection.jsonl"):
        text = (folder / name).read_text()
        assert not any(str(one.public_id) in text or str(one.username) in text for one in crowd), name


def test_two_freezes_agree(judged: Project, ada: Person) -> None:
    one, other = make_snapshot(judged, ada), make_snapshot(judged, ada)
    assert lines(one) == lines(other)
    assert one.manifest["files"] == other.manifest["files"]
    assert one.manifest["reliability"] == other.manifest["reliability"]
    plain = frozen(judged, ada, weigh_annotators="off")
    assert plain.content_hash == one.content_hash, "what rows weigh is no part of what they say"


def test_off_weighs_nobody(judged: Project, ada: Person) -> None:
    snapshot = frozen(judged, ada, weigh_annotators="off")
    told = snapshot.manifest["reliability"]
    assert (told["applied"], told["why"]) == ("nothing", "chosen")
    assert lines(snapshot) == [] and kept(snapshot) == {}


def test_drop_leaves_flagged_people_out(judged: Project, ada: Person) -> None:
    snapshot = frozen(judged, ada, weigh_annotators="drop")
    assert {name for name, row in kept(snapshot).items() if row.left_out} == {"max", "ned"}
    assert snapshot.manifest["left_out"]["flagged_annotators"] == 270
    assert (snapshot.manifest["reliability"]["applied"], snapshot.manifest["reliability"]["left_out"]) == ("dropped", 2)
    there = snapshot.members.values_list("annotation__annotator__display_name", flat=True).distinct()
    assert set(there) == set(NAMES[:4])
    assert lines(snapshot) == []


def test_a_consensus_is_nobodys_own(judged: Project, ada: Person) -> None:
    snapshot = frozen(judged, ada, pairs="consensus")
    told = snapshot.manifest["reliability"]
    assert (told["applied"], told["why"]) == ("nothing", "consensus")
    assert lines(snapshot) == []
    assert {row.error for row in kept(snapshot).values()} == {None}


def test_with_few_shared_votes_rows_name_an_index(project: Project, crowd: list[Person], ada: Person) -> None:
    alone = [[(crowd[number % 6], number % 4 > 0)] for number in range(60)]
    vote(project, drawn(RIGHT, crowd, 90) + alone)
    snapshot = make_snapshot(project, ada)
    told = snapshot.manifest["reliability"]
    assert (told["applied"], told["why"]) == ("temperature", "few_votes")
    assert told["sentence"] == "180 of 200 votes were given on tasks that somebody else judged too."
    assert told["histogram"] == {"annotators": [0] * 10, "rows": [0] * 10}
    index = {name: row.index for name, row in kept(snapshot).items()}
    assert sorted(index.values(), key=str) == [0, 1, 2, 3, 4, 5]
    assert {row.error for row in kept(snapshot).values()} == {None}
    name_of = {
        str(public_id): name
        for public_id, name in project.annotations.values_list("public_id", "annotator__display_name")
    }
    expected = {}
    for line in lines(snapshot, "lineage.jsonl"):
        if len(line["annotations"]) == 1:
            expected[line["hash"]] = index[name_of[line["annotations"][0]]]
    assert {line["hash"]: line["annotator"] for line in lines(snapshot)} == expected
    assert all(line.keys() == {"hash", "weight", "annotator"} for line in lines(snapshot))
    others = [{name: row.index for name, row in kept(make_snapshot(project, ada)).items()} for _ in range(3)]
    assert any(other != index for other in others), "rows of two snapshots cannot be joined by it"


def test_with_few_people_nobody_is_told_apart(project: Project, crowd: list[Person], ada: Person) -> None:
    vote(project, drawn(RIGHT, crowd[:2], 150))
    told = make_snapshot(project, ada).manifest["reliability"]
    assert (told["applied"], told["why"]) == ("nothing", "few_annotators")


def test_three_known_people_are_needed(project: Project, crowd: list[Person], ada: Person) -> None:
    vote(project, drawn(RIGHT, crowd[:2], 120) + drawn(RIGHT, crowd, 30))
    told = make_snapshot(project, ada).manifest["reliability"]
    assert (told["applied"], told["why"], told["able"]) == ("temperature", "few_people", 2)


def test_people_who_never_agree_are_no_standard(project: Project, crowd: list[Person], ada: Person) -> None:
    met = drawn(RIGHT, crowd, 330)
    vote(project, [[(one, True), (other, False)] for (one, _), (other, _) in met])
    told = make_snapshot(project, ada).manifest["reliability"]
    assert told["applied"] == "nothing" and told["why"] == "near_chance"
    assert "More than 55 % is needed" in told["sentence"]


def test_the_table_explains_the_files_that_stand(judged: Project, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker dies between moving the folder and the row. The next measures otherwise; what stands is told."""
    draft = snapshots.request_snapshot(project=judged, by=ada)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(snapshots.events, "record", die)
        with pytest.raises(KeyboardInterrupt):
            snapshots.freeze(draft)
    draft.refresh_from_db()
    assert draft.state == DatasetSnapshot.State.DRAFT
    monkeypatch.setattr(rules, "PULL", 400)
    snapshot = snapshots.freeze(draft)
    assert (
        rules.histogram(row.error or 0 for row in kept(snapshot).values())
        == (snapshot.manifest["reliability"]["histogram"]["annotators"])
    )
    assert SnapshotReliability.objects.count() == 6
    fresh = make_snapshot(judged, ada)
    assert {name: row.error for name, row in kept(fresh).items()} != {
        name: row.error for name, row in kept(snapshot).items()
    }


# --- who may read it ---------------------------------------------------------------------------------


def test_members_see_a_histogram_and_admins_names(
    judged: Project, ada: Person, rosa: Person, ben: Person, dan: Person, client_for: ClientFor
) -> None:
    snapshot = make_snapshot(judged, ada)
    path = f"/api/v1/snapshots/{snapshot.public_id}/annotator-weights/"
    for member in (ben, rosa):
        reply = client_for(member).get(path)
        assert reply.status_code == 200
        seen = reply.json()
        assert seen["by_annotator"] is None and not any(name in reply.content.decode() for name in NAMES)
        assert [bar["annotators"] for bar in seen["histogram"]] == (
            snapshot.manifest["reliability"]["histogram"]["annotators"]
        )
        assert (seen["applied"], seen["shared_votes"], seen["histogram"][9]["high"]) == ("errors", 780, 100)
    seen = client_for(ada).get(path).json()
    errors = {one["person"]["username"]: one["error"] for one in seen["by_annotator"]}
    assert errors == {name: row.error for name, row in kept(snapshot).items()}
    assert client_for(dan).get(path).status_code == 404
    draft = snapshots.request_snapshot(project=judged, by=ada)
    assert client_for(ada).get(f"/api/v1/snapshots/{draft.public_id}/annotator-weights/").status_code == 404


def test_pages_keep_names_for_admins(
    judged: Project, ada: Person, ben: Person, dan: Person, signed_in: SignedIn
) -> None:
    snapshot = make_snapshot(judged, ada)
    path = f"/p/desk/data/snapshots/{snapshot.public_id}/annotators/"
    seen = signed_in(ben).get(path).content.decode()
    assert "80 to 90 %" in seen and "find the better response in" in seen
    assert "By annotator" not in seen and not any(f">{name}<" in seen for name in NAMES)
    assert signed_in(dan).get(path).status_code == 404
    reward = make_model(judged, ada, stage="reward")
    assert reward.run is not None
    type(reward.run).objects.filter(pk=reward.run.pk).update(snapshot=snapshot)
    client = signed_in(ada)
    for page in (path, f"/p/desk/data/snapshots/{snapshot.public_id}/", f"/p/desk/models/{reward.public_id}/"):
        seen = client.get(page).content.decode()
        assert "By annotator" in seen and all(f">{name}</a>" in seen for name in NAMES), page
    plain = frozen(judged, ada, weigh_annotators="off")
    seen = signed_in(ben).get(f"/p/desk/data/snapshots/{plain.public_id}/annotators/").content.decode()
    assert "All annotators count the same. The policy of this snapshot does not weigh annotators." in seen


# --- the policy --------------------------------------------------------------------------------------


def test_the_policy_is_one_of_three(project: Project, ada: Person, client_for: ClientFor) -> None:
    client, path = client_for(ada), f"/api/v1/projects/{project.slug}/"
    wrong = client.patch(path, {"training_policy": {"snapshot": {"weigh_annotators": "often"}}}, format="json")
    assert wrong.status_code == 400 and "training_policy.snapshot.weigh_annotators" in wrong.content.decode()
    assert (
        client.patch(path, {"training_policy": {"snapshot": {"weigh_annotators": "drop"}}}, format="json").status_code
        == 200
    )
    asked = {"project": project.slug}
    assert client.post("/api/v1/snapshots/", asked, format="json").json()["policy"]["weigh_annotators"] == "drop"
    asked_otherwise = asked | {"policy": {"weigh_annotators": "off"}}
    made = client.post("/api/v1/snapshots/", asked_otherwise, format="json")
    assert made.json()["policy"]["weigh_annotators"] == "off"
    asked_wrongly = asked | {"policy": {"weigh_annotators": "never"}}
    assert client.post("/api/v1/snapshots/", asked_wrongly, format="json").status_code == 400
    with pytest.raises(Invalid, match="off, drop, weigh"):
        snapshots.request_snapshot(project=project, by=ada, policy={"weigh_annotators": "never"})


def test_an_admin_sets_it_on_a_page(project: Project, ada: Person, signed_in: SignedIn) -> None:
    client = signed_in(ada)
    page = client.get("/p/desk/project/")
    assert page.context["form"]["weigh_annotators"].value() == "weigh"
    given = SETTINGS | {"weigh_annotators": "weigh"}
    assert client.post("/p/desk/project/", given).status_code == 302
    project.refresh_from_db()
    assert "snapshot" not in project.training_policy, "the default is not written down"
    assert client.post("/p/desk/project/", given | {"weigh_annotators": "off"}).status_code == 302
    project.refresh_from_db()
    assert project.training_policy["snapshot"] == {"weigh_annotators": "off"}
    assert client.post("/p/desk/data/freeze/", {"weigh_annotators": "drop"}).status_code == 302
    assert DatasetSnapshot.objects.get(project=project).policy["weigh_annotators"] == "drop"
