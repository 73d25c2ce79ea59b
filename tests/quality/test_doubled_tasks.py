"""Some comparisons that nobody asked for one by one want two annotators. No annotator can tell which."""

import json
from typing import Any

import pytest

from feedback.models import Person, Project, Task
from feedback.services.collection import generation
from feedback.services.platform import projects
from feedback.services.quality import doubling
from tests.conftest import ClientFor
from tests.factories import make_model, make_prompt, make_task, take, write_answers
from tests.quality.shared_votes import drawn, hire, vote

pytestmark = pytest.mark.database


@pytest.fixture
def single(project: Project, ada: Person) -> Project:
    """One annotation a task, half of the comparisons for two."""
    make_model(project, ada, serve=True)
    return projects.update_project(
        by=ada, project=project, annotations_per_task=1, queue_policy={"double_share": 0.5, "gold_share": 0}
    )


def generated(project: Project, prompts: int) -> list[Task]:
    for number in range(prompts):
        prompt = make_prompt(project)
        generation.request_responses(prompt=prompt, count=2)
        write_answers(prompt, f"One of {number}.", f"Two of {number}.")
    return list(Task.objects.filter(project=project).order_by("pk"))


def test_a_share_of_what_models_wrote_wants_two(single: Project) -> None:
    made = generated(single, 24)
    assert {(task.arm, task.propensity, task.annotations_wanted, task.free_slots) for task in made} == {
        ("double", 0.5, 2, 2),
        ("random", 0.5, 1, 1),
    }


def test_no_annotator_can_tell(single: Project, ben: Person, rosa: Person, client_for: ClientFor, submit: Any) -> None:
    made = {task.pk: task for task in generated(single, 24)}
    shapes: dict[str, set[tuple[str, ...]]] = {}
    client = client_for(ben)
    for _ in range(24):
        given = client.post("/api/v1/tasks/next/", {"project": single.slug}).json()
        text = json.dumps(given)
        assert not any(word in text for word in ("double", "arm", "propensity", "wanted", "random")), text
        arm = Task.objects.get(assignments__public_id=given["id"]).arm
        shapes.setdefault(arm, set()).add(tuple(sorted(given)))
        assert submit(client, given, {"outcome": "prefer", "choice": "a", "strength": 1}).status_code in (200, 201)
    assert shapes["double"] == shapes["random"]
    doubled = [task for task in made.values() if task.arm == "double"]
    states: dict[str, set[tuple[str, int]]] = {"double": set(), "random": set()}
    for task in Task.objects.filter(project=single):
        states[task.arm].add((task.state, task.free_slots))
    assert states == {"double": {("open", 1)}, "random": {("settled", 0)}}
    assert take(single, rosa).task_id in {task.pk for task in doubled}, "the second annotator gets only these"
    assert client.get(f"/api/v1/tasks/{doubled[0].public_id}/").status_code == 403


def test_given_tasks_are_as_they_were_given(single: Project) -> None:
    assert {(one.arm, one.propensity, one.annotations_wanted) for one in (make_task(single) for _ in range(12))} == {
        ("given", 1.0, 1)
    }


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [({"annotations_per_task": 2}, 2), ({"queue_policy": {"double_share": 0}}, 1), ({"annotations_per_task": 3}, 3)],
)
def test_where_nothing_is_doubled(single: Project, ada: Person, changes: dict[str, Any], wanted: int) -> None:
    projects.update_project(by=ada, project=single, **changes)
    single.refresh_from_db()
    made = generated(single, 8)
    assert {(task.arm, task.propensity, task.annotations_wanted) for task in made} == {("random", 1.0, wanted)}


def test_two_members_are_too_few(other_project: Project, dan: Person, hana: Person) -> None:
    assert doubling.share_of(other_project) == 0.0


def test_once_everybody_is_known_few_are_doubled(single: Project, ada: Person, hana: Person) -> None:
    crowd = hire(single, hana, ("ines", "jon", "kim"))
    projects.update_project(by=ada, project=single, queue_policy={})
    single.refresh_from_db()
    assert doubling.share_of(single) == 0.15
    vote(single, drawn((0.9, 0.9, 0.9), crowd, 150))
    assert doubling.share_of(single) == 0.15, "what was counted a moment ago is kept for a minute"
    doubling.cache.clear()
    assert doubling.share_of(single) == 0.05
    vote(single, [[(ada, True)]])
    doubling.cache.clear()
    assert doubling.share_of(single) == 0.15, "somebody new has come"


@pytest.mark.parametrize("share", [-0.1, 0.51, "half", True, None])
def test_the_share_has_bounds(single: Project, ada: Person, client_for: ClientFor, share: object) -> None:
    path = f"/api/v1/projects/{single.slug}/"
    reply = client_for(ada).patch(path, {"queue_policy": {"double_share": share}}, format="json")
    assert reply.status_code == 400 and "queue_policy.double_share" in reply.content.decode()
