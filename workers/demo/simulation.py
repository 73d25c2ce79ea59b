"""Annotators who are not there, at work: they take tasks over HTTP, judge by the text alone, and submit.

Each simulated person is a thread with a token and a connection of its own, and sees nothing but what the service shows
to an annotator: the prompt and the responses by letter. What was acknowledged is written down by the crowd itself, so
that what the service holds can be checked against it, whatever was killed meanwhile.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import TypedDict

from workers.demo.annotators import Annotator, Judgment, crowd
from workers.demo.client import Refused, Service
from workers.demo.world import parse_prompt

LOOK_AGAIN = 0.5  # seconds between two looks at an empty queue
PATIENCE = 5.0  # seconds until what one has taken is left to those who may do it
LETTERS = ("a", "b")


class ShownResponse(TypedDict):
    """A response of a task, by letter."""

    letter: str
    text: str


class ShownTask(TypedDict, total=False):
    """What the service shows of a task to whoever holds it, as far as it is read here."""

    id: str
    prompt: list[dict[str, str]]
    responses: list[ShownResponse]
    dimensions: list[str]
    asks_reason: bool


class ComparisonAnswer(TypedDict, total=False):
    """An answer as the service takes it. `choice` and `strength` are there where one response is preferred."""

    outcome: str
    choice: str
    strength: int
    dimensions: dict[str, str]
    reason: str


class Submitted(TypedDict, total=False):
    """The reply to an answer: its id, whether it is one of the K, and the next task."""

    annotation: str
    counted: bool
    next: ShownTask | None


class Summary(TypedDict):
    """What a crowd did. `counted_unknown` are answers whose reply was lost."""

    comparisons: int
    wanted: int
    counted: int
    extra: int
    counted_unknown: int
    skipped: int
    seconds: float
    per_second: float | None
    outcomes: dict[str, int]
    by_annotator: dict[str, int]
    retries: int


@dataclass(frozen=True)
class Faults:
    """How many of a crowd are bad at it, and in which way."""

    noise: float = 0.0
    spammers: int = 0
    inverters: int = 0
    left_leaners: int = 0
    length_lovers: int = 0

    def crowd(self, n: int, seed: int) -> list[Annotator]:
        """``n`` annotators: the faulty ones last, the others careful, up to ``noise``."""
        faulty = [Annotator(spammer=True)] * self.spammers
        faulty += [Annotator(inverter=True)] * self.inverters
        faulty += [Annotator(left_lean=1.5)] * self.left_leaners
        faulty += [Annotator(length_love=0.15)] * self.length_lovers
        return crowd(n, seed, faulty, self.noise)


@dataclass(frozen=True)
class Acknowledged:
    """An answer the service stated it has.

    Attributes:
        annotator, annotation, assignment: who gave it, and its public ids.
        counted: one of the K; None when a lost reply left it unknown.
        prompt, texts: what was shown, texts by letter.
        outcome: a, b, tie or both_bad.
    """

    annotator: str
    annotation: str
    assignment: str
    counted: bool | None
    prompt: str
    texts: Mapping[str, str]
    outcome: str


class Collection:
    """How many comparisons are wanted, who waits, and what was acknowledged. Shared by a crowd's threads.

    Args:
        wanted: acknowledged comparisons after which everybody stops.
        record: a file that every acknowledgement is appended to, one JSON object a line.

    Attributes:
        called: while it is not set, nobody takes anything up: people come when there is something to do.
        pace: seconds that everybody spends on a task at least.
    """

    def __init__(self, wanted: int, record: Path | None = None) -> None:
        self.wanted = wanted
        self.answers: list[Acknowledged] = []
        self.skipped = 0
        self.stop = threading.Event()
        self.called = threading.Event()
        self.called.set()
        self.pace = 0.0
        self._lock = threading.Condition()
        self._taken = 0
        self._parked = 0
        self._waiting: set[str] = set()
        self._file = record.open("a", encoding="utf-8") if record else None

    def take_one(self) -> bool:
        """One more to be judged, if more are wanted than are taken. What is taken is judged or given back."""
        with self._lock:
            if self._taken >= self.wanted or self.stop.is_set():
                return False
            self._taken += 1
            return True

    def wait_for_one(self) -> bool:
        """One more, when somebody who took it gives it back, since they have seen all that is left; or the end."""
        with self._lock:
            self._parked += 1
            try:
                while len(self.answers) < self.wanted and not self.stop.is_set():
                    if self._taken < self.wanted:
                        self._taken += 1
                        return True
                    self._lock.wait(LOOK_AGAIN)
                return False
            finally:
                self._parked -= 1

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1
            self._lock.notify()

    def acknowledge(self, answer: Acknowledged) -> None:
        with self._lock:
            self.answers.append(answer)
            if self._file:
                self._file.write(json.dumps(asdict(answer)) + "\n")
                self._file.flush()
            self._lock.notify_all()

    def skip(self) -> None:
        with self._lock:
            self.skipped += 1

    def until_called(self) -> None:
        """Wait while nobody is called, or until all are to stop."""
        while not self.stop.is_set() and not self.called.wait(LOOK_AGAIN):
            pass

    def waits(self, name: str, waiting: bool) -> None:
        with self._lock:
            (self._waiting.add if waiting else self._waiting.discard)(name)

    @property
    def waiting(self) -> int:
        """How many find nothing to do at the moment."""
        return len(self._waiting)

    @property
    def parked(self) -> int:
        """How many have nothing to do unless somebody gives one back."""
        return self._parked

    def close(self) -> None:
        if self._file:
            self._file.close()


class Worker(threading.Thread):
    """One simulated person at the desk.

    Args:
        annotator: how they judge.
        service: their connection, with their token.
        project: public id or short name.
        collection: what is wanted, and where answers are written down.
        seconds_per_task: mean time spent on a task, s; 0 is as fast as the service answers.
        idle: how long an empty queue is looked at before they leave, s.
    """

    def __init__(
        self,
        annotator: Annotator,
        service: Service,
        project: str,
        collection: Collection,
        *,
        seconds_per_task: float = 0.0,
        idle: float = 60.0,
    ) -> None:
        super().__init__(name=annotator.name, daemon=True)
        self.annotator, self.service, self.project, self.collection = annotator, service, project, collection
        self.seconds_per_task, self.idle = seconds_per_task, idle
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - determined by `collect`, in the thread that waits for all
            self.failure = error
            self.collection.stop.set()
        finally:
            self.collection.waits(self.name, False)
            self.service.close()

    def _work(self) -> None:
        """Take, judge, send; the reply to an answer brings the next task."""
        given: ShownTask | None = None
        more = self.collection.take_one()
        while more:
            if given is None:
                self.collection.until_called()
            shown = given or self._next()
            if shown is None:
                self.collection.give_back()
                return
            prompt = shown["prompt"][-1]["content"]
            texts = {response["letter"]: response["text"] for response in shown["responses"]}
            if parse_prompt(prompt) is None or tuple(sorted(texts)) != LETTERS:
                self._skip(shown)  # left to people, who know more of the world
                given = None
                continue
            judged = self.annotator.judge(prompt, texts["a"], texts["b"])
            seconds = max(self.seconds_per_task, self.collection.pace)
            if seconds:
                self.collection.stop.wait(seconds * judged.seconds / self.annotator.seconds)
            more = self.collection.take_one()
            goes_on = more and self.collection.called.is_set()
            body = {"answer": answer(judged, shown), "next": goes_on}  # no seconds: a program's pace says nothing
            reply = self._submit(shown["id"], body)
            self.collection.acknowledge(
                Acknowledged(
                    annotator=self.name,
                    annotation=reply["annotation"],
                    assignment=shown["id"],
                    counted=reply.get("counted"),
                    prompt=prompt,
                    texts=texts,
                    outcome=judged.outcome,
                )
            )
            given = reply.get("next")
            more = more or self.collection.wait_for_one()

    def _next(self) -> ShownTask | None:
        """Something to judge; None when nothing came for as long as this person waits, or all are instructed to
        stop."""
        since = time.monotonic()
        while not self.collection.stop.is_set():
            reply = self.service.post("tasks/next/", {"project": self.project, "kind": "comparison"}, keyed=False)
            if reply.status == 200:
                self.collection.waits(self.name, False)
                shown: ShownTask = reply.body
                return shown
            self.collection.waits(self.name, True)
            if not self.collection.called.is_set():
                self.collection.until_called()
                since = time.monotonic()
            if time.monotonic() - since > (min(self.idle, PATIENCE) if self.collection.parked else self.idle):
                break
            self.collection.stop.wait(LOOK_AGAIN)
        return None

    def _submit(self, assignment: str, body: Mapping[str, object]) -> Submitted:
        try:
            submitted: Submitted = self.service.post(f"assignments/{assignment}/submit/", body).body
        except Refused as refused:
            # The answer was stored and its process killed before the reply was: it is there, once.
            if refused.code == "already_submitted" and refused.extra.get("annotation"):
                return {"annotation": refused.extra["annotation"]}
            raise
        return submitted

    def _skip(self, shown: ShownTask) -> None:
        self.service.post(f"assignments/{shown['id']}/skip/", {"reason": "not_qualified"})
        self.collection.skip()


def answer(judged: Judgment, shown: ShownTask) -> ComparisonAnswer:
    """A judgment as the service takes it: what the task asks for, and no more."""
    body: ComparisonAnswer = {"outcome": judged.outcome}
    if judged.outcome in LETTERS:
        body = {"outcome": "prefer", "choice": judged.outcome, "strength": judged.strength}
    dimensions: dict[str, str] = {}
    for name in shown.get("dimensions", []):
        if name in judged.dimensions:
            side = judged.dimensions[name]
            dimensions[name] = "same" if side == "tie" else side
    if dimensions:
        body["dimensions"] = dimensions
    if shown.get("asks_reason"):
        body["reason"] = "It helps more." if judged.outcome in LETTERS else "There is little between them."
    return body


def collect(workers: Sequence[Worker], until: float | None = None) -> None:
    """Start everybody and wait until all have left.

    Args:
        until: at most so many seconds; None is without limit.

    Raises:
        Exception: what somebody failed with; the others were stopped.
    """
    deadline = None if until is None else time.monotonic() + until
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
    if any(map(Worker.is_alive, workers)):
        workers[0].collection.stop.set()
        for worker in workers:
            worker.join()
    for worker in workers:
        if worker.failure is not None:
            raise worker.failure


def summary(collection: Collection, workers: Sequence[Worker], seconds: float) -> Summary:
    """What a crowd did, as a report tells it."""
    done = collection.answers
    counted = Counter(map(attrgetter("counted"), done))
    return {
        "comparisons": len(done),
        "wanted": collection.wanted,
        "counted": counted[True],
        "extra": counted[False],
        "counted_unknown": counted[None],
        "skipped": collection.skipped,
        "seconds": round(seconds, 1),
        "per_second": round(len(done) / seconds, 1) if seconds else None,
        "outcomes": dict(sorted(Counter(map(attrgetter("outcome"), done)).items())),
        "by_annotator": dict(sorted(Counter(map(attrgetter("annotator"), done)).items())),
        "retries": sum(map(attrgetter("service.retries"), workers)),
    }
