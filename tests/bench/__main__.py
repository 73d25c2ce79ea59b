"""`make bench`: the short form of each measurement of the service, one after another, as a report.

    python -m tests.bench [next_task transfers desk]

Under ten minutes on two idle cores. docs/performance.md names the longer forms, and the measurements of training.
"""

import subprocess
import sys
import time

SHORT = {
    "next_task": ["--sizes", "1000,10000", "--requests", "100", "--seconds", "3", "--open", "3000"],
    "transfers": ["--into", "0,20000", "--rows", "10000", "--out", "5000,20000"],
    "desk": [],
}


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(SHORT))
    if unknown:
        print(f"There is no {unknown[0]!r} here; choose from {', '.join(SHORT)}.")
        return 2
    failed = []
    for name in names or SHORT:
        began = time.monotonic()
        print(f"\n# {name}", flush=True)
        command = [sys.executable, "-W", "ignore", "-m", f"tests.bench.{name}", *SHORT[name]]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}.")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
