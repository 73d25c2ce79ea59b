"""A preflight as its page shows it: each stage with its findings, what is learned of its first rows, and its cost."""

from dataclasses import dataclass, field
from operator import itemgetter

from feedback.models import Job
from feedback.rules.collection.preferences import STRENGTHS
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform.health import span
from feedback.selectors.training.stages import TITLES

PARTS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimiser": "optimizer",
    "activations": "activations",
    "states": "critic states",
    "passes": "measuring",
    "libraries": "libraries",
}


# As the trainer writes it -> as pages do.
STRENGTH_NAMES = {f"strength {number}": word for number, word in STRENGTHS.items()}


@dataclass(frozen=True)
class Looked:
    """One stage.

    Attributes:
        blocks, warns: findings, those that block first. rows: (split, kind, count).
        memory: (what, bytes), largest last. share: of what is free, at most 1; None where it is not known.
        takes: how long it is going to be, in words.
    """

    stage: str
    title: str
    blocks: list[JsonObject]
    warns: list[JsonObject]
    hash: str = ""
    rows: list[tuple[str, str, int]] = field(default_factory=list)
    learned: JsonObject = field(default_factory=dict)
    examples: list[JsonObject] = field(default_factory=list)
    balance: list[tuple[str, int]] = field(default_factory=list)
    memory: list[tuple[str, int]] = field(default_factory=list)
    total: int = 0
    free: int = 0
    where: str = ""
    takes: str = ""
    steps: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        if not self.free:
            return None
        return min(1.0, self.total / self.free)


def stages(job: Job) -> list[Looked]:
    """What a preflight found out, by stage; nothing until it has ended."""
    return list(map(_looked, job.result.get("stages", [])))


def _looked(found: JsonObject) -> Looked:
    findings: dict[str, list[JsonObject]] = {"block": [], "warn": []}
    for finding in found["findings"]:
        if finding["severity"] in findings:
            findings[finding["severity"]].append(finding)
    memory, seconds = found["memory"], found["seconds"]
    rows = []
    for split, kinds in found["snapshot"].get("rows", {}).items():
        for kind, count in kinds.items():
            rows.append((split, kind, count))
    parts = []
    for part, name in PARTS.items():
        if memory.get(part):
            parts.append((name, memory[part]))
    stage: str = found["stage"]
    takes = ""
    if seconds:
        takes = f"{span(seconds['low'])} to {span(seconds['high'])}"
    return Looked(
        stage=stage,
        title=TITLES.get(stage, stage),
        blocks=findings["block"],
        warns=findings["warn"],
        hash=found["snapshot"].get("hash", ""),
        rows=rows,
        learned=found["learned"],
        examples=[one | {"told": STRENGTH_NAMES.get(one["told"], one["told"])} for one in found["examples"]],
        balance=[(STRENGTH_NAMES.get(name, name), count) for name, count in found["balance"].items()],
        memory=sorted(parts, key=itemgetter(1)),
        total=memory.get("total", 0),
        free=memory.get("free", 0),
        where=memory.get("where", ""),
        takes=takes,
        steps=int(seconds.get("steps", 0)),
        notes=found["notes"],
    )
