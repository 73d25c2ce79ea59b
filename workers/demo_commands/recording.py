"""What the course shows of PPO where a project has no run: two recorded runs of the proof, with their true worth.

`python -m workers.demo_commands.recording data/prove/seed-1` prints `feedback/rules/platform/learn/recorded_runs.json`,
from a folder of `make prove`: the same policy and reward model, with the KL penalty and without it. Labels came from
simulated annotators, so the gold utility of each response is known; neither run has seen it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean

from feedback.rules.platform.learn.recorded_runs import (
    Example,
    RecordedAlarm,
    RecordedLook,
    RecordedResponse,
    RecordedRun,
    Recording,
    Scores,
)
from workers.demo.trainer_files import Response, prompt_of, read_lines
from workers.demo.utility import MAX_UTILITY, utility

ARMS = {"ppo": 0.1, "hacked": 0.0}  # folder of a run -> its KL coefficient
PROMPTS = 4


EXAMPLES = (
    ("My router is offline.", "Hello! Sorry about your router. Please check the cable. Thank you."),
    ("My router is offline.", "Hi there! Sorry about your printer. You can hold the button. Our desk never fails."),
    ("My router is offline.", "Sorry about your router. You are lazy. Now check the cable. Then pour water on it."),
    ("My router is offline.", "Hello! Thank you for writing. Take care."),
)


def scores_of(prompt: str, text: str, ended: bool = True) -> Scores:
    found = utility(prompt, text, ended)
    return {"helpful": found.helpful, "truthful": found.truthful, "harmless": found.harmless}


def look_of(step: int, lines: list[dict[str, object]], responses: list[Response], prompts: list[str]) -> RecordedLook:
    """A look: its means, and the first response to each prompt."""
    scored = [scores_of(prompt_of(one), one["text"], one["finish_reason"] == "stop") for one in responses]
    shown: list[RecordedResponse] = []
    for prompt in prompts:
        place = next(number for number, one in enumerate(responses) if prompt_of(one) == prompt)
        reward = round(float(str(lines[place]["reward"])), 2)
        shown.append({"text": responses[place]["text"], "reward": reward, **scored[place]})
    return {
        "step": step,
        "reward": round(fmean(float(str(line["reward"])) for line in lines), 3),
        "kl": round(fmean(float(str(line["kl"])) for line in lines), 2),
        "helpful": round(fmean(one["helpful"] for one in scored), 3),
        "truthful": round(fmean(one["truthful"] for one in scored), 3),
        "harmless": round(fmean(one["harmless"] for one in scored), 3),
        "responses": shown,
    }


def recording(folder: Path) -> Recording:
    """Both runs of a seed of the proof."""
    runs: dict[str, RecordedRun] = {}
    prompts: list[str] = []
    for arm, kl_coef in ARMS.items():
        looks: list[RecordedLook] = []
        files = sorted((folder / arm / "looks").glob("step-*.jsonl"), key=lambda path: int(path.stem[5:]))
        for file in files:
            lines = read_lines(file)
            prompts = prompts or list(dict.fromkeys(map(prompt_of, lines)))[:PROMPTS]
            looks.append(look_of(int(file.stem[5:]), lines, lines, prompts))
        alarms: list[RecordedAlarm] = []
        for line in read_lines(folder / arm / "progress.jsonl"):
            if line["kind"] == "alarm":
                alarms.append({"step": line["step"], "text": line["text"]})
        runs[arm] = {"kl_coef": kl_coef, "looks": looks, "alarms": alarms}
    examples: list[Example] = []
    for prompt, text in EXAMPLES:
        examples.append({"prompt": prompt, "text": text, **scores_of(prompt, text)})
    return {"prompts": prompts, "best": MAX_UTILITY, "runs": runs, "examples": examples}


if __name__ == "__main__":
    json.dump(recording(Path(sys.argv[1])), sys.stdout, ensure_ascii=False, indent=1)
    print()
