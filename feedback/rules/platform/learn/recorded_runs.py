"""Two recorded runs of PPO, for projects that have none. `workers.demo_commands.recording` makes `recorded_runs.json`.

Their labels came from simulated annotators whose true preferences are known, so each response has its true scores.
"""

import json
from functools import cache
from pathlib import Path
from typing import TypedDict


class Scores(TypedDict):
    """What a response is truly worth: helpful at most `best`, the others 0 without a fault, else negative."""

    helpful: float
    truthful: float
    harmless: float


class RecordedResponse(Scores):
    text: str
    reward: float


class RecordedLook(Scores):
    """Means over all responses at a step, and one response to each prompt."""

    step: int
    reward: float
    kl: float
    responses: list[RecordedResponse]


class RecordedAlarm(TypedDict):
    step: int
    text: str


class RecordedRun(TypedDict):
    kl_coef: float
    looks: list[RecordedLook]
    alarms: list[RecordedAlarm]


class Example(Scores):
    prompt: str
    text: str


class Recording(TypedDict):
    """Both runs, `ppo` with the KL penalty and `hacked` without it, on the same prompts, and a few scored responses."""

    prompts: list[str]
    best: float
    runs: dict[str, RecordedRun]
    examples: list[Example]


@cache
def recording() -> Recording:
    found: Recording = json.loads(Path(__file__).with_name("recorded_runs.json").read_text(encoding="utf-8"))
    return found
