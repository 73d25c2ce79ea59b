"""The admin's buttons do what they say, and nothing beside it."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from feedback.models import (
    DatasetSnapshot,
    Job,
    Membership,
    Person,
    Project,
    Prompt,
    Response,
    Task,
)
from tests.factories import make_model, make_task
from tests.furnish import Furnished, furnish, worker

SignedIn = Callable[[Person], Client]


@pytest.fixture
def client(project: Project, ada: Person, signed_in: SignedIn) -> Client:
    return signed_in(ada)


@pytest.fixture
def furnished(project: Project, ada: Person, ben: Person, chloe: Person) -> Furnished:
    return furnish(project, ada, [ben, chloe], answers=8)


def told(response: Any) -> str:
    return response.content.decode()


# --- projects ------------------------------------------------------------------------------------

SETTINGS = {
    "name": "Help desk",
    "description": "",
    "kinds": ["comparison"],
    "annotations_per_task": 3,
    "responses_per_prompt": 2,
    "dimensions": "helpful, truthful",  # a new project's
    "dimension-TOTAL_FORMS": "2",
    "dimension-INITIAL_FORMS": "0",
    "dimension-0-name": "helpful",
    "dimension-1-name": "truthful",
    "number_sends": "on",
    "temperature": "0.8",
    "top_p": "1",
    "max_new_tokens": "64",
    "preset": "tiny",
    "stages": '{"ppo": {"kl_coef": 0.2}}',
}


def test_a_house_admin_opens_a_project(hana: Person, signed_in: SignedIn) -> None:
    response = signed_in(hana).post("/projects/new/", SETTINGS | {"slug": "help"})
    assert response.status_code == 302
    project = Project.objects.get(slug="help")
    assert project.annotations_per_task == 3
    assert project.training_policy == {"preset": "tiny", "stages": {"ppo": {"kl_coef": 0.2}}}
    again = signed_in(hana).post("/projects/new/", SETTINGS | {"slug": "help"})
    assert again.status_code == 422
    assert "is taken" in told(again)
    assert Project.objects.filter(slug="help").count() == 1


def test_only_a_house_admin_opens_a_project(client: Client) -> None:
    assert client.post("/projects/new/", SETTINGS | {"slug": "help"}).status_code == 403
    assert not Project.objects.filter(slug="help").exists()


def test_settings_are_saved_and_other_keys_kept(project: Project, client: Client) -> None:
    Project.objects.filter(pk=project.pk).update(training_policy={"snapshot": {"pairs": "consensus"}})
    assert client.post("/p/desk/project/", SETTINGS).status_code == 302
    project.refresh_from_db()
    assert project.dimensions == ["helpful", "truthful"]
    assert project.number_sends is True
    assert project.asks_reason is False
    assert project.sampling == {"temperature": 0.8, "top_p": 1.0, "max_new_tokens": 64, "best_of": 1}
    assert project.training_policy["snapshot"] == {"pairs": "consensus"}
    assert project.training_policy["preset"] == "tiny"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("annotations_per_task", "0"),
        ("stages", "not json"),
        ("stages", '{"dance": {}}'),
        ("stages", '{"ppo": 3}'),
        ("temperature", "-1"),
        ("kinds", "mime"),
    ],
)
def test_wrong_settings_are_told_and_not_saved(field: str, value: str, project: Project, client: Client) -> None:
    response = client.post("/p/desk/project/", SETTINGS | {field: value})
    assert response.status_code == 422
    assert "aria-invalid" in told(response)
    project.refresh_from_db()
    assert project.name == "Support desk"


def test_pause_and_open(project: Project, client: Client) -> None:
    client.post("/p/desk/project/state/", {"state": "paused"})
    project.refresh_from_db()
    assert project.state == "paused"
    client.post("/p/desk/project/state/", {"state": "open"})
    project.refresh_from_db()
    assert project.state == "open"
    assert client.post("/p/desk/project/state/", {"state": "lost"}).status_code == 400
    assert client.get("/p/desk/project/state/").status_code == 405


def test_guidelines_become_a_version(project: Project, client: Client) -> None:
    client.post("/p/desk/project/guidelines/", {"text": "Prefer what is true."})
    client.post("/p/desk/project/guidelines/", {"text": "Prefer what is true."})
    assert [version.number for version in project.guidelines.all()] == [2, 1]
    assert client.post("/p/desk/project/guidelines/", {"text": "  "}).status_code == 422


def test_members(project: Project, client: Client, dan: Person, ben: Person, ada: Person) -> None:
    client.post("/p/desk/project/members/add/", {"username": "dan", "role": "annotator"})
    assert Membership.objects.get(project=project, person=dan).role == "annotator"
    nobody = client.post("/p/desk/project/members/add/", {"username": "nobody", "role": "annotator"})
    assert nobody.status_code == 422
    assert "No user has this username" in told(nobody)
    client.post(f"/p/desk/project/members/{ben.public_id}/role/", {"role": "reviewer"})
    assert Membership.objects.get(project=project, person=ben).role == "reviewer"
    client.post(f"/p/desk/project/members/{dan.public_id}/remove/")
    assert not Membership.objects.filter(project=project, person=dan).exists()
    assert client.post(f"/p/desk/project/members/{dan.public_id}/remove/").status_code == 404


def test_a_created_person_has_a_password_shown_once(project: Project, client: Client) -> None:
    response = client.post(
        "/p/desk/project/members/new/", {"username": "eve", "display_name": "Eve", "role": "annotator"}
    )
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    password = response.context["password"]
    assert password in told(response)
    eve = Person.objects.get(username="eve")
    assert eve.check_password(password)
    assert Membership.objects.get(project=project, person=eve).role == "annotator"
    assert password not in told(client.get("/p/desk/project/members/"))
    assert client.post("/p/desk/project/members/new/", {"username": "eve", "role": "annotator"}).status_code == 422


# --- prompts and tasks -----------------------------------------------------------------------------


def submit(client: Client, text: str, **options: Any) -> Any:
    values = {"text": text, "responses_wanted": 0, "key": "k1"} | options
    return client.post("/p/desk/data/prompts/new/", values)


def test_one_prompt_and_many(project: Project, client: Client) -> None:
    assert submit(client, "What is a router?\nAnd a switch?").status_code == 302
    prompt = Prompt.objects.get(project=project)
    assert prompt.text == "What is a router?\nAnd a switch?"
    submit(client, "one\n\n two \nthree\n", each_line="on", key="k2")
    assert project.prompts.count() == 4
    assert set(project.prompts.values_list("source", flat=True)) == {"page"}


def test_sending_the_page_twice_stores_nothing_twice(project: Project, client: Client) -> None:
    for _ in range(2):
        assert submit(client, "one\ntwo", each_line="on").status_code == 302
    assert project.prompts.count() == 2


def test_without_a_model_the_page_says_so_and_stores_nothing(project: Project, client: Client) -> None:
    assert "No model serves" in told(client.get("/p/desk/data/prompts/new/"))
    response = submit(client, "What is a router?", responses_wanted=2)
    assert response.status_code == 422
    assert "No model serves this project yet" in told(response)
    assert project.prompts.count() == 0


def test_more_responses(project: Project, ada: Person, client: Client) -> None:
    make_model(project, ada, stage="sft")
    submit(client, "What is a router?")
    prompt = Prompt.objects.get(project=project)
    address = f"/p/desk/data/prompts/{prompt.public_id}/more/"
    assert client.post(address, {"count": "3"}).status_code == 302
    assert prompt.responses.filter(state=Response.State.QUEUED).count() == 3
    assert client.post(address, {"count": "99"}).status_code == 400
    assert client.post(address, {"count": "many"}).status_code == 400
    assert prompt.responses.count() == 3
    page = told(client.get(f"/p/desk/data/prompts/{prompt.public_id}/"))
    assert "no worker serves" in page
    worker("generate")
    assert "next in the queue" in told(client.get(f"/p/desk/data/prompts/{prompt.public_id}/"))


def test_prompts_are_found(project: Project, client: Client) -> None:
    submit(client, "router\nprinter", each_line="on")
    found = told(client.get("/p/desk/data/prompts/?q=printer"))
    assert "printer</a>" in found
    assert "router</a>" not in found
    assert "No matching prompts" in told(client.get("/p/desk/data/prompts/?q=lamp&state=ready&split=nonsense"))


def test_a_task_is_withdrawn_and_reopened(project: Project, client: Client) -> None:
    task = make_task(project)
    client.post(f"/p/desk/data/tasks/{task.public_id}/withdraw/")
    task.refresh_from_db()
    assert task.state == Task.State.WITHDRAWN
    assert client.post(f"/p/desk/data/tasks/{task.public_id}/withdraw/").status_code == 409
    client.post(f"/p/desk/data/tasks/{task.public_id}/reopen/")
    task.refresh_from_db()
    assert task.state == Task.State.OPEN


# --- data ------------------------------------------------------------------------------------------


def test_freeze_asks_a_worker(project: Project, client: Client) -> None:
    assert client.post("/p/desk/data/freeze/", {"pairs": "consensus"}).status_code == 302
    snapshot = DatasetSnapshot.objects.get(project=project)
    assert snapshot.state == DatasetSnapshot.State.DRAFT
    assert snapshot.policy["pairs"] == "consensus"
    assert Job.objects.get(project=project).kind == Job.Kind.FREEZE
    page = told(client.get(f"/p/desk/data/snapshots/{snapshot.public_id}/"))
    assert "no worker serves the queue" in page
    assert "hx-get" in page
    for wrong in ({"pairs": "by mood"}, {"held_out": "80"}, {"held_out": "many"}):
        assert client.post("/p/desk/data/freeze/", wrong).status_code == 400
    assert client.post("/p/desk/data/freeze/", {"held_out": "20", "accepted": "on"}).status_code == 302
    policy = DatasetSnapshot.objects.filter(project=project).latest("pk").policy
    assert (policy["pairs"], policy["held_out_annotators"], policy["accepted"]) == ("each", 0.2, True)


def test_a_snapshot_tells_what_is_in_it(furnished: Furnished, client: Client, ben: Person) -> None:
    snapshot = furnished.snapshots[0]
    page = told(client.get(f"/p/desk/data/snapshots/{snapshot.public_id}/"))
    assert snapshot.content_hash in page
    assert "Ben" in page
    assert f"Run {furnished.runs['ppo'].number}: PPO" in page
    assert "preference" in page


def test_two_snapshots_are_compared_row_by_row(furnished: Furnished, client: Client) -> None:
    response = client.get("/p/desk/data/compare/?one=2&other=1")
    difference = response.context["difference"]
    one, other = furnished.snapshots
    for split, only_one, both, only_other in difference.splits:
        distinct = {row.number: row.manifest["files"][f"{split}.jsonl"]["rows"] for row in (one, other)}
        assert only_one + both == distinct[one.number]
        assert both + only_other == distinct[other.number]
    assert difference.annotations_only_one == 0
    assert difference.annotations_only_other > 0
    assert client.get("/p/desk/data/compare/?one=1&other=1").status_code == 400
    assert client.get("/p/desk/data/compare/?one=1&other=x").status_code == 400


def test_rows_are_downloaded_from_the_page(furnished: Furnished, client: Client) -> None:
    snapshot = furnished.snapshots[0]
    page = told(client.get(f"/p/desk/data/snapshots/{snapshot.public_id}/"))
    addresses = [html.unescape(found) for found in re.findall(r'href="(/api/v1/snapshots/[^"]+)"', page)]
    assert len(addresses) == 3 + len(snapshot.counts["train"])
    for address in addresses:
        response = client.get(address, headers={"accept": "text/html,*/*;q=0.8"})
        assert response.status_code == 200, address
        lines = response.getvalue().splitlines()
        kind, split = re.search(r"kind=(\w+)", address), re.search(r"split=(\w+)", address)
        assert split
        if kind:
            assert len(lines) == snapshot.counts[split[1]][kind[1]]
