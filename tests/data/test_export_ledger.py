"""Every row of a project is in its own file or in the counts of what was left out; and the file, brought into an empty
project, freezes to the same snapshot."""

import json
from collections import Counter
from typing import Any

import pytest

from feedback.models import (
    Annotation,
    Assignment,
    Job,
    Person,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Task,
    Thumb,
    Verdict,
)
from feedback.services.data import snapshots
from feedback.services.platform import projects
from tests import every_kind
from tests.data.test_import import brought_in, refusals, rows_of, written
from tests.factories import make_model
from tests.furnish import furnish

pytestmark = pytest.mark.database

GUARDED = "a response to a prompt that the guard model blocked or has not seen"
OF_RESPONSES = ("a response that is ", "a response of a revised ", "a response of an erased ", GUARDED)


@pytest.fixture
def full(project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person) -> Project:
    make_model(project, ada, serve=True)
    every_kind.fill(project, ada, rosa, ben, chloe)
    return project


def empty_twin(project: Project, hana: Person) -> Project:
    """A project with the same questions, and nothing in it."""
    twin = projects.open_project(by=hana, name="Twin", slug="twin", dimensions=project.dimensions)
    Project.objects.filter(pk=twin.pk).update(
        label_scheme=project.label_scheme, kinds=project.kinds, annotations_per_task=project.annotations_per_task
    )
    twin.refresh_from_db()
    assert twin.split_salt != project.split_salt
    return twin


def sums(left: dict[str, int], *begins: str) -> int:
    return sum(count for why, count in left.items() if why.startswith(begins))


def tasks_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    return row.get("tasks") or ([row] if row["kind"] != "prompt" else [])


def ledger(project: Project, rows: list[dict[str, Any]], left: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Of each table: rows that are there, and rows that are in the file or counted."""
    every = [task for row in rows for task in tasks_of(row)]
    answers = [(task, answer) for task in every for answer in task.get("answers", [])]
    writes = sum(
        task["kind"] == "demonstration" or "rewrite" in answer["answer"] for task, answer in answers
    )  # fmt: skip
    listed = [one for row in rows for one in row.get("responses", [])]
    named = sum("answer_of" in one for one in listed)
    current = Assignment.objects.filter(project=project, current__isnull=False).count()
    annotations = Annotation.objects.filter(project=project)
    return {
        "prompts": (
            Prompt.objects.filter(project=project).count(),
            len(rows) + sums(left, "a prompt that the guard", "a prompt that waits"),
        ),
        "responses": (
            Response.objects.filter(project=project).count(),
            len(listed) + writes - named + sums(left, *OF_RESPONSES),
        ),
        "current annotations": (current, len(answers) + sums(left, "an annotation ")),
        "other annotations": (annotations.count() - current, sums(left, "an earlier revision")),
        "thumbs": (
            Thumb.objects.filter(response__project=project).count(),
            sum(len(row.get("thumbs", [])) for row in rows) + sums(left, "a thumb ", "an earlier thumb"),
        ),
        "verdicts": (
            Verdict.objects.filter(project=project).count(),
            sum("verdict" in task for task in every) + sums(left, "a reviewer decision on a", "a reviewer decision of"),
        ),
        "tasks": (
            Task.objects.filter(project=project).exclude(prompt__state__in=["blocked", "received"]).count(),
            len(every),
        ),
        "skips": (
            Assignment.objects.filter(project=project, state="skipped").count(), sums(left, "a skipped task"),
        ),
    }  # fmt: skip


def pairs_of(project: Project) -> Counter[tuple[str, str, str, int]]:
    """Standing pairs as texts, without those that no file carries."""
    standing = PreferencePair.objects.standing().filter(project=project)
    standing = standing.exclude(annotation__annotator__status="withdrawn")
    standing = standing.exclude(prompt__state__in=["blocked", "received"])
    return Counter(
        (json.dumps(pair.prompt.messages), pair.chosen.text, pair.rejected.text, pair.strength)
        for pair in standing.select_related("prompt", "chosen", "rejected")
    )


def frozen(project: Project, by: Person, **policy: Any) -> snapshots.DatasetSnapshot:
    return snapshots.freeze(snapshots.request_snapshot(project=project, by=by, policy=policy, job=False))


def test_no_row_is_unaccounted_for_and_the_snapshot_is_the_same(full: Project, hana: Person) -> None:
    job, path = written(full, hana, "touchstone")
    rows = rows_of(path)
    told = ledger(full, rows, job.result["left_out"])
    assert {name: (there, found) for name, (there, found) in told.items() if there != found} == {}
    assert all(there > 0 for there, _ in told.values()), told
    twin = empty_twin(full, hana)
    brought = brought_in(twin, hana, path.read_bytes())
    assert (brought.result["rejected"], brought.result["moved"], brought.result["new"]) == (0, 0, len(rows))
    assert pairs_of(twin) == pairs_of(full)
    for policy in ({}, {"pairs": "consensus"}, {"extras": False}, {"unsettled": False}, {"accepted": True}):
        one, other = frozen(full, hana, **policy), frozen(twin, hana, **policy)
        assert other.counts == one.counts, policy
        assert other.content_hash == one.content_hash, policy
    _, again = written(twin, hana, "touchstone")
    left_behind = ("annotator", "source", "submitted_at", "seconds", "id")  # people are known from the file by now
    assert [plain(row, left_behind) for row in rows_of(again)] == [plain(row, left_behind) for row in rows]


def plain(value: Any, without: tuple[str, ...]) -> Any:
    """A row without whom it names and when, which a second file says in other words."""
    if isinstance(value, dict):
        named = {"author": "name", "reviewer": "name", "corrected_by": "name"}
        return {
            key: (one["name"] if isinstance(one, dict) else one) if key in named else plain(one, without)
            for key, one in value.items()
            if key not in without
        }
    return [plain(one, without) for one in value] if isinstance(value, list) else value


def test_the_furnished_project_is_carried_whole(
    project: Project, hana: Person, ada: Person, ben: Person, chloe: Person
) -> None:
    furnish(project, ada, [ben, chloe])
    job, path = written(project, hana, "touchstone")
    told = ledger(project, rows_of(path), job.result["left_out"])
    assert {name: found for name, found in told.items() if found[0] != found[1]} == {}
    twin = empty_twin(project, hana)
    assert brought_in(twin, hana, path.read_bytes()).result["rejected"] == 0
    assert frozen(twin, hana).content_hash == frozen(project, hana).content_hash


def test_what_is_carried_of_thumbs_verdicts_times_and_ids(full: Project, hana: Person) -> None:
    _, path = written(full, hana, "touchstone")
    twin = empty_twin(full, hana)
    brought_in(twin, hana, path.read_bytes())
    thumb = Thumb.objects.get(response__project=twin, comment="fixed it!")
    before = Thumb.objects.get(response__project=full, comment="fixed it!")
    assert (thumb.up, thumb.response.text, thumb.created_at) == (True, before.response.text, before.created_at)
    verdict = Verdict.objects.get(project=twin)
    assert (verdict.payload["outcome"], verdict.note, str(verdict.reviewer)) == ("both_bad", "Neither helps.", "rosa")
    assert Prompt.objects.filter(project=twin, external_id="P-1").count() == 1
    prompts = Task.objects.filter(project=twin, external_id__in=["P-1", "T-1"]).values_list("prompt_id", flat=True)
    assert len(set(prompts)) == 2
    assert Response.objects.filter(project=twin, external_id__startswith="R-").count() == 3
    times = []
    for one in (full, twin):
        current = Assignment.objects.filter(project=one, current__isnull=False).exclude(annotator__status="withdrawn")
        current = current.exclude(task__prompt__state__in=["blocked", "received"])
        times.append(sorted(current.values_list("current__created_at", flat=True)))
    assert times[0] == times[1] and len(times[0]) > 10
    assert Task.objects.filter(project=twin, state="withdrawn").count() == 1
    assert (
        Assignment.objects.filter(project=twin, counted=False, state="submitted", task__gold__isnull=True).count() == 1
    )
    again = brought_in(twin, hana, path.read_bytes())
    assert (again.result["new"], again.result["rejected"], again.result["before"]) == (0, 0, again.result["read"])


def test_other_formats_count_what_they_cannot_carry(full: Project, hana: Person) -> None:
    _, path = written(full, hana, "trl-unpaired")
    labels = Counter(row["label"] for row in rows_of(path))
    assert labels[True] >= 2 and labels[False] >= 2
    for format in ("hh", "label-studio", "argilla", "openai", "touchstone-csv"):
        left = written(full, hana, format)[0].result["left_out"]
        assert left["what a reviewer decided"] == 1
        assert left["a comparison that was withdrawn"] == 1
        assert not any("could not be written" in why for why in left)


def test_a_project_that_holds_rows_keeps_its_own_splits(full: Project, hana: Person) -> None:
    """And what moved is counted."""
    _, path = written(full, hana, "touchstone")
    rows = rows_of(path)
    twin = empty_twin(full, hana)
    here = [{"prompt": row["prompt"]} for row in rows]
    brought_in(twin, hana, b"".join(json.dumps(row).encode() + b"\n" for row in here))
    splits = {prompt.family: prompt.split for prompt in Prompt.objects.filter(project=twin)}
    brought = brought_in(twin, hana, path.read_bytes())
    assert all(prompt.split == splits[prompt.family] for prompt in Prompt.objects.filter(project=twin))
    asked = {json.dumps(row["prompt"]): row["split"] for row in rows}
    moved = sum(
        asked[json.dumps(prompt.messages)] != prompt.split
        for prompt in Prompt.objects.filter(project=twin).order_by("-pk")[: brought.result["new"]]
    )
    assert brought.result["moved"] == moved > 0


def test_a_file_with_parts_that_do_not_fit_is_refused_by_name(project: Project, hana: Person) -> None:
    task = {"kind": "comparison", "responses": [0, 1]}
    two, tie = {"prompt": "q", "responses": ["1", "2"]}, {"outcome": "tie"}
    bad: list[tuple[dict[str, Any], str]] = [
        (two | {"tasks": [task | {"responses": [0, 5]}]}, "tasks[0].responses"),
        (two | {"tasks": [task | {"guess": 1}]}, "tasks[0]"),
        (two | {"tasks": [task | {"state": "lost"}]}, "tasks[0].state"),
        (two | {"tasks": [task], "kind": "comparison"}, "kind"),
        (two | {"thumbs": [{"response": 2, "up": True}]}, "thumbs[0].response"),
        (two | {"thumbs": [{"response": 0, "up": 1}]}, "thumbs[0].up"),
        (two | {"verdict": {"reviewer": "r", "answer": {"outcome": "no"}}}, "verdict.answer.outcome"),
        (two | {"answers": [{"answer": tie, "submitted_at": "yesterday"}]}, "answers[0].submitted_at"),
        (two | {"answers": [{"answer": tie, "submitted_at": "2999-01-01T00:00:00Z"}]}, "answers[0].submitted_at"),
        ({"prompt": "q", "responses": [{"text": "1", "answer_of": [0, 0]}]}, "responses"),
        ({"prompt": "q", "responses": [{"text": n, "external_id": "x"} for n in "12"]}, "responses.external_id"),
    ]  # fmt: skip
    job: Job = brought_in(project, hana, b"".join(json.dumps(row).encode() + b"\n" for row, _ in bad))
    assert [(line, field) for line, field, _ in refusals(job)] == [
        (line, field) for line, (_, field) in enumerate(bad, start=1)
    ]
