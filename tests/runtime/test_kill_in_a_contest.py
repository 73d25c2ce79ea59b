"""kill -9 of each process while people vote in the contest of a campaign's round: every unit counts once, the contest
decides what the pure rule makes of its units, and the campaign goes on.
"""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from feedback.rules.evaluation import contest_evidence
from feedback.rules.evaluation.contest_evidence import Design, UnitResult
from tests.whole_service import ROOT, House, house, wait_until

AT_ONCE: list[Sequence[str]] = [("web", "default", "broker"), ("generate", "train", "beat", "web")]
IN_TURN: list[Sequence[str]] = [
    (name,) for name in ("web", "generate", "default", "beat", "broker", "train", "web", "generate", "default")
]


def test_a_blow_in_a_contest(tmp_path: Path) -> None:
    """Everything but the generate worker, whose job is taken up only after half a minute of silence."""
    story(tmp_path, [("web", "default", "broker", "beat", "train")], cap=16)


@pytest.mark.long
def test_each_process_killed_in_a_contest(tmp_path: Path) -> None:
    """One after the other, and then several at once, in a contest of 300 votes."""
    story(tmp_path, [*IN_TURN, *AT_ONCE, ("broker", "generate"), ("beat", "default")], cap=300, share=0.6)


def story(folder: Path, blows: list[Sequence[str]], *, cap: int, share: float = 0.75) -> None:
    with house(folder / "data", SWEEP_SECONDS="2") as service:
        tokens = furnish(service, cap)
        service.start("--no-demo")
        wait_until(service.is_up, 60, "the service")
        voters = [Voter(service, token, share) for token in tokens["annotators"].values()]
        for voter in voters:
            voter.start()
        for number, blow in enumerate(blows, 1):
            strike(service, blow, after=number * cap // (2 * len(blows) + 2))
        wait_until(lambda: decided(service), 120 if cap < 100 else 600, "the decision")
        wait_until(lambda: rounds(service)[-1]["number"] == 2, 60, "the next round")
        for voter in voters:
            voter.stop()
        check(service, voters, cap)


def strike(service: House, names: Sequence[str], *, after: int) -> None:
    """Kill processes at once when so many votes are in, and wait until all are up again."""
    wait_until(lambda: counted(service) >= after or decided(service), 60, f"{after} votes")
    pids = {service.kill(name) for name in names}
    wait_until(lambda: not pids & {process.pid for process in service.everyone()}, 5, f"the end of {', '.join(names)}")
    wait_until(service.is_up, 60, f"the return of {', '.join(names)}")


def furnish(service: House, cap: int) -> dict[str, Any]:
    service.folder.mkdir(parents=True)
    service.manage("migrate", "--verbosity", "0")
    ran = subprocess.run(
        [sys.executable, "manage.py", "shell"],
        cwd=ROOT,
        env={**service.environment, "CAP": str(cap), "PROMPTS": str(cap + 30)},
        input=(ROOT / "tests" / "contest_for_three.py").read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return dict(json.loads(ran.stdout.splitlines()[-1]))


@dataclass
class Voter:
    """Somebody who takes and judges until told to stop, and repeats what nobody answered with the same key.

    Attributes:
        share: in how many tasks of a hundred they prefer the candidate, times 0.01; which ones is settled by the task.
        acknowledged: annotations by assignment. errors: replies that a client must never see.
    """

    service: House
    token: str
    share: float
    acknowledged: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.over.set()
        self.thread.join(60)

    def work(self) -> None:
        while not self.over.is_set():
            found = self.until_answered("/api/v1/tasks/next/", {"project": "desk"}, "")
            if found is None:
                self.over.wait(0.2)
                continue
            key = found["id"]
            body = {"answer": self.opinion(key), "seconds": 1.0}
            reply = self.until_answered(f"/api/v1/assignments/{key}/submit/", body, f"vote-{key}")
            if reply is not None:
                self.acknowledged[key] = reply["annotation"]
            self.over.wait(0.05)

    def until_answered(self, path: str, body: Any, key: str) -> Any:
        """The reply, once there is one; None for nothing to do, or when told to stop."""
        while not self.over.is_set():
            request = urllib.request.Request(self.service.url + path, json.dumps(body).encode())
            request.add_header("Authorization", f"Bearer {self.token}")
            request.add_header("Content-Type", "application/json")
            if key:
                request.add_header("Idempotency-Key", key)
            try:
                with urllib.request.urlopen(request, timeout=30) as reply:
                    raw = reply.read()
                    return json.loads(raw) if raw else None
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")
                if error.code == 429 or error.code == 503 or "in_progress" in said:
                    self.over.wait(0.3)
                    continue
                self.errors.append(f"{error.code} {path}: {said[:300]}")
                return None
            except OSError:
                self.over.wait(0.1)  # nobody there: killed
        return None

    def opinion(self, assignment: str) -> dict[str, Any]:
        rows = self.service.query(
            'SELECT a."order" AS shown, u.candidate_response_id AS ours, t.public_id AS task '
            "FROM feedback_assignment a JOIN feedback_task t ON t.id = a.task_id "
            "LEFT JOIN feedback_contestunit u ON u.task_id = t.id WHERE a.public_id = ?",
            assignment.replace("-", ""),
        )
        if not rows or rows[0]["ours"] is None:
            return {"outcome": "tie"}
        prefers = crc32(rows[0]["task"].encode()) % 100 < 100 * self.share
        first = json.loads(rows[0]["shown"])[0] == rows[0]["ours"]
        return {"outcome": "prefer", "choice": "a" if first == prefers else "b", "strength": 2}


def counted(service: House) -> int:
    return int(service.query("SELECT count(*) AS n FROM feedback_contestvote")[0]["n"])


def decided(service: House) -> bool:
    rows = service.query("SELECT state, applied_at FROM feedback_contest ORDER BY id LIMIT 1")
    return bool(rows) and rows[0]["state"] == "decided" and rows[0]["applied_at"] is not None


def rounds(service: House) -> list[Any]:
    return service.query("SELECT number, state, decision, contest_id FROM feedback_campaignround ORDER BY number")


def check(service: House, voters: list[Voter], cap: int) -> None:
    assert [voter.errors for voter in voters] == [[], [], []]
    (contest,) = service.query("SELECT * FROM feedback_contest")
    units = service.query("SELECT * FROM feedback_contestunit WHERE contest_id = ? ORDER BY number", contest["id"])
    numbered = [unit for unit in units if unit["number"] is not None]
    assert [unit["number"] for unit in numbered] == list(range(1, contest["next_number"])), "each number once"
    # Each vote once, by an annotation that counts, and each complete unit with one vote (or none: equal texts).
    votes = service.query(
        "SELECT v.unit_id, v.halves, v.annotation_id, a.counted, n.public_id FROM feedback_contestvote v "
        "JOIN feedback_annotation n ON n.id = v.annotation_id "
        "JOIN feedback_assignment a ON a.id = n.assignment_id"
    )
    per_unit = Counter(vote["unit_id"] for vote in votes)
    assert set(per_unit.values()) == {1} and all(vote["counted"] for vote in votes)
    by_unit = {vote["unit_id"]: vote for vote in votes}
    for unit in numbered:
        if unit["state"] == "complete" and unit["task_id"] is not None:
            assert (unit["votes"], unit["halves"]) == (1, by_unit[unit["id"]]["halves"])
    told = Counter(key.replace("-", "") for voter in voters for key in voter.acknowledged.values())
    assert max(told.values()) == 1
    stored = {row["public_id"] for row in service.query("SELECT public_id FROM feedback_annotation")}
    assert set(told) <= stored, "an acknowledged annotation is lost"
    # The contest decides what the rule makes of its units, and holds the same evidence.
    folded = [unit for unit in numbered if unit["log_e_after"] is not None]
    design = Design(cap=cap)
    results = [(0, UnitResult(Fraction(unit["halves"], 2), Fraction(int(unit["state"] == "void")))) for unit in folded]
    replayed = contest_evidence.replay(results, design)
    assert replayed.decision.outcome == contest["decision"] and replayed.units == len(folded)
    assert [one.stored() for one in replayed.evidences] == json.loads(contest["evidence"])
    assert json.loads(contest["folded"]) == [folded[-1]["number"]]
    # The round ended by it once, the next one collects, and at most one version was promoted by it.
    first, second = rounds(service)
    promoted = contest["decision"] == "promote"
    assert (first["state"], first["decision"]) == ("decided", "promoted" if promoted else "kept")
    assert (second["state"], second["number"]) == ("collecting", 2)
    assert len(service.query("SELECT 1 FROM feedback_deployment")) == 1 + promoted
    events = Counter(row["verb"] for row in service.query("SELECT verb FROM feedback_event"))
    assert (events["contest.decided"], events["contest.opened"]) == (1, 1)
    # What the contest leaves behind is cleared up, whoever was killed meanwhile.
    wait_until(lambda: not left_over(service), 60, "the end of what was left over")


def left_over(service: House) -> list[Any]:
    return service.query(
        "SELECT 1 FROM feedback_contestunit WHERE state IN ('preparing', 'ready', 'open') "
        "UNION ALL SELECT 1 FROM feedback_task WHERE contest_id IS NOT NULL AND state = 'open' AND free_slots > 0"
    )
