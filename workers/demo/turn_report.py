"""What a turn reports: the figures that it must reach, and what its stages cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict


@dataclass(frozen=True)
class Check:
    """A figure the turn must reach."""

    name: str
    value: float | None
    need: str
    met: bool


class StageCost(TypedDict):
    """What a stage cost, and what it reported of itself. What was never counted is None."""

    seconds: float | None
    steps: int | None
    seconds_per_step: float | None
    attempts: int
    metrics: Mapping[str, object]


def cost_of(run: Mapping[str, Any]) -> StageCost:
    """Seconds and steps of a run as the service shows it, and what it reported of itself."""
    job = run["job"]
    cost: StageCost = {
        "seconds": None,
        "steps": job["steps"],
        "seconds_per_step": None,
        "attempts": job["attempt"],
        "metrics": run["metrics"],
    }
    if run["stage"] == "evaluate":
        cost["metrics"] = {}  # they are the report's `evaluation`
    if job["finished_at"]:
        seconds = seconds_between(job["started_at"], job["finished_at"])
        cost["seconds"] = round(seconds, 1)
        if seconds and job["steps"]:
            cost["seconds_per_step"] = round(seconds / job["steps"], 4)
    return cost


def seconds_between(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()
