"""Started under torchrun by test_processes: STORED FOLDER…: carries out run folders, PPO's completions as stored."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from trainer.__main__ import carry_out
from trainer.ppo.trainer import PPOTrainer

stored = {int(seed): ids for seed, ids in json.loads(Path(sys.argv[1]).read_text()).items()}
live = PPOTrainer.sample


def as_stored(self: Any, prompts: Any, seeds: Any) -> list[list[int]]:
    return [stored[seed] for seed in seeds]


for folder in map(Path, sys.argv[2:]):
    PPOTrainer.sample = as_stored if folder.name == "stored-two" else live  # type: ignore[method-assign]
    code = carry_out(folder, leads=os.environ["RANK"] == "0")
    if code:
        sys.exit(code)
