"""A whole turn of the ring, driven and measured from outside: collect, train the chain, promote, collect again.

Everything goes through the service's REST, as any admin's client could do it, except that the responses behind the
gold figures are requested by `ask`, which names the version that is to write them. The gold utility stays out here:
what the service and the trainer see are the answers of simulated annotators, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from pathlib import Path
from threading import Thread
from typing import Any

from workers.demo import measure, simulation
from workers.demo.client import Refused, Service
from workers.demo.simulation import Collection, Worker
from workers.demo.turn_report import Check, cost_of, seconds_between
from workers.demo.world import parse_prompt

FIRST_STAGES = ["tokenizer", "pretrain", "sft"]
CHAIN = ["sft", "reward", "ppo", "evaluate"]
MOST_AT_ONCE = 16  # responses that may be requested in one call
HELD_OUT_SHARE = 0.15  # of the comparisons: what the reward model is measured on
SPARE = 1.06  # pairs requested to one wanted: equal texts never meet
LOOK = 1.0  # seconds between two looks
SAY_EVERY = 10.0  # seconds between two words on how far it is
STILL = 300.0  # seconds without a sign of progress after which a turn is given up

PlaygroundRequest = Callable[[str, str, int], None]  # prompt id, model id, how many responses
Shown = dict[str, Any]  # an object as the service shows it


class TurnFailed(Exception):
    """The turn cannot go on."""


@dataclass(frozen=True)
class PlaygroundAnswers:
    """A prompt of the demo world as the service knows it."""

    id: str
    text: str
    split: str


@dataclass
class Plan:
    """What a turn has to do.

    Attributes:
        project: public id or short name.
        comparisons: to collect before training.
        seed: of the chain, and of the intervals.
        samples: responses to each held-out prompt behind a gold figure.
        wait: for the first model to be made, s.
        again: comparisons to collect on the promoted model's responses.
        record: a file that every acknowledged answer is appended to.
    """

    project: str
    comparisons: int = 6000
    seed: int = 0
    samples: int = 25
    wait: float = 1200.0
    again: int = 20
    record: Path | None = None


@dataclass
class Turn:
    """One turn.

    Args:
        plan: what is requested.
        admin: an admin's connection.
        people: makes the crowd anew, at a collection of its own.
        ask: has a named version answer a prompt, without making tasks of it.
        say: tells a person how it goes.
    """

    plan: Plan
    admin: Service
    people: Callable[[Collection], Sequence[Worker]]
    ask: PlaygroundRequest
    say: Callable[[str], None]
    report: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    last_said: float = 0.0

    def run(self) -> None:
        """All of it; `report` and `checks` are filled as it goes, so that a turn that fails has reported what it
        could."""
        self.report |= {"seed": self.plan.seed, "seconds": {}}
        with self._timed("first_models"):
            self._first_models()
        prompts = self._prompts()
        train, held_out = divided(prompts)
        collection = Collection(self.plan.comparisons, self.plan.record)
        with self._timed("collect"):
            crowd = self._collect(prompts, collection)
        with self._timed("train"):
            made = self._train()
        self._judge_reward_model(prompts, collection, crowd)
        with self._timed("sample"):
            self._gold(held_out, made)
        with self._timed("collect_again"):
            self._promote_and_go_on(train, made["ppo"])

    # --- before --------------------------------------------------------------------------------------

    def _first_models(self) -> None:
        """Wait until an SFT policy is there, starting what makes one if nobody has; then let it serve."""
        deadline = time.monotonic() + self.plan.wait
        while (sft := self._newest("sft")) is None:
            if time.monotonic() > deadline:
                raise TurnFailed(f"No SFT policy after {self.plan.wait:.0f} s. {self._what_runs()}")
            if not self._at_work():
                self._start(["sft"] if self._newest("pretrain") else FIRST_STAGES)
            self._progress(f"waiting for the first models. {self._what_runs()}")
            time.sleep(3 * LOOK)
        if not sft["serves"]:
            self._promote(sft["id"], "So that people judge what SFT writes.")
        self.report["collected_on"] = sft["name"]
        self.say(f"{sft['name']} serves")

    def _at_work(self) -> bool:
        """Whether something runs that makes models, or brings in what they are made of."""
        chains = self.admin.get("chains/", project=self.plan.project)["results"]
        if "active" in map(itemgetter("state"), chains):
            return True
        jobs = self.admin.get("jobs/", project=self.plan.project, kind="corpus")["results"]
        return not {"queued", "running"}.isdisjoint(map(itemgetter("status"), jobs))

    def _what_runs(self) -> str:
        found = self.admin.get("training-runs/", project=self.plan.project)["results"]
        if not found:
            return "Nothing was trained yet."
        job = found[0]["job"]
        step = f", step {job['step']} of {job['steps']}" if job["steps"] else ""
        return f"{found[0]['stage']} is {job['status']}{step} {job['progress_text']} {job['error']}".rstrip()

    def _newest(self, stage: str) -> Shown | None:
        """The newest version that a stage has made and nobody has rejected or revoked."""
        found: list[Shown] = self.admin.get("models/", project=self.plan.project, stage=stage)["results"]
        for version in found:
            if version["state"] not in ("rejected", "revoked"):
                return version
        return None

    def _prompts(self) -> list[PlaygroundAnswers]:
        """The project's prompts that the world can judge, each text once."""
        found: dict[str, PlaygroundAnswers] = {}
        for one in self.admin.pages("prompts/", project=self.plan.project, page_size=200):
            text = one["messages"][-1]["content"]
            if len(one["messages"]) == 1 and (known := parse_prompt(text)) is not None and known.text == text:
                found[text] = PlaygroundAnswers(one["id"], text, one["split"])
        if "train" not in map(attrgetter("split"), found.values()):
            raise TurnFailed("The project has no prompts of the demo world. Run manage.py seed_demo first.")
        return sorted(found.values(), key=attrgetter("text"))

    # --- collecting ----------------------------------------------------------------------------------

    def _collect(self, prompts: Sequence[PlaygroundAnswers], collection: Collection) -> Sequence[Worker]:
        """Have responses written and judged at the same time."""
        crowd = self.people(collection)
        with self._at_desks(crowd) as done:
            left = self._quotas(prompts)
            began, seen, moved = time.monotonic(), 0, time.monotonic()
            while not done():
                written = self._ask_for_more(prompts, left)
                if len(collection.answers) > seen or written:
                    seen, moved = len(collection.answers), time.monotonic()
                elif not any(left.values()) and collection.waiting == len(crowd):
                    train, _ = divided(prompts)
                    left |= dict.fromkeys(map(attrgetter("id"), train), 4)  # equal texts made no tasks
                if time.monotonic() - moved > STILL:
                    raise TurnFailed(f"No progress for {STILL:.0f} s with {seen} comparisons. {self._generation()}")
                self._progress(f"{seen} of {collection.wanted} comparisons, {collection.waiting} wait for a task")
                time.sleep(LOOK)
        summary = self.report["comparisons"] = simulation.summary(collection, crowd, time.monotonic() - began)
        enough = summary["counted"] + summary["counted_unknown"]
        self._check("comparisons", enough, f"all {collection.wanted}", enough >= collection.wanted)
        return crowd

    def _quotas(self, prompts: Sequence[PlaygroundAnswers]) -> dict[str, int]:
        """Responses still to be requested, by prompt: enough pairs, and a share of them on held-out prompts."""
        train, held_out = divided(prompts)
        quotas: dict[str, int] = {}
        for group, share in ((held_out, HELD_OUT_SHARE), (train, 1 - HELD_OUT_SHARE if held_out else 1.0)):
            pairs = SPARE * share * self.plan.comparisons / max(1, len(group))
            quotas |= dict.fromkeys(map(attrgetter("id"), group), 2 * max(1, round(pairs + 0.5)))
        return quotas

    def _ask_for_more(self, prompts: Sequence[PlaygroundAnswers], left: dict[str, int]) -> bool:
        """Request the next portion to each prompt that has what it was requested before. Returns whether it did.

        Portion by portion, because responses meet in tasks when none of their prompt is awaited any more.
        """
        shown = self.admin.pages("prompts/", project=self.plan.project, state="ready", page_size=200)
        ready = set(map(itemgetter("id"), shown))
        requested = False
        for one in prompts:
            if one.id in ready and left.get(one.id):
                count = min(MOST_AT_ONCE, left[one.id])
                self.admin.post(f"prompts/{one.id}/generate/", {"count": count})
                left[one.id] -= count
                requested = True
        return requested

    def _generation(self) -> str:
        jobs = self.admin.get("jobs/", project=self.plan.project, kind="generation")["results"]
        if jobs:
            return f"Generation: {jobs[0]['says']}"
        return "Nothing was generated."

    @contextmanager
    def _at_desks(self, crowd: Sequence[Worker]) -> Iterator[Callable[[], bool]]:
        """The crowd at work meanwhile; yields whether all have left. Whatever happens inside, they leave."""
        failures: list[Exception] = []

        def work() -> None:
            try:
                simulation.collect(crowd)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
                failures.append(error)

        thread = Thread(target=work, daemon=True)
        thread.start()
        try:
            yield lambda: not thread.is_alive()
        except BaseException:
            crowd[0].collection.stop.set()
            raise
        finally:
            thread.join()
        if failures:
            raise failures[0]

    # --- training ------------------------------------------------------------------------------------

    def _start(self, stages: list[str], config: Mapping[str, object] | None = None) -> str:
        """Start a chain, or find the one of these stages that is at work already."""
        body = {"project": self.plan.project, "stages": stages, "config": config or {}, "seed": self.plan.seed}
        try:
            return str(self.admin.post("chains/", body).body["id"])
        except Refused as refused:
            if refused.code != "chain_running":
                raise
            for chain in self.admin.get("chains/", project=self.plan.project)["results"]:
                if chain["stages"] == stages and chain["state"] == "active":
                    return str(chain["id"])
            raise

    def _train(self) -> dict[str, str]:
        """The chain, to its end. Returns the versions: base, sft, reward, ppo."""
        chain_id = self._start(CHAIN, {"evaluate": {"responses": self.plan.samples}})
        while (chain := self.admin.get(f"chains/{chain_id}/"))["state"] == "active":
            self._progress(self._what_runs())
            time.sleep(LOOK)
        runs = [self.admin.get(f"training-runs/{run}/") for run in chain["runs"]]
        stages, made = {}, {}
        for run in runs:
            stages[run["stage"]] = cost_of(run)
            if run["model_version"]:
                made[run["stage"]] = run["model_version"]
        total = round(seconds_between(chain["created_at"], chain["finished_at"]), 1)
        self.report["training"] = {"seconds": total, "stages": stages}
        if chain["state"] != "succeeded":
            raise TurnFailed(f"The chain has {chain['state']}: {runs[-1]['job']['error']} {runs[-1]['job']['remedy']}")
        self._check("training_seconds", total, "at most 360", total <= 360)
        evaluation = self.admin.get(f"models/{made['ppo']}/evaluations/")["results"][0]["metrics"]
        self.report["evaluation"] = evaluation
        kl = evaluation["policy"].get("kl")
        self._check("kl", kl, "between 1 and 8 nats", kl is not None and 1 <= kl <= 8)
        return made | {"base": self.admin.get(f"models/{made['sft']}/")["parent"]}

    def _judge_reward_model(
        self, prompts: Sequence[PlaygroundAnswers], collection: Collection, crowd: Sequence[Worker]
    ) -> None:
        """Accuracy on labels of test prompts against what their raters make possible."""
        test = {one.text for one in prompts if one.split == "test"}
        on_test = [one for one in collection.answers if one.prompt in test]
        raters = list(map(attrgetter("annotator"), crowd))
        labels = measure.label_quality(on_test, raters)
        seen = measure.label_quality(collection.answers, raters)
        accuracy = self.report["evaluation"].get("reward_model", {}).get("accuracy")
        share = round(accuracy / labels["ceiling"], 4) if accuracy and labels["ceiling"] else None
        self.report["reward_model"] = {"accuracy": accuracy, "test": labels, "all": seen, "share_of_ceiling": share}
        self._check("reward_accuracy", share, "at least 0.82 of the ceiling", share is not None and share >= 0.82)

    # --- what it was worth ---------------------------------------------------------------------------

    def _gold(self, prompts: Sequence[PlaygroundAnswers], made: Mapping[str, str]) -> None:
        """Gold utility of base, SFT and PPO on held-out prompts."""
        names = ("base", "sft", "ppo")
        for one in prompts:
            for name in names:
                self.ask(one.id, made[name], self.plan.samples)
        samples: dict[str, list[measure.Sampled]] = {name: [] for name in names}
        for one in prompts:
            written = self._written(one)
            for name in names:
                # Those requested last: what was judged before may have been written by the same version.
                for response in written_by(made[name], written)[-self.plan.samples :]:
                    ended = response["finish_reason"] == "stop"
                    samples[name].append(measure.Sampled(one.text, response["text"], ended))
        figures = {name: measure.gold(samples[name]) for name in names}
        won = measure.win_rate(samples["ppo"], samples["sft"], self.plan.seed)
        self.report |= {"gold": figures, "ppo_over_sft": won}
        base, sft, ppo = figures["base"]["gold"], figures["sft"]["gold"], figures["ppo"]["gold"]
        self._check("sft_over_base", round(sft - base, 3), "at least 0.5", sft - base >= 0.5)
        self._check("ppo_over_sft", round(ppo - sft, 3), "at least 0.8", ppo - sft >= 0.8)
        self._check("win_rate_low", won["low"], "above 0.62", won["low"] > 0.62)

    def _written(self, prompt: PlaygroundAnswers) -> list[Shown]:
        """The prompt's finished responses, once none is awaited."""
        until = time.monotonic() + STILL
        while time.monotonic() < until:
            found = self.admin.get(f"prompts/{prompt.id}/", wait=10)["responses"]
            if {"queued", "running"}.isdisjoint(map(itemgetter("state"), found)):
                return [response for response in found if response["state"] == "ready"]
        raise TurnFailed(f"Responses to {prompt.text!r} are awaited for {STILL:.0f} s. {self._generation()}")

    # --- after ---------------------------------------------------------------------------------------

    def _promote_and_go_on(self, prompts: Sequence[PlaygroundAnswers], ppo: str) -> None:
        """Promote the new policy, and have people judge what it writes."""
        self._promote(ppo, "A turn of the ring.")
        few = prompts[: max(1, self.plan.again // 2)]
        before: set[str] = set()
        for one in few:
            before.update(map(itemgetter("id"), self._written(one)))
        for one in few:
            self.admin.post(f"prompts/{one.id}/generate/", {"count": 4})
        fresh: list[Shown] = []
        for one in few:
            fresh += [response for response in self._written(one) if response["id"] not in before]
        by_ppo = set(map(itemgetter("id"), written_by(ppo, fresh)))
        tasks: list[str] = []
        for one in few:
            tasks += self._tasks_of(one, by_ppo)
        judged = 0
        until = time.monotonic() + STILL
        while tasks and time.monotonic() < until:
            collection = Collection(self.plan.again)
            simulation.collect(self.people(collection), until=STILL)
            judged += len(collection.answers)
            if self._answered(tasks) == len(tasks) or not collection.answers:
                break
        answered = self._answered(tasks)
        self.report["after_promotion"] = {
            "responses": len(fresh),
            "by_the_new_version": len(by_ppo),
            "tasks_of_its_responses": len(tasks),
            "answered": answered,
            "comparisons": judged,
        }
        self._check("new_responses_by_ppo", len(by_ppo), f"all {len(fresh)}", 0 < len(fresh) == len(by_ppo))
        self._check("new_tasks_answered", answered, f"all {len(tasks)}", 0 < len(tasks) == answered)

    def _promote(self, model: str, note: str) -> None:
        """Promote without people's votes, which a demo does not collect; the reason says so wherever it is shown."""
        reason = "The demo turns the ring by itself: nobody has compared the versions. Gold is measured outside."
        self.admin.post(f"models/{model}/promote/", {"note": note, "override_reason": reason})

    def _answered(self, tasks: Sequence[str]) -> int:
        """How many of the tasks have an answer."""
        return sum(self.admin.get(f"tasks/{task}/")["answers"] > 0 for task in tasks)

    def _tasks_of(self, prompt: PlaygroundAnswers, responses: set[str]) -> list[str]:
        """Tasks in which nothing but these responses meet."""
        newest = self.admin.get("tasks/", project=self.plan.project, prompt=prompt.id, page_size=10)["results"]
        found = []
        for task in newest:
            shown = self.admin.get(f"tasks/{task['id']}/")["responses"]
            if responses.issuperset(map(itemgetter("id"), shown)):
                found.append(task["id"])
        return found

    # --- telling -------------------------------------------------------------------------------------

    def _check(self, name: str, value: float | None, need: str, met: bool) -> None:
        self.checks.append(Check(name, value, need, met))
        self.say(f"{name}: {value} ({need}){'' if met else '  MISSED'}")

    def _progress(self, text: str) -> None:
        """Common phrases."""
        if time.monotonic() - self.last_said >= SAY_EVERY:
            self.last_said = time.monotonic()
            self.say(text)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.report["seconds"][name] = round(time.monotonic() - began, 1)


def divided(prompts: Sequence[PlaygroundAnswers]) -> tuple[list[PlaygroundAnswers], list[PlaygroundAnswers]]:
    """The prompts to train on, and those held out."""
    train = [one for one in prompts if one.split == "train"]
    held_out = [one for one in prompts if one.split != "train"]
    return train, held_out


def written_by(version: str, responses: Sequence[Shown]) -> list[Shown]:
    """Those of the responses that this version wrote."""
    return [one for one in responses if (one["model_version"] or {}).get("id") == version]
