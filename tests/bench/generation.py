"""Our decoding beside `transformers.generate` in fixed batches: same model, prompts, batch size and temperature.

    python tests/bench/generation.py FOLDER [--batch 64] [--prompts 512] [--rounds 5]

FOLDER as tests/bench/ppo.py left it. Prompts have 5 to 74 tokens in any order; answers end by themselves after 5 to 31,
which nobody knows beforehand. `generate` gets the prompts in batches as they come, as a loop written by hand would.
Prints prompts per CPU second, one thread, the two alternating.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from pathlib import Path
from statistics import fmean, median
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from trainer.modeling.loading import load_policy, load_tokenizer  # noqa: E402
from trainer.modeling.sampling import draw  # noqa: E402

NEW_TOKENS = 64


@torch.no_grad()
def by_generate(model: Any, prompts: list[list[int]], batch: int, pad: int, end: int) -> list[int]:
    """Lengths of the answers."""
    lengths = []
    for start in range(0, len(prompts), batch):
        rows = prompts[start : start + batch]
        width = max(map(len, rows))
        ids = torch.tensor([[*[pad] * (width - len(row)), *row] for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        wrote = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=NEW_TOKENS
        )
        for row in wrote[:, width:].tolist():
            lengths.append(row.index(end) + 1 if end in row else len(row))
    return lengths


def by_us(model: Any, prompts: list[list[int]], batch: int) -> list[int]:
    drawn = draw(model, prompts, range(len(prompts)), max_new_tokens=NEW_TOKENS, batch_size=batch)
    return [len(one.ids) for one in drawn]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(given.folder / "2M" / "policy")
    model = load_policy(given.folder / "2M" / "policy", tokenizer)
    model.config.max_position_embeddings = 256  # rotary: no weights depend on it
    chance = random.Random(0)
    words = range(4, len(tokenizer))
    prompts = [[2, *chance.choices(words, k=chance.randint(3, 72)), 3] for _ in range(given.prompts)]
    rates: dict[str, list[float]] = {"generate": [], "ours": []}
    for number in range(given.rounds + 1):
        for side, seen in rates.items():
            started = time.process_time()
            if side == "ours":
                lengths = by_us(model, prompts, given.batch)
            else:
                lengths = by_generate(model, prompts, given.batch, tokenizer.pad_token_id, tokenizer.eos_token_id)
            if number:  # the first round warms up
                seen.append(len(prompts) / (time.process_time() - started))
                print(
                    f"{side:9} {seen[-1]:7.1f} prompts per CPU second, answers of {fmean(lengths):.1f} tokens",
                    flush=True,
                )
    ratio = median(o / g for o, g in zip(rates["ours"], rates["generate"], strict=True))
    print(f"batches of {given.batch}: {ratio:.2f} x of transformers.generate (median of {given.rounds})")


if __name__ == "__main__":
    main()
