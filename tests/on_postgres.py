"""Run pytest on a real PostgreSQL that is started for it: `python -m tests.on_postgres [pytest arguments]`.

The server comes from a wheel and needs no root. With DATABASE_URL set, that database is used instead.
"""

import os
import subprocess
import sys

from tests.servers import postgres


def main() -> int:
    if os.environ.get("DATABASE_URL"):
        return pytest(os.environ["DATABASE_URL"])
    with postgres(durable=False) as url:
        return pytest(url)


def pytest(url: str) -> int:
    print(f"PostgreSQL: {url.split('?')[0].split('@')[-1] or 'embedded'}", flush=True)
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
