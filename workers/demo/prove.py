"""The proof that training works, on a CPU and from nothing: every stage through its own recipe, judged from outside.

For each seed: tokenizer, pretraining, SFT; labels by simulated annotators on what SFT writes; reward models at several
label counts; best-of-n; DPO and KTO on the same labels; PPO with the default KL coefficient and with none. The gold
utility is read here and nowhere else: what is trained sees labels only. Over-optimization must show without KL, and be
determined by the trainer's alarms.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import starmap
from operator import attrgetter, itemgetter
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Literal

from workers.demo import measure, proof, world
from workers.demo.annotators import Annotator, Pair, agreement_with_gold, crowd, follows_gold
from workers.demo.corpus import documents
from workers.demo.demonstrations import demonstrations
from workers.demo.proof_figures import Look, Report, Sample, SeedFigures
from workers.demo.snapshots import Row, write_snapshot
from workers.demo.trainer_files import (
    Preference,
    Request,
    Response,
    demonstration_row,
    document_row,
    gold_of,
    input_sha256,
    prompt_of,
    prompt_row,
    read_lines,
    sampled,
    write_lines,
)
from workers.demo.utility import utility

ROOT = Path(__file__).resolve().parents[2]
LABELS = (500, 2000, 6000)
SELECTION_LABELS, TEST_LABELS = 600, 1000
BEST_OF = (1, 2, 4, 8, 16, 32, 64)
POOL = 512  # completions of each held-out prompt behind best-of-n
ANSWERS = 25  # responses to each held-out prompt behind a gold figure
HELD_OUT = 20
LAST_LOOKS = 3  # of PPO, whose mean is where it ended
OWN_FILES = ("report.json", "report.html")

Config = dict[str, object]
Arm = Literal["ppo", "hacked"]

# One configuration for every seed; PPO's two arms differ in the coefficient alone. The rate stays constant, since
# annealed to zero a policy without KL comes to rest before it has spoilt itself; alarms only warn, for the same reason.
SMALL: Config = {"preset": "small"}
PPO: Config = {
    **SMALL,
    "iterations": 80,
    "schedule": "constant",
    "evaluate_every": 5,
    "watched_completions": 200,
    "stop_on_alarm": False,
}
ARMS: dict[Arm, Config] = {"ppo": PPO, "hacked": {**PPO, "kl_coef": 0.0}}


class ProofFailed(Exception):
    """A stage did not end well; the text says which and why."""


class Seed:
    """One seed's run of everything, in a folder of its own.

    Attributes:
        figures: what was measured so far. seconds: CPU seconds of each stage.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.seen, self.held = world.hold_out(seed, HELD_OUT)
        self.splits = {"train": self.seen, "selection": self.held[::2], "test": self.held[1::2]}
        self.figures: SeedFigures = {"seed": seed}
        self.seconds: dict[str, float] = {}

    def run(self) -> SeedFigures:
        """Everything, in order; returns the figures."""
        started = time.monotonic()
        self.first_models()
        self.label()
        self.reward_models()
        self.best_of_n()
        inputs = {"snapshot": self.folder / f"labels-{max(LABELS)}", "base_model": self.model("sft")}
        for stage in proof.DIRECT:
            self.stage(stage, stage, SMALL, **inputs)
        for arm in ARMS:
            self.optimise(arm)
        self.compare()
        self.figures |= {"cpu_seconds": self.seconds, "wall_seconds": round(time.monotonic() - started, 1)}
        self.figures["verdicts"] = proof.verdicts(self.figures)
        return self.figures

    # --- stages ------------------------------------------------------------------------------------------

    def first_models(self) -> None:
        """Tokenizer, base model and SFT policy."""
        held_out = list(map(attrgetter("text"), self.held))
        rows = list(map(document_row, documents(self.seed, exclude=held_out)))
        write_snapshot(self.folder / "corpus", {"train": rows[:-400], "selection": rows[-400:]}, "corpus")
        splits: dict[str, list[Row]] = {}
        for split, prompts in self.splits.items():
            splits[split] = list(map(prompt_row, prompts))
        for split, count in (("train", 608), ("selection", 80)):
            written = demonstrations(self.seed, count, prompts_given=self.splits[split])
            splits[split] += map(demonstration_row, written)
        write_snapshot(self.folder / "demonstrations", splits, "feedback")
        self.stage("tokenizer", "tokenizer", SMALL, snapshot=self.folder / "corpus")
        self.stage("pretrain", "pretrain", SMALL, snapshot=self.folder / "corpus", tokenizer=self.model("tokenizer"))
        self.stage("sft", "sft", SMALL, snapshot=self.folder / "demonstrations", base_model=self.model("pretrain"))

    def label(self) -> None:
        """Two responses of SFT to a prompt, over and over, and what annotators say of them."""
        rng, people = Random(world.stable_seed("prove", self.seed)), crowd(8, seed=self.seed)
        wanted = {"train": max(LABELS), "selection": SELECTION_LABELS, "test": TEST_LABELS}
        questions: list[tuple[str, world.Prompt]] = []
        for split, count in wanted.items():
            for _ in range(count + count // 4):  # a quarter more, for ties and pairs that are both bad
                questions.append((split, rng.choice(self.splits[split])))
        lines = [self.request(prompt, 2, number) for number, (_, prompt) in enumerate(questions)]
        written = self.responses("pairs", self.model("sft"), lines)
        self.labels: dict[str, list[Preference]] = {split: [] for split in wanted}
        pairs: list[Pair] = []
        for (split, prompt), (a, b) in zip(questions, zip(written[::2], written[1::2], strict=True), strict=True):
            judged = rng.choice(people).judge(prompt.text, a["text"], b["text"])
            if judged.outcome not in ("a", "b") or len(self.labels[split]) == wanted[split]:
                continue
            chosen, rejected = a["text"], b["text"]
            if judged.outcome == "b":
                chosen, rejected = rejected, chosen
            self.labels[split].append(
                {
                    "kind": "preference",
                    "prompt": prompt.messages,
                    "chosen": chosen,
                    "rejected": rejected,
                    "strength": judged.strength,
                }
            )
            if split == "test":
                pairs.append(Pair(prompt.text, a["text"], b["text"], gap(prompt.text, a["text"], b["text"])))
        self.figures["ceiling"] = agreement_with_gold(Annotator(seed=self.seed + 1), pairs, occasions=8)

    def reward_models(self) -> None:
        """A reward model at each label count, scored on labels of prompts that no training has seen."""
        file = self.folder / "test-responses.jsonl"
        lines, truth = [], []
        for row in self.labels["test"]:
            lines.append({"prompt": row["prompt"], "text": row["chosen"]})
            lines.append({"prompt": row["prompt"], "text": row["rejected"]})
            truth.append(gap(row["prompt"][-1]["content"], row["chosen"], row["rejected"]))
        write_lines(file, lines)
        self.figures["reward"] = []
        for count in LABELS:
            name = f"reward-{count}"
            inputs = {"snapshot": self.snapshot_of(count), "base_model": self.model("sft")}
            made = self.stage(name, "reward", SMALL, **inputs)
            self.stage(f"score-{count}", "score", {}, reward_model=self.model(name), responses=file)
            scored = read_lines(self.folder / f"score-{count}" / "scores.jsonl")
            gaps = [
                (chosen["reward"] - rejected["reward"]) * made["reward_std"]
                for chosen, rejected in zip(scored[::2], scored[1::2], strict=True)
            ]
            preferred = [value > 0 for value in gaps]
            error, bins = proof.reliability(list(map(sigmoid, gaps)))
            self.figures["reward"].append(
                {
                    "labels": count,
                    "accuracy": fmean(map(share_won, gaps)),
                    "gold_order": fmean(starmap(follows_gold, zip(preferred, truth, strict=True))),
                    "ece": error,
                    "bins": bins,
                }
            )

    def snapshot_of(self, count: int) -> Path:
        """A snapshot with the first `count` labels of the train split, and everything of the other splits."""
        splits: dict[str, list[Row]] = {}
        for split, labels in self.labels.items():
            used = labels[:count] if split == "train" else labels
            splits[split] = [*used, *map(prompt_row, self.splits[split])]
        folder = self.folder / f"labels-{count}"
        write_snapshot(folder, splits, "feedback")
        return folder

    def best_of_n(self) -> None:
        """Gold and proxy of the best of n, from one pool of completions of SFT; KL is known in closed form."""
        lines = [self.request(prompt, POOL, "pool", prompt.text) for prompt in self.held]
        pool = self.responses("pool", self.model("sft"), lines, reward_model=self.model(f"reward-{max(LABELS)}"))
        proxy, gold = list(map(itemgetter("reward"), pool)), list(map(gold_of, pool))
        self.figures["best_of"] = {}
        for n in BEST_OF:
            self.figures["best_of"][str(n)] = {
                "kl": proof.kl_of_best(n),
                "gold": mean_best_of(n, by=proxy, of=gold),
                "oracle": mean_best_of(n, by=gold, of=gold),
                "proxy": mean_best_of(n, by=proxy, of=proxy),
            }
        self.sft: list[measure.Sampled] = []
        for responses in proof.groups(pool, POOL):
            self.sft += map(sampled, responses[:ANSWERS])
        self.sft_gold: dict[str, float] = {}
        for prompt, golds in zip(self.held, proof.groups(gold, POOL), strict=True):
            self.sft_gold[prompt.text] = fmean(golds)

    def optimise(self, arm: Arm) -> None:
        """One arm of PPO, and what each look of it is worth in gold."""
        labels = self.folder / f"labels-{max(LABELS)}"
        models = {"base_model": self.model("sft"), "reward_model": self.model(f"reward-{max(LABELS)}")}
        made = self.stage(arm, "ppo", ARMS[arm], snapshot=labels, **models)
        metrics: dict[int, dict[str, float]] = {}
        alarms: dict[str, int] = {}
        for line in read_lines(self.folder / arm / "progress.jsonl"):
            if line["kind"] == "metrics":
                metrics[line["step"]] = line["metrics"]
            elif line["kind"] == "alarm":
                alarms[line["name"]] = line["step"]
        looks: dict[int, list[Response]] = {}
        for file in (self.folder / arm / "looks").glob("step-*.jsonl"):
            looks[int(file.stem.removeprefix("step-"))] = read_lines(file)
        curve = [look_at(step, metrics[step], responses) for step, responses in sorted(looks.items())]
        sft_gold = fmean([self.sft_gold[prompt_of(line)] for line in looks[curve[0]["iteration"]]])
        # A policy without KL leaps about: what it comes to is the mean of its last looks.
        last, end, peak = curve[-LAST_LOOKS:], curve[-1]["iteration"], max(curve, key=itemgetter("gold"))
        samples: list[Sample] = []
        for step in dict.fromkeys((1, peak["iteration"], end)):
            samples += [sample_of(step, line) for line in looks[step][:3]]
        self.figures[arm] = {
            "curve": curve,
            "alarms": alarms,
            "chosen_iteration": made["chosen_iteration"],
            "kl": made["selection_kl"],
            "sft_gold": sft_gold,
            "gold": mean_of("gold", last),
            "proxy": mean_of("proxy", last),
            "peak_gold": peak["gold"],
            "peak_proxy": peak["proxy"],
            "peak_iteration": peak["iteration"],
            "entropy_share": mean_of("entropy", last) / metrics[1]["entropy"],
            "explained_variance": {step: metrics[step]["explained_variance"] for step in (1, 10, end)},
            "samples": samples,
            "fit": asdict(proof.fit("rl", proof.gains(curve, sft_gold))),
        }

    def compare(self) -> None:
        """Gold of every policy on the held-out prompts, what share ended, and how often PPO's answer is worth more."""
        lines = [self.request(prompt, ANSWERS, prompt.text) for prompt in self.held]
        samples = {"sft": self.sft}
        made_by = {"base": "pretrain", "kept_at_zero": "hacked"}  # the others are named like their stage
        for name in ("base", *proof.DIRECT, "ppo", "kept_at_zero"):
            policy = self.model(made_by.get(name, name))
            samples[name] = list(map(sampled, self.responses(f"answers-{name}", policy, lines)))
        self.figures |= {"gold": {}, "gold_se": {}, "ended": {}}
        for name, some in samples.items():
            golds = list(map(attrgetter("gold"), some))
            self.figures["gold"][name] = fmean(golds)
            self.figures["gold_se"][name] = measure.standard_error(golds)
            self.figures["ended"][name] = fmean(map(attrgetter("ended"), some))
        self.figures["win_rate"] = measure.win_rate(samples["ppo"], samples["sft"], self.seed)
        best = self.figures["best_of"]
        points = proof.gains(best.values(), best["1"]["gold"])
        self.figures["best_of_fit"] = asdict(proof.fit("best_of_n", points))

    # --- the trainer -------------------------------------------------------------------------------------

    def model(self, name: str) -> Path:
        """The model that a stage of this seed made."""
        return self.folder / name / "model"

    def request(self, prompt: world.Prompt, count: int, *about: object) -> Request:
        """A line of a file of prompts for `count` responses, whose seeds differ with what they are about."""
        seeds = [world.stable_seed(self.seed, *about, number) >> 1 for number in range(count)]
        return {"prompt": prompt.messages, "seeds": seeds}

    def responses(self, name: str, policy: Path, lines: Sequence[Request], **inputs: Path) -> list[Any]:
        """What a policy writes to a file of prompts: a `Response` for each seed, with a `reward` by a reward model."""
        file = self.folder / f"{name}.jsonl"
        write_lines(file, lines)
        self.stage(name, "generate", {**SMALL, "batch_size": 256}, base_model=policy, prompts=file, **inputs)
        return read_lines(self.folder / name / "responses.jsonl")

    def stage(self, name: str, stage: str, config: Config, **inputs: Path) -> dict[str, Any]:
        """One run through the trainer's own command; returns its metrics.

        Raises:
            ProofFailed: it left with a failure.
        """
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        entries = {}
        for key, path in inputs.items():
            entries[key] = {"path": os.path.relpath(path, folder), "manifest_sha256": input_sha256(path)}
        run = {"schema": 1, "run": f"{name}-{self.seed}", "attempt": 1, "stage": stage, "seed": self.seed}
        (folder / "run.json").write_text(json.dumps({**run, "config": config, "inputs": entries}), encoding="utf-8")
        with (folder / "trainer.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "trainer", str(folder)],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
                stdout=log,
                stderr=log,
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds[name] = round(usage.ru_utime + usage.ru_stime, 1)
        if process.returncode:
            tail = (folder / "trainer.log").read_text(encoding="utf-8", errors="replace")[-2000:]
            raise ProofFailed(f"Seed {self.seed}: {name} left with {process.returncode}.\n{tail}")
        print(f"seed {self.seed}: {name} took {self.seconds[name]:.0f} s of CPU", file=sys.stderr, flush=True)
        metrics: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))["metrics"]
        return metrics


def prove(folder: Path, seeds: Sequence[int], processes: int = 2) -> Report:
    """Prove with each seed, `processes` of them side by side, and return the report; `folder` is begun afresh.

    Raises:
        ProofFailed: a stage did not end well, or the folder holds something that is no proof's.
    """
    begin_afresh(folder)
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=processes) as pool:
        figures = list(pool.map(lambda seed: Seed(folder / f"seed-{seed}", seed).run(), seeds))
    own = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = own.ru_utime + own.ru_stime
    for one in figures:
        cpu_seconds += sum(one["cpu_seconds"].values())
    return {
        "seeds": figures,
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "configuration": {"labels": LABELS, "ppo": ARMS["ppo"], "preset": "small"},
    }


def begin_afresh(folder: Path) -> None:
    """Make `folder` an empty one, if all that it holds is an earlier proof.

    Raises:
        ProofFailed: it holds something else.
    """
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("seed-") and path.name not in OWN_FILES:
                raise ProofFailed(f"{folder} holds {path.name}, which is no part of a proof. Name another folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def missed(report: Report) -> list[str]:
    """A sentence for each demand that is not met."""
    sentences = []
    for figures in report["seeds"]:
        for one in figures["verdicts"]:
            if not one["ok"]:
                sentences.append(f"Seed {figures['seed']}: {one['sentence']}; it is {one['value']}.")
    return sentences


# --- small things ----------------------------------------------------------------------------------------


def gap(prompt: str, text_a: str, text_b: str) -> float:
    """Gold utility of the first text minus that of the second."""
    return utility(prompt, text_a).total - utility(prompt, text_b).total


def sample_of(step: int, line: Response) -> Sample:
    return {"iteration": step, "prompt": prompt_of(line), "text": line["text"], "gold": gold_of(line)}


def look_at(step: int, metrics: Mapping[str, float], responses: Sequence[Response]) -> Look:
    """The policy at an iteration: gold of its responses, and what the trainer measured."""
    return {
        "iteration": step,
        "gold": fmean(map(gold_of, responses)),
        "proxy": metrics["selection_score"],
        "kl": metrics["selection_kl"],
        "entropy": metrics["selection_entropy"],
        "eos_rate": metrics["selection_eos_rate"],
        "length": metrics["selection_length"],
    }


def mean_of(figure: str, looks: Sequence[Look]) -> float:
    return fmean(map(itemgetter(figure), looks))


def mean_best_of(n: int, *, by: Sequence[float], of: Sequence[float]) -> float:
    """Mean `of` the best of n `by` another figure, over the prompts of the pool."""
    values = list(zip(by, of, strict=True))
    return fmean(proof.best_of(n, completions) for completions in proof.groups(values, POOL))


def sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


def share_won(gap: float) -> float:
    """1 where the chosen one scores higher, 0 where lower, a half where equal."""
    return float(gap > 0) + 0.5 * (gap == 0)
