"""Lines of the trainer's files and rows of its snapshots, as the proof writes and reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

from workers.demo.corpus import Document
from workers.demo.demonstrations import Demonstration
from workers.demo.measure import Sampled
from workers.demo.snapshots import Row, file_sha256
from workers.demo.world import Prompt

Messages = list[dict[str, str]]


class Request(TypedDict):
    """What to respond to, and the seed of each response."""

    prompt: Messages
    seeds: list[int]


class Response(TypedDict):
    """A response, as far as it is read here."""

    prompt: Messages
    text: str
    finish_reason: str


class Preference(TypedDict):
    """A snapshot row of the kind `preference`."""

    kind: str
    prompt: Messages
    chosen: str
    rejected: str
    strength: int


def document_row(document: Document) -> Row:
    return {"kind": "document", **document.row()}


def prompt_row(prompt: Prompt) -> Row:
    return {"kind": "prompt", "prompt": prompt.messages}


def demonstration_row(one: Demonstration) -> Row:
    return {"kind": "demonstration", "prompt": one.prompt.messages, "completion": one.reply}


def prompt_of(line: Response) -> str:
    return line["prompt"][-1]["content"]


def sampled(line: Response) -> Sampled:
    """A response as something that has a gold utility."""
    return Sampled(prompt_of(line), line["text"], line["finish_reason"] == "stop")


def gold_of(line: Response) -> float:
    return sampled(line).gold


def input_sha256(path: Path) -> str:
    """The hash by which a run names an input: that of the file, or of the manifest of a folder."""
    return file_sha256(path if path.is_file() else path / "manifest.json")


def read_lines(path: Path) -> list[Any]:
    """Objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_lines(path: Path, rows: Iterable[object]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
