"""How fast files come in and go out: rows a second, longest write transaction, peak memory.

    python -m tests.bench.imports [tasks] [rounds]

Each round brings another `tasks` comparisons into the same project, so that later rounds show a project that is not
empty. A database and a data folder of its own are made and removed; `DATABASE_URL` names a PostgreSQL to use instead.
"""

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FOLDER = tempfile.mkdtemp(prefix="touchstone-bench-")
os.environ["DATA_DIR"] = FOLDER
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")


def rows(first: int, count: int, answered: bool) -> Any:
    """Comparisons of the length that real ones have; every one is different."""
    said = [{"annotator": "x", "answer": {"outcome": "prefer", "choice": "a", "strength": 2}}]
    for number in range(first, first + count):
        row = {
            "prompt": f"Question {number}: my router is slow since Tuesday. " + "What can I do about it? " * 8,
            "responses": [
                f"Answer one to {number}. " + "Restart it. " * 30,
                f"Two to {number}. " + "Wait a day. " * 30,
            ],
            "external_id": f"row-{number}",
        }
        yield json.dumps(row | ({"answers": said} if answered else {})).encode() + b"\n"


def main(count: int, rounds: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction

    from feedback import queue
    from feedback.models import Job, Person
    from feedback.services import exports, imports, projects
    from workers.execution import run_job

    call_command("migrate", verbosity=0)
    queue.app.send_task = lambda *args, **options: None  # type: ignore[method-assign]
    by = Person.objects.create_superuser("bench", "a-long-password-for-tests")
    project = projects.open_project(by=by, name="Bench", slug=f"bench-{time.time_ns()}")
    longest: list[float] = []
    atomic = transaction.atomic

    class Timed(transaction.Atomic):
        def __enter__(self) -> None:
            super().__enter__()
            self.began = time.perf_counter()

        def __exit__(self, *args: Any) -> None:
            super().__exit__(*args)
            longest.append(time.perf_counter() - self.began)

    imports.transaction.atomic = lambda **options: Timed(None, True, False)  # type: ignore[assignment,misc]
    for place in range(rounds * 2):
        answered = place % 2 == 1
        job = imports.request_import(
            project=project, by=by, format="touchstone", name="b", chunks=rows(place * count, count, answered)
        )
        longest.clear()
        began, cpu = time.perf_counter(), time.process_time()
        run_job(job.pk)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        job = Job.objects.get(pk=job.pk)
        assert (job.status, job.result["new"]) == ("succeeded", count), (job.error, job.result)
        what = "answered comparisons" if answered else "comparisons"
        ordered = sorted(longest)
        print(
            f"{connection.vendor}: {count:,} {what} after {place * count:,}: {count / took:,.0f} tasks/s,"
            f" {cpu / count * 1e6:.0f} CPU-us each; write transactions p50 {ordered[len(ordered) // 2] * 1000:.1f} ms,"
            f" p99 {ordered[int(len(ordered) * 0.99)] * 1000:.1f} ms, max {ordered[-1] * 1000:.1f} ms"
        )
    imports.transaction.atomic = atomic  # type: ignore[misc]
    for format, file_type in (("touchstone", "jsonl"), ("trl", "jsonl"), ("trl", "parquet"), ("touchstone-csv", "")):
        job = exports.request_export(project=project, by=by, format=format, file_type=file_type or "jsonl")
        began = time.perf_counter()
        run_job(job.pk)
        took = time.perf_counter() - began
        job = Job.objects.get(pk=job.pk)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        written = job.result["rows"]
        print(
            f"export {format} {file_type}: {written:,} rows, {written / took:,.0f} rows/s, peak memory so far {peak} MB"
        )


if __name__ == "__main__":
    try:
        main(*(int(one) for one in (sys.argv[1:] + ["20000", "2"][len(sys.argv) - 1 :])))
    finally:
        shutil.rmtree(Path(FOLDER), ignore_errors=True)
