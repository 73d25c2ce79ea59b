"""Names of figures: which ones are reported, and under what prefix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

Figure = TypeVar("Figure")


def with_prefix(prefix: str, figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """The figures under `prefix_name` each."""
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def only(figures: Mapping[str, Figure], names: Iterable[str]) -> dict[str, Figure]:
    """The figures of these names, in the order of the names.

    Raises:
        KeyError: there is none of a name.
    """
    return {name: figures[name] for name in names}
