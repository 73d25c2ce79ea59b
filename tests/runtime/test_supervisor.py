"""`manage.py up` with its real processes: it comes up, brings back what dies, and leaves nothing behind."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from feedback.runtime import embedded_broker
from feedback.runtime.supervisor import Program, Supervisor
from tests.whole_service import ROOT, House, house, wait_until

PROGRAMS = ["broker", "web", "default", "generate", "train", "beat"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house") / "data") as made:
        made.start("--no-demo")
        wait_until(made.is_up, 60, "the service")
        yield made


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_killed_comes_back(running: House, name: str) -> None:
    killed = running.kill(name)
    wait_until(lambda: killed not in {p.pid for p in running.everyone()}, 5, f"the end of {name}")
    wait_until(running.is_up, 40, f"the return of {name}")
    assert running.processes()[name].pid != killed
    assert f"{name} was ended by SIGKILL; starting it again" in running.log()


def test_connections_wait_while_the_web_server_is_started_again(running: House) -> None:
    """The supervisor holds the socket, so nobody is refused."""
    running.kill("web")
    assert running.answers(180) or running.answers(180)  # the first may have been in flight when it was killed
    wait_until(running.is_up, 30, "the service")


def test_a_pool_child_does_not_outlive_its_worker(running: House) -> None:
    worker = running.processes()["train"]
    children = {child.pid for child in worker.children(recursive=True)}
    assert children
    worker.kill()
    wait_until(lambda: not children & {p.pid for p in running.everyone()}, 5, "the end of the pool")
    wait_until(running.is_up, 40, "the service")


MAKE_JOBS = """
from feedback.services.platform import jobs
for queue in ("default", "generate", "train"):
    print(jobs.create(kind="export", queue_name=queue, project=None, by=None).pk)
"""


def has_rows(running: House, sql: str, count: int) -> bool:
    return len(running.query(sql)) == count


def test_every_queue_is_heard_after_the_broker_died(running: House) -> None:
    """Workers connected to the old one must find the new one. Nobody exports yet, so the jobs fail at once."""
    for _ in range(2):
        running.kill("broker")
        wait_until(running.is_up, 30, "the return of the broker")
        made = running.manage("shell", "-v", "0", "-c", MAKE_JOBS).split()
        ended = f"SELECT 1 FROM feedback_job WHERE status = 'failed' AND id IN ({', '.join(made)})"
        wait_until(partial(has_rows, running, ended, 3), 40, "the end of a job on each queue")


def test_a_second_up_on_the_same_folder_is_refused_in_a_sentence(running: House) -> None:
    second = House(running.folder)
    refused = subprocess.run(
        [sys.executable, "manage.py", "up"], cwd=ROOT, env=second.environment, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert running.up is not None
    assert f"already runs on {running.folder} (process {running.up.pid})" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert running.is_up()


def test_ctrl_c_leaves_nothing_behind(running: House) -> None:
    assert running.stop(signal.SIGINT) == 0
    assert running.everyone() == []
    assert running.query("SELECT * FROM feedback_workerprocess") == []
    assert "was killed" not in running.log()
    assert running.log().endswith("Stopping…\nStopped.\n")


def test_the_second_start_takes_seconds_and_sigterm_stops_it(running: House) -> None:
    running.start("--no-demo")
    wait_until(running.answers, 8, "the first page")
    assert running.stop(signal.SIGTERM) == 0
    assert running.everyone() == []


def test_when_up_itself_is_killed_its_children_die_with_it(running: House) -> None:
    running.start("--no-demo")
    wait_until(running.is_up, 60, "the service")
    assert running.up is not None
    running.up.kill()
    running.up.wait()
    wait_until(lambda: running.everyone() == [], 5, "the end of everything")


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with house(tmp_path / "data") as made, socket.socket() as taken:
        taken.bind(("127.0.0.1", made.port))
        taken.listen()
        made.start()
        assert made.up is not None
        assert made.up.wait(20) == 1
        assert f"Port {made.port} on 127.0.0.1 cannot be used" in made.log()
        assert "Traceback" not in made.log()
        assert not (made.folder / "touchstone.sqlite3").exists()


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence() -> None:
    environment = {**os.environ, "DATA_DIR": "/proc/nowhere"}
    refused = subprocess.run(
        [sys.executable, "manage.py", "up"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert "/proc/nowhere cannot be written" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_program_that_keeps_dying_is_started_ever_more_rarely(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(tmp_path, tmp_path, said.append)
    supervisor.start(Program("fails", [sys.executable, "-c", "raise SystemExit(7)"]))
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        supervisor.check()
        time.sleep(0.02)
    supervisor.stop()
    assert [line.split("again in ")[1].split(" s")[0] for line in said] == ["0.5", "1.0", "2.0"]
    assert said[0].startswith("fails ended with exit code 7")


def test_what_a_dead_leader_left_behind_is_killed_before_its_successor_starts(tmp_path: Path) -> None:
    """The child outlives its parent here: it ignores SIGTERM and was not tied to anybody."""
    script = (
        "import subprocess, sys; c = subprocess.Popen(['sleep', '600']);"
        "open('child', 'w').write(str(c.pid)); sys.stdout.flush(); raise SystemExit(1)"
    )
    supervisor = Supervisor(tmp_path, tmp_path, lambda line: None)
    supervisor.start(Program("parent", [sys.executable, "-c", script]))
    entry = supervisor.running[0]
    assert entry.process is not None
    entry.process.wait()
    child = int((tmp_path / "child").read_text())
    supervisor.check()
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(child, 0)
            time.sleep(0.05)
    supervisor.stop()


def test_without_any_broker_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(embedded_broker.BrokerUnavailable, match="Set REDIS_URL, or install"):
        embedded_broker.server_binary()


def test_a_server_on_path_is_taken_when_the_wheel_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: "/somewhere/redis-server" if name == "redis-server" else None)
    assert embedded_broker.server_binary() == "/somewhere/redis-server"


def test_the_socket_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "broker.sock"
    embedded_broker.prepare_socket_folder(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(embedded_broker.BrokerUnavailable, match="belongs to somebody else"):
        embedded_broker.prepare_socket_folder(path)
