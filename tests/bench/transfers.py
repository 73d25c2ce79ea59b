"""Files in and out: rows a second into an empty and into a full project, write transactions, memory of exports.

    python -m tests.bench.transfers [--into 0,100000] [--rows 20000] [--out 10000,100000] [--on sqlite,postgresql]

Imports are of comparisons (a prompt, two responses, a task), checked, idempotent, with errors by line; `plain` is
Django's bulk_create of as many objects with no check at all, side by side. CPU is the worker's and the database's.
Each export runs in a process of its own, so that its peak memory is its own. On SQLite another process asks for the
write lock twenty times a second: how long it waits is how long an annotator's answer would.
"""

import argparse
import json
import os
import resource
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.bench import ground

IN_COLUMNS = [
    "database", "into", "rows", "rows/s", "CPU us each", "of it worker", "× plain", "transaction p50 ms", "p99", "max",
    "another writer waits p50 ms", "p99", "max",
]  # fmt: skip
OUT_COLUMNS = ["database", "format", "file", "rows", "rows/s", "CPU us each", "peak MB", "MB above start"]
FORMATS = (("touchstone", "jsonl"), ("trl", "jsonl"), ("trl", "parquet"), ("touchstone-csv", "csv"))


def main() -> int:
    options = parsed()
    if not options.here:
        return max(ground.run_on(vendor, "tests.bench.transfers", *sys.argv[1:], "--here") for vendor in options.on)
    if options.lock:
        ask_for_the_lock(options.lock)
        return 0
    ground.prepare()
    if options.export:
        export(*options.export)
        return 0
    from django.db import connection

    from feedback.models import Person
    from feedback.services.platform import projects

    by = Person.objects.create_superuser("bench", "a-long-password-for-tests")
    sizes = [n for n in options.into if connection.vendor == ground.POSTGRES or n <= 100_000]
    brought = []
    project = projects.open_project(by=by, name="Full", slug="full")
    for size in sorted(sizes):
        there = project.tasks.count()
        if size > there:
            ground.fill(project, size - there, wanted=1)
        plain_cpu = plain(project, options.rows)
        brought.append(bring_in(project, by, options.rows, there_before=project.tasks.count(), plain_cpu=plain_cpu))
    ground.heading(f"Comparisons brought in on {connection.vendor}")
    ground.table(IN_COLUMNS, brought)
    written = []
    for count in options.out:
        project = projects.open_project(by=by, name=f"Out {count}", slug=f"out-{count}")
        bring_in(project, by, count, answered=True)
        for format, file_type in FORMATS:
            ran = subprocess.run(
                [sys.executable, "-m", "tests.bench.transfers", "--here", "--export", project.slug, format, file_type],
                env=os.environ, capture_output=True, text=True, check=True,
            )  # fmt: skip
            written.append([connection.vendor, *json.loads(ran.stdout.splitlines()[-1])])
    ground.heading(f"Answered comparisons written out on {connection.vendor}")
    ground.table(OUT_COLUMNS, written)
    return 0


def lines(first: int, count: int, answered: bool) -> Any:
    """Comparisons of the length that real ones have; every one is different."""
    said = [{"annotator": "x", "answer": {"outcome": "prefer", "choice": "a", "strength": 2}}]
    for number in range(first, first + count):
        row = {
            "prompt": f"Question {number}: {ground.PROMPT}",
            "responses": [f"Answer one to {number}. {ground.ANSWERS[0]}", f"Two to {number}. {ground.ANSWERS[1]}"],
            "external_id": f"row-{number}",
        }
        yield json.dumps(row | ({"answers": said} if answered else {})).encode() + b"\n"


def bring_in(
    project: Any, by: Any, count: int, *, answered: bool = False, there_before: int = 0, plain_cpu: float = 0.0
) -> list[str]:
    from django.db import connection, transaction

    from feedback.models import Job
    from feedback.services.data import imports
    from workers.execution import run_job

    took: list[float] = []
    atomic = transaction.atomic

    class Timed(transaction.Atomic):
        def __enter__(self) -> None:
            super().__enter__()
            self.began = time.perf_counter()

        def __exit__(self, *args: Any) -> None:
            super().__exit__(*args)
            took.append((time.perf_counter() - self.began) * 1000)

    imports.transaction.atomic = lambda **options: Timed(None, True, False)  # type: ignore[assignment]
    database = ground.postmaster()
    try:
        rows = lines(there_before, count, answered)
        job = imports.request_import(project=project, by=by, format="touchstone", name="b", chunks=rows)
        took.clear()
        began, worker, server = time.perf_counter(), time.process_time(), ground.cpu_of(database)
        with another_writer() as waited:
            run_job(job.pk)
            seconds = time.perf_counter() - began
        worker = time.process_time() - worker
        cpu = worker + ground.cpu_of(database) - server
    finally:
        imports.transaction.atomic = atomic
    job = Job.objects.get(pk=job.pk)
    assert (job.status, job.result["new"]) == ("succeeded", count), (job.error, job.result)
    return [
        connection.vendor, f"{there_before:,}", f"{count:,}", f"{count / seconds:,.0f}", f"{cpu / count * 1e6:.0f}",
        f"{worker / count * 1e6:.0f}", f"{cpu / count / plain_cpu:.2f}" if plain_cpu else "",
        *(f"{ground.percentile(those, share):.0f}" for those in (took, waited) for share in (0.5, 0.99, 1)),
    ]  # fmt: skip


@contextmanager
def another_writer() -> Iterator[list[float]]:
    """Milliseconds that another process waited for SQLite's write lock each time; complete at the end."""
    from django.db import connection

    waited: list[float] = []
    if connection.vendor != ground.SQLITE:
        yield waited
        return
    command = [sys.executable, "-m", "tests.bench.transfers", "--here", "--lock", connection.settings_dict["NAME"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ground.ROOT) as other:
        yield waited
        waited += json.loads(other.communicate()[0])


def ask_for_the_lock(path: str) -> None:
    """Until the standard input ends; prints the waits as JSON."""
    database = sqlite3.connect(path, timeout=20, isolation_level=None)
    waited = []
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        began = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        waited.append((time.perf_counter() - began) * 1000)
        database.execute("COMMIT")
    print(json.dumps(waited))


def plain(project: Any, count: int) -> float:
    """CPU seconds each of bulk_create of the same rows, in batches, with no check; undone afterwards."""
    from django.db import transaction

    from feedback.models import Prompt, Response, Task, TaskResponse
    from feedback.rules.collection.pairing import queue_key

    count = min(count, 5000)
    database = ground.postmaster()
    before = time.process_time() + ground.cpu_of(database)
    made = []
    for start in range(0, count, 500):
        with transaction.atomic():
            prompts = Prompt.objects.bulk_create(
                Prompt(project=project, messages=[{"role": "user", "content": f"{n}: {ground.PROMPT}"}], family="x",
                       split="train", state="ready", external_id=f"plain-{n}")
                for n in range(start, start + 500)
            )  # fmt: skip
            responses = Response.objects.bulk_create(
                Response(project=project, prompt=prompt, text=text, model_name="m")
                for prompt in prompts
                for text in ground.ANSWERS
            )
            tasks = Task.objects.bulk_create(
                Task(project=project, kind="comparison", prompt=prompt, annotations_wanted=1, free_slots=1,
                     queue_key=queue_key(0, prompt.public_id), external_id=prompt.external_id)
                for prompt in prompts
            )  # fmt: skip
            TaskResponse.objects.bulk_create(
                TaskResponse(task=tasks[place // 2], response=response, position=place % 2)
                for place, response in enumerate(responses)
            )
        made += prompts
    cpu = time.process_time() + ground.cpu_of(database) - before
    Task.objects.filter(prompt__in=[one.pk for one in made]).delete()
    for start in range(0, count, 500):
        Prompt.objects.filter(pk__in=[one.pk for one in made[start : start + 500]]).delete()
    return cpu / count


def export(slug: str, format: str, file_type: str) -> None:
    """One export; prints its figures as JSON."""
    from feedback.models import Job, Project
    from feedback.services.data import exports
    from workers.execution import run_job

    project = Project.objects.get(slug=slug)
    assert project.created_by is not None
    file_type = "jsonl" if file_type == "csv" else file_type
    job = exports.request_export(project=project, by=project.created_by, format=format, file_type=file_type)
    database = ground.postmaster()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    began, cpu = time.perf_counter(), time.process_time() + ground.cpu_of(database)
    run_job(job.pk)
    took, cpu = time.perf_counter() - began, time.process_time() + ground.cpu_of(database) - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    job = Job.objects.get(pk=job.pk)
    rows = job.result["rows"]
    print(json.dumps([
        format, job.payload["file_type"], f"{rows:,}", f"{rows / took:,.0f}", f"{cpu / rows * 1e6:.0f}", peak,
        peak - start,
    ]))  # fmt: skip


def parsed() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(one) for one in text.replace("_", "").split(",")]

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--into", type=numbers, default=[0, 50_000], help="tasks that are there before")
    parser.add_argument("--rows", type=int, default=20_000, help="brought in each time")
    parser.add_argument("--out", type=numbers, default=[10_000, 50_000], help="rows written out")
    parser.add_argument("--on", type=lambda text: text.split(","), default=[ground.SQLITE, ground.POSTGRES])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--export", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--lock", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
