"""One seed of the proof of the loop: a campaign runs its rounds, customers write, people judge, two candidates are
planted.

All of it goes through REST. The campaign collects, trains, compares and promotes by itself; the story only calls people
when something waits to be judged, and plants what must not be promoted: a policy that was optimized without KL, and an
identical copy of what serves. The gold utility is not read here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from workers.demo import simulation
from workers.demo.client import Refused, Service
from workers.demo.loop.traffic import Traffic
from workers.demo.simulation import Collection, Worker

STAGES = ["sft", "reward", "ppo", "evaluate"]
# Without KL, to its last weights, whatever alarms say: as reward hacking is produced in the proof of training.
HACKED = {
    "kl_coef": 0.0,
    "iterations": 80,
    "schedule": "constant",
    "stop_on_alarm": False,
    "choose_best": False,
}
FIRST_POLICY = "So that people judge what SFT writes. Nobody has compared it with the base model."
LOOK = 1.0  # seconds between two looks
SAY_EVERY = 20.0
# Seconds that everybody takes for a task while a comparison runs, since its responses are written as they are needed:
# quicker people would spend the budget on other tasks.
VOTING_PACE = 1.6
DOUBLE_SHARE = 0.5
MOST_RESPONSES = 8  # an even number of those that a project may request at once
TROUBLE = 120.0  # seconds for which the campaign may say that its next step cannot be taken
STILL = 900.0  # seconds without a sign of progress after which the story is given up
ENDED = ("decided", "failed", "stopped")

Shown = dict[str, Any]


class LoopFailed(Exception):
    """The rounds did not come to their end; the sentence says why."""


@dataclass(frozen=True)
class LoopPlan:
    """What one seed does.

    Attributes:
        project: public id or short name.
        rounds: that must be decided at least.
        labels: of each round, before it trains.
        budget: labels in all, votes included.
        cap: votes of a comparison.
        first_models: seconds that the first policy may take.
    """

    project: str
    seed: int = 0
    rounds: int = 4
    labels: int = 1500
    budget: int = 8000
    cap: int = 300
    first_models: float = 900.0


@dataclass
class Planted:
    """A candidate that must not be promoted, and what became of it."""

    name: str
    of: str = ""  # the version that it was made like
    chain: str = ""
    model: str = ""
    refused: list[Shown] = field(default_factory=list)  # findings by which its comparison was refused
    contest: str = ""
    round: int = 0


@dataclass
class Story:
    """A seed's run, until its rounds have ended.

    Attributes:
        admin: a connection with an admin's token.
        people: makes the crowd of a collection.
        customers: who write meanwhile.
        say: is called with each change.
    """

    plan: LoopPlan
    admin: Service
    people: Callable[[Collection], Sequence[Worker]]
    customers: Traffic
    say: Callable[[str], None]
    report: Shown = field(default_factory=dict)
    planted: dict[str, Planted] = field(default_factory=dict)
    said: tuple[str, float] = ("", 0.0)

    def run(self) -> None:
        """
        Raises:
            LoopFailed: a round stood still, or the campaign ended early.
            Refused, Unreachable: the service did not answer, or refused a call.
        """
        began = time.monotonic()
        self.report["seconds"] = {}
        self._first_models()
        self.report["seconds"]["first models"] = round(time.monotonic() - began, 1)
        self.customers.start()
        self._settings()
        campaign = self._campaign()
        collection = Collection(10 * self.plan.budget)
        collection.called.clear()
        crowd = self.people(collection)
        failures: list[Exception] = []

        def work() -> None:
            try:
                simulation.collect(crowd)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
                failures.append(error)

        thread = Thread(target=work, daemon=True)
        rounds_began = time.monotonic()
        thread.start()
        try:
            self._watch(campaign, collection, thread)
        finally:
            collection.stop.set()
            thread.join()
            collection.close()
            self.report["crowd"] = simulation.summary(collection, crowd, time.monotonic() - rounds_began)
            self.report["seconds"]["rounds"] = round(time.monotonic() - rounds_began, 1)
            self.report["customers"] = self.customers.end()
        if failures:
            raise failures[0]

    # --- before ------------------------------------------------------------------------------------------

    def _first_models(self) -> None:
        """Wait for the SFT policy and let it serve. The base model serves as soon as it is there, but answers badly.

        Promoted without people's votes, as an admin would with the first policy that follows instructions.
        """
        until = time.monotonic() + self.plan.first_models
        while time.monotonic() < until:
            made = self.admin.get("models/", project=self.plan.project, stage="sft")["results"]
            if made:
                if not made[0]["serves"]:
                    self.admin.post(f"models/{made[0]['id']}/promote/", {"override_reason": FIRST_POLICY})
                return
            runs = self.admin.get("training-runs/", project=self.plan.project)["results"]
            failed = [run for run in runs if run["job"]["status"] == "failed"]
            if failed:
                raise LoopFailed(f"{failed[0]['stage']} failed: {failed[0]['job']['error']}")
            self._tell("the first models are being trained")
            time.sleep(2 * LOOK)
        raise LoopFailed(f"No SFT policy after {self.plan.first_models:.0f} s.")

    def _settings(self) -> None:
        """What an admin sets who knows that two of the eight are bad, and that programs answer quicker than people.

        Half of the comparisons go to two annotators until all are known well enough to be weighed, so that this is
        before the first training already; each request for responses makes four tasks instead of one.
        """
        path = f"projects/{self.plan.project}/"
        policy = self.admin.get(path)["queue_policy"] | {"double_share": DOUBLE_SHARE}
        self.admin.call("PATCH", path, body={"responses_per_prompt": MOST_RESPONSES, "queue_policy": policy})

    def _campaign(self) -> str:
        body = {
            "project": self.plan.project,
            "name": f"Rounds of seed {self.plan.seed}",
            "stages": STAGES,
            "after_labels": self.plan.labels,
            "budget": self.plan.budget,
            "contest": {"cap": self.plan.cap, "fresh_only": True, "share": 1.0},
        }
        return str(self.admin.post("campaigns/", body).body["id"])

    # --- rounds ------------------------------------------------------------------------------------------

    def _watch(self, campaign: str, collection: Collection, crowd: Thread) -> None:
        """Call people when labels or votes are wanted, plant candidates, until the rounds are over."""
        moved, seen = time.monotonic(), ""
        sound = time.monotonic()
        while True:
            shown = self.admin.get(f"campaigns/{campaign}/")
            self.report["campaign"] = shown
            contest = self._running_contest()
            state = shown["rounds"][-1]["state"] if shown["rounds"] else ""
            collection.pace = VOTING_PACE if contest else 0.0
            if contest or (state == "collecting" and shown["waits_for"]):
                collection.called.set()
            else:
                collection.called.clear()
            if shown["state"] != "running":
                if shown["state"] == "ended" and _decided(shown) >= self.plan.rounds:
                    return
                raise LoopFailed(f"The campaign is {shown['state']} early. {shown['trouble']}".strip())
            self._plant(shown, contest)
            if self._over(shown, contest):
                self.report["campaign"] = self.admin.post(f"campaigns/{campaign}/end/").body | {
                    "rounds": shown["rounds"]
                }
                return
            if not shown["trouble"]:
                sound = time.monotonic()
            elif time.monotonic() - sound > TROUBLE:
                raise LoopFailed(shown["trouble"])
            now = f"{shown['used']} {shown['waits_for']} {contest['id'] if contest else ''}"
            if now != seen:
                moved, seen = time.monotonic(), now
            if time.monotonic() - moved > STILL:
                raise LoopFailed(f"Nothing moved for {STILL:.0f} s: it waits for {shown['waits_for']}.")
            if not crowd.is_alive():
                raise LoopFailed("The crowd left: the queue ran dry.")
            self._tell(_in_words(shown, contest, collection))
            time.sleep(LOOK)

    def _running_contest(self) -> Shown | None:
        for one in self.admin.get("contests/", project=self.plan.project)["results"]:
            if one["state"] in ("running", "paused"):
                found: Shown = one
                return found
        return None

    def _over(self, shown: Shown, contest: Shown | None) -> bool:
        """All rounds are decided, and both planted candidates: the round that has just begun is not wanted."""
        planted = len(self.planted) == 2 and all(one.contest for one in self.planted.values())
        last = shown["rounds"][-1]["state"] if shown["rounds"] else ""
        return _decided(shown) >= self.plan.rounds and planted and contest is None and last == "collecting"

    # --- planted candidates ------------------------------------------------------------------------------

    def _plant(self, shown: Shown, contest: Shown | None) -> None:
        """Without KL while the round after the first promotion collects, the copy a round later."""
        promoted = [one for one in shown["rounds"] if one["decision"] == "promoted"]
        if not promoted:
            return
        number = shown["rounds"][-1]["number"]
        since = number - promoted[0]["number"]
        if since >= 1 and "without KL" not in self.planted:
            self._train_planted("without KL", ["ppo", "evaluate"], {"ppo": HACKED}, promoted[-1], number)
        elif since >= 2 and "copy" not in self.planted and self.planted["without KL"].contest:
            self._train_planted("copy", ["reward", "ppo", "evaluate"], {}, promoted[-1], number)
        for one in self.planted.values():
            if not one.contest and contest is None:
                self._compare_planted(one)

    def _train_planted(self, name: str, stages: list[str], config: Shown, of: Shown, number: int) -> None:
        """On the data, the seed and the base model of the newest promoted round.

        With the reward stage, which by then a later round has trained anew, that is the same policy once more.
        """
        chain = self.admin.get(f"chains/{of['chain']}/")
        candidate = self.admin.get(f"models/{of['candidate']}/")
        body = {
            "project": self.plan.project,
            "stages": stages,
            "config": config,
            "seed": chain["seed"],
            "snapshot": chain["snapshot"],
            "base_model": candidate["parent"],
        }
        made = self.admin.post("chains/", body).body["id"]
        self.planted[name] = Planted(name, of=of["candidate"], chain=str(made), round=number)

    def _compare_planted(self, one: Planted) -> None:
        """Once it is trained: with what speaks against it blocking, which must refuse it, then for information only."""
        chain = self.admin.get(f"chains/{one.chain}/")
        if chain["state"] == "active":
            return
        if chain["state"] != "succeeded":
            raise LoopFailed(f"The planted candidate {one.name} was not trained: its pipeline run {chain['state']}.")
        runs = [self.admin.get(f"training-runs/{run}/") for run in chain["runs"]]
        one.model = next(run["model_version"] for run in runs if run["stage"] == "ppo")
        body = {
            "project": self.plan.project,
            "candidates": [one.model],
            "cap": self.plan.cap,
            "share": 1.0,
            "fresh_only": True,
            "promote": True,
        }
        try:
            if not one.refused:
                one.contest = self._opened(body | {"preconditions": "block"})
                return
        except Refused as refused:
            if refused.code == "contest_running":
                return  # the campaign was quicker: later
            one.refused = list(refused.extra.get("findings", []))
            if not one.refused:
                raise
        try:
            one.contest = self._opened(body | {"preconditions": "report"})
        except Refused as refused:
            if refused.code != "contest_running":
                raise  # else the campaign came in between: later

    def _opened(self, body: Shown) -> str:
        return str(self.admin.post("contests/", body).body["id"])

    def _tell(self, text: str) -> None:
        if text != self.said[0] and time.monotonic() - self.said[1] > SAY_EVERY:
            self.said = (text, time.monotonic())
            self.say(text)


def _decided(shown: Shown) -> int:
    return sum(one["state"] == "decided" for one in shown["rounds"])


def _in_words(shown: Shown, contest: Shown | None, collection: Collection) -> str:
    number = shown["rounds"][-1]["number"] if shown["rounds"] else 0
    compared = f"; {contest['candidates'][0]['name']} is compared" if contest else ""
    waits = shown["waits_for"] or "its next step is due"
    return f"round {number}: {waits}{compared}; {shown['used']:,} labels, {collection.waiting} people wait"
