"""kill -9 of each process in turn, while people judge and a chain trains: nothing that was said is lost or counted
twice, everything is up again by itself, and training goes on from where it was.
"""

import json
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from tests.whole_service import ROOT, House, house, wait_until

TASKS, WANTED = 120, 2
STAGES = ["tokenizer", "pretrain", "sft", "reward", "ppo"]
# Long enough that a fast machine is still in the middle of it when the second process is killed.
PPO = {"iterations": 60, "rollout_batch": 16, "checkpoint_steps": 2, "evaluate_every": 20, "max_new_tokens": 24}


def test_kill_everything(tmp_path: Path) -> None:
    with house(tmp_path / "data") as service:
        token = furnish(service)
        service.start("--no-demo")
        wait_until(service.is_up, 60, "the service")
        crowd, record = start_crowd(service, tmp_path)
        config = {"ppo": PPO}
        post(service, token, "/api/v1/chains/", {"project": "tiny", "stages": STAGES, "config": config})

        for name in ("web", "default", "generate", "beat", "broker", "web"):
            before = len(record.read_text().splitlines()) if record.exists() else 0
            kill_and_see_it_return(service, name)
            assert crowd.poll() is not None or before <= len(record.read_text().splitlines())

        wait_until(lambda: steps_of(service, "ppo") >= 6, 240, "the middle of PPO")
        trainer = service.kill("trainer")
        wait_until(lambda: trainer_after(service, trainer), 30, "another trainer")
        resumed_at = steps_of(service, "ppo")
        wait_until(lambda: steps_of(service, "ppo") > resumed_at, 60, "PPO's next step")

        worker = service.processes()["train"]
        orphans = {child.pid for child in worker.children(recursive=True)}
        worker.kill()
        wait_until(lambda: not orphans & {p.pid for p in service.everyone()}, 5, "the end of the orphans")
        wait_until(service.is_up, 60, "the train worker's return")
        # Within a minute the page is right again: the run is queued or running under a worker that is there.
        wait_until(lambda: service.query("SELECT 1 FROM feedback_job WHERE losses > 0"), 60, "word of the loss")

        wait_until(lambda: state_of_chain(service) != "active", 240, "the end of the chain")
        assert state_of_chain(service) == "succeeded", service.query("SELECT error, log_tail FROM feedback_job")
        assert crowd.wait(120) == 0, (tmp_path / "crowd.log").read_text()[-3000:]
        check_answers(service, record)
        check_run(service)


def furnish(service: House) -> str:
    service.folder.mkdir(parents=True)
    service.manage("migrate", "--verbosity", "0")
    token: str = json.loads(shell(service, "tiny_project.py").splitlines()[-1])["token"]
    assert shell(service, "tasks_for_two.py").split()[-1] == str(TASKS)
    return token


def shell(service: House, script: str) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", "shell"],
        cwd=ROOT,
        env=service.environment,
        input=(ROOT / "tests" / script).read_text(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def start_crowd(service: House, folder: Path) -> "tuple[subprocess.Popen[bytes], Path]":
    """Five people, fast enough to be in the middle of something whenever a process is killed."""
    record = folder / "acknowledged.jsonl"
    with (folder / "crowd.log").open("wb") as log:
        crowd = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "simulate", "--url", service.url, "--project", "tiny"),
                *("--annotators", "5", "--comparisons", str(TASKS * WANTED), "--record", str(record)),
                *("--seconds-per-task", "1.5", "--drop", "0.05"),
            ],
            cwd=ROOT,
            env=service.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    wait_until(lambda: record.exists() and len(record.read_text().splitlines()) > 3, 60, "the first answers")
    return crowd, record


def post(service: House, token: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        service.url + path,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)


def kill_and_see_it_return(service: House, name: str) -> None:
    began = time.monotonic()
    pid = service.kill(name)
    wait_until(lambda: pid not in {p.pid for p in service.everyone()}, 5, f"the end of {name}")
    wait_until(service.is_up, 60, f"the return of {name}")
    assert time.monotonic() - began < 60


def steps_of(service: House, stage: str) -> int:
    rows = service.query(
        "SELECT max(step) AS step FROM feedback_runpoint WHERE run_id IN "
        "(SELECT id FROM feedback_trainingrun WHERE stage = ?)",
        stage,
    )
    return int(rows[0]["step"] or 0) if rows else 0


def trainer_after(service: House, killed: int) -> bool:
    trainer = service.processes().get("trainer")
    return trainer is not None and trainer.pid != killed


def state_of_chain(service: House) -> str:
    state: str = service.query("SELECT state FROM feedback_chain")[0]["state"]
    return state


def check_answers(service: House, record: Path) -> None:
    """Each acknowledged answer is there once; each task has exactly K counted ones, of different people."""
    acknowledged = [json.loads(line) for line in record.read_text().splitlines()]
    assert len(acknowledged) == TASKS * WANTED
    told = Counter(answer["annotation"].replace("-", "") for answer in acknowledged)
    assert max(told.values()) == 1
    stored = {row["public_id"] for row in service.query("SELECT public_id FROM feedback_annotation")}
    assert set(told) <= stored
    assert len({answer["assignment"] for answer in acknowledged}) == TASKS * WANTED
    tasks = service.query(
        "SELECT t.id, t.state, t.free_slots, t.annotations_wanted AS k, count(a.id) AS counted, "
        "count(DISTINCT a.annotator_id) AS people, count(DISTINCT a.slot) AS slots "
        "FROM feedback_task t LEFT JOIN feedback_assignment a ON a.task_id = t.id AND a.counted "
        "WHERE t.annotations_wanted = ? GROUP BY t.id",
        WANTED,
    )
    assert len(tasks) == TASKS
    settled = [(task["counted"], task["people"], task["slots"]) for task in tasks if task["state"] == "settled"]
    assert set(settled) == {(WANTED, WANTED, WANTED)}, Counter(settled)
    assert all(task["counted"] == task["people"] <= WANTED for task in tasks)
    # Each acknowledged answer counted, so what is free now was never acknowledged by anybody.
    assert sum(task["counted"] for task in tasks) == TASKS * WANTED
    assert len(settled) == TASKS


def check_run(service: House) -> None:
    """One run per stage, one model each; PPO went on from a checkpoint after both kills; nobody else writes there."""
    runs = service.query(
        "SELECT r.stage, r.folder, j.status, j.attempt, j.losses FROM feedback_trainingrun r "
        "JOIN feedback_job j ON j.id = r.job_id ORDER BY r.id"
    )
    assert [(run["stage"], run["status"]) for run in runs] == [(stage, "succeeded") for stage in STAGES]
    models = service.query("SELECT stage, count(*) AS n FROM feedback_modelversion GROUP BY stage")
    assert {model["stage"]: model["n"] for model in models} == dict.fromkeys(STAGES, 1)
    ppo = runs[-1]
    assert (ppo["attempt"], ppo["losses"]) == (2, 1)
    lines = (service.folder / ppo["folder"] / "progress.jsonl").read_text().splitlines()
    resumed = [json.loads(line)["text"] for line in lines if "going on from step" in line]
    assert len(resumed) == 2
    assert all(int(text.split()[-1]) >= 2 for text in resumed)
    points = service.query(
        "SELECT step FROM feedback_runpoint WHERE run_id IN (SELECT id FROM feedback_trainingrun WHERE stage = 'ppo')"
    )
    assert {point["step"] for point in points} >= set(range(1, PPO["iterations"] + 1))
    assert not [p for p in service.everyone() if "-m trainer" in " ".join(p.cmdline())]
