"""Whether people's votes catch over-optimization: five demo worlds, their policies, and a crowd that votes over HTTP.

    python -m tests.bench.over_optimization [FOLDER] [--seeds 0 1 2 3 4] [--only budget gate http repetitions]

For each seed, from nothing: SFT, a reward model of 6,000 labels by a careful crowd, PPO at the product's defaults, and
PPO without KL (no budget, whatever the alarms say, the last weights). Then four tables:

budget        what the weights that PPO would hand back are worth, by the KL budget
gate          what the preconditions say of each policy beside SFT
http          contests in the running service: PPO against SFT, then the policy without KL against that PPO
repetitions   the same contests, and SFT against itself, replayed by the pure function on the crowd's votes

FOLDER (data/over_optimization) keeps the models: about five CPU minutes a seed at first, then only the votes are new.
Gold is read here and nowhere else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from statistics import fmean, median
from threading import Thread
from typing import Any

from workers.demo import simulation
from workers.demo.annotators import Annotator, crowd
from workers.demo.client import Service as Client
from workers.demo.prove import ANSWERS, LABELS, PPO, SMALL, Config, ProofFailed, Seed
from workers.demo.simulation import Collection, Worker
from workers.demo.trainer_files import gold_of, prompt_of, read_lines
from workers.demo.world import stable_seed

SEEDS = (0, 1, 2, 3, 4)
PEOPLE = 8
CAP = 300  # votes of a contest
REPETITIONS = 60  # of each contest, over all worlds
POOL = 100  # responses of each policy to each held-out prompt, which repetitions draw from
PER_TOKEN = (0.15, 0.25, 1 / 3, 0.5)  # nats for each token of the first completions

# Without KL, without a budget, whatever the alarms say, and the last weights.
HACKED: Config = {**PPO, "iterations": 50, "watched_completions": 100, "kl_coef": 0.0, "kl_budget": 0.0}
HACKED |= {"choose_best": False}
POLICIES: dict[str, Config] = {"ppo": SMALL, "hacked": HACKED}
CONTESTS = (("ppo", "sft"), ("hacked", "ppo"), ("sft", "sft"))
TABLES = ("budget", "gate", "http", "repetitions")


class World(Seed):
    """A demo world whose models are made once: a rerun finds them in its folder."""

    def stage(self, name: str, stage: str, config: Config, **inputs: Path) -> dict[str, Any]:
        result = self.folder / name / "result.json"
        if result.is_file():
            kept: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))["metrics"]
            return kept
        return super().stage(name, stage, config, **inputs)

    def make(self) -> None:
        """The policies, and what the stage `evaluate` measures of each beside SFT."""
        self.first_models()
        self.label()
        inputs = {"snapshot": self.snapshot_of(max(LABELS)), "base_model": self.model("sft")}
        self.stage("reward", "reward", {**SMALL, "restarts": 1}, **inputs)
        reward, sft = self.model("reward"), self.model("sft")
        for name, config in POLICIES.items():
            self.stage(name, "ppo", config, **inputs, reward_model=reward)
            models = {"base_model": self.model(name), "incumbent": sft, "reference": sft, "reward_model": reward}
            self.stage(f"evaluate-{name}", "evaluate", SMALL, snapshot=inputs["snapshot"], **models)

    def looks(self, arm: str) -> list[dict[str, float]]:
        """The looks of a run of PPO: iteration, KL, what it maximizes, and gold."""
        metrics = {}
        for line in read_lines(self.folder / arm / "progress.jsonl"):
            if line["kind"] == "metrics":
                metrics[line["step"]] = line["metrics"]
        found = []
        for file in (self.folder / arm / "looks").glob("step-*.jsonl"):
            step = int(file.stem.removeprefix("step-"))
            told = metrics[step]
            look = {"step": float(step), "kl": told["selection_kl"], "reward": told["selection_reward"]}
            found.append({**look, "gold": fmean(map(gold_of, read_lines(file)))})
        return sorted(found, key=lambda look: look["step"])

    def first_length(self, arm: str) -> float:
        """Tokens of the mean completion of the first rollout, which SFT wrote."""
        lines = read_lines(self.folder / arm / "progress.jsonl")
        return float(next(line for line in lines if line["kind"] == "metrics")["metrics"]["length"])

    def pool(self, policy: str) -> dict[str, list[str]]:
        """Texts by held-out prompt."""
        lines = [self.request(prompt, POOL, "pool", policy, prompt.text) for prompt in self.held]
        found: dict[str, list[str]] = {prompt.text: [] for prompt in self.held}
        for line in self.responses(f"pool-{policy}", self.model(policy), lines):
            found[prompt_of(line)].append(line["text"])
        return found

    def gold(self, policy: str) -> float:
        lines = [self.request(prompt, ANSWERS, prompt.text) for prompt in self.held]
        return fmean(map(gold_of, self.responses(f"answers-{policy}", self.model(policy), lines)))


# --- budget and gate -------------------------------------------------------------------------------------


def budgets(worlds: Sequence[World]) -> None:
    """Gold of the look that PPO without KL would hand back, by its budget: the best by reward within it."""
    heads = " | ".join(f"{share:.2f} a token" for share in PER_TOKEN)
    print(f"\n| world | tokens | SFT | peak (KL) | {heads} | 10 | none |\n|{'--:|' * (6 + len(PER_TOKEN))}")
    for one in worlds:
        looks, length = one.looks("hacked"), one.first_length("hacked")
        limits = [share * length for share in PER_TOKEN] + [10.0, float("inf")]
        peak = max(looks, key=lambda look: look["gold"])
        cells = [f"{one.seed}", f"{length:.1f}", f"{looks[0]['gold']:.2f}", f"{peak['gold']:.2f} ({peak['kl']:.1f})"]
        for limit in limits:
            within = [look for look in looks if look["kl"] <= limit] or looks[-1:]
            best = max(within, key=lambda look: look["reward"])
            cells.append(f"{best['gold']:.2f} ({best['kl']:.1f})")
        print(f"| {' | '.join(cells)} |", flush=True)


def gates(worlds: Sequence[World]) -> None:
    """What the preconditions say of each policy, from its run's and its evaluation's own figures."""
    from feedback.rules.evaluation.preconditions import Case, Evaluated, kl_budget, preconditions

    print("\n| world | policy | gold | KL of budget | entropy | findings |\n|--:|---|--:|--:|--:|---|")
    for one in worlds:
        for name in POLICIES:
            measured = json.loads((one.folder / f"evaluate-{name}" / "result.json").read_text())["metrics"]
            evaluation = Evaluated("policy v1", True, "reward v1", measured)
            found = preconditions(Case("policy v2", "policy v1", True, "reward v1", evaluation=evaluation))
            names = ", ".join(f"{finding.name} ({finding.level})" for finding in found)
            ours, theirs = measured["policy"], measured["incumbent"]
            budget = kl_budget(0.0, theirs["length"])
            print(
                f"| {one.seed} | {name} | {one.gold(name):.2f} | {ours['kl']:.1f} of {budget:.1f} "
                f"| {ours['entropy'] / theirs['entropy']:.0%} | {names} |",
                flush=True,
            )


# --- contests in the service -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """A running service with a project for each world.

    Attributes:
        tokens: of the annotators. versions: id of each policy's version, by world.
    """

    url: str
    admin: Client
    tokens: Sequence[str]
    versions: dict[str, dict[str, str]]

    def hold(self, world: World, candidate: str) -> dict[str, Any]:
        """A contest of a policy with what serves, from opening to its decision; as REST shows it."""
        slug = f"world-{world.seed}"
        body = {
            "project": slug,
            "candidates": [self.versions[str(world.seed)][candidate]],
            "cap": CAP,
            "share": 1.0,
            "preconditions": "report",
            "promote": True,
        }
        contest = self.admin.post("contests/", body).body["id"]
        collection = Collection(10 * CAP)
        people = crowd(PEOPLE, seed=stable_seed("contest", world.seed, candidate))
        workers = [
            Worker(person, Client(self.url, token), slug, collection)
            for person, token in zip(people, self.tokens, strict=True)
        ]
        thread = Thread(target=simulation.collect, args=(workers,), daemon=True)
        thread.start()
        try:
            while (shown := self.admin.get(f"contests/{contest}/"))["state"] in ("running", "paused"):
                if shown["state"] == "paused" or not thread.is_alive():
                    raise ProofFailed(f"World {world.seed}: the contest of {candidate} came to a halt: {shown}")
                time.sleep(0.5)
        finally:
            collection.stop.set()
            thread.join()
        return dict(shown)

    def serves(self, world: World, policy: str) -> bool:
        return bool(self.admin.get(f"models/{self.versions[str(world.seed)][policy]}/")["serves"])


def over_http(worlds: Sequence[World]) -> None:
    """Contests one after the other in each world, against what serves then."""
    from tests.running_service import Service

    with tempfile.TemporaryDirectory() as folder:
        given = [
            {
                "seed": one.seed,
                "policies": {name: str(one.model(name).resolve()) for name in ("sft", "ppo", "hacked")},
                "prompts": [prompt.text for prompt in one.held],
            }
            for one in worlds
        ]
        file = Path(folder) / "worlds.json"
        file.write_text(json.dumps({"worlds": given}), encoding="utf-8")
        with Service(Path(folder) / "data", CONTEST_WORLDS=str(file)) as service:
            script = Path(__file__).with_name("contest_worlds.py").read_text(encoding="utf-8")
            told = json.loads(service.manage("shell", given=script).strip().splitlines()[-1])
            bench = Bench(service.url, Client(service.url, told["admin"]), told["annotators"], told["worlds"])
            _hold_all(worlds, bench)


def _hold_all(worlds: Sequence[World], bench: Bench) -> None:
    print("\n| world | candidate | against | decision | votes | win rate (interval) | serves then | s |")
    print("|--:|---|---|---|--:|--:|---|--:|")
    votes: dict[str, list[int]] = {"ppo": [], "hacked": []}
    for one in worlds:
        incumbent = "sft"
        for candidate in votes:
            began = time.monotonic()
            shown = bench.hold(one, candidate)
            if shown["decision"] == "promote":
                until = time.monotonic() + 60
                while not bench.serves(one, candidate) and time.monotonic() < until:
                    time.sleep(0.3)
            figures = shown["figures"]
            (standing,) = figures["standings"]
            votes[candidate].append(figures["votes"])
            serves = next(name for name in ("hacked", "ppo", "sft") if bench.serves(one, name))
            print(
                f"| {one.seed} | {candidate} | {incumbent} | {shown['decision']} | {figures['votes']} "
                f"| {standing['win_rate']:.2f} ({_end(standing['low'])} to {_end(standing['high'])}) | {serves} "
                f"| {time.monotonic() - began:.0f} |",
                flush=True,
            )
            incumbent = serves
    for candidate, counts in votes.items():
        print(f"\n{candidate}: median {median(counts):g} votes, at most {max(counts)}", flush=True)


def _end(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


# --- repetitions -----------------------------------------------------------------------------------------


def repetitions(worlds: Sequence[World]) -> None:
    """Contests on fresh draws of prompts, responses, people and sides, decided by the pure function."""
    from feedback.rules.evaluation.contest_evidence import Design, UnitResult, replay

    times = -(-REPETITIONS // len(worlds))
    print(f"\n{times} contests in each world, at most {CAP} votes\n")
    print("| candidate | against | promoted | given up | at the cap | votes: median | at most |")
    print("|---|---|--:|--:|--:|--:|--:|")
    pools = {(one.seed, name): one.pool(name) for one in worlds for name in ("sft", "ppo", "hacked")}
    for candidate, incumbent in CONTESTS:
        outcomes: Counter[str] = Counter()
        votes = []
        for one in worlds:
            ours, theirs = pools[one.seed, candidate], pools[one.seed, incumbent]
            for number in range(times):
                rng = Random(stable_seed("repetition", one.seed, candidate, incumbent, number))
                people = crowd(PEOPLE, seed=stable_seed("crowd", one.seed, candidate, number))
                units = ((0, UnitResult(x)) for x in votes_of(rng, people, ours, theirs, candidate == incumbent))
                played = replay(units, Design(cap=CAP))
                outcomes[played.decision.outcome] += 1
                votes.append(played.units)
        print(
            f"| {candidate} | {incumbent} | {outcomes['promote']} of {len(votes)} | {outcomes['give_up']} "
            f"| {outcomes['cap']} | {median(votes):g} | {max(votes)} |",
            flush=True,
        )


def votes_of(
    rng: Random, people: Sequence[Annotator], ours: dict[str, list[str]], theirs: dict[str, list[str]], same: bool
) -> Iterator[Fraction]:
    """What one person after another says of one response of each model, passes over all prompts.

    Args:
        same: both come from one pool, of which no response meets itself.
    """
    half = Fraction(1, 2)
    left: list[str] = []
    while True:
        left = left or rng.sample(sorted(ours), len(ours))
        prompt = left.pop()
        mine, other = rng.choice(ours[prompt]), rng.choice(theirs[prompt])
        if same:
            mine, other = rng.sample(ours[prompt], 2)
        if mine == other:
            yield half
            continue
        swapped = rng.random() < 0.5
        shown = (other, mine) if swapped else (mine, other)
        said = rng.choice(people).judge(prompt, *shown, occasion=rng.randrange(2**31)).outcome
        if said not in ("a", "b"):
            yield half
        else:
            yield Fraction(int((said == "b") == swapped))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/over_optimization"))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=TABLES, help="none of them: only make the models")
    options = parser.parse_args()
    worlds = [World(options.folder / f"seed-{seed}", seed) for seed in options.seeds]
    for one in worlds:
        one.make()
    made = {"budget": budgets, "gate": gates, "http": over_http, "repetitions": repetitions}
    for name in options.only:
        made[name](worlds)


if __name__ == "__main__":
    try:
        main()
    except ProofFailed as failed:
        raise SystemExit(str(failed)) from failed
