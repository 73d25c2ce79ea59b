"""The queue: what the next task and an answer cost as a project grows, and how many a second one machine takes.

    python -m tests.bench.next_task [--sizes 1000,10000,100000] [--on sqlite,postgresql] [--requests 150] [--seconds 5]

In each project all but some hundred tasks are done, half by others and half by the annotator who is measured (who has
answered K = 3 tasks once, so that they still wait for others). Everything goes over HTTP to the service's own gunicorn.
`bare` is a DRF view that reads one row by its key, with the same authentication; `pair` is next and then submit;
`submit+next` brings the next task in the reply. CPU is that of gunicorn and of PostgreSQL's own processes.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.bench import crowd, ground

ROUNDS = 5
PAGES = [
    "/p/{slug}/", "/p/{slug}/data/prompts/", "/p/{slug}/data/tasks/", "/p/{slug}/data/tasks/?state=open",
    "/p/{slug}/quality/annotations/", "/p/{slug}/quality/", "/p/{slug}/data/", "/p/{slug}/desk/",
    "/api/v1/prompts/?project={slug}", "/api/v1/tasks/?project={slug}", "/api/v1/annotations/?project={slug}",
    "/api/v1/preferences/?project={slug}",
]  # fmt: skip


def main() -> int:
    options = parsed()
    if not options.here:
        return max(ground.run_on(vendor, "tests.bench.next_task", *sys.argv[1:], "--here") for vendor in options.on)
    ground.prepare()
    from django.db import connection

    from feedback.models import Membership, Person
    from feedback.services.platform import projects, tokens

    by = Person.objects.create_superuser("bench", "a-long-password-for-tests")
    cast = [Person.objects.create(username=f"a{n}", display_name=f"a{n}", password="!") for n in range(36)]
    secrets = [tokens.create_token(person=one, name="b", scopes=["annotate", "read"])[1] for one in cast]

    def opened(slug: str, **options: Any) -> Any:
        project = projects.open_project(by=by, name=slug, slug=slug, **options)
        for person in cast:
            projects.set_member(by=by, project=project, person=person, role=Membership.Role.ANNOTATOR)
        return project

    rows, pages, largest = [], [], None
    me = cast[0]
    most = options.sizes if connection.vendor == ground.POSTGRES else [n for n in options.sizes if n <= 100_000]
    with ground.gunicorn("tests.bench.bare") as (port, server):
        for size in most:
            for wanted in (1, 3):
                project = opened(f"of-{size}-{wanted}", annotations_per_task=wanted)
                fresh = min(size, 2 * options.requests + 100)
                began = time.perf_counter()
                ground.fill(project, size, wanted=wanted, fresh=fresh, others=cast[1:4], me=me)
                print(f"  filled {size:,} tasks in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
                cost = measured(port, server, project, secrets[0], options.requests)
                rows.append(told(connection.vendor, size, wanted, cost))
                largest = project
        ground.heading(f"Next task and submit on {connection.vendor}, one annotator")
        ground.table(COLUMNS, rows)
        if largest is not None:
            pages = [page(largest, by, path) for path in PAGES]
            ground.heading(f"List pages of a project of {most[-1]:,} tasks on {connection.vendor}")
            ground.table(["page", "status", "p50 ms", "CPU ms", "queries"], pages)
        project = opened("crowd", annotations_per_task=1)
        ground.fill(project, options.open, wanted=1)
        ground.heading(f"Annotators at once on {connection.vendor}, submit+next, K = 1")
        ground.table(crowd_columns(), [throng(port, server, project, secrets, n, options.seconds) for n in (1, 8, 32)])
    return 0


COLUMNS = [
    "database", "tasks", "K", "next p50 ms", "p95", "submit p50", "p95", "submit+next p50", "p95", "bare p50",
    "bare CPU ms", "pair CPU ms", "× bare", "submit+next CPU ms", "× bare",
]  # fmt: skip


def measured(port: int, server: Any, project: Any, secret: str, requests: int) -> dict[str, Any]:
    """Latencies by kind of request, and server CPU by phase, in turns so that a busy machine is busy for all."""
    from feedback.models import Task

    client, database = crowd.Client(port, f"Bearer {secret}"), ground.postmaster()
    key = Task.objects.filter(project=project).order_by("-pk").values_list("public_id", flat=True)[0]
    took: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = act()
        took[name].append((time.perf_counter() - began) * 1000)
        return found

    def phase(name: str, times: int, act: Callable[[], Any]) -> None:
        before = ground.cpu_of(server) + ground.cpu_of(database)
        for _ in range(times):
            act()
        cpu[name].append((ground.cpu_of(server) + ground.cpu_of(database) - before) * 1000 / times)

    def bare() -> None:
        status, _ = client.call("GET", f"/bare/{key}/")
        assert status == 200, status

    def pair() -> None:
        task = timed("next", lambda: crowd.next_task(client, project.slug))
        timed("submit", lambda: crowd.submit(client, task["id"]))

    held: dict[str, Any] = {}

    def together() -> None:
        task = held.pop("task", None) or crowd.next_task(client, project.slug)
        held["task"] = timed("submit+next", lambda: crowd.submit(client, task["id"], bring_next=True))["next"]

    for _ in range(24):  # every thread of every process has its connection and its imports
        bare()
    for _ in range(ROUNDS):
        times = requests // ROUNDS
        phase("bare", times, lambda: timed("bare", bare))
        if held:
            crowd.submit(client, held.pop("task")["id"])
        phase("pair", times, pair)
        held["task"] = crowd.next_task(client, project.slug)
        phase("submit+next", times, together)
    client.close()
    return {"took": took, "cpu": {name: ground.middle(values) for name, values in cpu.items()}}


def told(vendor: str, size: int, wanted: int, cost: dict[str, Any]) -> list[str]:
    took, cpu = cost["took"], cost["cpu"]
    row = [vendor, f"{size:,}", str(wanted)]
    for name in ("next", "submit", "submit+next"):
        row += [f"{ground.percentile(took[name], share):.1f}" for share in (0.5, 0.95)]
    row.append(f"{ground.percentile(took['bare'], 0.5):.1f}")
    row.append(f"{cpu['bare']:.2f}")
    for name in ("pair", "submit+next"):
        row += [f"{cpu[name]:.2f}", f"{cpu[name] / cpu['bare']:.1f}"]
    return row


def crowd_columns() -> list[str]:
    return ["annotators", "submits/s", "p50 ms", "p95 ms", "longest ms", "CPU ms each", "errors", "lost", "twice"]


def throng(port: int, server: Any, project: Any, secrets: list[str], annotators: int, seconds: float) -> list[str]:
    from django.db.models import Count

    from feedback.models import Annotation, Assignment

    database = ground.postmaster()
    before = ground.cpu_of(server) + ground.cpu_of(database)
    tally = crowd.work(annotators, seconds, crowd.ours(port, project.slug, secrets[-annotators:]))
    cpu = ground.cpu_of(server) + ground.cpu_of(database) - before
    number = max(1, len(tally.acknowledged))
    kept = Annotation.objects.filter(project=project, public_id__in=tally.acknowledged).count()
    counted = Assignment.objects.filter(project=project, counted=True).values("task").annotate(n=Count("pk"))
    return [
        str(annotators), f"{tally.per_second:.0f}", f"{ground.percentile(tally.took, 0.5) * 1000:.0f}",
        f"{ground.percentile(tally.took, 0.95) * 1000:.0f}", f"{max(tally.took, default=0.0) * 1000:.0f}",
        f"{cpu * 1000 / number:.1f}", str(len(tally.errors)),
        str(len(tally.acknowledged) - kept), str(counted.filter(n__gt=1).count()),
    ]  # fmt: skip


def page(project: Any, by: Any, path: str) -> list[str]:
    """What a page costs an admin, in this process."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="localhost")
    client.force_login(by)
    path = path.format(slug=project.slug)
    took, cpu = [], []
    client.get(path)
    for _ in range(3):
        began, used = time.perf_counter(), ground.cpu_of(ground.postmaster()) + time.process_time()
        reply = client.get(path)
        took.append((time.perf_counter() - began) * 1000)
        cpu.append((ground.cpu_of(ground.postmaster()) + time.process_time() - used) * 1000)
    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    slow = [query for query in queries if float(query["time"]) > 0.1]
    for query in slow:
        print(f"  slow, {query['time']} s on {path}: {query['sql'][:600]}", file=sys.stderr, flush=True)
    return [path, str(reply.status_code), f"{ground.middle(took):.0f}", f"{ground.middle(cpu):.0f}", str(len(queries))]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=_numbers, default=[1000, 10_000])
    parser.add_argument("--on", type=lambda text: text.split(","), default=[ground.SQLITE, ground.POSTGRES])
    parser.add_argument("--requests", type=int, default=150, help="of each kind")
    parser.add_argument("--open", type=int, default=10_000, help="tasks for the crowd")
    parser.add_argument("--seconds", type=float, default=5, help="that each crowd works")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.replace("_", "").split(",")]


if __name__ == "__main__":
    sys.exit(main())
