"""The quality page and its door: planted faults are told in sentences, and large projects are shown at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import Annotation, Assignment, Person, Project, Task
from feedback.selectors.platform import kept_figures
from feedback.selectors.quality import quality
from feedback.services.collection import annotations, assignment_queue
from feedback.services.platform import projects
from tests.factories import make_task, take
from tests.furnish import judge
from tests.kinds import make_kind


@pytest.fixture
def leaning(project: Project, hana: Person, ben: Person, chloe: Person) -> Project:
    """Ben picks the first shown whatever it is; Chloe the older response. Forty tasks, over two weeks."""
    projects.update_project(by=hana, project=project, annotations_per_task=2)
    made = [make_task(project) for _ in range(40)]
    for person in (ben, chloe):
        for _ in made:
            held = take(project, person)
            letter = "a" if person == ben or held.order[0] < held.order[1] else "b"
            annotations.submit(assignment=held, answer={"outcome": "prefer", "choice": letter, "strength": 2})
    early = Task.objects.filter(pk__in=[task.pk for task in made[:20]])
    Annotation.objects.filter(task__in=early).update(created_at=timezone.now() - timedelta(days=14))
    Annotation.objects.update(seconds=12)
    return project


def test_a_left_leaner_is_told_in_a_sentence(leaning: Project, rosa: Person, signed_in: Any, client_for: Any) -> None:
    page = signed_in(rosa).get("/p/desk/quality/").content.decode()
    assert "picks the response shown first in" in page
    assert "Annotations by Ben" in page and "Annotations by Chloe" not in page
    assert "plot-wide" in page
    told = client_for(rosa).get("/api/v1/quality/?project=desk").json()
    assert [(one["person"]["username"], one["check"]) for one in told["findings"]] == [("ben", "side")]
    assert len(told["weeks"]) == 2
    assert [(one["tasks"], one["one"]["username"]) for one in told["pairs"]] == [(40, "ben")]
    assert {one["kind"] for one in told["kinds"]} == {"comparison"}
    ben = next(one for one in told["annotators"] if one["person"]["username"] == "ben")
    assert ben["first_share"] == 1.0 and ben["leanings"]["side"]["share"] > 0.9


def figures(client: Any) -> str:
    """What the page says, one space between words."""
    return " ".join(client.get("/p/desk/quality/").content.decode().split())


def test_the_page_speaks_only_of_what_it_looked_at(
    project: Project, ben: Person, chloe: Person, rosa: Person, signed_in: Any
) -> None:
    judge(project, [ben, chloe], 12)
    Annotation.objects.update(timed=True)
    page = figures(signed_in(rosa))
    assert "Not enough annotations to tell (12 of 20)." in page
    assert "<strong>Agreement</strong>: 0 annotators. Not enough annotations to tell: Ben (7 of 20)," in page
    assert "<strong>Pace</strong>: 0 annotators. Not enough annotations to tell: Ben (12 of 20)," in page
    assert "No findings" not in page


def test_the_page_names_what_it_could_test(leaning: Project, rosa: Person, signed_in: Any, client_for: Any) -> None:
    Annotation.objects.update(payload={"outcome": "tie"}, timed=True)
    page = figures(signed_in(rosa))
    assert "No findings in the checks with enough data: pace." in page
    assert "<strong>Pace</strong>: all 2 annotators." in page
    assert "<strong>Gold tasks</strong>: 0 annotators. Not enough annotations to tell: Ben (0 of 20)" in page
    looks = {one["check"]: one for one in client_for(rosa).get("/api/v1/quality/?project=desk").json()["looks"]}
    assert (looks["too_fast"]["enough"], looks["too_fast"]["too_few"]) == (2, [])
    assert [(one["person"]["username"], one["n"], one["needed"]) for one in looks["gold"]["too_few"]] == [
        ("ben", 0, 20),
        ("chloe", 0, 20),
    ]


def test_who_hammers_keys_is_flagged_within_a_dozen(
    project: Project, ben: Person, chloe: Person, rosa: Person, signed_in: Any
) -> None:
    """Thirteen annotations of a tenth of a second; one gold task, answered wrong. Chloe reads."""
    for number in range(13):
        task = make_task(project)
        for person, seconds in ((ben, 0.1), (chloe, 9.0)):
            held = take(project, person)
            Assignment.objects.filter(pk=held.pk).update(shown_at=timezone.now() - timedelta(seconds=10))
            held.refresh_from_db()
            answer = {"outcome": "prefer", "choice": "a", "strength": 2}
            annotations.submit(assignment=held, answer=answer, seconds=seconds, client="web")
        if number == 0:
            Task.objects.filter(pk=task.pk).update(gold={"outcome": "tie"})
        if number == 11:
            told = quality.quality(project)
            assert [(one.person, one.check, one.n) for one in told.findings] == [(ben, "too_fast", 12)]
    page = figures(signed_in(rosa))
    assert "Ben submitted 100 % [77, 100] of 13 annotations faster than reading speed." in page
    assert "Chloe answered" not in page and "No findings" not in page


ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of each kind, how to make its task and what to answer
    "spans": ({"scheme": "names"}, {"spans": [{"start": 0, "end": 4, "label": "name"}]}),
    "classification": ({"scheme": "folder"}, {"labels": ["personal"]}),
    "demonstration": ({"responses": 0}, {"text": "Restart it."}),
    "rating": ({}, {"ratings": {"truthful": 5}}),
    "ranking": ({}, {"ranking": [["a"], ["b"], ["c"], ["d"]]}),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_kind_is_in_by_kind_and_has_a_pace(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person, signed_in: Any, kind: str
) -> None:
    how, answer = ANSWERS[kind]
    for _ in range(2):
        make_kind(project, kind, **how)
    for person in (ben, chloe):
        for _ in range(2):
            annotations.submit(assignment=take(project, person), answer=answer, seconds=0.001)
    told = quality.quality(project)
    assert [(one.kind, one.answers) for one in told.kinds] == [(kind, 4)]
    assert [(one.too_fast.hits, one.too_fast.n) for one in told.annotators] == [(2, 2)] * 2
    assert told.kinds[0].f1 == (1.0 if kind == "spans" else None)
    assert f"?kind={kind}" in figures(signed_in(rosa))


def test_a_new_answer_is_seen_at_once_in_a_small_project(leaning: Project, ben: Person, monkeypatch: Any) -> None:
    before = quality.quality(leaning)
    assert quality.quality(leaning) is before
    make_task(leaning)
    annotations.submit(assignment=take(leaning, ben), answer={"outcome": "tie"})
    assert quality.quality(leaning).looked_at == before.looked_at + 1


def test_a_large_project_is_shown_at_once_and_filled_in(
    leaning: Project, rosa: Person, signed_in: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(kept_figures, "LARGE", 10)
    client = signed_in(rosa)
    first = client.get("/p/desk/quality/").content.decode()
    assert 'hx-get="?fresh=1"' in first and "Agreement by annotator pair" not in first
    fragment = client.get("/p/desk/quality/?fresh=1").content.decode()
    assert "Agreement by annotator pair" in fragment and "<html" not in fragment and "hx-get" not in fragment
    make_task(leaning)
    assignment_queue.next_assignment(project=leaning, annotator=rosa)
    assert "Agreement by annotator pair" in client.get("/p/desk/quality/").content.decode()


def test_checks_that_fix_a_tie_are_counted(project: Project, ben: Person) -> None:
    task = make_task(project)
    annotations.submit(assignment=take(project, ben), answer={"outcome": "tie"})
    Task.objects.filter(pk=task.pk).update(gold={"outcome": "tie"})
    (habits,) = quality.quality(project).annotators
    assert (habits.gold_right, habits.gold_asked) == (1, 1)
