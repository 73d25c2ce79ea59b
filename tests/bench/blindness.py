"""Blindness attacked: what can be learned from everything that annotators receive about tasks of a contest.

    python -m tests.bench.blindness [--tasks 2000] [--alike | --different] [--leak milliseconds]

Eight annotators work in turns over HTTP on the service's own gunicorn, on a database and with a broker of their own:
half with a token, half as the desk's script does. All replies are kept: bodies, headers, pages, times. Two classifiers
then guess, for tasks that they were not trained on, which side the candidate stands on, and which tasks belong to the
contest. Printed are their AUC (0.5: nothing can be learned) and the columns that tell most. `--alike`: the candidate
writes as the incumbent does, and the texts stay in. `--different`: it writes in other words and longer, and the texts
are taken out. `--leak` adds so many milliseconds to what was measured of contest tasks, to see that the attack notices.
"""

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench import ground

SEEN = ("candidate side", "contest task")


class OverHttp:
    """Entrance by HTTP: a connection, a session and a token for each annotator."""

    def __init__(self, port: int, sessions: list[str], tokens: list[str]) -> None:
        self.connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in sessions]
        self.sessions, self.tokens = sessions, tokens

    def __call__(self, person: int, name: str, method: str, path: str, body: Any = None, key: str = "") -> Any:
        from tests.evaluation.blindness_attack import Receipt

        headers = {"Content-Type": "application/json"}
        if path.startswith("/api/"):
            headers["Authorization"] = f"Bearer {self.tokens[person]}"
        else:
            csrf = "a" * 32
            headers |= {"Cookie": f"sessionid={self.sessions[person]}; csrftoken={csrf}", "X-CSRFToken": csrf}
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body)
        try:
            reply, raw, took = self._exchange(person, method, path, data, headers)
        except (http.client.RemoteDisconnected, ConnectionError):  # idle for too long, while others waited for a CPU
            self.connections[person].close()  # the next request opens it again; one with a key may be repeated
            reply, raw, took = self._exchange(person, method, path, data, headers)
        return Receipt(name, reply.status, dict(reply.getheaders()), raw.decode(), took)

    def _exchange(
        self, person: int, method: str, path: str, data: str | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes, float]:
        connection = self.connections[person]
        began = time.perf_counter()
        connection.request(method, path, data, headers)
        reply = connection.getresponse()
        raw = reply.read()
        return reply, raw, (time.perf_counter() - began) * 1000


def attack(alike: bool, tasks: int, leak: float) -> list[list[str]]:
    from django.test import Client

    from feedback.models import Person
    from feedback.services.platform import projects, tokens
    from tests.evaluation import blindness_attack, blindness_world

    slug = "alike" if alike else "different"
    by = Person.objects.create_superuser(f"bench-{slug}", "a-long-password-for-tests")
    project = projects.open_project(by=by, name=slug, slug=slug)
    world = blindness_world.open_world(project, by, alike=alike)
    sessions, secrets = [], []
    for person in world.annotators:
        client = Client()
        client.force_login(person)
        sessions.append(client.cookies["sessionid"].value)
        secrets.append(tokens.create_token(person=person, name="b", scopes=["annotate", "read"])[1])
    with ground.gunicorn() as (port, _):
        dossiers = blindness_world.visit(world, OverHttp(port, sessions, secrets), tasks)
    for dossier in dossiers:
        if dossier.of_contest and leak:
            dossier.receipts = [replace(one, took=one.took + leak) for one in dossier.receipts]
    found = blindness_world.tables(dossiers, texts=alike)
    rows = []
    cases = [(found.sides, found.candidate_first), (found.rows, found.of_contest)]
    for what, (table, truth) in zip(SEEN, cases, strict=True):
        reached = blindness_attack.auc_of(table, truth)
        telling = blindness_attack.most_telling(table, truth)
        for name, auc in telling:
            print(f"  {slug}, {what}: {name} {auc:.3f}", file=sys.stderr)
        share = sum(truth) / len(truth)
        rows.append([slug, what, str(len(truth)), f"{share:.3f}", *(f"{reached[one]:.3f}" for one in reached)])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=2000, help="of the contest; about as many others come along")
    parser.add_argument("--alike", action="store_true")
    parser.add_argument("--different", action="store_true")
    parser.add_argument("--leak", type=float, default=0.0, help="milliseconds added to contest tasks")
    parser.add_argument("--on", default=ground.SQLITE)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.here:
        from tests.servers import valkey

        with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as url:
            os.environ["REDIS_URL"] = url
            return ground.run_on(options.on, "tests.bench.blindness", *sys.argv[1:], "--here")
    ground.prepare()
    both = options.alike == options.different
    rows = []
    for alike in (True, False):
        if both or options.alike == alike:
            rows += attack(alike, options.tasks, options.leak)
    ground.heading("Blindness attacked")
    ground.table(["models", "label", "tasks", "share", "AUC linear", "AUC trees"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
