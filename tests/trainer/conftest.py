"""A micro world for the trainer's tests: four things with colours, a tokenizer, a model of some 10,000 parameters.

Nothing here needs Django, a network or an accelerator. What is slow is made once a session.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {"sky": "blue", "grass": "green", "coal": "black", "snow": "white"}

Row = dict[str, Any]


def ask(thing: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What colour is the {thing}?"}]


def answer(thing: str, colour: str, opening: str = "The") -> str:
    return f"{opening} {thing} is {colour}."


def feedback_rows(pairs: int = 48) -> list[Row]:
    """Demonstrations, prompts and preferences in which the right colour always wins."""
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
    """A snapshot folder as trainer/README.md describes it."""
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


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The same arithmetic in this process as in the trainers it starts."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = corpus_rows()
    return write_snapshot(
        tmp_path_factory.mktemp("corpus") / "s", {"train": rows[:140], "selection": rows[140:]}, "corpus"
    )


@pytest.fixture(scope="session")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = feedback_rows()
    splits = {"train": rows, "selection": rows[1::5], "test": rows[2::5]}
    return write_snapshot(tmp_path_factory.mktemp("feedback") / "s", splits)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainer.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer") / "model"
    train_tokenizer((row["text"] for row in corpus_rows()), 360, 2).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Any:
    from trainer.models import load_tokenizer

    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """An untrained policy with its tokenizer and no manifest, as a model from elsewhere would be."""
    import torch

    from trainer.config import PretrainConfig
    from trainer.models import build_model, save_model

    torch.manual_seed(0)
    config = PretrainConfig(hidden_size=32, layers=1, heads=2, intermediate_size=64, context_length=64)
    folder = tmp_path_factory.mktemp("base") / "model"
    save_model(folder, build_model(config, tokenizer), tokenizer)
    return folder


@pytest.fixture(scope="session")
def reward_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any, base_folder: Path) -> Path:
    """An untrained reward model on the policy's trunk, with constants as the stage `reward` writes them."""
    import torch

    from trainer.models import load_classifier, save_model

    torch.manual_seed(1)
    model = load_classifier(base_folder, tokenizer)
    torch.nn.init.normal_(model.score.weight, std=0.5)
    model.config.touchstone = {"reward_mean": 0.1, "reward_std": 0.7}
    folder = tmp_path_factory.mktemp("reward") / "model"
    save_model(folder, model, tokenizer)
    return folder


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder: make_run("sft", inputs={"snapshot": path}, config={...}, name="run", seed=0, attempt=1)."""

    def make(stage: str, inputs: Mapping[str, Path], config: Mapping[str, Any] | None = None, **more: Any) -> Path:
        folder = tmp_path / more.pop("name", "run")
        folder.mkdir(exist_ok=True)
        entries = {name: {"path": str(path), "manifest_sha256": None} for name, path in inputs.items()}
        run = {"schema": 1, "run": "micro", "attempt": 1, "stage": stage, "seed": 0, "config": dict(config or {})}
        (folder / "run.json").write_text(json.dumps({**run, "inputs": entries, **more}))
        return folder

    return make


@pytest.fixture
def run_here() -> Callable[[Path], dict[str, Any]]:
    """Carry out a run in this process, as the command does, but for lock, signals and priority. Returns result.json."""

    def carry_out(folder: Path) -> dict[str, Any]:
        from trainer.__main__ import finish, run_stage
        from trainer.progress import Reporter
        from trainer.run_folder import plan_sha256, read_run, start_afresh_if_changed

        run = read_run(folder)
        start_afresh_if_changed(folder, plan_sha256(run))
        result = run_stage(folder, run, Reporter(folder / "progress.jsonl"), threading.Event())
        finish(folder, run, 1, result)
        made: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return made

    return carry_out


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m trainer FOLDER` as a process; `before` is Python run first in it, for a kill at an exact step."""

    def start(folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
        script = f"{before}\nimport sys\nfrom trainer.__main__ import main\nsys.exit(main([{str(folder)!r}]))"
        return subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )

    return start


def at_step(step: int, action: str) -> str:
    """Python that makes a training process do `action` at the start of the hook of one step."""
    return f"""
import os, signal
from trainer.loop import Hook
hook = Hook.on_step_end
def on_step_end(self, args, state, control, **kwargs):
    if state.global_step == {step}:
        {action}
    hook(self, args, state, control, **kwargs)
Hook.on_step_end = on_step_end
"""


def progress(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    return [line for line in lines if kind in (None, line["kind"])]


def weights(folder: Path) -> dict[str, Any]:
    """Tensors of a made model by name."""
    from safetensors.torch import load_file

    return dict(load_file(folder / "model.safetensors"))
