"""Ada looks before she trains: findings by stage, the first rows token by token, and a start on exactly those rows."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from feedback.errors import InvalidTransition, PreflightBlocks
from feedback.models import Chain, DatasetSnapshot, Job, ModelVersion, Person, Project, TrainingRun
from feedback.rules.training.preflight import BLOCKING
from feedback.services.data import snapshots
from feedback.services.platform import jobs
from feedback.services.training import pipelines, preflight
from tests.factories import make_model, make_pair, make_prompt_in, plan_for
from tests.running_service import ROOT
from trainer.run.checkpoints import file_sha256
from workers.execution import run_job
from workers.handlers import pipelines as pipeline_workers
from workers.handlers.preflight import inputs_of
from workers.job_context import JobFailed, Work

# Committed rows: the worker beats from a thread with a connection of its own, and would not see others.
pytestmark = pytest.mark.django_db(transaction=True)
SignedIn = Callable[[Person], Client]


@pytest.fixture(scope="module")
def policy_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy with a tokenizer of bytes, as a pretraining run leaves it."""
    import torch

    from trainer.configs.stages import PretrainConfig
    from trainer.json_types import RunRequest
    from trainer.modeling.loading import build_model, save_model
    from trainer.recipes.tokenizer import train_tokenizer
    from trainer.run.checkpoints import write_manifest

    folder = tmp_path_factory.mktemp("policy") / "model"
    tokenizer = train_tokenizer(iter(["my router is slow"]), 300, 2)
    torch.manual_seed(0)
    shape = PretrainConfig(hidden_size=16, layers=1, heads=2, intermediate_size=32, context_length=128)
    save_model(folder, build_model(shape, tokenizer), tokenizer)
    run: RunRequest = {"run": "r", "stage": "pretrain", "seed": 0}
    write_manifest(folder, kind="policy", run=run, config={}, inputs={})
    return folder


@pytest.fixture
def ready(project: Project, ada: Person, settings: Any, policy_files: Path) -> ModelVersion:
    """Pairs on training and held-out prompts, and a base model with files."""
    for split, number in (("train", 4), ("selection", 2)):
        for _ in range(number):
            make_pair(project, ada, prompt=make_prompt_in(project, split).text)
    version = make_model(project, ada, stage="pretrain")
    folder = settings.DATA_DIR / version.path
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(policy_files, folder)
    ModelVersion.objects.filter(pk=version.pk).update(manifest_sha256=file_sha256(folder / "manifest.json"))
    version.refresh_from_db()
    return version


def looked_at(project: Project, ada: Person, **asked: Any) -> Job:
    job = preflight.request_preflight(plan_for(project, **asked), by=ada)
    run_job(job.pk)
    job.refresh_from_db()
    return job


def test_a_chain_that_can_start_is_shown_and_starts_on_what_was_shown(
    project: Project, ada: Person, ready: ModelVersion, signed_in: SignedIn, settings: Any
) -> None:
    runs = TrainingRun.objects.count()
    settled = {"stages": ["reward", "dpo"], "config": {"reward": {"max_length": 128}, "dpo": {"max_length": 128}}}
    job = looked_at(project, ada, **settled, base_model=ready, seed=5)
    assert (job.status, job.error) == (Job.Status.SUCCEEDED, "")
    assert job.result["ok"] and [stage["stage"] for stage in job.result["stages"]] == ["reward", "dpo"]
    reward = job.result["stages"][0]
    assert reward["learned"]["rows"] == 4 and reward["memory"]["parameters"] > 0
    snapshot = DatasetSnapshot.objects.get(project=project)
    assert reward["snapshot"]["hash"] == snapshot.content_hash
    assert not (settings.DATA_DIR / "preflights" / str(job.public_id)).exists()
    assert TrainingRun.objects.count() == runs

    client = signed_in(ada)
    address = f"/p/desk/train/preflight/{job.public_id}/"
    page = client.get(address).content.decode()
    assert "No blocking findings." in page and "<mark>" in page and "free</span>" in page
    assert "hx-trigger" not in page.split('id="preflight"')[1].split(">")[0]  # it is final and no longer polls
    started = client.post(f"{address}start/")
    chain = Chain.objects.get(project=project, state=Chain.State.ACTIVE)
    run = chain.runs.get()
    assert started["Location"].endswith(f"/train/runs/{run.public_id}/")
    assert (chain.stages, chain.seed, run.snapshot, run.base_model) == (["reward", "dpo"], 5, snapshot, ready)


def test_a_chain_that_is_blocked_cannot_be_started(
    project: Project, ada: Person, ready: ModelVersion, signed_in: SignedIn, client_for: Any
) -> None:
    job = looked_at(project, ada, stages=["reward"], config={"reward": {"max_length": 8}}, base_model=ready)
    assert job.status == Job.Status.SUCCEEDED and job.result["ok"] is False
    says = "Reward model: 4 of 4 rows have no training tokens: longer than max_length."
    with pytest.raises(PreflightBlocks, match=re.escape(says)):
        preflight.start(by=ada, job=job)
    page = signed_in(ada).get(f"/p/desk/train/preflight/{job.public_id}/").content.decode()
    assert "Training cannot start." in page and "Raise max_length" in page
    assert "Start training" not in page
    reply = client_for(ada).post(f"/api/v1/training-runs/preflight/{job.public_id}/start/")
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (409, "preflight_blocks")
    refused = signed_in(ada).post(f"/p/desk/train/preflight/{job.public_id}/start/", follow=True)
    assert "have no training tokens" in refused.content.decode()
    assert Chain.objects.filter(state=Chain.State.ACTIVE).count() == 0


@pytest.mark.database
def test_the_form_s_other_button_looks_and_trains_nothing(
    project: Project, ada: Person, ben: Person, ready: ModelVersion, signed_in: SignedIn
) -> None:
    client = signed_in(ada)
    assert 'formaction="/p/desk/train/preflight/"' in client.get("/p/desk/train/").content.decode()
    reply = client.post("/p/desk/train/preflight/", {"stages": ["reward"], "base_model": str(ready.public_id)})
    job = Job.objects.get(kind=Job.Kind.PREFLIGHT)
    assert reply["Location"].endswith(f"/train/preflight/{job.public_id}/")
    waiting = client.get(reply["Location"]).content.decode()
    assert 'hx-trigger="every 1s"' in waiting and "Start training" not in waiting
    with pytest.raises(InvalidTransition):
        preflight.start(by=ada, job=job)
    wrong = client.post("/p/desk/train/preflight/", {"stages": ["reward"], "config": '{"reward": {"epoks": 1}}'})
    assert wrong.status_code == 422 and "epoks" in wrong.content.decode()
    assert signed_in(ben).post("/p/desk/train/preflight/", {"stages": ["reward"]}).status_code in (403, 404)
    assert Job.objects.filter(kind=Job.Kind.PREFLIGHT).count() == 1
    assert not Chain.objects.filter(state=Chain.State.ACTIVE).exists()


def test_over_rest(project: Project, ada: Person, rosa: Person, ready: ModelVersion, client_for: Any) -> None:
    body = {"project": "desk", "stages": ["reward"], "config": {"reward": {"max_length": 128}}}
    body["base_model"] = str(ready.public_id)
    assert client_for(rosa).post("/api/v1/training-runs/preflight/", body).status_code == 403
    client = client_for(ada)
    reply = client.post("/api/v1/training-runs/preflight/", body)
    assert reply.status_code == 201, reply.content
    early = client.post(f"/api/v1/training-runs/preflight/{reply.json()['id']}/start/")
    assert (early.status_code, early.json()["errors"][0]["code"]) == (409, "invalid_transition")
    run_job(Job.objects.get(public_id=reply.json()["id"]).pk)
    told = client.get(f"/api/v1/jobs/{reply.json()['id']}/").json()
    assert told["kind"] == "preflight" and told["result"]["ok"] is True
    tokens = told["result"]["stages"][0]["examples"][0]["sequences"][0]["tokens"]
    assert any(learned for _, learned in tokens) and not tokens[0][1]
    started = client.post(f"/api/v1/training-runs/preflight/{reply.json()['id']}/start/")
    assert started.status_code == 201 and started.json()["stages"] == ["reward"]


def test_what_an_earlier_stage_will_make_is_stood_in_for(project: Project, ada: Person, ready: ModelVersion) -> None:
    job = preflight.request_preflight(plan_for(project, stages=["sft", "reward", "ppo", "evaluate"]), by=ada)
    plan = {planned.stage: planned for planned in preflight.planned(job)}
    assert [plan[stage].models.base for stage in ("sft", "reward", "ppo")] == [ready, ready, ready]
    assert plan["ppo"].models.reward is None and plan["evaluate"].models.base is None
    frozen = plan["sft"].snapshot
    assert frozen is not None and frozen == plan["ppo"].snapshot
    snapshots.freeze(frozen)
    plan = {planned.stage: planned for planned in preflight.planned(job)}
    assert set(inputs_of(plan["ppo"])) == {"snapshot", "base_model"}
    assert set(inputs_of(plan["sft"])) == {"snapshot", "base_model"}


TOO_LONG: dict[str, Any] = {"stages": ["reward", "dpo"], "config": {"dpo": {"max_length": 8}}}


@pytest.mark.database
def test_a_chain_is_looked_at_before_anything_is_spent_on_it(
    project: Project, ada: Person, ready: ModelVersion, signed_in: SignedIn, client_for: Any, settings: Any
) -> None:
    """Its second stage cannot learn, so its first is not trained; and the way out is rows frozen anew."""
    made = ModelVersion.objects.count()
    chain = pipelines.start_chain(plan_for(project, base_model=ready, seed=3, **TOO_LONG), by=ada)
    run = chain.runs.get()
    run_job(run.job_id)
    run.job.refresh_from_db()
    chain.refresh_from_db()
    assert (run.job.status, run.job.error_kind) == (Job.Status.FAILED, Job.ErrorKind.DATA)
    assert run.job.error.startswith("Nothing was trained. dpo: 4 of 4 rows have no training tokens")
    assert (chain.state, chain.looked_at) == (Chain.State.FAILED, False)
    assert not (settings.DATA_DIR / run.folder / "run.json").exists()
    assert not (settings.DATA_DIR / "preflights" / str(run.job.public_id)).exists()
    assert ModelVersion.objects.count() == made

    page = signed_in(ada).get(f"/p/desk/train/runs/{run.public_id}/").content.decode()
    assert "Restart on a new snapshot" in page and "Resume from checkpoint" not in page
    for door in (f"training-runs/{run.public_id}", f"jobs/{run.job.public_id}"):
        refused = client_for(ada).post(f"/api/v1/{door}/retry/")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "invalid_transition")
        assert "new snapshot" in refused.json()["errors"][0]["detail"]
    run.job.refresh_from_db()
    assert run.job.status == Job.Status.FAILED

    again = client_for(ada).post(f"/api/v1/training-runs/{run.public_id}/start-again/")
    assert again.status_code == 201, again.content
    fresh = Chain.objects.get(public_id=again.json()["id"])
    assert (fresh.stages, fresh.config, fresh.seed, fresh.base_model) == (chain.stages, chain.config, 3, ready)
    assert fresh.snapshot_id != chain.snapshot_id
    assert fresh.snapshot is not None and fresh.snapshot.state == DatasetSnapshot.State.DRAFT


def test_a_finding_is_ignored_where_it_is_named(project: Project, ada: Person, ready: ModelVersion) -> None:
    for ignored, passes in ((["contamination"], False), (["learns_nothing"], True)):
        chain = pipelines.start_chain(plan_for(project, base_model=ready, ignore_findings=ignored, **TOO_LONG), by=ada)
        job = jobs.claim(chain.runs.get().job_id, "worker")
        assert job is not None
        with Work(job) as work:
            if passes:
                pipeline_workers.look_ahead(work, chain)
            else:
                with pytest.raises(JobFailed, match="Nothing was trained"):
                    pipeline_workers.look_ahead(work, chain)
        chain.refresh_from_db()
        assert chain.looked_at is passes
        jobs.fail(job, Job.ErrorKind.DATA, "It ends here.", "")
        pipelines.advance_chain(chain)


@pytest.mark.database
def test_the_rest_of_a_chain_starts_again_from_what_it_has_made(
    project: Project, ada: Person, ready: ModelVersion, signed_in: SignedIn
) -> None:
    chain = pipelines.start_chain(
        plan_for(project, base_model=ready, ignore_findings=["learns_nothing"], **TOO_LONG), by=ada
    )
    first = chain.runs.get()
    page = signed_in(ada).get(f"/p/desk/train/runs/{first.public_id}/").content.decode()
    assert "Overridden preflight findings: learns nothing." in page
    Job.objects.filter(pk=first.job_id).update(status=Job.Status.SUCCEEDED)
    pipelines.advance_chain(chain)
    second = chain.runs.get(position=1)
    with pytest.raises(InvalidTransition):
        pipelines.start_again(by=ada, run=second)  # it has not ended
    Job.objects.filter(pk=second.job_id).update(status=Job.Status.FAILED, error_kind=Job.ErrorKind.DATA)
    pipelines.advance_chain(chain)
    with pytest.raises(InvalidTransition):
        pipelines.start_again(by=ada, run=first)  # it ended well
    reply = signed_in(ada).post(f"/p/desk/train/runs/{second.public_id}/start-again/")
    fresh = Chain.objects.get(project=project, state=Chain.State.ACTIVE)
    assert reply["Location"].endswith(f"/train/runs/{fresh.runs.get().public_id}/")
    assert (fresh.stages, fresh.config) == (["dpo"], {"dpo": {"max_length": 8}})
    assert fresh.ignore_findings == ["learns_nothing"]


@pytest.mark.database
def test_rows_that_are_also_read_as_texts_are_one_snapshot(project: Project, ada: Person) -> None:
    """Of two objects of one row only the one that is frozen knows of it, and the other is still a draft."""
    snapshot = snapshots.request_snapshot(project=project, by=ada, job=False)
    stages = ["mlm", "classify"]
    made = Chain.objects.create(project=project, stages=stages, kind="x", snapshot=snapshot, corpus_snapshot=snapshot)
    job = jobs.create(
        kind=Job.Kind.PREFLIGHT,
        queue_name="default",
        project=project,
        by=ada,
        payload={
            "stages": stages,
            "config": {},
            "base_model": None,
            "snapshot": str(snapshot.public_id),
            "read": str(snapshot.public_id),
        },
    )
    for plan in (preflight.planned_of(Chain.objects.get(pk=made.pk)), preflight.planned(job)):
        assert plan[0].snapshot is plan[1].snapshot is not None


def blocked(project: Project, ada: Person, ready: ModelVersion, *names: str) -> Job:
    """A preflight that a worker ended with these findings."""
    job = preflight.request_preflight(plan_for(project, stages=["reward"], base_model=ready), by=ada)
    found = [
        {"name": name, "severity": "block", "kind": "data", "sentence": f"{name} is so.", "remedy": "", "lines": []}
        for name in names
    ]
    stage: dict[str, Any] = {"stage": "reward", "findings": found, "snapshot": {}, "learned": {}, "examples": []}
    stage |= {"balance": {}, "memory": {}, "seconds": {}, "notes": []}
    Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED, result={"ok": False, "stages": [stage]})
    job.refresh_from_db()
    return job


def test_an_admin_overrides_findings_on_the_page_one_by_one(
    project: Project, ada: Person, ready: ModelVersion, signed_in: SignedIn
) -> None:
    client = signed_in(ada)
    job = blocked(project, ada, ready, "contamination", "answer_length")
    address = f"/p/desk/train/preflight/{job.public_id}/"
    page = client.get(address).content.decode()
    for name, label in (
        ("contamination", "evaluation prompts occur in the training data"),
        ("answer_length", "shorter than typical responses"),
    ):
        assert f'name="ignore_findings" value="{name}" required' in page and label in page
    for ticked in ([], ["contamination"], ["contamination", "answer_lenght"]):
        refused = client.post(f"{address}start/", {"ignore_findings": ticked}, follow=True).content.decode()
        assert "Started:" not in refused
    assert "Did you mean" in refused
    assert not Chain.objects.filter(state=Chain.State.ACTIVE).exists()
    started = client.post(f"{address}start/", {"ignore_findings": ["contamination", "answer_length"]}, follow=True)
    chain = Chain.objects.get(state=Chain.State.ACTIVE)
    assert chain.ignore_findings == ["answer_length", "contamination"] and chain.looked_at
    assert "Overridden preflight findings: answer length, contamination." in started.content.decode()


def test_what_nobody_can_train_on_cannot_be_overridden(
    project: Project, ada: Person, ready: ModelVersion, signed_in: SignedIn
) -> None:
    job = blocked(project, ada, ready, "contamination", "no_rows")
    page = signed_in(ada).get(f"/p/desk/train/preflight/{job.public_id}/").content.decode()
    assert "Training cannot start." in page and "ignore_findings" not in page


def test_a_finding_of_no_such_name_is_refused(project: Project, ada: Person, client_for: Any) -> None:
    body = {"project": "desk", "stages": ["sft"], "ignore_findings": ["contaminaton"]}
    for path in ("chains/", "training-runs/preflight/"):
        reply = client_for(ada).post(f"/api/v1/{path}", body)
        assert reply.status_code == 400 and "Did you mean 'contamination'?" in reply.content.decode()
    assert not Chain.objects.exists()


def test_the_names_are_those_that_the_trainer_uses() -> None:
    source = "".join(path.read_text() for path in (ROOT / "trainer" / "preflight").glob("*.py"))
    blocking = set(re.findall(r"found\.block\(\s*\"(\w+)\"", source))
    blocking |= set(re.findall(r"found\.add\(\s*\"(\w+)\", severity", source))  # blocks in some cases, warns in others
    assert blocking == BLOCKING
