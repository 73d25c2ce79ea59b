"""The admin's buttons do what they say, and nothing beside it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from feedback.models import (
    Chain,
    DatasetSnapshot,
    Deployment,
    Job,
    Membership,
    ModelVersion,
    Person,
    Project,
    Prompt,
    Response,
    Schedule,
    Task,
)
from feedback.services import registry
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
    "dimensions": "helpful, truthful",
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
    assert project.sampling == {"temperature": 0.8, "top_p": 1.0, "max_new_tokens": 64}
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
    assert "Nobody is called that" in told(nobody)
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
    assert "no worker is there" in page
    worker("generate")
    assert "a worker is there and takes it next" in told(client.get(f"/p/desk/data/prompts/{prompt.public_id}/"))


def test_prompts_are_found(project: Project, client: Client) -> None:
    submit(client, "router\nprinter", each_line="on")
    found = told(client.get("/p/desk/data/prompts/?q=printer"))
    assert "printer</a>" in found
    assert "router</a>" not in found
    assert "Nothing like that" in told(client.get("/p/desk/data/prompts/?q=lamp&state=ready&split=nonsense"))


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
    assert "no worker is there for the queue" in page
    assert "hx-get" in page
    assert client.post("/p/desk/data/freeze/", {"pairs": "by mood"}).status_code == 400


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


# --- training ----------------------------------------------------------------------------------------


def test_the_chain_starts_with_one_button(furnished: Furnished, project: Project, client: Client) -> None:
    stages = ["sft", "reward", "ppo", "evaluate"]
    response = client.post("/p/desk/train/", {"stages": stages})
    assert response.status_code == 302
    chain = Chain.objects.get(project=project, kind="sft+reward+ppo+evaluate", state=Chain.State.ACTIVE)
    first = chain.runs.get()
    assert response["Location"].endswith(f"/train/runs/{first.public_id}/")
    assert chain.promote is False
    again = client.post("/p/desk/train/", {"stages": stages})
    assert again.status_code == 422
    assert "already queued or running" in told(again)
    assert Chain.objects.filter(project=project, kind=chain.kind, state=Chain.State.ACTIVE).count() == 1


def test_stages_settings_and_snapshot_are_chosen(furnished: Furnished, project: Project, client: Client) -> None:
    snapshot = furnished.snapshots[0]
    client.post(
        "/p/desk/train/",
        {
            "stages": ["reward"],
            "seed": "7",
            "snapshot": str(snapshot.public_id),
            "config": '{"reward": {"epochs": 1}}',
        },
    )
    chain = Chain.objects.get(project=project, kind="reward")
    assert (chain.seed, chain.snapshot, chain.config) == (7, snapshot, {"reward": {"epochs": 1}})


def test_what_cannot_start_says_why(project: Project, client: Client) -> None:
    response = client.post("/p/desk/train/", {"stages": ["ppo"]})
    assert response.status_code == 422
    assert "Run SFT first" in told(response)
    assert client.post("/p/desk/train/", {"stages": []}).status_code == 422
    assert client.post("/p/desk/train/", {"stages": ["sft"], "config": "nonsense"}).status_code == 422
    assert Chain.objects.count() == 0
    assert Job.objects.count() == 0


def test_a_silent_run_is_not_called_running(furnished: Furnished, client: Client) -> None:
    run = furnished.running
    address = f"/p/desk/train/runs/{run.public_id}/"
    alive = client.get(address)
    assert alive.context["life"].state == "running"
    assert "step 22 of 60" in told(alive)
    assert "Last sign of life" in told(alive)
    Job.objects.filter(pk=run.job_id).update(heartbeat_at=timezone.now() - timedelta(seconds=45))
    silent = client.get(address)
    assert silent.context["life"].state == "silent"
    assert "No sign of life for 45 s" in told(silent)
    assert "Last sign of life" not in told(silent)


def test_a_queued_run_says_whether_a_worker_is_there(furnished: Furnished, project: Project, client: Client) -> None:
    client.post("/p/desk/train/", {"stages": ["reward"]})
    run = Chain.objects.get(project=project, kind="reward").runs.get()
    address = f"/p/desk/train/runs/{run.public_id}/"
    assert "the worker is busy" in told(client.get(address))
    worker("train", seconds_ago=400)
    assert "no worker is there for the queue" in told(client.get(address))
    worker("train")
    assert "takes it next" in told(client.get(address))


def test_a_failed_run_shows_its_remedy_and_is_retried(furnished: Furnished, client: Client) -> None:
    run = furnished.failed
    address = f"/p/desk/train/runs/{run.public_id}/"
    page = told(client.get(address))
    assert "The loss is not a number at step 7." in page
    assert "Lower the learning rate." in page
    assert client.post(f"{address}retry/").status_code == 302
    run.job.refresh_from_db()
    assert run.job.status == Job.Status.QUEUED
    assert client.post(f"{address}retry/").status_code == 409


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_is_told(
    furnished: Furnished, project: Project, client: Client
) -> None:
    client.post("/p/desk/train/", {"stages": ["reward"]})
    chain = Chain.objects.get(project=project, kind="reward")
    client.post(f"/p/desk/train/runs/{chain.runs.get().public_id}/cancel/")
    chain.refresh_from_db()
    assert chain.state == Chain.State.CANCELLED
    address = f"/p/desk/train/runs/{furnished.running.public_id}/"
    client.post(f"{address}cancel/")
    furnished.running.job.refresh_from_db()
    assert furnished.running.job.status == Job.Status.RUNNING
    assert furnished.running.job.cancel_requested_at is not None
    assert "Cancelling" in told(client.get(address))
    assert client.post(f"/p/desk/train/runs/{furnished.runs['ppo'].public_id}/cancel/").status_code == 409


def test_curves(furnished: Furnished, client: Client) -> None:
    run = furnished.runs["ppo"]
    data = client.get(f"/p/desk/train/runs/{run.public_id}/reward.json").json()
    assert data["final"] is True
    assert data["x"] == list(range(1, 61))
    by_name = {series["name"]: series for series in data["series"]}
    assert by_name["KL to the reference"]["axis"] == "right"
    assert by_name["KL to the reference"]["values"][-1] == pytest.approx(2.7)
    updates = client.get(f"/p/desk/train/runs/{run.public_id}/update.json").json()
    assert 7 not in updates["x"], "what is no number is a gap"
    sft = client.get(f"/p/desk/train/runs/{furnished.runs['sft'].public_id}/loss.json").json()
    assert [series["sparse"] for series in sft["series"]] == [False, True]
    assert client.get(f"/p/desk/train/runs/{run.public_id}/moon.json").status_code == 404
    both = f"run={run.public_id}&run={furnished.running.public_id}"
    compared = client.get(f"/p/desk/train/compare/reward.json?{both}").json()
    assert compared["final"] is False
    assert {series["name"].split(",")[0] for series in compared["series"]} == {
        f"run {run.number}",
        f"run {furnished.running.number}",
    }


# --- models --------------------------------------------------------------------------------------------


def test_promote_and_roll_back(furnished: Furnished, project: Project, client: Client) -> None:
    page = told(client.get(f"/p/desk/models/{furnished.ppo.public_id}/"))
    assert "71.0" in page
    assert "The whole interval lies above one half" in page
    assert registry.serving(project) == furnished.sft
    client.post(f"/p/desk/models/{furnished.ppo.public_id}/promote/")
    assert registry.serving(project) == furnished.ppo
    client.post("/p/desk/models/roll-back/")
    assert registry.serving(project) == furnished.sft
    assert Deployment.objects.filter(project=project, until=None).count() == 1


def test_what_a_roll_back_would_serve_is_what_it_serves(furnished: Furnished, project: Project, client: Client) -> None:
    client.post(f"/p/desk/models/{furnished.ppo.public_id}/promote/")
    for _ in range(2):
        announced = client.get("/p/desk/models/").context["back_to"]
        client.post("/p/desk/models/roll-back/")
        assert registry.serving(project) == announced
    assert client.get("/p/desk/models/").context["back_to"] is None
    assert client.post("/p/desk/models/roll-back/").status_code == 409


def test_a_rejected_or_tainted_version_has_no_promote_button(
    furnished: Furnished, project: Project, client: Client
) -> None:
    address = f"/p/desk/models/{furnished.ppo.public_id}/"
    client.post(f"{address}decide/", {"state": "rejected"})
    assert f"{address}promote/" not in told(client.get(address))
    assert client.post(f"{address}promote/").status_code == 409
    client.post(f"{address}decide/", {"state": "approved"})
    ModelVersion.objects.filter(pk=furnished.ppo.pk).update(tainted_at=timezone.now())
    page = told(client.get(address))
    assert f"{address}promote/" not in page
    assert "was erased" in page
    assert client.post(f"{address}promote/").status_code == 409
    assert registry.serving(project) == furnished.sft


def test_a_reward_model_does_not_serve(furnished: Furnished, project: Project, client: Client) -> None:
    reward = ModelVersion.objects.get(project=project, kind=ModelVersion.Kind.REWARD)
    assert "Should it serve?" not in told(client.get(f"/p/desk/models/{reward.public_id}/"))
    assert client.post(f"/p/desk/models/{reward.public_id}/promote/").status_code == 400


def test_lineage_goes_down_to_the_annotators(furnished: Furnished, client: Client) -> None:
    page = told(client.get(f"/p/desk/models/{furnished.ppo.public_id}/"))
    for word in ("policy v2", "reward v1", "policy v1", "snapshot 1", "Ben:", "Chloe:"):
        assert word in page


def test_the_playground_asks_both_and_makes_no_task(furnished: Furnished, project: Project, client: Client) -> None:
    tasks = project.tasks.count()
    values = {"text": "And now?", "left": furnished.sft.public_id, "right": furnished.ppo.public_id}
    response = client.post("/p/desk/models/playground/", values)
    assert response.status_code == 302
    prompt = Prompt.objects.get(project=project, source="playground")
    assert {row.model_version for row in prompt.responses.all()} == {furnished.sft, furnished.ppo}
    assert project.tasks.count() == tasks
    same = client.post("/p/desk/models/playground/", values | {"right": furnished.sft.public_id})
    assert same.status_code == 422
    assert Prompt.objects.filter(project=project, source="playground").count() == 1


def test_the_playground_asks_no_model_of_another_project(
    furnished: Furnished, project: Project, other_project: Project, dan: Person, client: Client
) -> None:
    foreign = make_model(other_project, dan, stage="sft")
    values = {"text": "And now?", "left": furnished.sft.public_id, "right": foreign.public_id}
    assert client.post("/p/desk/models/playground/", values).status_code == 422
    assert not Prompt.objects.filter(source="playground").exists()


# --- schedules -------------------------------------------------------------------------------------------


def test_schedules(project: Project, client: Client) -> None:
    values = {"name": "Nightly", "rule": "time", "every": "2", "unit": "60", "stages": ["reward", "sft"]}
    assert client.post("/p/desk/schedules/", values).status_code == 302
    schedule = Schedule.objects.get(project=project)
    assert (schedule.every_seconds, schedule.after_pairs, schedule.stages) == (120, None, ["sft", "reward"])
    assert client.post("/p/desk/schedules/", values).status_code == 422
    by_pairs = {"name": "Fifty", "rule": "pairs", "after_pairs": "50", "stages": ["reward"], "promote": "on"}
    client.post("/p/desk/schedules/", by_pairs)
    fifty = Schedule.objects.get(name="Fifty")
    assert (fifty.every_seconds, fifty.after_pairs, fifty.promote) == (None, 50, True)
    client.post(f"/p/desk/schedules/{schedule.public_id}/switch/", {"enabled": "no"})
    schedule.refresh_from_db()
    assert schedule.enabled is False
    client.post(f"/p/desk/schedules/{schedule.public_id}/switch/", {"enabled": "yes"})
    schedule.refresh_from_db()
    assert schedule.enabled is True
    client.post(f"/p/desk/schedules/{schedule.public_id}/delete/")
    assert list(Schedule.objects.all()) == [fifty]


@pytest.mark.parametrize(
    "wrong", [{"every": ""}, {"rule": "pairs", "after_pairs": ""}, {"stages": []}, {"stages": ["dance"]}, {"name": ""}]
)
def test_a_wrong_schedule_is_told_and_not_kept(wrong: dict[str, Any], project: Project, client: Client) -> None:
    values = {"name": "Nightly", "rule": "time", "every": "2", "unit": "60", "stages": ["reward"]} | wrong
    response = client.post("/p/desk/schedules/", values)
    assert response.status_code == 422
    assert not Schedule.objects.exists()
