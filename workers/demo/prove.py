"""The proof that training works, on a CPU and from nothing: every stage through its own recipe, judged from outside.

For each seed: tokenizer, pretraining, SFT; labels by simulated annotators on what SFT writes; reward models at several
label counts; best-of-n; DPO and KTO on the same labels; PPO with the default KL coefficient and with none. The gold
utility is read here and nowhere else: what is trained sees labels only. Over-optimisation must show without KL, and be
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
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from workers.demo import measure, proof, world
from workers.demo.annotators import Annotator, Pair, agreement_with_gold, crowd
from workers.demo.corpus import documents
from workers.demo.demonstrations import demonstrations
from workers.demo.snapshots import file_sha256, write_snapshot
from workers.demo.utility import utility

ROOT = Path(__file__).resolve().parents[2]
LABELS = (500, 2000, 6000)
SELECTION_LABELS, TEST_LABELS = 600, 1000
BEST_OF = (1, 2, 4, 8, 16, 32, 64)
POOL = 512  # completions of each held-out prompt behind best-of-n
ANSWERS = 25  # responses to each held-out prompt behind a gold figure
HELD_OUT = 20
LAST_LOOKS = 3  # of PPO, whose mean is where it ended

# One configuration for every seed; PPO's two arms differ in the coefficient alone. The rate stays constant, since
# annealed to zero a policy without KL comes to rest before it has spoilt itself; alarms only warn, for the same reason.
SMALL = {"preset": "small"}
PPO = {
    **SMALL,
    "iterations": 80,
    "schedule": "constant",
    "evaluate_every": 5,
    "watched_completions": 200,
    "stop_on_alarm": False,
}
ARMS = {"ppo": PPO, "hacked": {**PPO, "kl_coef": 0.0}}


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
        self.figures: dict[str, Any] = {"seed": seed}
        self.seconds: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Everything, in order; returns the figures."""
        started = time.monotonic()
        self.first_models()
        self.label()
        self.reward_models()
        self.best_of_n()
        for stage in ("dpo", "kto"):
            inputs = {"snapshot": self.folder / f"labels-{max(LABELS)}", "base_model": self.model("sft")}
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
        rows = [{"kind": "document", **d.row()} for d in documents(self.seed, exclude=[p.text for p in self.held])]
        write_snapshot(self.folder / "corpus", {"train": rows[:-400], "selection": rows[-400:]}, "corpus")
        splits: dict[str, list[dict[str, Any]]] = {
            split: [{"kind": "prompt", "prompt": prompt.messages} for prompt in prompts]
            for split, prompts in self.splits.items()
        }
        for split, count in (("train", 608), ("selection", 80)):
            splits[split] += [
                {"kind": "demonstration", "prompt": d.prompt.messages, "completion": d.reply}
                for d in demonstrations(self.seed, count, prompts_given=self.splits[split])
            ]
        write_snapshot(self.folder / "demonstrations", splits, "feedback")
        self.stage("tokenizer", "tokenizer", SMALL, snapshot=self.folder / "corpus")
        self.stage("pretrain", "pretrain", SMALL, snapshot=self.folder / "corpus", tokenizer=self.model("tokenizer"))
        self.stage("sft", "sft", SMALL, snapshot=self.folder / "demonstrations", base_model=self.model("pretrain"))

    def label(self) -> None:
        """Two responses of SFT to a prompt, over and over, and what annotators say of them."""
        rng, people = Random(world.stable_seed("prove", self.seed)), crowd(8, seed=self.seed)
        wanted = {"train": max(LABELS), "selection": SELECTION_LABELS, "test": TEST_LABELS}
        questions = [
            (split, rng.choice(self.splits[split])) for split, n in wanted.items() for _ in range(n + n // 4)
        ]  # a quarter more, for ties and pairs that are both bad
        lines = [
            {"prompt": prompt.messages, "seeds": [world.stable_seed(self.seed, n, side) >> 1 for side in (0, 1)]}
            for n, (_, prompt) in enumerate(questions)
        ]
        written = self.responses("pairs", self.model("sft"), lines)
        self.rows: dict[str, list[dict[str, Any]]] = {split: [] for split in wanted}
        pairs: list[Pair] = []
        for (split, prompt), (a, b) in zip(questions, zip(written[::2], written[1::2], strict=True), strict=True):
            judged = rng.choice(people).judge(prompt.text, a["text"], b["text"])
            if judged.outcome not in ("a", "b") or len(self.rows[split]) == wanted[split]:
                continue
            chosen, rejected = (a["text"], b["text"]) if judged.outcome == "a" else (b["text"], a["text"])
            row = {"kind": "preference", "prompt": prompt.messages, "chosen": chosen, "rejected": rejected}
            self.rows[split].append({**row, "strength": judged.strength})
            if split == "test":
                pairs.append(Pair(prompt.text, a["text"], b["text"], gap(prompt.text, a["text"], b["text"])))
        self.figures["ceiling"] = agreement_with_gold(Annotator(seed=self.seed + 1), pairs, occasions=8)

    def reward_models(self) -> None:
        """A reward model at each label count, scored on labels of prompts that no training has seen."""
        test = self.rows["test"]
        file = self.folder / "test-responses.jsonl"
        write_lines(file, [{"prompt": r["prompt"], "text": r[key]} for r in test for key in ("chosen", "rejected")])
        self.figures["reward"] = []
        for count in LABELS:
            name = f"reward-{count}"
            splits = {
                split: [*rows[: count if split == "train" else None], *prompt_rows(self.splits[split])]
                for split, rows in self.rows.items()
            }
            write_snapshot(self.folder / f"labels-{count}", splits, "feedback")
            inputs = {"snapshot": self.folder / f"labels-{count}", "base_model": self.model("sft")}
            made = self.stage(name, "reward", SMALL, **inputs)
            self.stage(f"score-{count}", "score", {}, reward_model=self.model(name), responses=file)
            scores = [line["reward"] for line in read_lines(self.folder / f"score-{count}" / "scores.jsonl")]
            gaps = [(x - y) * made["reward_std"] for x, y in zip(scores[::2], scores[1::2], strict=True)]
            truth = [gap(row["prompt"][-1]["content"], row["chosen"], row["rejected"]) for row in test]
            error, bins = proof.reliability([1 / (1 + math.exp(-g)) for g in gaps])
            self.figures["reward"].append(
                {
                    "labels": count,
                    "accuracy": fmean(float(g > 0) + 0.5 * (g == 0) for g in gaps),
                    "gold_order": fmean(
                        0.5 if t == 0 else float((g > 0) == (t > 0)) for g, t in zip(gaps, truth, strict=True)
                    ),
                    "ece": error,
                    "bins": bins,
                }
            )

    def best_of_n(self) -> None:
        """Gold and proxy of the best of n, from one pool of completions of SFT; KL is known in closed form."""
        lines = [
            {"prompt": p.messages, "seeds": [world.stable_seed(self.seed, "pool", p.text, k) >> 1 for k in range(POOL)]}
            for p in self.held
        ]
        pool = self.responses("pool", self.model("sft"), lines, reward_model=self.model(f"reward-{max(LABELS)}"))
        worth = [(line["reward"], gold_of(line)) for line in pool]
        by_prompt = [worth[start : start + POOL] for start in range(0, len(worth), POOL)]
        self.sft = [sampled(line) for n, line in enumerate(pool) if n % POOL < ANSWERS]
        self.figures["best_of"] = {
            str(n): {
                "kl": proof.kl_of_best(n),
                "gold": fmean(proof.best_of(n, values) for values in by_prompt),
                "oracle": fmean(proof.best_of(n, [(g, g) for _, g in values]) for values in by_prompt),
                "proxy": fmean(proof.best_of(n, [(r, r) for r, _ in values]) for values in by_prompt),
            }
            for n in BEST_OF
        }
        self.sft_gold = {
            prompt.text: fmean(gold for _, gold in values) for prompt, values in zip(self.held, by_prompt, strict=True)
        }

    def optimise(self, arm: str) -> None:
        """One arm of PPO, and what each look of it is worth in gold."""
        labels = self.folder / f"labels-{max(LABELS)}"
        models = {"base_model": self.model("sft"), "reward_model": self.model(f"reward-{max(LABELS)}")}
        made = self.stage(arm, "ppo", ARMS[arm], snapshot=labels, **models)
        progress = read_lines(self.folder / arm / "progress.jsonl")
        metrics = {line["step"]: line["metrics"] for line in progress if line["kind"] == "metrics"}
        files = (self.folder / arm / "looks").glob("step-*.jsonl")
        looks = {int(file.stem.removeprefix("step-")): read_lines(file) for file in files}
        curve = [
            {
                "iteration": step,
                "gold": fmean(map(gold_of, lines)),
                "proxy": metrics[step]["selection_score"],
                "kl": metrics[step]["selection_kl"],
                "entropy": metrics[step]["selection_entropy"],
                "eos_rate": metrics[step]["selection_eos_rate"],
                "length": metrics[step]["selection_length"],
            }
            for step, lines in sorted(looks.items())
        ]
        prompts_shown = [line["prompt"][-1]["content"] for line in looks[curve[0]["iteration"]]]
        sft_gold = fmean(self.sft_gold[text] for text in prompts_shown)
        # A policy without KL leaps about: what it comes to is the mean of its last looks.
        last = {key: fmean(look[key] for look in curve[-LAST_LOOKS:]) for key in ("gold", "proxy", "entropy")}
        end, peak = curve[-1]["iteration"], max(curve, key=lambda look: look["gold"])
        self.figures[arm] = {
            "curve": curve,
            "alarms": {line["name"]: line["step"] for line in progress if line["kind"] == "alarm"},
            "chosen_iteration": made["chosen_iteration"],
            "kl": made["selection_kl"],
            "sft_gold": sft_gold,
            "gold": last["gold"],
            "proxy": last["proxy"],
            "peak_gold": peak["gold"],
            "peak_proxy": peak["proxy"],
            "peak_iteration": peak["iteration"],
            "entropy_share": last["entropy"] / metrics[1]["entropy"],
            "explained_variance": {step: metrics[step]["explained_variance"] for step in (1, 10, end)},
            "samples": [
                {
                    "iteration": step,
                    "prompt": line["prompt"][-1]["content"],
                    "text": line["text"],
                    "gold": gold_of(line),
                }
                for step in dict.fromkeys((1, peak["iteration"], end))
                for line in looks[step][:3]
            ],
            "fit": asdict(proof.fit("rl", [(look["kl"], look["gold"] - sft_gold) for look in curve])),
        }

    def compare(self) -> None:
        """Gold of every policy on the held-out prompts, what share ended, and how often PPO's answer is worth more."""
        lines = [
            {"prompt": p.messages, "seeds": [world.stable_seed(self.seed, p.text, k) >> 1 for k in range(ANSWERS)]}
            for p in self.held
        ]
        samples = {"sft": self.sft}
        policies = {"base": "pretrain", "dpo": "dpo", "kto": "kto", "ppo": "ppo", "kept_at_zero": "hacked"}
        for name, made in policies.items():
            samples[name] = [sampled(line) for line in self.responses(f"answers-{name}", self.model(made), lines)]
        golds = {name: [one.gold for one in some] for name, some in samples.items()}
        self.figures["gold"] = {name: fmean(values) for name, values in golds.items()}
        self.figures["gold_se"] = {name: stdev(values) / len(values) ** 0.5 for name, values in golds.items()}
        self.figures["ended"] = {name: fmean(one.ended for one in some) for name, some in samples.items()}
        self.figures["win_rate"] = measure.win_rate(samples["ppo"], samples["sft"], self.seed)
        best = self.figures["best_of"]
        start = best["1"]["gold"]
        self.figures["best_of_fit"] = asdict(
            proof.fit("best_of_n", [(one["kl"], one["gold"] - start) for one in best.values()])
        )

    # --- the trainer -------------------------------------------------------------------------------------

    def model(self, name: str) -> Path:
        """The model that a stage of this seed made."""
        return self.folder / name / "model"

    def responses(self, name: str, policy: Path, lines: list[dict[str, Any]], **inputs: Path) -> list[dict[str, Any]]:
        """What a policy writes to a file of prompts, one line for each seed."""
        file = self.folder / f"{name}.jsonl"
        write_lines(file, lines)
        self.stage(name, "generate", {**SMALL, "batch_size": 256}, base_model=policy, prompts=file, **inputs)
        return read_lines(self.folder / name / "responses.jsonl")

    def stage(self, name: str, stage: str, config: Mapping[str, Any], **inputs: Path) -> dict[str, Any]:
        """One run through the trainer's own command; returns its metrics.

        Raises:
            ProofFailed: it left with a failure.
        """
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        entries = {
            key: {"path": os.path.relpath(path, folder), "manifest_sha256": input_sha256(path)}
            for key, path in inputs.items()
        }
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


def prove(folder: Path, seeds: Sequence[int], processes: int = 2) -> dict[str, Any]:
    """Prove with each seed, `processes` of them side by side, and return the report; `folder` is begun afresh.

    Raises:
        ProofFailed: a stage did not end well, or the folder holds something that is no proof's.
    """
    begin_afresh(folder)
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=processes) as pool:
        figures = list(pool.map(lambda seed: Seed(folder / f"seed-{seed}", seed).run(), seeds))
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seeds": figures,
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(sum(sum(one["cpu_seconds"].values()) for one in figures) + own.ru_utime + own.ru_stime, 1),
        "configuration": {"labels": LABELS, "ppo": ARMS["ppo"], "preset": "small"},
    }


def begin_afresh(folder: Path) -> None:
    """Make `folder` an empty one, if all that it holds is an earlier proof.

    Raises:
        ProofFailed: it holds something else.
    """
    own = ("report.json", "report.html")
    there = list(folder.iterdir()) if folder.is_dir() else []
    if strangers := sorted(path.name for path in there if not (path.name.startswith("seed-") or path.name in own)):
        raise ProofFailed(f"{folder} holds {strangers[0]}, which is no part of a proof. Name another folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def missed(report: Mapping[str, Any]) -> list[str]:
    """A sentence for each demand that is not met."""
    return [
        f"Seed {figures['seed']}: {one['sentence']}; it is {one['value']}."
        for figures in report["seeds"]
        for one in figures["verdicts"]
        if not one["ok"]
    ]


# --- small things ----------------------------------------------------------------------------------------


def gap(prompt: str, text_a: str, text_b: str) -> float:
    """Gold utility of the first text minus that of the second."""
    return utility(prompt, text_a).total - utility(prompt, text_b).total


def sampled(line: Mapping[str, Any]) -> measure.Sampled:
    """A line of responses as something that has a gold utility."""
    return measure.Sampled(line["prompt"][-1]["content"], line["text"], line["finish_reason"] == "stop")


def gold_of(line: Mapping[str, Any]) -> float:
    return sampled(line).gold


def prompt_rows(prompts: Sequence[world.Prompt]) -> list[dict[str, Any]]:
    return [{"kind": "prompt", "prompt": prompt.messages} for prompt in prompts]


def input_sha256(path: Path) -> str:
    return file_sha256(path if path.is_file() else path / "manifest.json")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
