"""A table of somebody else's, imported by a mapping: rows a second, mapping and checks included.

python -m tests.bench.mapped_import [--rows 100000] [--on sqlite,postgresql]
"""

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.bench import ground

COLUMNS = ["database", "file", "rows", "MB", "dry run rows/s", "CPU us each", "import rows/s", "CPU us each"]
LABELS = ("negative", "neutral", "positive")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--on", type=lambda names: names.split(","), default=[ground.SQLITE])
    parser.add_argument("--here", action="store_true")
    options = parser.parse_args()
    if not options.here:
        return max(ground.run_on(vendor, "tests.bench.mapped_import", *sys.argv[1:], "--here") for vendor in options.on)
    ground.prepare()
    from feedback.models import Person
    from feedback.services.platform import projects

    by = Person.objects.create_superuser("bench", "a-long-password-for-tests")
    scheme = {"sentiment": {"kind": "classification", "labels": [{"name": name} for name in LABELS]}}
    measured = []
    for name, rows in (("labeled reviews", reviews), ("comparisons", comparisons), ("questions", questions)):
        project = projects.open_project(by=by, name=name, slug=name.replace(" ", "-"), label_scheme=scheme)
        measured.append(bring_in(project, by, name, list(rows(options.rows))))
    ground.heading("Tables imported by a mapping")
    ground.table(COLUMNS, measured)
    return 0


def reviews(count: int) -> Iterator[list[str]]:
    yield ["review_id", "body", "stars", "worker"]
    for number in range(count):
        text = f"Review {number}: {ground.ANSWERS[number % 2]}"
        yield [f"r{number}", text, str(number % 5 + 1), f"w{number % 7}"]


def comparisons(count: int) -> Iterator[list[str]]:
    yield ["id", "question", "gpt_output", "llama_output", "winner"]
    for number in range(count):
        one, other = f"One to {number}. {ground.ANSWERS[0]}", f"Two to {number}. {ground.ANSWERS[1]}"
        yield [f"c{number}", f"Question {number}: {ground.PROMPT}", one, other, ("gpt_output", "tie")[number % 2]]


def questions(count: int) -> Iterator[list[str]]:
    yield ["nr", "frage", "kanal"]
    for number in range(count):
        yield [f"q{number}", f"Question {number}: {ground.PROMPT}", "mail"]


def bring_in(project: Any, by: Any, name: str, rows: list[list[str]]) -> list[str]:
    from django.db import connection

    from feedback.models import Job
    from feedback.services.data import imports
    from workers.execution import run_job

    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";").writerows(rows)
    content, count = out.getvalue().encode("cp1252"), len(rows) - 1
    speeds = []
    for dry_run in (True, False):
        job = imports.request_import(
            project=project, by=by, format="auto", name="b.csv", chunks=[content], dry_run=dry_run
        )
        began, cpu = time.perf_counter(), time.process_time()
        run_job(job.pk)
        speeds += [f"{count / (time.perf_counter() - began):,.0f}", f"{(time.process_time() - cpu) / count * 1e6:.0f}"]
        job = Job.objects.get(pk=job.pk)
        assert (job.status, job.result["new"]) == ("succeeded", count), (job.error, job.result)
        assert job.result["answers"] in (0, count), job.result
    return [connection.vendor, name, f"{count:,}", f"{len(content) / 2**20:.0f}", *speeds]


if __name__ == "__main__":
    sys.exit(main())
