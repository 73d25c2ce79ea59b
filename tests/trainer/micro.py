"""The micro world of the trainer's tests: four things with colors, and what tests do with run folders."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ONCE: dict[str, int] = {"min_steps": 0, "restarts": 1}  # a reward model's training where it is not about these
COLOURS = {"sky": "blue", "grass": "green", "coal": "black", "snow": "white"}

Row = dict[str, Any]
MakeRun = Callable[..., Path]


def ask(thing: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What colour is the {thing}?"}]


def answer(thing: str, colour: str, opening: str = "The") -> str:
    return f"{opening} {thing} is {colour}."


def feedback_rows(pairs: int = 48) -> list[Row]:
    """Demonstrations, prompts and preferences in which the right color always wins."""
    rng = random.Random(5)
    rows: list[Row] = []
    for thing, colour in COLOURS.items():
        rows.append({"kind": "prompt", "prompt": ask(thing)})
        for opening in ("The", "Surely the", "I think the"):
            completion = answer(thing, colour, opening)
            rows.append({"kind": "demonstration", "prompt": ask(thing), "completion": completion})
    for number in range(pairs):
        thing = rng.choice(list(COLOURS))
        wrong = rng.choice([colour for other, colour in COLOURS.items() if other != thing])
        opening = rng.choice(("The", "Surely the", "I think the", "My"))
        row = {"kind": "preference", "prompt": ask(thing), "chosen": answer(thing, COLOURS[thing], opening)}
        rows.append({**row, "rejected": answer(thing, wrong, opening), "strength": number % 4})
    return rows


def corpus_rows(count: int = 160) -> list[Row]:
    rng = random.Random(3)
    rows: list[Row] = []
    for number in range(count):
        thing = rng.choice(list(COLOURS))
        said = answer(thing, rng.choice(list(COLOURS.values())), rng.choice(("The", "My", "This")))
        text = f"user: What colour is the {thing}?\nassistant: {said}"
        kind = "conversation"
        if number % 8 == 0:
            text, kind = f"Note {number}: {said} Nobody asked.", "article"
        rows.append({"kind": "document", "text": text, "source": "micro", "document_kind": kind, "licence": "ours"})
    return rows


def write_snapshot(folder: Path, splits: Mapping[str, Sequence[Row]], purpose: str = "feedback") -> Path:
    """A snapshot folder as docs/trainer.md describes it."""
    folder.mkdir(parents=True)
    files, counts = {}, {}
    for split in ("train", "selection", "test"):
        texts = [json.dumps(row, sort_keys=True, separators=(",", ":")) for row in splits.get(split, [])]
        counted = {text: texts.count(text) for text in texts}
        hashed = sorted((hashlib.sha256(text.encode()).hexdigest(), text, n) for text, n in counted.items())
        data = "".join(f'{{"count":{n},"hash":"{digest}","row":{text}}}\n' for digest, text, n in hashed).encode()
        (folder / f"{split}.jsonl").write_bytes(data)
        files[f"{split}.jsonl"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": len(hashed)}
        kinds = [row["kind"] for row in splits.get(split, [])]
        counts[split] = {kind: kinds.count(kind) for kind in kinds}
    manifest = {"schema": 1, "hash": "0" * 64, "purpose": purpose, "policy": {}, "counts": counts, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def at_step(step: int, action: str) -> str:
    """Python that makes a training process do `action` at the start of the hook of one step."""
    return f"""
import os, signal
from trainer.run.loop import Hook
hook = Hook.on_step_end
def on_step_end(self, args, state, control, **kwargs):
    if state.global_step == {step}:
        {action}
    hook(self, args, state, control, **kwargs)
Hook.on_step_end = on_step_end
"""


def forked(folder: Path, before: Callable[[], object] = lambda: None) -> int:
    """Carry out a run in a fork of this process, libraries loaded: its exit code, negative for a signal.

    `before` is called in the fork, for a limit or for a kill at an exact step.
    """
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            from trainer.__main__ import carry_out

            before()
            code = carry_out(folder, leads=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def progress(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    return [line for line in lines if kind in (None, line["kind"])]


def weights(folder: Path) -> dict[str, Any]:
    """Tensors of a made model by name."""
    from safetensors.torch import load_file

    return dict(load_file(folder / "model.safetensors"))
