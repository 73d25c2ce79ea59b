"""What deployment files promise: every setting is written down, and every entry command of compose.yaml runs."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.servers import postgres, valkey
from tests.whole_service import ROOT, free_port, wait_until

READS = re.compile(r"""(?:env_[a-z]+|environ\.get)\(\s*"([A-Z_]+)\"""")
OURS = (
    "feedback/settings.py",
    "feedback/runtime/gunicorn_config.py",
    "feedback/runtime/http_connection.py",
    "feedback/runtime/http_worker.py",
    "feedback/runtime/processes.py",
    "trainer/__main__.py",
)
# Python's and Django's own names, and what is read only to be passed on.
NOT_SETTINGS = {"DJANGO_SETTINGS_MODULE", "RANK", "WORLD_SIZE"}


def test_env_example_names_every_setting_and_no_other() -> None:
    read = {name for path in OURS for name in READS.findall((ROOT / path).read_text())}
    written = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert written == read - NOT_SETTINGS


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return services


def test_what_the_image_copies_exists() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY "):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), line
    command = next(line for line in lines if line.startswith("CMD "))
    assert compose()["web"]["command"] == yaml.safe_load(command.removeprefix("CMD "))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What compose.yaml gives a container, with real servers behind the names."""
    with postgres() as database, valkey(tmp_path) as broker:
        # The browser tests of the same run set the last one, which no deployment should.
        unset = {"DJANGO_SETTINGS_MODULE", "DEBUG", "DJANGO_ALLOW_ASYNC_UNSAFE"}
        yield {
            **{name: value for name, value in os.environ.items() if name not in unset},
            "TOUCHSTONE_ENV": "production",
            "SECRET_KEY": "a-secret-for-tests-that-is-long-enough-for-the-checks-0123456789",
            "ALLOWED_HOSTS": "touchstone.example",
            "DATABASE_URL": database,
            "REDIS_URL": broker,
            "TRUSTED_PROXIES": "1",
            "DATA_DIR": str(tmp_path / "data"),
            "STATIC_ROOT": str(tmp_path / "static"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }


def test_the_production_shape_runs(environment: dict[str, str], tmp_path: Path) -> None:
    services, port = compose(), free_port()

    def once(command: list[str]) -> str:
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    checks = once([sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"])
    assert "no issues" in checks
    once([sys.executable, "manage.py", "collectstatic", "--noinput"])
    once(services["migrate"]["command"])
    commands = {name: services[name]["command"] for name in ("web", "default", "generate", "train", "beat")}
    commands["web"] = [part.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for part in commands["web"]]
    with all_of(commands, environment, tmp_path):
        wait_until(lambda: status(port, "/healthz") == 200, 30, "the web server")
        wait_until(lambda: status(port, "/readyz") == 200, 30, "the database and broker")
        seen = (
            "from feedback.models import WorkerProcess as W; print(sorted(W.objects.values_list('queue', flat=True)))"
        )
        told = "['default', 'generate', 'train']"
        wait_until(lambda: told in once([sys.executable, "manage.py", "shell", "-v", "0", "-c", seen]), 60, "workers")
        assert status(port, "/static/feedback/app.css") == 200
        assert status(port, "/sign-in/", secure=False) == 301


@contextmanager
def all_of(commands: dict[str, list[str]], environment: dict[str, str], folder: Path) -> Iterator[None]:
    running = []
    try:
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        yield
        assert [process.poll() for process in running] == [None] * len(running)
    except BaseException:
        for name in commands:
            print(f"--- {name}\n{(folder / f'{name}.log').read_text()[-1500:]}")
        raise
    finally:
        for process in running:
            process.terminate()
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(psutil.NoSuchProcess):
                psutil.Process(process.pid).kill()
            process.wait()


def status(port: int, path: str, *, secure: bool = True) -> int | None:
    """The status of a reply, as the proxy in front would ask."""
    headers = {"Host": "touchstone.example"} | ({"X-Forwarded-Proto": "https"} if secure else {})
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    opener = urllib.request.build_opener(StayHere)
    try:
        with opener.open(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None
