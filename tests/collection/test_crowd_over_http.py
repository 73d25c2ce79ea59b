"""Thirty-two annotators at once over real HTTP, with leases of two seconds, lost replies, late and repeated answers:
each task gets exactly K counted answers from K people, nothing acknowledged is missing, nobody sees a task twice."""

import json
import random
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.running_service import ROOT, Service
from workers.demo.client import Refused
from workers.demo.client import Service as Client

K, SECONDS = 3, 30.0
ANSWER = {"outcome": "prefer", "choice": "a", "strength": 1}


class Annotator:
    """Works until nothing is left for it. Some answers come late, some twice, some replies are lost on the way."""

    def __init__(self, url: str, token: str, seed: int) -> None:
        self.client = Client(url, token, drop=0.05, seed=seed)
        self.chance = random.Random(seed)
        self.acknowledged: list[str] = []
        self.seen: list[str] = []
        self.trouble: list[str] = []

    def work(self, until: float) -> None:
        try:
            while time.monotonic() < until:
                reply = self.client.post("tasks/next/", {"project": "crowd"}, keyed=False)
                if reply.status == 204:
                    if reply.headers.get("X-Reason") == "no_tasks":
                        return
                    time.sleep(0.3)
                else:
                    self.treat(reply.body)
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            self.trouble.append(repr(error))

    def treat(self, assignment: dict) -> None:
        path = f"assignments/{assignment['id']}"
        self.seen.append(assignment["id"])
        draw = self.chance.random()
        if draw < 0.06:
            try:
                self.client.post(f"{path}/skip/", {"reason": "unclear"})
            except Refused as refused:
                assert refused.status == 409, refused
            return
        if draw < 0.14:
            time.sleep(2.5)  # past the lease: the place may be somebody else's by now
        elif draw < 0.18:
            self.client.post(f"{path}/release/")
            return
        try:
            self.acknowledged.append(self.client.post(f"{path}/submit/", {"answer": ANSWER}).body["annotation"])
        except Refused as refused:
            assert refused.code == "already_submitted", refused
            return
        if draw > 0.9:
            with pytest.raises(Refused, match="already_submitted"):
                self.client.post(f"{path}/submit/", {"answer": ANSWER})


@pytest.mark.database
def test_a_crowd_at_work(tmp_path: Path) -> None:
    hurried = {"LEASE_SECONDS": "2", "LEASE_AHEAD_SECONDS": "1", "SWEEP_SECONDS": "1"}
    with Service(tmp_path / "data", **hurried) as service:
        script = (ROOT / "tests" / "crowded_project.py").read_text()
        tokens = json.loads(service.manage("shell", given=script).strip().splitlines()[-1])["tokens"]
        crowd = [Annotator(service.url, token, seed) for seed, token in enumerate(tokens)]
        until = time.monotonic() + SECONDS
        threads = [threading.Thread(target=one.work, args=(until,)) for one in crowd]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS + 60)
        assert [trouble for one in crowd for trouble in one.trouble] == []
        told = json.loads(
            service.manage("shell", given=(ROOT / "tests" / "crowd_results.py").read_text()).strip().splitlines()[-1]
        )

    assert max(Counter(told["annotations"]).values()) == 1
    acknowledged = [one for annotator in crowd for one in annotator.acknowledged]
    assert len(acknowledged) >= 100, "the crowd was at work"
    assert set(acknowledged) <= set(told["annotations"])

    counted: dict[int, list[int]] = defaultdict(list)
    for task, annotator, state, _, counts in told["assignments"]:
        if counts:
            assert state == "submitted"
            counted[task].append(annotator)
    for task, state, free, wanted in told["tasks"]:
        assert wanted == K and len(set(counted[task])) == len(counted[task]) <= K
        held = sum(row[0] == task and row[2] == "held" for row in told["assignments"])
        assert len(counted[task]) + held + free == K
        assert (state == "settled") == (len(counted[task]) == K)
    assert sum(state == "settled" for _, state, _, _ in told["tasks"]) >= 36, "nearly all are done"
    pairs = Counter((task, annotator) for task, annotator, *_ in told["assignments"])
    assert max(pairs.values()) == 1, "nobody has a task twice"
