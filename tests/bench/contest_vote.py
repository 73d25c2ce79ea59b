"""What a vote in a contest costs more than an ordinary annotation, and its task more than an ordinary one.

    python -m tests.bench.contest_vote [--votes 200] [--on sqlite,postgresql]

One annotator takes and judges tasks over the REST API in this process, of the contest and of the ordinary queue as the
contest's share of one half gives them. Printed are wall milliseconds and CPU milliseconds of this process, medians,
for each kind, with the number of SQL statements. The contest is in the middle of its way: its evidence is folded with
every vote.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.bench import ground

KINDS = ("ordinary", "contest")


def measure(votes: int) -> dict[tuple[str, str], list[tuple[float, float, int]]]:
    """By kind of task and request: wall ms, CPU ms and statements of each."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from rest_framework.test import APIClient

    from feedback.models import Assignment, Person
    from feedback.services.platform import projects, tokens
    from tests.evaluation import blindness_world

    by = Person.objects.create_superuser("bench", "a-long-password-for-tests")
    project = projects.open_project(by=by, name="Bench", slug="bench")
    world = blindness_world.open_world(project, by, alike=True, annotators=3)
    me = world.annotators[0]
    secret = tokens.create_token(person=me, name="b", scopes=["annotate", "read"])[1]
    client = APIClient(SERVER_NAME="localhost")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    found: dict[tuple[str, str], list[tuple[float, float, int]]] = defaultdict(list)

    def timed(act: Callable[[], Any]) -> tuple[Any, tuple[float, float, int]]:
        with CaptureQueriesContext(connection) as queries:
            began, used = time.perf_counter(), time.process_time()
            reply = act()
            took = (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000
        return reply, (*took, len(queries))

    for number in range(4 * votes):
        if min(len(found[kind, "vote"]) for kind in KINDS) >= votes:
            break
        if number % 8 == 0:
            world.stock()
        reply, cost_of_next = timed(lambda: client.post("/api/v1/tasks/next/", {"project": "bench"}, format="json"))
        assert reply.status_code == 200, reply.content
        key = reply.json()["id"]
        body = {"answer": {"outcome": "prefer", "choice": "ab"[number % 2], "strength": 1}, "seconds": 1.0}
        path, headers = f"/api/v1/assignments/{key}/submit/", {"Idempotency-Key": key}
        sent, cost_of_vote = timed(lambda: client.post(path, body, format="json", headers=headers))  # noqa: B023
        assert sent.status_code == 201, sent.content
        of_contest = Assignment.objects.filter(public_id=key, task__contest__isnull=False).exists()
        found[KINDS[of_contest], "next"].append(cost_of_next)
        found[KINDS[of_contest], "vote"].append(cost_of_vote)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--votes", type=int, default=200)
    parser.add_argument("--on", type=lambda text: text.split(","), default=[ground.SQLITE])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.here:
        return max(ground.run_on(vendor, "tests.bench.contest_vote", *sys.argv[1:], "--here") for vendor in options.on)
    ground.prepare()
    from django.db import connection

    found = measure(options.votes)
    rows = []
    for request in ("next", "vote"):
        medians = {}
        for kind in KINDS:
            costs = list(zip(*found[kind, request], strict=True))
            medians[kind] = [ground.middle(costs[0]), ground.middle(costs[1])]
            row = [request, kind, str(len(costs[0])), *(f"{one:.2f}" for one in medians[kind])]
            rows.append([*row, f"{ground.middle(costs[2]):.0f}"])
        more = [f"{ours - theirs:+.2f}" for ours, theirs in zip(medians["contest"], medians["ordinary"], strict=True)]
        rows.append([request, "difference", "", *more, ""])
    ground.heading(f"What a vote in a contest costs on {connection.vendor}")
    ground.table(["request", "task", "number", "wall ms", "CPU ms", "statements"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
