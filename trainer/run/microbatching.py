"""When memory runs out: the same batch in smaller pieces. How small is noted beside the checkpoints and kept.

A run that ran out is begun again from its last checkpoint with every batch cut into twice as many pieces, each with a
backward of its own: the batch, its order and the optimizer's steps stay as they were, so the outcome differs by
rounding only. When a piece is a single row and still does not fit, the run fails with what it would need.

Passes that only measure or sample (`in_batches`) are not part of that: they take as many rows at once as a budget of
tokens allows, and halve the budget when memory runs out, without beginning again.
"""

from __future__ import annotations

import gc
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trainer.errors import OutOfMemory
from trainer.run.checkpoints import write_json
from trainer.stages import STAGES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Config = TypeVar("Config", bound="DataclassInstance")  # the dataclass of a stage
NOTE = "memory.json"
SIGNS = re.compile(
    r"out of memory|can't allocate memory|not enough memory|cannot allocate memory|bad_alloc|failed to map segment",
    re.IGNORECASE,
)


def rows_at_once(stage: str, config: object) -> int:
    """Rows that go through the model together before anything is cut; 1 where a stage has no such setting."""
    return int(getattr(config, setting_of(stage), 1))


def setting_of(stage: str) -> str:
    """What the stage calls the rows of one backward (of one forward, where nothing is learned)."""
    return STAGES[stage].batch_setting


def ran_out(error: BaseException) -> bool:
    """Whether this error, or one behind it, says that memory ran out, on the host or on a device."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or type(seen).__name__ == "OutOfMemoryError":
            return True
        if isinstance(seen, RuntimeError | OSError | ImportError) and SIGNS.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def micro_batches(checkpoints: Path) -> int:
    """Pieces that each batch is cut into, 1 until memory ran out for the first time."""
    try:
        return int(json.loads((checkpoints / NOTE).read_text(encoding="utf-8"))["pieces"])
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def halve(checkpoints: Path, rows: int) -> int | None:
    """Note that batches of `rows` are cut into twice as many pieces from now on.

    Returns:
        Rows of the largest piece from now on; None when a piece was a single row already, and nothing is noted.
    """
    now = micro_batches(checkpoints)
    if now >= rows:
        return None
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(checkpoints / NOTE, {"pieces": 2 * now})
    return -(-rows // (2 * now))


def fitted(stage: str, config: Config, cut: int) -> Config:
    """The config with fewer rows at once, for stages whose outcome does not depend on it: PPO's updates, and writing.

    Other stages keep their batch, which the loop cuts (`RunFolderTrainer`).
    """
    if cut == 1 or not STAGES[stage].batch_changes_speed_only:
        return config
    return replace(config, **{setting_of(stage): max(1, rows_at_once(stage, config) // cut)})


@contextmanager
def loading() -> Iterator[None]:
    """Libraries are loaded without rounds of the garbage collector: a fifth of a start went into these.

    What is there afterwards stays to the end, so later rounds pass over it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def free_memory() -> None:
    """Give back what a failed attempt held, on the host and on the device."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def rows_at(values: Sequence[T], places: Iterable[int]) -> list[T]:
    """The values at these places, in the order of the places: the rows of a batch by their numbers."""
    return [values[place] for place in places]


def cut(rows: list[T], count: int) -> list[list[T]]:
    """Rows in at most `count` pieces of nearly equal size, in order, none empty."""
    count = max(1, min(count, len(rows)))
    bounds = [len(rows) * place // count for place in range(count + 1)]
    return [rows[start:end] for start, end in itertools.pairwise(bounds)]


class Budget:
    """Tokens, padding included, through a model at once where nothing is learned; fewer after memory ran out."""

    usual = 8192

    def __init__(self) -> None:
        self.tokens = self.usual

    def begin(self, pieces: int) -> None:
        """At the start of a run whose batches are cut into so many pieces: it has met its limit before."""
        self.tokens = max(1, self.usual // pieces)


BUDGET = Budget()


CACHED = 0.25  # of a token in a forward: what one costs that is sampled, of which keys and values are kept alone


def in_batches(
    lengths: Sequence[int], apply: Callable[[list[int]], None], most: int | None = None, weight: float = 1.0
) -> None:
    """Call `apply` with numbers of rows, every row once, as many together as the budget allows, longest first.

    Args:
        lengths: tokens of each row while it is worked on.
        apply: called again with fewer rows where memory ran out, so it must not matter if a call is repeated.
        most: rows together at most; None is as the budget says.
        weight: what a token costs of one that goes through a forward.

    Raises:
        OutOfMemory: a single row does not fit.
    """
    left = sorted(range(len(lengths)), key=lambda number: (lengths[number], number))
    while left:
        width = max(1, lengths[left[-1]])
        size = min(len(left), max(1, int(BUDGET.tokens / (width * weight))), most or len(left))
        if fits(apply, left[-size:][::-1]):
            del left[-size:]
        elif size == 1:
            raise OutOfMemory(
                f"Memory ran out while one sequence of {width} tokens was measured separately.",
                remedy="Use shorter texts (max_length, max_new_tokens), a smaller model, or a larger machine.",
            )
        else:
            BUDGET.tokens = max(1, int(size * width * weight / 2))


def fits(apply: Callable[[list[int]], None], batch: list[int]) -> bool:
    """Whether memory sufficed for a batch; what a failed try held is given back."""
    try:
        apply(batch)
    except Exception as error:
        if not ran_out(error):
            raise
    else:
        return True
    free_memory()  # out here the error is gone, and with it the frames that held what did not fit
    return False
