"""The ring once, with real processes, real training and a real browser: a corpus becomes a model, an admin presses the
chain's button, watches it end and promotes; a client that only speaks HTTP asks, reads, rates, and finds its thumb in a
snapshot; schedules start their chains once, with two clocks running and one of them killed."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.running_service import ROOT, Service, ended

CHAIN = ["sft", "reward", "ppo", "evaluate"]
PASSWORD = "a-long-password-for-tests"


@pytest.fixture(scope="module")
def turn(service: Service, base: dict[str, Any], browser: Browser) -> dict[str, Any]:
    """What an admin does in the browser: press the chain's button, wait, promote what it made."""
    page = browser.new_context(locale="en-US").new_page()
    page.goto(f"{service.url}/p/tiny/train/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="SFT")).to_be_visible()
    # The page follows the chain by itself; nothing is loaded again.
    expect(page.locator(".steps li").last).to_contain_text("succeeded", timeout=300_000)
    newest = service.get("/api/v1/chains/?project=tiny")[1]["results"][0]
    runs = {run["stage"]: run for run in runs_of(service, ended(service, newest["id"]))}
    promote(page, service, runs["ppo"]["model_version"])
    page.context.close()
    return {"runs": runs, "policy": runs["ppo"]["model_version"]}


def promote(page: Page, service: Service, model: str) -> None:
    page.goto(f"{service.url}/p/tiny/models/{model}/")
    page.get_by_label("Reason for overriding the findings").fill("A turn with tiny models: nobody judges them.")
    page.get_by_role("button", name="Promote").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    expect(page.locator("main")).to_contain_text("generates new responses")


def runs_of(service: Service, chain: dict[str, Any]) -> list[dict[str, Any]]:
    return [service.get(f"/api/v1/training-runs/{run}/")[1] for run in chain["runs"]]


def test_the_first_models_come_from_the_corpus(service: Service, base: dict[str, Any]) -> None:
    runs = runs_of(service, base)
    assert [(run["stage"], run["job"]["status"], run["job"]["error"]) for run in runs] == [
        ("tokenizer", "succeeded", ""),
        ("pretrain", "succeeded", ""),
    ]
    assert all(run["seed"] == 1 for run in runs)


def test_every_stage_of_the_chain_ended_well(service: Service, turn: dict[str, Any]) -> None:
    assert list(turn["runs"]) == CHAIN
    assert {(run["job"]["status"], run["job"]["error"]) for run in turn["runs"].values()} == {("succeeded", "")}


def test_each_model_knows_where_it_comes_from(service: Service, turn: dict[str, Any]) -> None:
    made = turn["runs"]
    models = {stage: service.get(f"/api/v1/models/{made[stage]['model_version']}/")[1] for stage in CHAIN[:3]}
    assert [models[stage]["kind"] for stage in CHAIN[:3]] == ["policy", "reward", "policy"]
    assert made["ppo"]["base_model"] == made["sft"]["model_version"]
    assert made["ppo"]["reward_model"] == made["reward"]["model_version"]
    assert made["ppo"]["snapshot"] == made["sft"]["snapshot"] == made["reward"]["snapshot"]
    assert len({model["manifest_sha256"] for model in models.values()}) == 3
    assert len(list((service.folder / "runs").glob("*/model/manifest.json"))) == 5


def test_curves_and_samples_are_there_to_look_at(service: Service, turn: dict[str, Any]) -> None:
    ppo = turn["runs"]["ppo"]["id"]
    points = service.get(f"/api/v1/training-runs/{ppo}/metrics/")[1]["points"]
    assert [point["step"] for point in points] == [1, 2, 3, 4, 5, 6]
    assert {"kl", "entropy", "reward"} <= set(points[-1]["metrics"])
    assert service.get(f"/api/v1/training-runs/{ppo}/samples/")[1]


def test_a_client_asks_reads_rates_and_finds_its_thumb_in_a_snapshot(service: Service, turn: dict[str, Any]) -> None:
    status, prompt = service.post(
        "/api/v1/prompts/", {"project": "tiny", "text": "my lamp is broken", "responses_wanted": 2}
    )
    assert status == 201, prompt
    read = service.until(
        lambda: _ready(service.get(f"/api/v1/prompts/{prompt['id']}/?wait=30")[1]), 90, "the responses"
    )
    assert [response["model_version"]["id"] for response in read["responses"]] == [turn["policy"]] * 2

    rated = read["responses"][0]
    status, thumb = service.post("/api/v1/feedback/", {"response": rated["id"], "thumbs": "up"})
    assert status in (200, 201), thumb
    status, snapshot = service.post("/api/v1/snapshots/", {"project": "tiny"})
    assert status in (201, 202), snapshot
    service.until(
        lambda: service.get(f"/api/v1/snapshots/{snapshot['id']}/")[1]["state"] == "frozen", 60, "the snapshot"
    )
    holding = []
    for split in ("train", "selection", "test"):
        status, rows = service.get(f"/api/v1/snapshots/{snapshot['id']}/rows/?kind=unpaired&split={split}")
        assert status == 200
        if json.dumps(rated["text"])[1:-1] in (rows if isinstance(rows, str) else json.dumps(rows)):
            holding.append(split)
    # The prompt's family decides its split, and the project's salt decides that: in one of the three, and only one.
    assert holding == [read["split"]]


@pytest.fixture(scope="module")
def marked(service: Service, base: dict[str, Any]) -> dict[str, Any]:
    """Texts are labeled and marked over REST; an encoder learns from them unlabeled, both classifiers from it."""
    schemes = {
        "device": {"kind": "classification", "labels": [{"name": "lamp"}, {"name": "other"}]},
        "words": {"kind": "spans", "labels": [{"name": "device"}]},
    }
    changes = {"kinds": ["comparison", "classification", "spans"], "label_scheme": schemes}
    assert service.call("PATCH", "/api/v1/projects/tiny/", changes)[0] == 200
    for number in range(16):
        _ask_about(service, f"my {'lamp' if number % 2 else 'radio'} number {number} is loud")
    for kind in ("classification", "spans"):
        for _ in range(16):
            _answer(service, kind)
    small = {"mlm": {"steps": 4}, "classify": {"epochs": 1}, "tag": {"epochs": 1, "baseline": True}}
    body = {"project": "tiny", "stages": ["tag", "classify", "mlm"], "texts": "labelled", "config": small}
    status, chain = service.post("/api/v1/chains/", body)
    assert (status, chain["stages"]) == (201, ["mlm", "classify", "tag"]), chain
    runs = runs_of(service, ended(service, chain["id"]))
    assert [(run["stage"], run["job"]["status"], run["job"]["error"]) for run in runs] == [
        (stage, "succeeded", "") for stage in chain["stages"]
    ]
    return {run["stage"]: service.get(f"/api/v1/models/{run['model_version']}/")[1] for run in runs}


def test_what_people_label_and_mark_becomes_a_guard_and_a_marker(
    service: Service, base: dict[str, Any], marked: dict[str, Any]
) -> None:
    made = marked
    assert [model["kind"] for model in made.values()] == ["encoder", "classifier", "tagger"]
    assert made["classify"]["parent"] == made["tag"]["parent"] == made["mlm"]["id"]
    tokenizer = runs_of(service, base)[0]["model_version"]
    assert service.get(f"/api/v1/training-runs/{made['mlm']['run']}/")[1]["base_model"] == tokenizer
    assert set(made["classify"]["metrics"]["class_balance"]) == {"lamp", "other"}
    assert made["tag"]["metrics"]["train_texts"] == made["classify"]["metrics"]["train_texts"]


def test_the_guard_and_the_marker_work_at_the_entrance(service: Service, marked: dict[str, Any]) -> None:
    """What was trained is approved, named, and used by the worker. It blocks what anything reaches, and lets through
    what would be blocked only if a text were sure to be what it is least like."""
    for model in (marked["classify"], marked["tag"]):
        assert service.post(f"/api/v1/models/{model['id']}/decide/", {"state": "approved"})[0] == 200
    marker = {"model": "newest", "scheme": "words"}
    blocks, threshold = ["lamp", "other"], 0.5
    for state, then in (("blocked", "withdrawn"), ("ready", "open")):
        guard = {"model": marked["classify"]["id"], "blocks": blocks, "threshold": threshold, "when_away": "hold"}
        status, told = service.call("PATCH", "/api/v1/projects/tiny/screening/", {"guard": guard, "marker": marker})
        assert (status, told["guard"]) == (200, guard), told
        status, prompt = service.post("/api/v1/prompts/", {"project": "tiny", "text": f"my lamp is {state}"})
        assert (status, prompt["state"]) == (201, "received")
        body = {"project": "tiny", "kind": "spans", "prompt": prompt["id"], "responses": [], "ask": {"scheme": "words"}}
        status, task = service.post("/api/v1/tasks/", body)
        assert status == 201 and task["state"] in ("waiting", then), "a guard at hand may have read the prompt by now"
        read = service.until(lambda one=prompt: _screened(service, one["id"]), 60, "the guard")
        assert (read["state"], set(read["screening"]["scores"])) == (state, {"lamp", "other"})
        assert service.get(f"/api/v1/tasks/{task['id']}/")[1]["state"] == then
        blocks, threshold = [min(read["screening"]["scores"], key=read["screening"]["scores"].get)], 0.9
    held = service.until(lambda: _premarked(service), 30, "the marker")
    assert all(set(span) == {"start", "end", "label"} for span in held["suggestion"]["spans"])
    nobody = {"guard": None, "marker": None}
    assert service.call("PATCH", "/api/v1/projects/tiny/screening/", nobody)[0] == 200


def _screened(service: Service, prompt: str) -> dict[str, Any] | None:
    told: dict[str, Any] = service.get(f"/api/v1/prompts/{prompt}/")[1]
    return None if told["state"] == "received" else told


def _premarked(service: Service) -> dict[str, Any] | None:
    """The one open task of spans, once the marker has looked at it."""
    _, held = service.post("/api/v1/tasks/next/", {"project": "tiny", "kind": "spans"})
    return held if held and held["suggestion"] is not None else None  # nothing while another one claims it


def test_a_policy_learns_from_pairs_without_a_reward_model(service: Service, turn: dict[str, Any]) -> None:
    body = {"project": "tiny", "stages": ["dpo"], "base_model": turn["runs"]["sft"]["model_version"]}
    status, chain = service.post("/api/v1/chains/", body | {"config": {"dpo": {"epochs": 0.2, "samples": 0}}})
    assert status == 201, chain
    (run,) = runs_of(service, ended(service, chain["id"]))
    assert (run["job"]["status"], run["job"]["error"]) == ("succeeded", "")
    assert (run["base_model"], run["reward_model"]) == (body["base_model"], None)
    model = service.get(f"/api/v1/models/{run['model_version']}/")[1]
    assert (model["kind"], model["stage"], model["serves"]) == ("policy", "dpo", False)


def test_the_guard_is_a_term_of_the_reward_and_logged_apart(
    service: Service, turn: dict[str, Any], marked: dict[str, Any]
) -> None:
    """A client starts PPO with the guard's class as a term, weight 2, and watches it to its end."""
    guard = marked["classify"]["id"]
    if service.get(f"/api/v1/models/{guard}/")[1]["state"] != "approved":
        assert service.post(f"/api/v1/models/{guard}/decide/", {"state": "approved"})[0] == 200
    terms = {"guard": {"weight": 2.0, "label": "lamp"}, "model": {"weight": 1.0}}
    settings = {"terms": terms, "iterations": 2, "evaluate_every": 1, "samples": 0}
    body = {"project": "tiny", "stage": "ppo", "base_model": turn["runs"]["sft"]["model_version"], "config": settings}
    unknown = {"guard": {"label": "kettle"}}
    status, refused = service.post("/api/v1/training-runs/", body | {"config": settings | {"terms": unknown}})
    assert (status, refused["errors"][0]["attr"]) == (400, "config.ppo.terms.guard.label"), refused
    status, started = service.post("/api/v1/training-runs/", body)
    assert status == 201, started
    ended(service, started["chain"])
    run = service.get(f"/api/v1/training-runs/{started['id']}/")[1]
    assert (run["job"]["status"], run["job"]["error"], run["guard"]) == ("succeeded", "", guard)
    points = [point["metrics"] for point in service.get(f"/api/v1/training-runs/{run['id']}/metrics/")[1]["points"]]
    assert len(points) == 2
    for told in points:
        assert 0 < told["reward_guard"] < 2 and 0 < told["selection_reward_guard"] < 2, "a probability, twice"
        assert told["reward_model"] != 0 and "reward_length" not in told
    assert run["model_version"] is not None


def _ask_about(service: Service, text: str) -> None:
    status, prompt = service.post("/api/v1/prompts/", {"project": "tiny", "text": text})
    assert status == 201, prompt
    for kind, scheme in (("classification", "device"), ("spans", "words")):
        body = {"project": "tiny", "kind": kind, "prompt": prompt["id"], "responses": [], "ask": {"scheme": scheme}}
        status, task = service.post("/api/v1/tasks/", body)
        assert status == 201, task


def _answer(service: Service, kind: str) -> None:
    status, held = service.post("/api/v1/tasks/next/", {"project": "tiny", "kind": kind})
    assert status == 200, held
    text = held["prompt"][0]["content"]
    word = next(word for word in ("lamp", "radio") if word in text)
    start = text.index(word)
    answer: dict[str, Any] = {"spans": [{"start": start, "end": start + len(word), "label": "device"}]}
    if kind == "classification":
        answer = {"labels": ["lamp" if word == "lamp" else "other"]}
    body = {"answer": answer}
    status, said = service.post(f"/api/v1/assignments/{held['id']}/submit/", body, Idempotency_Key=held["id"])
    assert status in (200, 201), said


def test_schedules_start_once_with_two_clocks_and_one_killed(service: Service, base: dict[str, Any]) -> None:
    """One rule after 50 new pairs, one by time; a second clock runs beside the service's, which is killed."""
    after = schedule(service, name="after 50 pairs", after_pairs=50, stages=["sft"])
    timed = schedule(service, name="every two minutes", every_seconds=120, stages=["tokenizer"])
    clock = [sys.executable, "-m", "celery", "-A", "workers.clock", "beat", "--scheduler", "celery.beat:Scheduler"]
    second = subprocess.Popen(
        [*clock, "--max-interval", "1", "--pidfile", ""],
        cwd=ROOT,
        env=service.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _kill_beat_of(service)
        for start in range(0, 49, 7):
            _give_pairs(service, start, 7)
        time.sleep(7)
        assert started_by(service, after) == [], "49 pairs are not 50"
        _give_pairs(service, 49, 1)
        # Nobody waits two minutes here: its time is moved to now.
        service.manage(
            "shell",
            given="from feedback.models import Schedule; from django.utils.timezone import now\n"
            f"Schedule.objects.filter(public_id='{timed}').update(next_due_at=now())\n",
        )
        for one in (after, timed):
            [chain] = service.until(lambda one=one: started_by(service, one), 60, "the schedule to start its chain")
            assert ended(service, chain["id"])["state"] == "succeeded"
        time.sleep(7)  # both clocks tick again, more than once
        assert len(started_by(service, after)) == len(started_by(service, timed)) == 1
    finally:
        second.kill()
        second.wait()
        for one in (after, timed):  # the service goes on serving other tests
            service.call("PATCH", f"/api/v1/schedules/{one}/", {"enabled": False})


def schedule(service: Service, **rule: Any) -> str:
    status, made = service.post("/api/v1/schedules/", {"project": "tiny", **rule})
    assert status == 201, made
    return made["id"]


def started_by(service: Service, schedule: str) -> list[dict[str, Any]]:
    chains = service.get("/api/v1/chains/?project=tiny")[1]["results"]
    return [chain for chain in chains if chain["schedule"] == schedule]


def _give_pairs(service: Service, start: int, count: int) -> None:
    items = [
        {
            "project": "tiny",
            "prompt": [{"role": "user", "content": f"my lamp is number {number}"}],
            "chosen": "thank you",
            "rejected": "no",
            "source": "tests",
            "annotator": "judge",
        }
        for number in range(start, start + count)
    ]
    status, reply = service.post("/api/v1/preferences/", items)
    assert status in (200, 201, 207), reply


def _kill_beat_of(service: Service) -> None:
    """The beat that `up` started: its child whose command line ends in the clock's arguments."""
    children = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(service.process.pid)], capture_output=True, text=True, check=True
    ).stdout
    [beat] = [line.split()[0] for line in children.splitlines() if " beat " in line]
    os.kill(int(beat), signal.SIGKILL)


def _ready(prompt: dict[str, Any]) -> dict[str, Any] | None:
    return prompt if prompt["state"] == "ready" else None
