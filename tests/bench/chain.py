"""Run the chain of stages on the demo world and print what each gained and cost. A measurement, not a timed test.

    OMP_NUM_THREADS=1 python tests/bench/chain.py FOLDER [--seed 0] [--preset small] [--comparisons 6000] [--until ppo]

FOLDER keeps every run folder, so a second call goes on where the first was; delete a run folder to do its stage again.
Gold utility is read here and nowhere else: what is trained sees labels of simulated annotators only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from workers.demo import world  # noqa: E402
from workers.demo.annotators import Annotator, Pair, agreement_with_gold, crowd  # noqa: E402
from workers.demo.corpus import documents  # noqa: E402
from workers.demo.demonstrations import demonstrations  # noqa: E402
from workers.demo.snapshots import file_sha256, write_snapshot  # noqa: E402
from workers.demo.utility import utility  # noqa: E402

STAGES = ("tokenizer", "pretrain", "sft", "reward", "ppo", "evaluate")


def run_stage(
    folder: Path, stage: str, seed: int, config: dict[str, Any], inputs: dict[str, Path]
) -> tuple[dict[str, Any], float]:
    """One run through the command line; returns result.json and the wall time in seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {
        name: {"path": os.path.relpath(path, folder), "manifest_sha256": file_sha256(path / "manifest.json")}
        for name, path in inputs.items()
    }
    run = {"schema": 1, "run": folder.name, "attempt": 1, "stage": stage, "seed": seed}
    (folder / "run.json").write_text(json.dumps({**run, "config": config, "inputs": entries}), encoding="utf-8")
    start = time.monotonic()
    with (folder / "trainer.log").open("w") as log:
        code = subprocess.call([sys.executable, "-m", "trainer", str(folder)], cwd=ROOT, stdout=log, stderr=log)
    seconds = time.monotonic() - start
    if code:
        sys.exit(f"{stage} left with {code}:\n" + (folder / "trainer.log").read_text()[-3000:])
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return result, seconds


def sample(model_folder: Path, texts: list[str], seed: int, max_new_tokens: int = 48) -> list[tuple[str, bool]]:
    """One response to each prompt at temperature 1, and whether it ended by itself."""
    from trainer.data.columns import decode_completion, encode_prompts
    from trainer.modeling.loading import load_policy, load_tokenizer
    from trainer.modeling.passes import continuations

    tokenizer = load_tokenizer(model_folder)
    model = load_policy(model_folder, tokenizer)
    rows = encode_prompts(tokenizer, [({"role": "user", "content": text},) for text in texts])
    made = []
    for row in continuations(model, rows, max_new_tokens, seed):
        made.append((decode_completion(tokenizer, row), row[-1] == tokenizer.eos_token_id))
    return made


def gold(model_folder: Path, prompts: list[world.Prompt], seed: int, n: int = 500) -> dict[str, float]:
    """Mean gold utility of sampled responses and its standard error, and the share that ended."""
    texts = [prompts[k % len(prompts)].text for k in range(n)]
    made = sample(model_folder, texts, seed)
    values = [utility(text, reply, ended).total for text, (reply, ended) in zip(texts, made, strict=True)]
    mean = fmean(values)
    error = (fmean([(v - mean) ** 2 for v in values]) / n) ** 0.5
    return {"gold": round(mean, 3), "se": round(error, 3), "ended": fmean([ended for _, ended in made])}


def preferences(
    model_folder: Path, prompts: list[world.Prompt], n: int, seed: int, noise: float
) -> tuple[list[dict[str, Any]], float]:
    """`n` decided comparisons of two sampled responses, and the label ceiling on those pairs."""
    rng = random.Random(seed)
    people = crowd(8, seed=seed, noise=noise)
    asked = [rng.choice(prompts) for _ in range(n + n // 4)]
    made = sample(model_folder, [p.text for p in asked for _ in range(2)], seed)
    rows: list[dict[str, Any]] = []
    pairs = []
    for k, prompt in enumerate(asked):
        a, b = made[2 * k][0], made[2 * k + 1][0]
        judged = rng.choice(people).judge(prompt.text, a, b)
        if judged.outcome not in ("a", "b") or len(rows) == n:
            continue
        gap = utility(prompt.text, a).total - utility(prompt.text, b).total
        pairs.append(Pair(prompt.text, a, b, gap))
        chosen, rejected = (a, b) if judged.outcome == "a" else (b, a)
        rows.append({"kind": "preference", "prompt": prompt.messages, "chosen": chosen, "rejected": rejected})
        rows[-1]["strength"] = judged.strength
    ceiling = agreement_with_gold(Annotator(seed=seed + 1, noise=noise), pairs, occasions=4)
    return rows, ceiling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--comparisons", type=int, default=6000)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--until", choices=STAGES, default="evaluate")
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=JSON", help="override one setting")
    options = parser.parse_args()
    folder, seed = options.folder, options.seed
    folder.mkdir(parents=True, exist_ok=True)
    configs: dict[str, dict[str, Any]] = {stage: {"preset": options.preset} for stage in STAGES}
    for text in options.set:
        name, _, value = text.partition("=")
        stage, _, key = name.partition(".")
        configs[stage][key] = json.loads(value)

    seen, held = world.hold_out(seed)
    selection, test = held[::2], held[1::2]
    corpus, feedback = folder / "corpus", folder / "feedback"
    if not (corpus / "manifest.json").exists():
        rows = [{"kind": "document", **d.row()} for d in documents(seed, exclude=[p.text for p in held])]
        write_snapshot(corpus, {"train": rows[:-400], "selection": rows[-400:]}, "corpus")
    if not (folder / "demonstrations" / "manifest.json").exists():
        splits = {
            split: [
                {"kind": "demonstration", "prompt": d.prompt.messages, "completion": d.reply}
                for d in demonstrations(seed, n, prompts_given=prompts)
            ]
            for split, n, prompts in (("train", 608, seen), ("selection", 80, selection))
        }
        for split, prompts in (("train", seen), ("selection", selection), ("test", test)):
            splits.setdefault(split, []).extend({"kind": "prompt", "prompt": p.messages} for p in prompts)
        write_snapshot(folder / "demonstrations", splits, "feedback")

    inputs: dict[str, dict[str, Path]] = {
        "tokenizer": {"snapshot": corpus},
        "pretrain": {"snapshot": corpus, "tokenizer": folder / "tokenizer" / "model"},
        "sft": {"snapshot": folder / "demonstrations", "base_model": folder / "pretrain" / "model"},
        "reward": {"snapshot": feedback, "base_model": folder / "sft" / "model"},
        "ppo": {
            "snapshot": feedback,
            "base_model": folder / "sft" / "model",
            "reward_model": folder / "reward" / "model",
        },
        "evaluate": {
            "snapshot": feedback,
            "base_model": folder / "ppo" / "model",
            "reward_model": folder / "reward" / "model",
            "incumbent": folder / "sft" / "model",
        },
    }
    for stage in STAGES[: STAGES.index(options.until) + 1]:
        if stage == "reward" and not (feedback / "manifest.json").exists():
            made = {"train": (seen, options.comparisons), "selection": (selection, 600), "test": (test, 1000)}
            splits, ceilings = {}, {}
            for number, (split, (prompts, n)) in enumerate(made.items()):
                sft = folder / "sft" / "model"
                splits[split], ceilings[split] = preferences(sft, prompts, n, 1000 * seed + number, options.noise)
                splits[split] += [{"kind": "prompt", "prompt": p.messages} for p in prompts]
            write_snapshot(feedback, splits, "feedback")
            (feedback / "ceilings.json").write_text(json.dumps(ceilings), encoding="utf-8")
            print("label ceilings", {split: round(value, 3) for split, value in ceilings.items()}, flush=True)
        result, seconds = run_stage(folder / stage, stage, seed, configs[stage], inputs[stage])
        line: dict[str, Any] = {"stage": stage, "seconds": round(seconds, 1), **result["metrics"]}
        if stage in ("pretrain", "sft", "ppo"):
            line |= {"held_out": gold(folder / stage / "model", selection + test, seed)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
