"""Why a run can end early. Every failure has a kind, a sentence and a way out: a page can show it as written."""

from __future__ import annotations

from typing import ClassVar, Literal

Kind = Literal["data", "config", "out_of_memory", "disk_full", "diverged", "internal"]


class TrainerError(Exception):
    """A failure that a person can act on.

    Args:
        message: what is wrong, a sentence, naming the file, key or row.
        step: the step at which it happened; None before the first.
        remedy: what to do about it, a sentence; may be empty.
    """

    kind: ClassVar[Kind] = "internal"

    def __init__(self, message: str, *, step: int | None = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.step = step
        self.remedy = remedy

    def as_json(self) -> dict[str, object]:
        """The `error` object of result.json."""
        return {"kind": self.kind, "message": self.message, "step": self.step, "remedy": self.remedy}


class SnapshotCorrupt(TrainerError):
    """A frozen file is missing, differs from its manifest, or holds a line that cannot be read."""

    kind = "data"


class DataUnusable(TrainerError):
    """The snapshot is intact, yet nothing (or not enough) in it can be trained on."""

    kind = "data"


class PromptTooLong(DataUnusable):
    """A prompt leaves no room for an answer in the model's context."""


class ModelCorrupt(TrainerError):
    """A model folder is missing, incomplete, or differs from its manifest."""

    kind = "data"


class ConfigInvalid(TrainerError):
    """run.json asks for something unknown or out of range; the message names the key."""

    kind = "config"


class NothingToLearn(TrainerError):
    """What a run would learn from tells nothing apart: every answer is cut off, or all get the same reward."""

    kind = "config"


class RunDiverged(TrainerError):
    """A loss, gradient or reward stopped being a number, or left the bounds the config set."""

    kind = "diverged"


class OutOfMemory(TrainerError):
    """The machine or device had no memory left."""

    kind = "out_of_memory"


class DiskFull(TrainerError):
    """There is no room left to write to, on the disk or in a quota."""

    kind = "disk_full"


class StopRequested(Exception):
    """SIGTERM arrived and the checkpoint is written. The command leaves with exit code 3."""


class StartAgain(Exception):
    """Memory ran out in one of several processes; all must begin again, with less at once. Exit code 5."""


class FolderLocked(Exception):
    """Another trainer holds the lock of the run folder. The command leaves with exit code 4."""
