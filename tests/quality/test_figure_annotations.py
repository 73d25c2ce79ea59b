"""From a figure of the quality page to the answers behind it, and the figures themselves taken elsewhere."""

import csv
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import Annotation, Person, Project, Task
from feedback.services.collection import annotations
from feedback.services.platform import projects
from tests.factories import make_task, take
from tests.kinds import make_kind

LIST = "/p/desk/quality/annotations/"


@pytest.fixture
def judged(project: Project, ada: Person, ben: Person, chloe: Person) -> Project:
    """Twenty tasks of two weeks, two of them ties. Ben picks the first shown, whatever it is; Chloe is slow."""
    projects.update_project(by=ada, project=project, annotations_per_task=2)
    made = [make_task(project) for _ in range(20)]
    ties = {task.pk for task in made[-2:]}
    for person in (ben, chloe):
        for _ in made:
            held = take(project, person)
            letter = "a" if person == ben or held.order[0] < held.order[1] else "b"
            answer = {"outcome": "prefer", "choice": letter, "strength": 2}
            if held.task_id in ties and person == chloe:
                answer = {"outcome": "tie"}
            annotations.submit(assignment=held, answer=answer)
    Annotation.objects.filter(annotator=ben).update(seconds=0.3, timed=True)
    Annotation.objects.filter(annotator=chloe).update(seconds=30, timed=True)
    Task.objects.filter(pk__in=ties).update(gold={"outcome": "tie"})
    early = timezone.now() - timedelta(days=14)
    Annotation.objects.filter(task__in=Task.objects.order_by("pk")[:5]).update(created_at=early)
    return project


def listed(client: Any, query: str) -> int:
    return len(
        re.findall(r'<th scope="row"><a href="/p/desk/quality/annotations/', client.get(LIST + query).content.decode())
    )


def test_each_figure_has_its_answers(judged: Project, ben: Person, chloe: Person, rosa: Person, signed_in: Any) -> None:
    client = signed_in(rosa)
    mine, hers = f"?annotator={ben.public_id}", f"?annotator={chloe.public_id}"
    old = (timezone.localdate() - timedelta(days=14)).isoformat()
    found = {
        "": 40,
        mine: 20,
        f"{mine}&check=first": 20,
        f"{mine}&check=second": 0,
        f"{mine}&check=too_fast": 20,
        f"{hers}&check=too_fast": 0,
        f"{mine}&check=gold": 2,
        f"{mine}&check=gold_wrong": 2,
        f"{hers}&check=gold_right": 2,
        f"{hers}&check=tie": 2,
        f"{mine}&other={chloe.public_id}": 20,
        f"{mine}&other={rosa.public_id}": 0,
        f"?week={old}": 10,
        f"{mine}&week={old}": 5,
        "?kind=ranking": 0,
        "?week=nonsense&kind=nonsense&check=nonsense": 40,
    }
    assert {query: listed(client, query) for query in found} == found
    page = client.get(f"{LIST}{mine}&check=gold_wrong").content.decode()
    assert "Annotations by Ben of gold tasks, incorrect" in page


def test_every_picture_leads_to_its_answers(judged: Project, ben: Person, rosa: Person, signed_in: Any) -> None:
    client = signed_in(rosa)
    page = client.get("/p/desk/quality/").content.decode()
    links = {link.replace("&amp;", "&") for link in re.findall(r'href="(/p/desk/quality/annotations/\?[^"]+)"', page)}
    assert {f"{LIST}?annotator={ben.public_id}&check={check}" for check in ("gold", "first", "too_fast")} <= links
    assert any("other=" in link for link in links) and any("week=" in link for link in links)
    empty = {link for link in links if not listed(client, link.removeprefix(LIST))}
    assert all("check=" in link for link in empty), "a share may be of none, a person, week or pair is not"


def test_figures_are_taken_elsewhere(judged: Project, rosa: Person, ben: Person, signed_in: Any) -> None:
    client = signed_in(rosa)
    rows = list(csv.DictReader(client.get("/p/desk/quality/figures.csv").content.decode().splitlines()))
    by_measure = {row["measure"]: row for row in rows if (row["about"], row["name"]) == ("annotator", "ben")}
    assert (by_measure["first_shown"]["value"], by_measure["too_fast"]["n"]) == ("1.0", "20")
    told = client.get("/p/desk/quality/figures.json").json()
    assert len(told["figures"]) == len(rows) and told["answers"] == 40
    assert {row["about"] for row in rows} == {"project", "kind", "week", "pair", "annotator"}


def test_figures_are_for_reviewers(judged: Project, ben: Person, signed_in: Any) -> None:
    assert signed_in(ben).get("/p/desk/quality/figures.csv").status_code == 403


def test_a_task_tells_what_all_say_together(
    project: Project, ada: Person, ben: Person, chloe: Person, signed_in: Any
) -> None:
    projects.update_project(by=ada, project=project, annotations_per_task=2)
    make_kind(project, "classification", scheme="folder")
    agreed, apart = Task.objects.get(), make_task(project)
    for person in (ben, chloe):
        for _ in range(2):
            held = take(project, person)
            choice = {"labels": ["work"]} if held.task_id == agreed.pk else None
            first = "ab"[held.order[0] > held.order[1]] if choice is None else ""
            other = {"a": "b", "b": "a"}.get(first)
            prefer = {"outcome": "prefer", "choice": first if person == ben else other, "strength": 1}
            annotations.submit(assignment=held, answer=choice or prefer)
    client = signed_in(ada)
    page = client.get(f"/p/desk/data/tasks/{agreed.public_id}/").content.decode()
    assert "Consensus of 2: <strong>work</strong>" in page and "differ" not in page
    page = client.get(f"/p/desk/data/tasks/{apart.public_id}/").content.decode()
    assert "No majority among 2 annotations. They disagree." in page
