"""The quality page and its door: planted faults are told in sentences, and large projects are shown at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import Annotation, Person, Project, Task
from feedback.selectors import quality
from feedback.services import annotations, projects, queue
from tests.factories import make_task, take
from tests.furnish import judge


@pytest.fixture
def leaning(project: Project, ben: Person, chloe: Person) -> Project:
    """Ben picks the first shown whatever it is; Chloe the older response. Forty tasks, over two weeks."""
    projects.update_project(by=project.created_by, project=project, annotations_per_task=2)
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
    assert "The answers of Ben" in page and "The answers of Chloe" not in page
    assert "plot-wide" in page
    told = client_for(rosa).get("/api/v1/quality/?project=desk").json()
    assert [(one["person"]["username"], one["check"]) for one in told["findings"]] == [("ben", "side")]
    assert len(told["weeks"]) == 2
    assert [(one["tasks"], one["one"]["username"]) for one in told["pairs"]] == [(40, "ben")]
    assert {one["kind"] for one in told["kinds"]} == {"comparison"}
    ben = next(one for one in told["annotators"] if one["person"]["username"] == "ben")
    assert ben["first_share"] == 1.0 and ben["leanings"]["side"]["share"] > 0.9


def test_two_who_judge_alike_raise_no_flag(
    project: Project, ben: Person, chloe: Person, rosa: Person, signed_in: Any
) -> None:
    judge(project, [ben, chloe], 12)
    assert "Nothing that chance does not explain" in signed_in(rosa).get("/p/desk/quality/").content.decode()


def test_a_new_answer_is_seen_at_once_in_a_small_project(leaning: Project, ben: Person, monkeypatch: Any) -> None:
    before = quality.quality(leaning)
    assert quality.quality(leaning) is before
    make_task(leaning)
    annotations.submit(assignment=take(leaning, ben), answer={"outcome": "tie"})
    assert quality.quality(leaning).looked_at == before.looked_at + 1


def test_a_large_project_is_shown_at_once_and_filled_in(
    leaning: Project, rosa: Person, signed_in: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(quality, "LARGE", 10)
    client = signed_in(rosa)
    first = client.get("/p/desk/quality/").content.decode()
    assert 'hx-get="?fresh=1"' in first and "By pair of annotators" not in first
    fragment = client.get("/p/desk/quality/?fresh=1").content.decode()
    assert "By pair of annotators" in fragment and "<html" not in fragment and "hx-get" not in fragment
    make_task(leaning)
    queue.next_assignment(project=leaning, annotator=rosa)
    assert "By pair of annotators" in client.get("/p/desk/quality/").content.decode()


def test_checks_that_fix_a_tie_are_counted(project: Project, ben: Person) -> None:
    task = make_task(project)
    annotations.submit(assignment=take(project, ben), answer={"outcome": "tie"})
    Task.objects.filter(pk=task.pk).update(gold={"outcome": "tie"})
    (habits,) = quality.quality(project).annotators
    assert (habits.gold_right, habits.gold_asked) == (1, 1)
