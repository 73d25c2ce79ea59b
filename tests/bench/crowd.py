"""Annotators as threads that answer over HTTP as fast as they are served, on any service that is told how."""

import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Client:
    """One annotator's connection, kept open."""

    def __init__(self, port: int, authorization: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"Authorization": authorization, "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, body)."""
        sent = {**self.headers, **headers}
        self.connection.request(method, path, None if body is None else json.dumps(body), sent)
        reply = self.connection.getresponse()
        raw = reply.read()
        return reply.status, json.loads(raw) if raw[:1] in (b"{", b"[") else None

    def close(self) -> None:
        self.connection.close()


ANSWER = {"outcome": "prefer", "choice": "a", "strength": 2}


def next_task(client: Client, project: str) -> Any:
    """An assignment, or None when there is nothing."""
    status, reply = client.call("POST", "/api/v1/tasks/next/", {"project": project})
    assert status in (200, 204), (status, reply)
    return reply


def submit(client: Client, assignment: str, bring_next: bool = False) -> Any:
    body = {"answer": ANSWER, "seconds": 1.0} | ({"next": True} if bring_next else {})
    path = f"/api/v1/assignments/{assignment}/submit/"
    status, reply = client.call("POST", path, body, **{"Idempotency-Key": str(uuid.uuid4())})
    assert status == 201, (status, reply)
    return reply


@dataclass
class Tally:
    """What a crowd did: acknowledged answers (whatever names them), seconds of each, errors."""

    seconds: float = 0.0
    acknowledged: list[Any] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.acknowledged) / self.seconds


def work(annotators: int, seconds: float, step_of: Callable[[int], Callable[[], Any]]) -> Tally:
    """`step_of(n)` makes annotator n's step: it answers one task and returns what names the answer, None when there is
    nothing left. Everybody steps until the time is over."""
    tally, lock, begin = Tally(), threading.Lock(), threading.Barrier(annotators + 1)
    end = [0.0]

    def one(number: int) -> None:
        step = step_of(number)
        begin.wait()
        while time.perf_counter() < end[0]:
            began = time.perf_counter()
            try:
                said = step()
            except (AssertionError, OSError, http.client.HTTPException, KeyError) as error:
                with lock:
                    tally.errors.append(f"{type(error).__name__}: {error}"[:300])
                if len(tally.errors) > 100:
                    return
                continue
            if said is None:
                return
            with lock:
                tally.acknowledged.append(said)
                tally.took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=one, args=[number], daemon=True) for number in range(annotators)]
    for thread in threads:
        thread.start()
    end[0] = time.perf_counter() + seconds
    begin.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join(seconds + 120)
    tally.seconds = time.perf_counter() - began
    return tally


def ours(port: int, project: str, secrets: list[str]) -> Callable[[int], Callable[[], Any]]:
    """Steps on Touchstone: submit, with the next task in the same reply."""

    def step_of(number: int) -> Callable[[], Any]:
        client = Client(port, f"Bearer {secrets[number]}")
        held: list[Any] = [None]

        def step() -> Any:
            task = held[0] or next_task(client, project)
            if task is None:
                return None
            reply = submit(client, task["id"], bring_next=True)
            held[0] = reply["next"]
            return reply["annotation"]

        return step

    return step_of


def ours_in_pairs(port: int, project: str, secrets: list[str]) -> Callable[[int], Callable[[], Any]]:
    """Steps on Touchstone: ask for a task, then submit."""

    def step_of(number: int) -> Callable[[], Any]:
        client = Client(port, f"Bearer {secrets[number]}")

        def step() -> Any:
            task = next_task(client, project)
            return submit(client, task["id"])["annotation"] if task else None

        return step

    return step_of
