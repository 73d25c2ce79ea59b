"""What preflight reports of a run: findings, what is learned, examples, memory and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, TypedDict

SHOWN_LINES = 20  # of one finding

Severity = Literal["block", "warn"]
Kind = Literal["data", "config"]


class SnapshotFacts(TypedDict, total=False):
    """What was read: the snapshot's hash, and its rows by split and kind."""

    hash: str
    rows: dict[str, dict[str, int]]


class Learned(TypedDict, total=False):
    """What the rows teach: their number, how many teach nothing, tokens learned, tokens of the longest sequence."""

    rows: int
    nothing: int
    tokens: int
    longest: int


class ShownSequence(TypedDict):
    """A sequence of a row, token by token, each with whether it is learned; `more` tokens are not shown."""

    name: str
    tokens: list[tuple[str, bool]]
    more: int


class Example(TypedDict):
    """A row of the first batch as the model reads it, by its line, with what is learned beside tokens."""

    line: int
    sequences: list[ShownSequence]
    told: str


@dataclass(frozen=True)
class Finding:
    """Something about the run that a person should know.

    Attributes:
        name: steady, for programs. severity: "block" or "warn". kind: as of a failure, "data" or "config".
        sentence, remedy: what is the matter, and what to do. lines: of train.jsonl unless the sentence names another.
    """

    name: str
    severity: Severity
    kind: Kind
    sentence: str
    remedy: str
    lines: list[int] = field(default_factory=list)


@dataclass
class Preflight:
    """What is reported of a run; as preflight.json with `as_json`."""

    stage: str
    findings: list[Finding] = field(default_factory=list)
    snapshot: SnapshotFacts = field(default_factory=SnapshotFacts)
    learned: Learned = field(default_factory=Learned)
    examples: list[Example] = field(default_factory=list)
    balance: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int | str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(
        self, name: str, severity: Severity, kind: Kind, sentence: str, remedy: str, lines: Sequence[int] = ()
    ) -> None:
        self.findings.append(Finding(name, severity, kind, sentence, remedy, list(lines)[:SHOWN_LINES]))

    def block(self, name: str, sentence: str, remedy: str, lines: Sequence[int] = (), kind: Kind = "data") -> None:
        self.add(name, "block", kind, sentence, remedy, lines)

    def warn(self, name: str, sentence: str, remedy: str, lines: Sequence[int] = (), kind: Kind = "data") -> None:
        self.add(name, "warn", kind, sentence, remedy, lines)

    @property
    def blocking(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "block"]

    def as_json(self) -> dict[str, object]:
        return {"schema": 1, "ok": not self.blocking, **asdict(self)}
