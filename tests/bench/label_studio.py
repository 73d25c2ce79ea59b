"""Label Studio 1.23 beside us: the same comparisons in, the same answers by the same crowds, on the same machine.

    python -m tests.bench.label_studio --venv FOLDER [--install] [--on sqlite,postgresql] [--items 2000] [--seconds 10]

It lives in an environment of its own (`--install` makes it: some 1 GB), never in ours, and is started from its package
as its documentation says (`label-studio start`). Its labeling configuration is the pairwise one of its own templates,
one annotation a task. A step there is `GET next` and `POST annotations`; ours is shown as the same pair of requests and
as submit with the next task in its reply. Every answer that was acknowledged is looked for afterwards. On PostgreSQL it
needs the extension pg_trgm, which the server that tests use does not have: `--postgres` names the folder of one that
has (Debian: /usr/lib/postgresql/15/bin); without it that is said, and ours is measured alone.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.bench import crowd, ground
from tests.servers import postgres
from tests.whole_service import free_port

VERSION = "1.23.0"
CONFIG = (
    '<View><Text name="prompt" value="$prompt"/>'
    '<Pairwise name="comparison" toName="answer1,answer2"/>'
    '<Text name="answer1" value="$answer1"/><Text name="answer2" value="$answer2"/></View>'
)
RESULT = {
    "id": "r", "from_name": "comparison", "to_name": "answer1", "type": "pairwise", "origin": "manual",
    "value": {"selected": "left"},
}  # fmt: skip
CROWDS = (1, 8, 32)
COLUMNS = ["what", "database", "annotators", "answers/s", "p50 ms", "p95 ms", "CPU ms each", "errors", "lost", "twice"]
IN_COLUMNS = ["what", "database", "items", "items/s", "CPU us each"]
SCRIPT = """
import json, os, sys
import label_studio
sys.path.insert(0, os.path.dirname(label_studio.__file__))
os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.label_studio"
import django
django.setup()
"""
MAKE_USERS = """
from organizations.models import Organization
from rest_framework.authtoken.models import Token
from users.models import User
home = Organization.objects.order_by("id").first()
told = []
for n in range(32):
    user = User.objects.create_user(email=f"a{n}@example.com", password="password1234", username=f"a{n}")
    home.add_user(user)
    user.active_organization = home
    user.save()
    token, _ = Token.objects.get_or_create(user=user)
    told.append(token.key)
from jwt_auth.models import JWTSettings
JWTSettings.objects.update(legacy_api_tokens_enabled=True)
print("TOLD" + json.dumps(told))
"""
COUNT = """
from collections import Counter
from tasks.models import Annotation
rows = list(Annotation.objects.filter(project_id=PROJECT).values_list("id", "task_id"))
ids = {key for key, _ in rows}
each = Counter(task for _, task in rows)
told = json.load(open(ANSWERS))
print("TOLD" + json.dumps([sum(one not in ids for one in told), sum(n > 1 for n in each.values())]))
"""


def main() -> int:
    options = parsed()
    python = options.venv / "bin" / "python"
    if options.install and not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(options.venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", f"label-studio=={VERSION}"], check=True)
    assert python.exists(), f"There is no environment at {options.venv}; --install makes one."
    steps: list[list[str]] = []
    brought: list[list[str]] = []
    for vendor in options.on:
        try:
            with theirs(options.venv, vendor, options.postgres) as place:
                brought.append(place.bring_in(options.items))
                for annotators in CROWDS:
                    steps.append(place.throng(annotators, options.seconds, options.items))
        except DoesNotStart as error:
            print(f"Label Studio {VERSION} does not start on {vendor}: {error}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "told.json"
            arguments = ["--ours", str(told), "--items", str(options.items), "--seconds", str(options.seconds)]
            assert ground.run_on(vendor, "tests.bench.label_studio", *arguments) == 0
            ours = json.loads(told.read_text())
            brought += ours["brought"]
            steps += ours["steps"]
    ground.heading(f"Bringing {options.items:,} comparisons in")
    ground.table(IN_COLUMNS, sorted(brought, key=lambda row: row[1]))
    ground.heading("Next and submit, one annotation a task")
    ground.table(COLUMNS, sorted(steps, key=lambda row: (row[1], int(row[2]))))
    return 0


class DoesNotStart(Exception):
    """With the end of its log."""


# --- theirs ----------------------------------------------------------------------------------------


class LabelStudio:
    """A running one."""

    def __init__(
        self, port: int, process: psutil.Process, run: Callable[[str], Any], vendor: str, database: Any
    ) -> None:
        self.port, self.process, self.run, self.vendor, self.database = port, process, run, vendor, database
        self.secrets: list[str] = run(MAKE_USERS)
        self.admin = crowd.Client(port, f"Token {self.secrets[0]}")

    def cpu(self) -> float:
        return ground.cpu_of(self.process) + ground.cpu_of(self.database)

    def project(self) -> int:
        body = {"title": "bench", "label_config": CONFIG, "maximum_annotations": 1, "sampling": "Uniform sampling"}
        status, reply = self.admin.call("POST", "/api/projects/", body)
        assert status == 201, (status, reply)
        return int(reply["id"])

    def items(self, project: int, count: int) -> int:
        """Bring items in, as a client would: one request. How many there are."""
        rows = [{"prompt": f"Question {n}: {ground.PROMPT}", "answer1": f"A {n} {ground.ANSWERS[0]}",
                 "answer2": f"B {n} {ground.ANSWERS[1]}"} for n in range(count)]  # fmt: skip
        status, reply = self.admin.call("POST", f"/api/projects/{project}/import", rows)
        assert status == 201, (status, reply)
        return int(reply["task_count"])

    def bring_in(self, count: int) -> list[str]:
        project = self.project()
        before, began = self.cpu(), time.perf_counter()
        found = self.items(project, count)
        took, cpu = time.perf_counter() - began, self.cpu() - before
        return [
            f"Label Studio {VERSION}",
            self.vendor,
            f"{found:,}",
            f"{found / took:,.0f}",
            f"{cpu / found * 1e6:.0f}",
        ]

    def throng(self, annotators: int, seconds: float, items: int) -> list[str]:
        project = self.project()
        self.items(project, items)
        before = self.cpu()
        tally = crowd.work(annotators, seconds, lambda number: self.step_of(project, number))
        cpu = self.cpu() - before
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(tally.acknowledged, file)
            file.flush()
            lost, twice = self.run(f"PROJECT, ANSWERS = {project}, {file.name!r}\n{COUNT}")
        return row_of(f"Label Studio {VERSION}: next, submit", self.vendor, annotators, tally, cpu, lost, twice)

    def step_of(self, project: int, number: int) -> Callable[[], Any]:
        client = crowd.Client(self.port, f"Token {self.secrets[number]}")

        def step() -> Any:
            status, task = client.call("GET", f"/api/projects/{project}/next")
            if status == 404:
                return None
            assert status == 200, (status, task)
            body = {"result": [RESULT], "lead_time": 1.0}
            status, said = client.call("POST", f"/api/tasks/{task['id']}/annotations/", body)
            assert status == 201, (status, said)
            return said["id"]

        return step


@contextmanager
def theirs(venv: Path, vendor: str, binaries: Path | None) -> Iterator[LabelStudio]:
    folder = Path(tempfile.mkdtemp(prefix="label-studio-bench-"))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "DATABASE", "PYTHON"))},
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder), "COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "DEBUG": "false", "LOG_LEVEL": "ERROR", "SECRET_KEY": "bench",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    }  # fmt: skip
    try:
        if vendor == ground.SQLITE:
            with _started(venv, vendor, folder, environment | {"DJANGO_DB": "sqlite"}, None) as place:
                yield place
            return
        with postgres_of(binaries) if binaries else _wheels() as (socket, postmaster):
            environment |= {
                "DJANGO_DB": "default", "POSTGRE_NAME": "postgres", "POSTGRE_USER": "postgres", "POSTGRE_PASSWORD": "",
                "POSTGRE_HOST": socket, "POSTGRE_PORT": "5432",
            }  # fmt: skip
            with _started(venv, vendor, folder, environment, postmaster) as place:
                yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _wheels() -> Iterator[tuple[str, psutil.Process]]:
    with postgres() as url:
        socket = url.split("?host=")[1]
        yield socket, psutil.Process(int((Path(socket) / "postmaster.pid").read_text().split()[0]))


@contextmanager
def postgres_of(binaries: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server of a system's own packages, with its extensions: where its socket is, and its process."""
    user = "postgres" if os.getuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory(prefix="label-studio-pg-") as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        made: list[str | Path] = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run(made, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        command: list[str | Path] = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="]
        server = subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not (Path(folder) / ".s.PGSQL.5432").exists():
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.2)
            yield folder, psutil.Process(server.pid)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


@contextmanager
def _started(
    venv: Path, vendor: str, folder: Path, environment: dict[str, str], database: psutil.Process | None
) -> Iterator[LabelStudio]:
    port = free_port()
    command = [str(venv / "bin" / "label-studio"), "start", "--no-browser", "--port", str(port), "--username"]
    command += ["admin@example.com", "--password", "password1234", "--data-dir", str(folder), "--log-level", "ERROR"]

    def run(code: str) -> Any:
        script = [str(venv / "bin" / "python"), "-W", "ignore", "-c", SCRIPT + code]
        ran = subprocess.run(script, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        told = [line for line in ran.stdout.splitlines() if line.startswith("TOLD")]
        assert told, ran.stdout[-2000:] + ran.stderr[-4000:]
        return json.loads(told[-1].removeprefix("TOLD"))

    with (folder / "label-studio.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 600  # its migrations take minutes on a busy machine
            client = crowd.Client(port, "")
            while True:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise DoesNotStart(Path(log.name).read_text().strip()[-300:])
                try:
                    if client.call("GET", "/health")[0] == 200:
                        break
                except OSError:
                    client.close()
                time.sleep(1)
            yield LabelStudio(port, psutil.Process(server.pid), run, vendor, database)
        finally:
            if server.poll() is None:
                for process in [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]:
                    process.kill()
            server.wait(30)


# --- ours ------------------------------------------------------------------------------------------


def ours(told: Path, items: int, seconds: float) -> None:
    """The same on Touchstone, in this process's database."""
    ground.prepare()
    from django.db import connection
    from django.db.models import Count

    from feedback.models import Annotation, Assignment, Job, Membership, Person
    from feedback.services.data import imports
    from feedback.services.platform import projects, tokens
    from workers.execution import run_job

    by = Person.objects.create_superuser("bench", "a-long-password-for-tests")
    cast = [Person.objects.create(username=f"a{n}", display_name=f"a{n}", password="!") for n in range(32)]
    secrets = [tokens.create_token(person=one, name="b", scopes=["annotate"])[1] for one in cast]
    brought, steps, number = [], [], 0
    database = ground.postmaster()

    def project_with_items(measure: bool = False) -> Any:
        nonlocal number
        number += 1
        project = projects.open_project(by=by, name="b", slug=f"b-{number}")
        for person in cast:
            projects.set_member(by=by, project=project, person=person, role=Membership.Role.ANNOTATOR)
        rows = (
            json.dumps({
                "prompt": f"Question {n}: {ground.PROMPT}",
                "responses": [f"{side} {n} {text}" for side, text in zip("AB", ground.ANSWERS, strict=True)],
            }).encode() + b"\n"
            for n in range(items)
        )  # fmt: skip
        job = imports.request_import(project=project, by=by, format="touchstone", name="b", chunks=rows)
        before, began = time.process_time() + ground.cpu_of(database), time.perf_counter()
        run_job(job.pk)
        took, cpu = time.perf_counter() - began, time.process_time() + ground.cpu_of(database) - before
        assert Job.objects.get(pk=job.pk).result["new"] == items
        if measure:
            told = ["Touchstone", connection.vendor, f"{items:,}", f"{items / took:,.0f}", f"{cpu / items * 1e6:.0f}"]
            brought.append(told)
        return project

    project_with_items(measure=True)
    with ground.gunicorn() as (port, server):
        for what, steps_of in (("next, submit", crowd.ours_in_pairs), ("submit+next", crowd.ours)):
            for annotators in CROWDS:
                project = project_with_items()
                before = ground.cpu_of(server) + ground.cpu_of(database)
                tally = crowd.work(annotators, seconds, steps_of(port, project.slug, secrets))
                cpu = ground.cpu_of(server) + ground.cpu_of(database) - before
                kept = Annotation.objects.filter(project=project, public_id__in=tally.acknowledged).count()
                counted = Assignment.objects.filter(project=project, counted=True).values("task")
                twice = counted.annotate(n=Count("pk")).filter(n__gt=1).count()
                lost = len(tally.acknowledged) - kept
                steps.append(row_of(f"Touchstone: {what}", connection.vendor, annotators, tally, cpu, lost, twice))
    told.write_text(json.dumps({"brought": brought, "steps": steps}))


def row_of(what: str, vendor: str, annotators: int, tally: crowd.Tally, cpu: float, lost: int, twice: int) -> list[str]:
    for error in tally.errors[:3]:
        print(f"  {what}, {annotators}: {error}", file=sys.stderr)
    number = max(1, len(tally.acknowledged))
    return [
        what, vendor, str(annotators), f"{tally.per_second:.1f}", f"{ground.percentile(tally.took, 0.5) * 1000:.0f}",
        f"{ground.percentile(tally.took, 0.95) * 1000:.0f}", f"{cpu * 1000 / number:.0f}", str(len(tally.errors)),
        str(lost), str(twice),
    ]  # fmt: skip


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--venv", type=Path, help="where Label Studio is, or is to be, installed")
    parser.add_argument("--install", action="store_true", help="make that environment, if it is not there")
    parser.add_argument("--on", type=lambda text: text.split(","), default=[ground.SQLITE, ground.POSTGRES])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--postgres", type=Path, help="folder of a PostgreSQL's programs that has pg_trgm, for theirs")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = parsed()
    if given.ours:
        ours(given.ours, given.items, given.seconds)
    else:
        sys.exit(main())
