"""Ben hammers keys: his annotations stay out of snapshots until Ada lifts the exclusion, and others fill his places."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback.errors import Conflict, ProjectClosed
from feedback.models import Assignment, Event, Exclusion, Person, Project, SnapshotAnnotation, Task
from feedback.selectors.quality import exclusions as selectors
from feedback.services.collection import annotations, assignment_queue
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.data import snapshots
from feedback.services.platform import projects
from feedback.services.quality import exclusions
from tests.factories import PREFERS_A, make_prompt, make_response, make_task, take

pytestmark = pytest.mark.database


def answer(project: Project, person: Person, seconds: float | None, times: int = 1) -> None:
    """Takes and answers so many tasks that were shown an hour ago."""
    for _ in range(times):
        held = take(project, person)
        Assignment.objects.filter(pk=held.pk).update(shown_at=timezone.now() - timedelta(hours=1))
        held.refresh_from_db()
        annotations.submit(assignment=held, answer=PREFERS_A, seconds=seconds, client="web")


def hammer(project: Project, ben: Person, chloe: Person, count: int = 8) -> None:
    """So many tasks of two annotations: Ben takes a tenth of a second for each, Chloe nine."""
    for _ in range(count):
        make_task(project)
    answer(project, ben, 0.1, count)
    answer(project, chloe, 9.0, count)


def freeze(project: Project, by: Person, **policy: Any) -> Any:
    return snapshots.freeze(snapshots.request_snapshot(project=project, by=by, policy=policy, job=False))


def whose(snapshot: Any) -> dict[str | None, int]:
    rows = SnapshotAnnotation.objects.filter(snapshot=snapshot)
    names = list(rows.values_list("annotation__annotator__username", flat=True))
    return {name: names.count(name) for name in names}


def test_a_freeze_leaves_them_out_counts_them_and_says_so_twice(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    hammer(project, ben, chloe)
    snapshot = freeze(project, ada)
    assert whose(snapshot) == {"chloe": 8}
    assert snapshot.manifest["left_out"] == {"excluded_annotators": 8}
    row = Exclusion.objects.get()
    assert (row.person, row.reason, row.hits, row.looked_at, row.round) == (ben, "pace", 7, 7, 1)
    assert selectors.sentence(row) == "7 of 7 annotations were faster than reading speed."
    assert freeze(project, ada).content_hash == snapshot.content_hash
    assert Exclusion.objects.count() == 1, "the second freeze found it"
    assert whose(freeze(project, ada, include_excluded=True)) == {"ben": 8, "chloe": 8}
    assert whose(freeze(project, ada, pairs="consensus")) == {"chloe": 8}
    assert not Task.objects.exclude(state=Task.State.SETTLED).exists(), "K counts submissions"


def test_who_works_slowly_or_by_program_is_not_excluded(project: Project, ada: Person, ben: Person) -> None:
    projects.update_project(by=ada, project=project, annotations_per_task=1)
    for _ in range(30):
        make_task(project)
    answer(project, ben, None, 10)
    answer(project, ben, 4.0, 10)
    held = [take(project, ben)]
    annotations.submit(assignment=held[0], answer=PREFERS_A, seconds=5.0)
    for _ in range(12):  # second thoughts take no time
        annotations.revise(assignment=held[0], answer=PREFERS_A, by=ben, seconds=0.1)
    assert exclusions.exclude_careless(project) == []
    assert freeze(project, ada).manifest["left_out"] == {}


def test_who_is_wrong_on_gold_is_excluded(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"gold_share": 1})
    for _ in range(12):
        prompt = make_prompt(project)
        responses = [make_response(prompt), make_response(prompt)]
        make_task(project, prompt, responses=responses, gold={"outcome": "tie"})
    for person, said in ((ben, PREFERS_A), (chloe, {"outcome": "tie"})):
        for _ in range(12):
            annotations.submit(assignment=take(project, person), answer=said)
    (row,) = exclusions.exclude_careless(project)
    assert (row.person, row.reason, row.looked_at <= 12) == (ben, "gold", True)
    assert selectors.sentence(row) == f"{row.hits} of {row.looked_at} gold tasks had a wrong answer."
    assert exclusions.exclude_careless(project) == []


def test_lifting_accepts_what_was_and_judges_what_comes(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    hammer(project, ben, chloe)
    (row,) = exclusions.exclude_careless(project)
    exclusions.lift(by=ada, exclusion=row)
    assert (row.lifted_by, row.lifted_at is not None) == (ada, True)
    with pytest.raises(Conflict, match="already"):
        exclusions.lift(by=ada, exclusion=row)
    assert exclusions.exclude_careless(project) == [], "the same annotations exclude nobody twice"
    assert whose(freeze(project, ada)) == {"ben": 8, "chloe": 8}
    hammer(project, ben, chloe)
    (again,) = exclusions.exclude_careless(project)
    assert (again.person, again.round) == (ben, 2)
    verbs = list(Event.objects.filter(verb__startswith="exclusion.").order_by("pk").values_list("verb", "actor"))
    assert verbs == [("exclusion.made", None), ("exclusion.lifted", ada.pk), ("exclusion.made", None)]


def test_of_two_makers_one_wins_and_none_undoes_a_lift(
    project: Project, ada: Person, ben: Person, chloe: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    hammer(project, ben, chloe)
    found = selectors.careless(project)
    monkeypatch.setattr(selectors, "careless", lambda project: found)  # both makers have looked before either writes
    (row,) = exclusions.exclude_careless(project)
    assert exclusions.exclude_careless(project) == []
    exclusions.lift(by=ada, exclusion=row)
    assert exclusions.exclude_careless(project) == [], "what the second saw was lifted meanwhile"
    assert Exclusion.objects.count() == 1
    again = {"project": project, "person": ben, "reason": "pace", "hits": 1, "looked_at": 1, "since": timezone.now()}
    Exclusion.objects.create(round=2, **again)
    with pytest.raises(IntegrityError, match=r"one_active_exclusion_per_person|UNIQUE"), transaction.atomic():
        Exclusion.objects.create(round=3, **again)


def test_others_fill_the_places_when_an_admin_reopens_the_tasks(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person
) -> None:
    hammer(project, ben, chloe)
    (row,) = exclusions.exclude_careless(project)
    assert isinstance(assignment_queue.next_assignment(project=project, annotator=rosa), NoTask)
    withdrawn = Task.objects.order_by("pk").first()
    assert withdrawn is not None
    Task.objects.filter(pk=withdrawn.pk).update(state=Task.State.WITHDRAWN)
    assert selectors.fills(row).count() == 7
    assert exclusions.reopen_tasks(by=ada, exclusion=row) == 7
    assert (selectors.fills(row).count(), exclusions.reopen_tasks(by=ada, exclusion=row)) == (0, 0)
    assert isinstance(assignment_queue.next_assignment(project=project, annotator=ben), NoTask), "he is not asked again"
    answer(project, rosa, 9.0, 7)
    assert list(Task.objects.values_list("state", "free_slots").order_by("state").distinct()) == [
        ("settled", 0),
        ("withdrawn", 0),
    ]
    assert sorted(Assignment.objects.filter(annotator=ben).values_list("counted", flat=True)) == [False] * 7 + [True]
    exclusions.lift(by=ada, exclusion=row)
    with pytest.raises(Conflict, match="lifted"):
        exclusions.reopen_tasks(by=ada, exclusion=row)


def test_an_extra_of_somebody_else_fills_a_place_and_that_of_the_excluded_none(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person
) -> None:
    hammer(project, ben, chloe, 7)
    late = make_task(project)
    held = {person: take(project, person) for person in (ben, chloe)}
    Assignment.objects.filter(pk=held[chloe].pk).update(state=Assignment.State.EXPIRED, slot=None)
    Task.objects.filter(pk=late.pk).update(free_slots=1)
    held[rosa] = take(project, rosa)
    annotations.submit(assignment=held[ben], answer=PREFERS_A, seconds=0.1)
    annotations.submit(assignment=held[rosa], answer=PREFERS_A)
    held[chloe].refresh_from_db()
    annotations.submit(assignment=held[chloe], answer=PREFERS_A)
    assert held[chloe].counted is False
    (row,) = exclusions.exclude_careless(project)
    assert exclusions.reopen_tasks(by=ada, exclusion=row) == 8
    late.refresh_from_db()
    assert (late.state, late.free_slots) == (Task.State.SETTLED, 0), "Chloe's extra took Ben's place"
    annotations.withdraw(assignment=Assignment.objects.get(pk=held[rosa].pk), by=rosa)
    late.refresh_from_db()
    assert (late.state, late.free_slots) == (Task.State.OPEN, 1), "Ben's extra takes none"


def test_a_closed_project_reopens_nothing(project: Project, ada: Person, ben: Person, chloe: Person) -> None:
    hammer(project, ben, chloe)
    (row,) = exclusions.exclude_careless(project)
    projects.set_state(by=ada, project=project, state="closed")
    row = Exclusion.objects.select_related("project").get()
    with pytest.raises(ProjectClosed):
        exclusions.reopen_tasks(by=ada, exclusion=row)
    assert selectors.fills(row).count() == 8


def test_housekeeping_looks_where_somebody_is_at_work(
    project: Project, other_project: Project, ben: Person, chloe: Person
) -> None:
    hammer(project, ben, chloe)
    assert exclusions.exclude_where_busy(timezone.now() + timedelta(hours=1)) == 0
    assert exclusions.exclude_where_busy(timezone.now() - timedelta(hours=1)) == 1
    assert exclusions.exclude_where_busy(timezone.now() - timedelta(hours=1)) == 0


def test_the_page_names_them_and_its_buttons_do_what_they_say(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person, signed_in: Any
) -> None:
    hammer(project, ben, chloe)
    (row,) = exclusions.exclude_careless(project)
    page = signed_in(rosa).get("/p/desk/quality/").content.decode()
    assert "Excluded annotators" in page and selectors.sentence(row) in page
    assert "Lift exclusion</button>" not in page, "a reviewer cannot lift it"
    waits = "Your annotations in this project are excluded until a project admin reviews them."
    assert waits in signed_in(ben).get("/account/").content.decode()
    assert waits not in signed_in(chloe).get("/account/").content.decode()
    lift, reopen = (f"/p/desk/quality/exclusions/{row.public_id}/{verb}/" for verb in ("lift", "reopen"))
    assert [signed_in(rosa).post(path).status_code for path in (lift, reopen)] == [403, 403]
    client = signed_in(ada)
    page = client.get("/p/desk/quality/").content.decode()
    assert f"/p/desk/project/members/{ben.public_id}/" in page and "still receive tasks" in page
    assert "Reopen 8 tasks</button>" in page and "Lift exclusion</button>" in page
    assert "8 tasks reopened" in client.post(reopen, follow=True).content.decode()
    page = client.get("/p/desk/quality/").content.decode()
    assert "Reopen" not in page and "Lift exclusion</button>" in page
    assert "Snapshots include annotations by Ben again." in client.post(lift, follow=True).content.decode()
    assert "Excluded annotators" not in client.get("/p/desk/quality/").content.decode()
    assert client.post(lift).status_code == 409


def test_a_program_does_the_same(
    project: Project, other_project: Project, ada: Person, ben: Person, chloe: Person, dan: Person, client_for: Any
) -> None:
    hammer(project, ben, chloe)
    (row,) = exclusions.exclude_careless(project)
    client = client_for(ada)
    (told,) = client.get("/api/v1/exclusions/?project=desk").json()["results"]
    assert (told["person"]["username"], told["reason"], told["annotations"], told["tasks_to_reopen"]) == (
        "ben",
        "pace",
        8,
        8,
    )
    path = f"/api/v1/exclusions/{row.public_id}"
    assert client_for(ben).get("/api/v1/exclusions/?project=desk").status_code == 403
    assert [client_for(ben).post(f"{path}/{verb}/").status_code for verb in ("lift", "reopen-tasks")] == [403, 403]
    assert [client_for(dan).post(f"{path}/{verb}/").status_code for verb in ("lift", "reopen-tasks")] == [404, 404]
    assert client.post(f"{path}/reopen-tasks/").json() == {"reopened": 8}
    lifted = client.post(f"{path}/lift/").json()
    assert (lifted["lifted_by"]["username"], lifted["annotations"], lifted["tasks_to_reopen"]) == ("ada", 0, 0)
    assert client.post(f"{path}/lift/").status_code == 409
    frozen = client.post("/api/v1/snapshots/", {"project": "desk", "policy": {"include_excluded": True}})
    assert frozen.status_code in (201, 202), frozen.content
