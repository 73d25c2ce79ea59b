"""Train, promote, roll back and schedule: the buttons do what they say, and pages tell the truth about runs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from feedback.models import (
    Chain,
    Deployment,
    Job,
    ModelVersion,
    Person,
    Project,
    Prompt,
    Schedule,
)
from feedback.services.registry import model_versions
from tests.factories import make_model
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
    assert "Last heartbeat" in told(alive)
    Job.objects.filter(pk=run.job_id).update(heartbeat_at=timezone.now() - timedelta(seconds=45))
    silent = client.get(address)
    assert silent.context["life"].state == "silent"
    assert "No heartbeat for 45 s" in told(silent)
    assert "Last heartbeat" not in told(silent)


def test_a_queued_run_says_whether_a_worker_is_there(furnished: Furnished, project: Project, client: Client) -> None:
    client.post("/p/desk/train/", {"stages": ["reward"]})
    run = Chain.objects.get(project=project, kind="reward").runs.get()
    address = f"/p/desk/train/runs/{run.public_id}/"
    assert "the worker is busy" in told(client.get(address))
    worker("train", seconds_ago=400)
    assert "no worker serves the queue" in told(client.get(address))
    worker("train")
    assert "next in the queue" in told(client.get(address))


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


def test_a_queued_run_is_canceled_at_once_and_a_running_one_is_told(
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
    assert "Canceling" in told(client.get(address))
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


def promote(client: Client, version: ModelVersion) -> None:
    reason = {"override_reason": "We read fifty of its responses."}
    assert client.post(f"/p/desk/models/{version.public_id}/promote/", reason).status_code == 302


# --- models --------------------------------------------------------------------------------------------


def test_promote_and_roll_back(furnished: Furnished, project: Project, client: Client) -> None:
    page = told(client.get(f"/p/desk/models/{furnished.ppo.public_id}/"))
    assert "There is no evidence that policy v3 is better than policy v2, which serves." in page
    assert "The preference of reward v1 does not count" in page
    before, promotion = page.split("Sample responses")[0].split("Promotion</h2>", 1)
    assert "in 71 % of prompts. Policy v3 was trained to please it, so this is no evidence." in before
    assert "71 %" not in promotion and "71.0" not in before + promotion, "what the reward model thinks is no evidence"
    assert "policy v2, which serves, on 38 held-out prompts" in page
    assert model_versions.serving(project) == furnished.sft
    refused = client.post(f"/p/desk/models/{furnished.ppo.public_id}/promote/")
    assert refused.status_code == 409
    assert "No blind human comparison with policy v2 exists" in told(refused)
    assert model_versions.serving(project) == furnished.sft
    promote(client, furnished.ppo)
    assert model_versions.serving(project) == furnished.ppo
    for path in ("", f"{furnished.ppo.public_id}/"):
        page = told(client.get(f"/p/desk/models/{path}"))
        assert "Ada promoted it and overrode 1 finding: “We read fifty of its responses.”" in page
    client.post("/p/desk/models/roll-back/")
    assert "fifty of its responses" not in told(client.get("/p/desk/models/"))
    assert model_versions.serving(project) == furnished.sft
    assert Deployment.objects.filter(project=project, until=None).count() == 1


def test_what_a_roll_back_would_serve_is_what_it_serves(furnished: Furnished, project: Project, client: Client) -> None:
    promote(client, furnished.ppo)
    for _ in range(2):
        announced = client.get("/p/desk/models/").context["back_to"]
        client.post("/p/desk/models/roll-back/")
        assert model_versions.serving(project) == announced
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
    assert model_versions.serving(project) == furnished.sft


def test_a_reward_model_does_not_serve(furnished: Furnished, project: Project, client: Client) -> None:
    reward = ModelVersion.objects.get(project=project, kind=ModelVersion.Kind.REWARD)
    page = told(client.get(f"/p/desk/models/{reward.public_id}/"))
    assert "Promotion</h2>" not in page and "data-finding" not in page, "it was measured, and knows more than a coin"
    assert client.post(f"/p/desk/models/{reward.public_id}/promote/").status_code == 400


def test_a_reward_model_that_nobody_measured_says_so_beside_the_button(
    project: Project, client: Client, ada: Person
) -> None:
    reward = make_model(project, ada, stage="reward")
    page = told(client.get(f"/p/desk/models/{reward.public_id}/"))
    assert 'data-finding="reward_model_unmeasured"' in page
    assert "The accuracy of reward v1 on held-out comparisons is unknown" in page
    assert f'<button type="submit" class="button button-calm">Approve {reward}</button>' in page


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
