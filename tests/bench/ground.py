"""What the benchmarks of the service stand on: a database of their own, many rows made by statements, the CPU that
server processes used, and tables to print.

Wall time on a busy machine says little; CPU seconds of the server's processes, and ratios of two things measured side
by side, say more. Both are printed.
"""

import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from tests.servers import postgres
from tests.whole_service import ROOT, free_port

SQLITE, POSTGRES = "sqlite", "postgresql"
PROMPT = "my router is slow since Tuesday. " + "What can I do about it? " * 8
ANSWERS = ("Restart it. " * 30, "Wait a day. " * 30)


# --- where it runs ---------------------------------------------------------------------------------


def run_on(vendor: str, module: str, *arguments: str) -> int:
    """Run a benchmark's module again as a process on a database of its own, which is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="touchstone-bench-")
    environment = {**os.environ, "DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "feedback.settings"}
    environment |= {"SECRET_KEY": "bench", "LOG_LEVEL": "ERROR", "THROTTLE_TOKEN": "1000000000/min"}
    environment |= {"THROTTLE_CPU_SECONDS": "1000000", "THROTTLE_ADDRESS": "1000000/min"}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", module, *arguments]
    try:
        if vendor == SQLITE:
            return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
        with postgres() as url:
            return subprocess.run(command, env=environment | {"DATABASE_URL": url}, cwd=ROOT, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare() -> None:
    """Django, with every table there and nobody knocking at a broker."""
    import django

    django.setup()
    from django.core.management import call_command

    from feedback import celery_app

    call_command("migrate", verbosity=0)
    celery_app.app.send_task = lambda *args, **options: None


@contextmanager
def gunicorn(urls: str = "") -> Iterator[tuple[int, psutil.Process]]:
    """The service's own gunicorn on this process's database: its port and process. `urls` replaces its paths."""
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "BENCH_URLS": urls}
    command = [sys.executable, "-m", "gunicorn", "--config", "python:feedback.runtime.gunicorn_config"]
    command += ["--bind", f"127.0.0.1:{port}", "tests.bench.wsgi:application"]
    with (Path(os.environ["DATA_DIR"]) / "gunicorn.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        try:
            from tests.servers import answers

            deadline = time.monotonic() + 60
            while not answers(port):
                assert time.monotonic() < deadline and server.poll() is None, Path(log.name).read_text()
                time.sleep(0.1)
            yield port, psutil.Process(server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


# --- CPU -------------------------------------------------------------------------------------------


def postmaster() -> psutil.Process | None:
    """PostgreSQL's main process, where this process's database is one."""
    from django.db import connection

    if connection.vendor != POSTGRES:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        folder = Path(cursor.fetchone()[0])
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


def cpu_of(process: psutil.Process | None) -> float:
    """CPU seconds of a process and all its children, also of those that have ended."""
    if process is None:
        return 0.0
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += sum(times[:4])  # user, system, and both of children that were waited for
    return total


# --- rows by statements ----------------------------------------------------------------------------


def fill(project: Any, count: int, *, wanted: int, fresh: int = 0, others: Any = None, me: Any = None) -> None:
    """`count` open comparisons with prompts and responses, in the order of chance that a queue has.

    All but the last `fresh` of that order have been done before, half of them by `others` (K people, in full), half by
    `me` (one answer, so that for K > 1 they still wait for others), and my cursor stands behind them.
    """
    from django.db import connection, transaction

    from feedback.models import Annotation, Assignment, PreferencePair, Prompt, QueueCursor, Response, Task
    from feedback.models import TaskResponse as Placed
    from feedback.rules.collection.pairing import CHANCE_BITS

    sqlite = connection.vendor == SQLITE
    uuid = "lower(hex(randomblob(16)))" if sqlite else "gen_random_uuid()"
    chance = f"abs(random() % {1 << CHANCE_BITS})" if sqlite else f"floor(random() * {1 << CHANCE_BITS})::bigint"
    json = "" if sqlite else "::jsonb"
    key = project.pk
    with transaction.atomic(), connection.cursor() as cursor:
        if not sqlite:
            cursor.execute("SET session_replication_role = replica")  # the keys are right: no look at each of them
        starts = {}
        for model in (Prompt, Response, Task, Assignment, Annotation):
            cursor.execute(f"SELECT coalesce(max(id), 0) FROM {model._meta.db_table}")
            starts[model] = cursor.fetchone()[0]
        prompt, response, task = starts[Prompt], starts[Response], starts[Task]
        numbers = f"(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) SELECT n FROM n)"
        if not sqlite:
            numbers = f"(SELECT n FROM generate_series(1, {count}) n)"
        rows = f"FROM {numbers} n"
        told = f"""('[{{"role": "user", "content": "Question ' || n || ': {PROMPT}"}}]'){json}"""
        family = "lower(hex(randomblob(32)))" if sqlite else "md5(n::text) || md5((n + 1)::text)"
        _insert(cursor, Prompt, rows, project, {
            "id": f"{prompt} + n", "public_id": uuid, "messages": told, "family": family, "split": "'train'",
            "external_id": f"'fill-{prompt}-' || n", "state": "'ready'",
        })  # fmt: skip
        for place, text in enumerate(ANSWERS):
            _insert(cursor, Response, rows, project, {
                "id": f"{response} + {2} * n - {1 - place}", "public_id": uuid, "prompt_id": f"{prompt} + n",
                "text": f"'Answer {place} to ' || n || ': {text}'", "model_name": "'bench'",
            })  # fmt: skip
        _insert(cursor, Task, rows, project, {
            "id": f"{task} + n", "public_id": uuid, "kind": "'comparison'", "prompt_id": f"{prompt} + n",
            "annotations_wanted": str(wanted), "free_slots": str(wanted),
            "queue_key": f"{9 << CHANCE_BITS} + {chance}", "external_id": f"'fill-{task}-' || n",
        })  # fmt: skip
        for place in (0, 1):
            _insert(cursor, Placed, rows, None, {
                "task_id": f"{task} + n", "response_id": f"{response} + 2 * n - {1 - place}", "position": str(place),
            })  # fmt: skip
        if others:
            cursor.execute(
                "SELECT queue_key FROM feedback_task WHERE project_id = %s ORDER BY queue_key LIMIT 1 OFFSET %s",
                [key, max(0, count - fresh)],
            )
            edge = cursor.fetchone()[0]
            done = f"FROM feedback_task t WHERE t.id > {task} AND t.queue_key < {edge} AND t.id % 2 = "
            people = [*[(person, slot, 0) for slot, person in enumerate(others[:wanted], 1)], (me, 1, 1)]
            for person, slot, odd in people:
                start = {}
                for model in (Assignment, Annotation):
                    cursor.execute(f"SELECT coalesce(max(id), 0) FROM {model._meta.db_table}")
                    start[model] = cursor.fetchone()[0]
                held, said = (f"{start[model]} + t.id - {task}" for model in (Assignment, Annotation))
                first, second = (f"{response} + 2 * (t.id - {task}) - {one}" for one in (1, 0))
                now = "'2026-01-01 00:00:00'" if sqlite else "'2026-01-01 00:00:00+00'::timestamptz"
                order = f"('[' || ({first}) || ', ' || ({second}) || ']'){json}"
                _insert(cursor, Assignment, done + str(odd), project, {
                    "id": held, "public_id": uuid, "task_id": "t.id", "annotator_id": str(person.pk),
                    "state": "'submitted'", "slot": str(slot), "order": order, "held_until": now, "counted": "true",
                    "current_id": said, "created_at": now,
                })  # fmt: skip
                payload = f"""('{{"outcome": "tie", "dimensions": {{}}, "reason": ""}}'){json}"""
                _insert(cursor, Annotation, done + str(odd), project, {
                    "id": said, "public_id": uuid, "task_id": "t.id", "assignment_id": held,
                    "annotator_id": str(person.pk), "kind": "'comparison'", "payload": payload, "created_at": now,
                })  # fmt: skip
            cursor.execute(
                f"UPDATE feedback_task SET free_slots = 0, state = 'settled' WHERE id > {task} AND queue_key < {edge}"
                " AND id % 2 = 0"
            )
            left = f"free_slots = {wanted - 1}, state = '{'open' if wanted > 1 else 'settled'}'"
            cursor.execute(f"UPDATE feedback_task SET {left} WHERE id > {task} AND queue_key < {edge} AND id % 2 = 1")
            QueueCursor.objects.update_or_create(
                project=project, annotator=me, kind="", defaults={"queue_key": edge - 1, "epoch": project.queue_epoch}
            )
    with connection.cursor() as cursor:
        _mend(cursor, [Prompt, Response, Task, Assignment, Annotation, PreferencePair])


def _insert(cursor: Any, model: Any, rows: str, project: Any, given: dict[str, str]) -> None:
    """INSERT … SELECT with an expression for each given column; all others have their field's default."""
    from django.db import connection

    from feedback.db.bulk_writer import Writer

    constant = {"project_id": project.pk} if project is not None else {}
    writer = Writer(model, list(given), **constant)
    quote = connection.ops.quote_name
    columns = [quote(str(field.column)) for field in [*writer.varying, *writer.others]]
    places = ["%s"] * len(writer.constants)
    cursor.execute(
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)})"
        f" SELECT {', '.join([*(one.replace('%', '%%') for one in given.values()), *places])}"
        f" {rows.replace('%', '%%')}",
        writer.constants,
    )


def _mend(cursor: Any, models: Sequence[Any]) -> None:
    """Counters behind the keys that were given, and statistics for the planner."""
    from django.db import connection

    if connection.vendor == SQLITE:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.execute("ANALYZE")
        return
    for model in models:
        table = model._meta.db_table
        cursor.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {table}))"
        )
    cursor.execute("SET session_replication_role = DEFAULT")
    cursor.execute("VACUUM ANALYZE")
    cursor.execute("CHECKPOINT")


# --- figures ---------------------------------------------------------------------------------------


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def heading(text: str) -> None:
    load = os.getloadavg()[0]
    print(
        f"\n## {text}\n\n{date.today()}, {os.cpu_count()} cores, {platform.python_version()}, load {load:.1f}\n",
        flush=True,
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table in Markdown."""
    told = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *told, strict=True)]
    for row in (columns, ["-" * width for width in widths], *told):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print(flush=True)
