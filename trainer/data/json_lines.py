"""JSON Lines that every reader splits at the same places, and that are complete once they have their name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

LINE_ENDS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\u0085\u2028\u2029"}  # JSON itself allows them in strings


def json_line(row: Mapping[str, object]) -> str:
    """One line of JSON Lines. What other readers take for the end of a line is escaped."""
    line = json.dumps(row, ensure_ascii=False, sort_keys=True)
    return line.translate(LINE_ENDS) + "\n"


def write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """JSON Lines, written under a temporary name and renamed, so that a file with its final name is complete."""
    part = path.with_name(f".{path.name}.partial")
    with part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json_line(row))
    part.replace(path)
