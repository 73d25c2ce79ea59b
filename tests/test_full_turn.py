"""The ring once, with real processes and real training: from a corpus to a promoted PPO policy whose answers are read,
rated and found in a snapshot, by a client that only speaks HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import ROOT, Service

STAGES = ["tokenizer", "pretrain", "sft", "reward", "ppo", "evaluate"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("turn") / "data") as service:
        told = service.manage("shell", given=(ROOT / "tests" / "tiny_project.py").read_text())
        service.token = json.loads(told.strip().splitlines()[-1])["token"]
        yield service


@pytest.fixture(scope="module")
def chain(service: Service) -> dict[str, Any]:
    """The whole chain, run to its end."""
    status, chain = service.post("/api/v1/chains/", {"project": "tiny", "stages": STAGES, "seed": 1})
    assert status == 201, chain

    def ended() -> Any:
        found = service.get(f"/api/v1/chains/{chain['id']}/")[1]
        return found if found["state"] != "active" else None

    return service.until(ended, 400, "the chain to end")


def runs_of(service: Service, chain: dict[str, Any]) -> list[dict[str, Any]]:
    return [service.get(f"/api/v1/training-runs/{run}/")[1] for run in chain["runs"]]


def test_every_stage_ends_well(service: Service, chain: dict[str, Any]) -> None:
    runs = runs_of(service, chain)
    assert [(run["stage"], run["job"]["status"], run["job"]["error"]) for run in runs] == [
        (stage, "succeeded", "") for stage in STAGES
    ]
    assert chain["state"] == "succeeded"
    assert all(run["seed"] == 1 for run in runs)


def test_each_model_knows_where_it_comes_from(service: Service, chain: dict[str, Any]) -> None:
    made = {run["stage"]: run for run in runs_of(service, chain)}
    models = {stage: service.get(f"/api/v1/models/{made[stage]['model_version']}/")[1] for stage in STAGES[:5]}
    assert [models[stage]["kind"] for stage in STAGES[:5]] == ["tokenizer", "policy", "policy", "reward", "policy"]
    assert made["ppo"]["base_model"] == made["sft"]["model_version"]
    assert made["ppo"]["reward_model"] == made["reward"]["model_version"]
    assert made["ppo"]["snapshot"] == made["sft"]["snapshot"] == made["reward"]["snapshot"]
    assert len({model["manifest_sha256"] for model in models.values()}) == 5
    assert len(list((service.folder / "runs").glob("*/model/manifest.json"))) == 5


def test_curves_samples_and_log_are_there_to_look_at(service: Service, chain: dict[str, Any]) -> None:
    ppo = next(run for run in runs_of(service, chain) if run["stage"] == "ppo")
    metrics = service.get(f"/api/v1/training-runs/{ppo['id']}/metrics/")[1]
    steps = [point["step"] for point in metrics["points"]]
    assert steps == sorted(set(steps)) and steps[-1] == 6
    assert {"kl", "entropy", "reward"} & set(metrics["points"][-1]["metrics"])
    samples = service.get(f"/api/v1/training-runs/{ppo['id']}/samples/")[1]
    assert samples


def test_a_client_asks_reads_rates_and_finds_its_thumb_in_a_snapshot(service: Service, chain: dict[str, Any]) -> None:
    ppo = next(run for run in runs_of(service, chain) if run["stage"] == "ppo")
    status, deployment = service.post(f"/api/v1/models/{ppo['model_version']}/promote/", {})
    assert status in (200, 201), deployment

    status, prompt = service.post(
        "/api/v1/prompts/", {"project": "tiny", "text": "my lamp is broken", "responses_wanted": 2}
    )
    assert status == 201, prompt
    read = service.until(
        lambda: _ready(service.get(f"/api/v1/prompts/{prompt['id']}/?wait=30")[1]), 90, "the responses"
    )
    assert [response["model_version"]["id"] for response in read["responses"]] == [ppo["model_version"]] * 2

    rated = next(response for response in read["responses"])
    status, thumb = service.post("/api/v1/feedback/", {"response": rated["id"], "thumbs": "up"})
    assert status in (200, 201), thumb
    status, snapshot = service.post("/api/v1/snapshots/", {"project": "tiny"})
    assert status in (201, 202), snapshot
    service.until(
        lambda: service.get(f"/api/v1/snapshots/{snapshot['id']}/")[1]["state"] == "frozen", 60, "the snapshot"
    )
    status, rows = service.get(f"/api/v1/snapshots/{snapshot['id']}/rows/?kind=unpaired")
    assert status == 200
    assert json.dumps(rated["text"])[1:-1] in (rows if isinstance(rows, str) else json.dumps(rows))


def _ready(prompt: dict[str, Any]) -> dict[str, Any] | None:
    return prompt if prompt["state"] == "ready" else None
