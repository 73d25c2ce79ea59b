"""That somebody could read who wrote what they judged stands in our own file, and comes back with it."""

import json

import pytest

from feedback.models import Annotation, Person, Project
from feedback.services.collection import annotations
from feedback.services.platform import projects
from tests.data.test_import import brought_in, lines, written
from tests.factories import PREFERS_A, make_prompt, make_task, take

pytestmark = pytest.mark.database


def test_what_was_not_blind_is_marked_in_an_export_and_read_again(
    project: Project, other_project: Project, hana: Person, ada: Person, ben: Person, rosa: Person
) -> None:
    projects.update_project(by=ada, project=project, annotations_per_task=2)
    make_task(project, make_prompt(project, by=ada))
    for person in (ben, rosa):
        annotations.submit(assignment=take(project, person), answer=PREFERS_A)
    _, path = written(project, hana, "touchstone")
    (row,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["annotator"], one.get("blind")) for one in row["answers"]] == [("ben", None), ("rosa", False)]
    assert brought_in(other_project, hana, path.read_bytes()).result["rejected"] == 0
    again = Annotation.objects.filter(project=other_project).order_by("annotator__external_name")
    assert list(again.values_list("annotator__external_name", "blind")) == [("ben", None), ("rosa", False)]


def test_a_mark_of_another_kind_is_refused(project: Project, hana: Person) -> None:
    answer = {"annotator": "x", "answer": {"outcome": "tie"}, "blind": "no"}
    row = {"prompt": "q", "responses": ["a", "b"], "answers": [answer]}
    assert brought_in(project, hana, lines(row)).result["rejected"] == 1
