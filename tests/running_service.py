"""The whole service as its own processes on a folder and port of its own, spoken to over HTTP as a client would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.whole_service import PATIENCE, ROOT


class Service:
    """`manage.py up` on `folder`. Use as a context; leaving it is the Ctrl-C."""

    def __init__(self, folder: Path, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = ""
        self.environment = {**os.environ, "DATA_DIR": str(folder), "PORT": str(self.port), **environment}
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)

    def manage(self, *arguments: str, given: str = "") -> str:
        """Run a manage.py command on this service's database and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        ran = subprocess.run(
            command, cwd=ROOT, env=self.environment, input=given, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def __enter__(self) -> "Service":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.output = (self.folder / "up.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--no-demo"],
            cwd=ROOT,
            env=self.environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.until(lambda: self.get("/readyz", token=False)[0] == 200, 60, "the service to be ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.output.close()

    def get(self, path: str, *, token: bool = True) -> tuple[int, Any]:
        return self.call("GET", path, token=token)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return self.call("POST", path, body, headers=headers)

    def call(
        self, method: str, path: str, body: Any = None, *, token: bool = True, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, parsed body); status 0 when nobody answered."""
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in (headers or {}).items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, _parsed(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, _parsed(error.read())
        except OSError:
            return 0, None

    def until(self, so: Any, seconds: float, what: str) -> Any:
        """Wait for `so()` to be true and return it. A busy machine gets PATIENCE times as many seconds."""
        end = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < end:
            if found := so():
                return found
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended while waiting for {what}:\n{self.log()}")
            time.sleep(0.3)
        raise AssertionError(f"waited {seconds * PATIENCE} s for {what}:\n{self.log()}")

    def log(self) -> str:
        files = [self.folder / "up.log", *sorted((self.folder / "logs").glob("*.log"))]
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)


def ended(service: Service, chain: str) -> dict[str, Any]:
    """The chain when it has ended, however."""

    def found() -> Any:
        told = service.get(f"/api/v1/chains/{chain}/")[1]
        return told if told and told["state"] != "active" else None

    return dict(service.until(found, 400, "the chain to end"))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")
