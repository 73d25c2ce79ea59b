"""A crowd at work while a campaign runs its rounds: `manage.py simulate --rounds N`.

Everything goes over HTTP. The crowd only judges what it is given; what is collected, trained, compared and promoted is
the campaign's own doing. It is watched, and its rounds are the report.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from workers.demo import simulation
from workers.demo.client import Service
from workers.demo.simulation import Collection, Worker

LOOK = 2.0  # seconds between two looks at the campaign
STAGES = ("sft", "reward", "ppo", "evaluate")
ENDED = ("decided", "failed", "stopped")
CAP = 300  # votes of a comparison


class RoundsFailed(Exception):
    """The rounds did not end; the sentence says why."""


@dataclass(frozen=True)
class RoundsPlan:
    """How many rounds of how many labels.

    Attributes:
        project: public id or short name.
        rounds: that must end, at least 1.
        labels: of each round, before it trains.
        wait: seconds that one round may take.
    """

    project: str
    rounds: int
    labels: int
    wait: float

    @property
    def budget(self) -> int:
        """Of all rounds, and some more: what is judged during training and comparing counts too."""
        return 4 * self.rounds * (self.labels + CAP)


@dataclass
class Rounds:
    """A crowd and a campaign, until the rounds have ended.

    Attributes:
        admin: a connection with an admin's token.
        people: makes the crowd of a collection.
        say: is called with each change.
        report: the campaign as REST shows it, with its rounds, and what the crowd did.
    """

    plan: RoundsPlan
    admin: Service
    people: Callable[[Collection], list[Worker]]
    say: Callable[[str], None]
    report: dict[str, object] = field(default_factory=dict)

    def run(self) -> None:
        """
        Raises:
            RoundsFailed: the campaign paused, ended or stood still before so many rounds had ended.
            Refused, Unreachable: the service did not answer, or refused a call.
        """
        campaign = self._campaign()
        collection = Collection(self.plan.budget)
        crowd = self.people(collection)
        failures: list[Exception] = []

        def work() -> None:
            try:
                simulation.collect(crowd)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
                failures.append(error)

        began, thread = time.monotonic(), Thread(target=work, daemon=True)
        thread.start()
        try:
            self._watch(campaign, thread)
        finally:
            collection.stop.set()
            thread.join()
            collection.close()
            self.report["crowd"] = simulation.summary(collection, crowd, time.monotonic() - began)
        if failures:
            raise failures[0]

    def _campaign(self) -> str:
        """The campaign that is running, or a new one."""
        for one in self.admin.get("campaigns/", project=self.plan.project)["results"]:
            if one["state"] == "running":
                return str(one["id"])
        body = {
            "project": self.plan.project,
            "name": f"Simulation {time.strftime('%Y-%m-%d %H:%M:%S')}",
            "stages": list(STAGES),
            "after_labels": self.plan.labels,
            "budget": self.plan.budget,
            "contest": {"cap": CAP},
        }
        return str(self.admin.post("campaigns/", body).body["id"])

    def _watch(self, campaign: str, crowd: Thread) -> None:
        """Until so many more rounds have ended than at the beginning."""
        before: int | None = None
        done, moved = 0, time.monotonic()
        while True:
            shown = self.admin.get(f"campaigns/{campaign}/")
            self.report["campaign"] = shown
            ended = _ended(shown["rounds"])
            before = ended if before is None else before
            if ended - before > done:
                done, moved = ended - before, time.monotonic()
            self.say(_in_words(shown))
            if done >= self.plan.rounds:
                return
            if shown["state"] != "running":
                raise RoundsFailed(f"The campaign is {shown['state']} after {done} rounds. {shown['trouble']}".strip())
            if time.monotonic() - moved > self.plan.wait:
                waits = shown["waits_for"] or "its next step"
                raise RoundsFailed(f"No round ended within {self.plan.wait:.0f} s: it waits for {waits}.")
            if not crowd.is_alive():
                raise RoundsFailed(f"The crowd left after {done} rounds: the queue ran dry.")
            time.sleep(LOOK)


def _ended(rounds: Sequence[Mapping[str, Any]]) -> int:
    """Rounds that have ended, by the number of the last one: the list holds the newest only."""
    return max((one["number"] for one in rounds if one["state"] in ENDED), default=0)


def _in_words(shown: Mapping[str, Any]) -> str:
    number = shown["rounds"][-1]["number"] if shown["rounds"] else 0
    return f"round {number}: {shown['waits_for'] or 'its next step is due'}"
