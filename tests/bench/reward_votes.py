"""What the reward model makes of few votes, and of votes that are wrong: share of held-out pairs in the gold order.

    python -m tests.bench.reward_votes spread FOLDER [--labels 2000] [--seeds 0 1 2 3 4] [--config JSON]
    python -m tests.bench.reward_votes errors FOLDER [--labels 6000] [--seeds 0 1 2] [--crowd inverters spammers]

`spread` trains on the same careful votes with several training seeds. `errors` gives a world to each seed and compares
a clean crowd with one in which two of eight annotators are bad: unweighted, with errors in the loss, and with a
temperature per annotator. Votes are drawn as the service gives them out while errors are unknown: 15 % of the tasks go
to a second annotator. FOLDER keeps what was made, so a stopped run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import starmap
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any, NamedTuple

from workers.demo import world
from workers.demo.annotators import Annotator, crowd, follows_gold
from workers.demo.prove import SELECTION_LABELS, SMALL, TEST_LABELS, ProofFailed, Seed, gap
from workers.demo.snapshots import Row, canonical, file_sha256, write_snapshot
from workers.demo.trainer_files import prompt_row, read_lines, write_lines

PEOPLE = 8
DOUBLED = 0.15  # of the tasks
BAD = {
    "clean": [],
    "inverters": [Annotator(inverter=True)] * 2,
    "spammers": [Annotator(spammer=True)] * 2,
    "mixed": [Annotator(spammer=True), Annotator(inverter=True)],
}
WAYS = ("off", "errors", "temperature")


class Cast(NamedTuple):
    """A vote that prefers one of two responses: number of its task and annotator, and the row that it makes."""

    task: int
    annotator: int
    prefers_first: bool
    row: Row


class World(Seed):
    """Models of a demo world up to SFT, and pairs of its responses, made once."""

    def make(self, labels: int) -> None:
        if not (self.model("sft") / "manifest.json").is_file():
            self.first_models()
        rng = Random(world.stable_seed("votes", self.seed))
        wanted = {"train": labels, "selection": SELECTION_LABELS, "test": TEST_LABELS}
        self.asked: list[tuple[str, world.Prompt]] = []
        for split, count in wanted.items():
            for _ in range(count + count // 4):
                self.asked.append((split, rng.choice(self.splits[split])))
        self.pairs_made = name = f"pairs-{labels}"
        if not (self.folder / name / "result.json").is_file():
            self.responses(
                name,
                self.model("sft"),
                [self.request(prompt, 2, number) for number, (_, prompt) in enumerate(self.asked)],
            )
        written = read_lines(self.folder / name / "responses.jsonl")
        self.pairs = [(a["text"], b["text"]) for a, b in zip(written[::2], written[1::2], strict=True)]

    def votes(self, split: str, count: int, people: Sequence[Annotator]) -> list[Cast]:
        """The first `count` decided votes on the tasks of a split."""
        rng = Random(world.stable_seed("assigned", self.seed, split))
        found: list[Cast] = []
        for task, (of, prompt) in enumerate(self.asked):
            if of != split:
                continue
            a, b = self.pairs[task]
            first, second = rng.sample(range(len(people)), 2)
            for number in (first, second) if rng.random() < DOUBLED else (first,):
                judged = people[number].judge(prompt.text, a, b)
                if judged.outcome in ("a", "b") and len(found) < count:
                    chosen, rejected = (a, b) if judged.outcome == "a" else (b, a)
                    row = {"kind": "preference", "prompt": prompt.messages, "chosen": chosen, "rejected": rejected}
                    found.append(Cast(task, number, judged.outcome == "a", {**row, "strength": judged.strength}))
        return found

    def snapshot(self, name: str, votes: dict[str, list[Cast]], way: str) -> tuple[Path, dict[int, int]]:
        """A snapshot of the votes with the sidecar that a way asks for, and the errors in hundredths."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        splits: dict[str, list[Row]] = {}
        for split, cast in votes.items():
            splits[split] = [*(one.row for one in cast), *map(prompt_row, self.splits[split])]
        write_snapshot(folder, splits, "feedback")
        errors = estimated_errors(votes["train"]) if way == "errors" else {}
        if way != "off":
            write_sidecar(folder, votes, errors)
        return folder, errors

    def gold_order(self, name: str, snapshot: Path, config: dict[str, Any], seed: int) -> dict[str, Any]:
        """Train a reward model with a training seed, and measure it on the pairs of the test split."""
        file = self.folder / f"test-{self.pairs_made}.jsonl"  # runs of several label counts may share the folder
        truth, lines = [], []
        for (split, prompt), (a, b) in zip(self.asked, self.pairs, strict=True):
            if split == "test":
                lines += [{"prompt": prompt.messages, "text": a}, {"prompt": prompt.messages, "text": b}]
                truth.append(gap(prompt.text, a, b))
        write_lines(file, lines)
        own, self.seed = self.seed, seed
        try:
            made = self.once(name, "reward", {**SMALL, **config}, snapshot=snapshot, base_model=self.model("sft"))
            self.once(f"{name}-score", "score", {}, reward_model=self.model(name), responses=file)
        finally:
            self.seed = own
        scored = [line["reward"] for line in read_lines(self.folder / f"{name}-score" / "scores.jsonl")]
        preferred = [a > b for a, b in zip(scored[::2], scored[1::2], strict=True)]
        order = fmean(starmap(follows_gold, zip(preferred, truth, strict=True)))
        return {"gold_order": order, **made, "cpu_seconds": self.seconds.get(name)}

    def once(self, name: str, stage: str, config: dict[str, Any], **inputs: Path) -> dict[str, Any]:
        """As `stage`, but what is there already is not made again."""
        result = self.folder / name / "result.json"
        if result.is_file():
            kept: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))["metrics"]
            return kept
        return self.stage(name, stage, config, **inputs)


def estimated_errors(votes: Sequence[Cast]) -> dict[int, int]:
    """Errors by annotator in hundredths, as the service estimates them from shared votes."""
    from feedback.rules.quality.reliability import Vote
    from feedback.rules.quality.reliability_weights import errors_of

    return errors_of([Vote(one.task, one.annotator, one.prefers_first) for one in votes]).by_annotator


def write_sidecar(folder: Path, votes: dict[str, list[Cast]], errors: dict[int, int]) -> None:
    """`weights.jsonl` with errors, or without any with the index of each row's only annotator, told in the manifest."""
    stated: dict[str, list[int]] = defaultdict(list)
    for cast in votes.values():
        for one in cast:
            stated[hashlib.sha256(canonical(one.row).encode()).hexdigest()].append(one.annotator)
    lines = []
    for row, people in sorted(stated.items()):
        line: dict[str, Any] = {"hash": row, "weight": [1, 1]}
        if errors:
            from feedback.rules.quality.reliability_weights import of_row

            line["error"] = of_row((errors[person], Fraction(1)) for person in people)
        elif len(set(people)) == 1:
            line["annotator"] = people[0]
        if len(line) > 2:
            lines.append(canonical(line) + "\n")
    file = folder / "weights.jsonl"
    file.write_text("".join(lines), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["weights.jsonl"] = {"sha256": file_sha256(file), "bytes": file.stat().st_size}
    manifest["reliability"] = {"policy": "weigh", "applied": "errors" if errors else "temperature"}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def spread(options: argparse.Namespace) -> None:
    """Gold order over training seeds, on the same careful votes."""
    made = World(options.folder / f"world-{options.world}", options.world)
    made.make(options.labels)
    people = crowd(PEOPLE, seed=made.seed)
    votes = {"train": made.votes("train", options.labels, people)}
    votes["selection"] = made.votes("selection", SELECTION_LABELS, people)
    snapshot, _ = made.snapshot(f"careful-{options.labels}", votes, "off")
    orders = []
    print("| training seed | gold order | selection loss | steps | best step | CPU s |\n|--:|--:|--:|--:|--:|--:|")
    for seed in options.seeds:
        name = f"{options.name}-{options.labels}-{seed}"
        one = made.gold_order(name, snapshot, options.config, seed)
        orders.append(one["gold_order"])
        print(
            f"| {seed} | {one['gold_order']:.3f} | {one['selection_loss']:.4f} | {one['steps']} | {one['best_step']} "
            f"| {one['cpu_seconds']} |",
            flush=True,
        )
    print(f"mean {fmean(orders):.3f}, sd {stdev(orders):.3f}" if len(orders) > 1 else "")


def errors(options: argparse.Namespace) -> None:
    """Gold order by crowd and by what is done about it, a world for each seed."""
    print("| crowd | way | world | gold order | selection loss | learned |\n|---|---|--:|--:|--:|---|", flush=True)
    for seed in options.seeds:
        made = World(options.folder / f"world-{seed}", seed)
        made.make(options.labels)
        for name in ("clean", *options.crowd):
            people = crowd(PEOPLE, seed=seed, faulty=BAD[name])
            votes = {"train": made.votes("train", options.labels, people)}
            votes["selection"] = made.votes("selection", SELECTION_LABELS, people)
            for way in options.ways if name != "clean" else ("off",):
                run = f"{options.name}-{name}-{way}"
                snapshot, told = made.snapshot(f"{name}-{way}-{options.labels}", votes, way)
                one = made.gold_order(run, snapshot, options.config, seed)
                learned = told or one.get("annotator_temperatures", "")
                print(
                    f"| {name} | {way} | {seed} | {one['gold_order']:.3f} | {one['selection_loss']:.4f} | {learned} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("spread", "errors"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--world", type=int, default=0)
    parser.add_argument("--crowd", nargs="+", default=["inverters", "spammers"], choices=list(BAD))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--config", type=json.loads, default={})
    parser.add_argument("--name", default="reward", help="what runs of this configuration are called in FOLDER")
    options = parser.parse_args()
    if options.what == "spread":
        options.labels, options.seeds = options.labels or 2000, options.seeds or [0, 1, 2, 3, 4]
        spread(options)
    else:
        options.labels, options.seeds = options.labels or 6000, options.seeds or [0, 1, 2]
        errors(options)


if __name__ == "__main__":
    try:
        main()
    except ProofFailed as failed:
        raise SystemExit(str(failed)) from failed
