"""An admin creates tasks of every kind from prompts, and takes them back."""

from typing import Any

import pytest
from django.test import Client

from feedback.errors import Invalid
from feedback.models import Person, Project, Prompt, Response, Task
from feedback.rules.collection.kinds.registry import KINDS
from feedback.services.collection.creation import task_creation
from feedback.services.collection.creation.task_creation import Plan
from feedback.services.platform import projects
from tests.factories import take

pytestmark = pytest.mark.database

PAGE = "/p/desk/data/tasks/new/"
SCHEMES = {
    "topic": {
        "kind": "classification",
        "question": "What is it about?",
        "labels": [{"name": "bill"}, {"name": "other"}],
    },
    "names": {"kind": "spans", "labels": [{"name": "person"}]},
}


@pytest.fixture
def client(project: Project, ada: Person, signed_in: Any) -> Client:
    projects.update_project(by=ada, project=project, label_scheme=SCHEMES, kinds=list(KINDS))
    client: Client = signed_in(ada)
    return client


@pytest.fixture
def prompts(project: Project) -> list[Prompt]:
    """Three prompts: with no response, with one, and with three."""
    made = []
    for place, count in enumerate((0, 1, 3)):
        prompt = Prompt.objects.create(
            project=project, messages=[{"role": "user", "content": f"Question {place}?"}], state="ready",
            source="survey", external_id=f"q{place}", family=f"f{place}",
        )  # fmt: skip
        for number in range(count):
            Response.objects.create(
                project=project, prompt=prompt, text=f"Response {number}", state="ready", model_name="m"
            )
        made.append(prompt)
    return made


@pytest.mark.parametrize(
    ("plan", "count"),
    [
        (Plan("classification", "topic"), 3),
        (Plan("classification", "topic", "responses"), 4),
        (Plan("spans", "names"), 3),
        (Plan("demonstration"), 3),
        (Plan("demonstration", about="responses"), 4),
        (Plan("rating", about="responses"), 4),
        (Plan("comparison", about="responses"), 1),
        (Plan("ranking", about="responses"), 1),
    ],
    ids=lambda given: f"{given.kind}-{given.about}" if isinstance(given, Plan) else "",
)
def test_each_kind_is_created_once_however_often_it_is_asked(
    client: Client, project: Project, ada: Person, prompts: list[Prompt], plan: Plan, count: int
) -> None:
    project.refresh_from_db()
    made = task_creation.create_tasks(project=project, by=ada, prompts=prompts, plan=plan)
    assert (len(made.tasks), Task.objects.filter(kind=plan.kind).count()) == (count, count)
    again = task_creation.create_tasks(project=project, by=ada, prompts=prompts, plan=plan)
    assert again.tasks == [] and again.left_out[task_creation.PRESENT] == count
    assert Task.objects.count() == count


def test_one_plan_by_the_page_with_a_preview_and_undo(
    client: Client, project: Project, ben: Person, prompts: list[Prompt]
) -> None:
    page = client.get(f"{PAGE}?kind=classification&source=survey").content.decode()
    assert "3 prompts selected" in page and "What is it about?" in page and "nothing can be sent" in page
    assert not Task.objects.exists()
    reply = client.post(
        PAGE, {"kind": "classification", "scheme": "topic", "source": "survey", "wanted": "3", "priority": "2"}
    )
    listed = client.get(reply["Location"]).content.decode()
    assert "3 tasks created." in listed and "withdraw the 3 created tasks" in listed
    assert set(Task.objects.values_list("annotations_wanted", "priority", "ask__scheme")) == {(3, 2, "topic")}
    take(project, ben)
    page = client.post("/p/desk/data/tasks/undo/", follow=True).content.decode()
    assert "2 tasks withdrawn. 1 stay: annotators have begun them." in page
    assert Task.objects.exclude(state="withdrawn").count() == 1


def test_ticked_prompts_only(client: Client, prompts: list[Prompt]) -> None:
    client.post(PAGE, {"kind": "demonstration", "prompt": [str(prompts[1].public_id)]})
    assert [task.prompt_id for task in Task.objects.all()] == [prompts[1].pk]
    assert client.post(PAGE, {"kind": "demonstration", "prompt": ["nonsense"]}).status_code == 400


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        (Plan("classification"), "scheme"),
        (Plan("classification", "names"), "scheme"),
        (Plan("demonstration", "topic"), "scheme"),
        (Plan("rating"), "about"),
        (Plan("opinion"), "kind"),
        (Plan("demonstration", wanted=0), "wanted"),
        (Plan("demonstration", priority=99), "priority"),
    ],
)
def test_a_plan_that_does_not_fit_creates_nothing(
    client: Client, project: Project, ada: Person, prompts: list[Prompt], plan: Plan, field: str
) -> None:
    project.refresh_from_db()
    with pytest.raises(Invalid) as refused:
        task_creation.create_tasks(project=project, by=ada, prompts=prompts, plan=plan)
    assert refused.value.field == field
    assert not Task.objects.exists()


def test_only_admins(client: Client, ben: Person, dan: Person, signed_in: Any) -> None:
    assert signed_in(ben).get(PAGE).status_code == 403
    assert signed_in(dan).get(PAGE).status_code == 404
