"""Our PPO beside TRL 1.12.0's PPOTrainer, the last one it had: same models, prompts, batch, epochs and lengths.

    python tests/bench/ppo.py FOLDER [--peer PYTHON] [--seeds 5] [--iterations 12] [--large] [--critic top]

PYTHON is the interpreter of an environment with trl==1.12.0; without one, FOLDER/peer is made (some minutes).
Runs of the two alternate, one thread each, in processes of their own. CPU seconds are those of `train()` alone.

Task: answers are sequences of 4 to 31 made-up words and an end; a reward model has learned to like one half of
the words. The policy has seen random ones only. `liked` is the true share of liked words in what it writes afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
import venv
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
HERE = Path(__file__).resolve()

SIZES = {  # hidden, intermediate, layers, heads, words: about 2 and 25 million parameters
    "2M": (192, 512, 4, 4, 512),
    "25M": (384, 1536, 8, 6, 16384),
}
SETTINGS = {"batch": 64, "minibatches": 4, "epochs": 4, "new_tokens": 32, "learning_rate": 3e-4, "kl_coef": 0.05}
PAD, END, FIRST = 0, 1, 4


def is_liked(word: int) -> bool:
    return word >= FIRST and word % 2 == 0


def prepare(folder: Path, size: str) -> None:
    """A tokenizer, a policy that writes random words, a reward model that likes half of them, and prompts."""
    if (folder / "prompts.json").exists():
        return
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    chance = random.Random(0)
    hidden, intermediate, layers, heads, words = SIZES[size]
    names = ["<pad>", "<end>", "<ask>", "<answer>", *(f"w{n}" for n in range(FIRST, words))]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({name: n for n, name in enumerate(names)}, unk_token="<pad>")),
        pad_token="<pad>",
        eos_token="<end>",
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    shape: dict[str, Any] = {
        "vocab_size": words,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 96,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "eos_token_id": END,
        "bos_token_id": None,
    }
    policy = LlamaForCausalLM(LlamaConfig(**shape))
    reward = LlamaForSequenceClassification(LlamaConfig(**shape | {"num_labels": 1}))

    def answer() -> list[int]:
        good = chance.random()
        word = [2 * chance.randrange(FIRST // 2, words // 2) for _ in range(chance.randint(4, 30))]
        return [n if chance.random() < good else n + 1 for n in word] + [END]

    def ask() -> list[int]:
        return [2, *(chance.randrange(FIRST, words) for _ in range(chance.randint(3, 12))), 3]

    def batch(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
        return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])

    steps = 300 if size == "2M" else 2  # the large one is weighed, not taught
    for model in (policy, reward):
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(steps):
            asks, answers = [ask() for _ in range(32)], [answer() for _ in range(32)]
            ids, mask = batch([a + b for a, b in zip(asks, answers, strict=True)])
            if model is policy:
                loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
            else:
                truth = torch.tensor([4 * fmean(map(is_liked, row[:-1])) - 2 for row in answers])
                loss = ((model(input_ids=ids, attention_mask=mask).logits.squeeze(-1) - truth) ** 2).mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    reward.config.touchstone = {"reward_mean": 0.0, "reward_std": 1.0}
    for name, model in (("policy", policy), ("reward", reward)):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    (folder / "prompts.json").write_text(json.dumps([ask() for _ in range(512)]))


def peak_kib() -> int:
    """Most memory this process has held, KiB. Not ru_maxrss: that begins at what the parent held when it forked."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def ours(folder: Path, asked: dict[str, Any]) -> None:
    """One PPO run of ours, its figures on standard output as JSON."""
    import gc

    import torch

    from trainer.configs.online import PPOConfig, Terms
    from trainer.modeling.loading import load_policy, load_tokenizer
    from trainer.modeling.reward_scoring import load_judge, load_terms
    from trainer.ppo.critics import make_critic, remove_critic
    from trainer.ppo.trainer import PPOTrainer
    from trainer.run.seeds import seed_everything

    torch.set_num_threads(1)
    seed_everything(asked["seed"], "ppo")
    tokenizer = load_tokenizer(folder / "policy")
    tokenizer.padding_side = "left"
    policy, reference = load_policy(folder / "policy", tokenizer), load_policy(folder / "policy", tokenizer)
    reward = load_judge(folder / "reward", tokenizer)
    config = PPOConfig(
        iterations=asked["iterations"],
        rollout_batch=asked["batch"],
        minibatches=asked["minibatches"],
        ppo_epochs=asked["epochs"],
        micro_batch=asked["micro_batch"],
        max_new_tokens=asked["new_tokens"],
        learning_rate=asked["learning_rate"],
        kl_coef=asked["kl_coef"],
        critic=asked["critic"],
        kl_budget=0,
        stop_on_alarm=False,
        missing_eos_penalty=1.0,
        evaluate_every=0,
    )
    trainer = PPOTrainer(
        policy,
        reference,
        make_critic(config, policy, reward),
        load_terms({}, Terms(), tokenizer, "ppo", reward),
        tokenizer,
        json.loads((folder / "prompts.json").read_text()),
        config,
        asked["seed"],
        folder / "ours",
    )
    gc.collect()
    before = peak_kib()
    started = time.process_time()
    trainer.train()
    seconds = time.process_time() - started
    peak = peak_kib()
    remove_critic(policy)
    policy.save_pretrained(folder / f"trained-ours-{asked['seed']}")
    print(json.dumps({"cpu_s": seconds, "peak_mib": peak / 1024, "before_mib": before / 1024}))


def look_at(folder: Path, trained: Path) -> dict[str, float]:
    """What a trained policy writes to 256 prompts: the reward model's opinion and the truth."""
    import torch

    from trainer.modeling.loading import load_policy, load_tokenizer
    from trainer.modeling.reward_scoring import load_judge, scorer
    from trainer.modeling.sampling import draw

    torch.set_num_threads(1)
    tokenizer = load_tokenizer(folder / "policy")
    prompts = json.loads((folder / "prompts.json").read_text())[:256]
    policy = load_policy(trained, tokenizer)
    written = [one.ids for one in draw(policy, prompts, range(256), max_new_tokens=SETTINGS["new_tokens"])]  # type: ignore[arg-type]
    ended = [row for row in written if row[-1] == END and len(row) > 1]
    return {
        "reward": float(scorer(load_judge(folder / "reward", tokenizer))(prompts, written).mean()),
        "liked": fmean(fmean(map(is_liked, row[:-1])) for row in ended) if ended else 0.0,
        "ended": len(ended) / len(written),
        "length": fmean(map(len, written)),
    }


def run(command: list[str], folder: Path, asked: dict[str, Any]) -> dict[str, float]:
    done = subprocess.run([*command, str(folder), json.dumps(asked)], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{command} left with {done.returncode}:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def make_peer(folder: Path) -> str:
    """An environment with TRL 1.12.0 under `folder`."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder.name} with trl 1.12.0 …", flush=True)
        venv.create(folder, with_pip=True)
        wanted = ["torch==2.13.0", "transformers==5.23.0", "accelerate==1.15.0", "datasets==5.2.0", "trl==1.12.0"]
        subprocess.check_call([python, "-m", "pip", "install", "-q", "peft==0.21.2", *wanted])
    return str(python)


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "ours":
        return ours(Path(sys.argv[2]), json.loads(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--critic", default="top", choices=["top", "separate", "shared"])
    parser.add_argument("--large", action="store_true", help="one run each of 25 M parameters, for memory")
    given = parser.parse_args()
    size = "25M" if given.large else "2M"
    folder = (given.folder / size).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    peer = given.peer or make_peer(given.folder.resolve() / "peer")
    sides = {
        "TRL 1.12.0": [peer, str(HERE.with_name("ppo_trl_1_12.py"))],
        "ours": [sys.executable, str(HERE), "ours"],
    }
    prepare(folder, size)
    if not given.large:
        print("before training:", look_at(folder, folder / "policy"), flush=True)
    rows: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for seed in range(1 if given.large else given.seeds):
        for side, command in sides.items():
            asked = {
                **SETTINGS,
                "seed": seed,
                "iterations": given.iterations,
                "micro_batch": given.micro_batch,
                "critic": given.critic,
            }
            figures = run(command, folder, asked)
            figures["per_cpu_s"] = SETTINGS["batch"] * given.iterations / figures["cpu_s"]
            if not given.large:
                figures |= look_at(folder, folder / f"trained-{'ours' if side == 'ours' else 'trl'}-{seed}")
            rows[side].append(figures)
            print(side, seed, {name: round(value, 3) for name, value in figures.items()}, flush=True)
    for name in rows["ours"][0]:
        told = []
        for side, runs in rows.items():
            values = [figures[name] for figures in runs]
            told.append(f"{side} {fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else ""))
        print(f"{name:12} {' · '.join(told)}")
    speed = {side: fmean(figures["per_cpu_s"] for figures in runs) for side, runs in rows.items()}
    peak = {side: fmean(figures["peak_mib"] for figures in runs) for side, runs in rows.items()}
    print(f"{size}: completions per CPU second {speed['ours'] / speed['TRL 1.12.0']:.2f} x of TRL 1.12.0")
    print(f"{size}: peak memory {peak['ours'] / peak['TRL 1.12.0']:.2f} x of TRL 1.12.0")


if __name__ == "__main__":
    main()
