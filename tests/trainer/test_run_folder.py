"""The run folder keeps its promises: one trainer at a time, typed failures, results last, no orphans."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from micro import ROOT, MakeRun, at_step, progress

from trainer.__main__ import is_finished
from trainer.errors import ModelCorrupt
from trainer.run.checkpoints import file_sha256, open_model
from trainer.run.run_folder import plan_sha256, read_run, start_afresh_if_changed

Command = Callable[..., subprocess.CompletedProcess[str]]


def result(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return made


def test_tokenizer_run_leaves_a_named_model_and_a_result(make_run: MakeRun, command: Command, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus}, {"vocab_size": 360}, attempt=3)
    ended = command(folder)
    assert ended.returncode == 0, ended.stderr
    made = result(folder)
    assert made["ok"]
    assert made["attempt"] == 3
    manifest = open_model(folder / "model", made["model"]["manifest_sha256"])
    assert manifest["kind"] == "tokenizer"
    assert manifest["config"]["vocab_size"] == 360
    assert set(manifest["files"]) == {p.name for p in (folder / "model").iterdir()} - {"manifest.json"}
    kinds = {line["kind"] for line in progress(folder)}
    assert kinds == {"state", "metrics", "samples"}
    # Started again it leaves at once; a newer attempt takes the result over.
    before = (folder / "progress.jsonl").read_bytes()
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"attempt": 4}))
    assert command(folder).returncode == 0
    assert (folder / "progress.jsonl").read_bytes() == before
    assert result(folder) == made | {"attempt": 4}


def test_second_trainer_leaves_with_4_and_touches_nothing(make_run: MakeRun, command: Command, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus})
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert command(folder).returncode == 4
    assert {p.name for p in folder.iterdir()} == {"run.json", "lock"}


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"config": {"vocab_sise": 400}}, "config", "vocab_sise"),
        ({"stage": "alchemy"}, "config", "alchemy"),
        ({"inputs": {}}, "config", "snapshot"),
        ({"inputs": {"snapshot": {"path": "nowhere", "manifest_sha256": None}}}, "data", "manifest.json is missing"),
        ({"extra": 1}, "config", "extra"),
        ({"schema": 2}, "config", "schema"),
    ],
)
def test_wrong_request_is_refused_by_name(
    make_run: MakeRun, corpus: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], kind: str, says: str
) -> None:
    from trainer import __main__

    monkeypatch.setattr(__main__, "limit_resources", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    folder = make_run("tokenizer", {"snapshot": corpus}, attempt=2)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | change))
    assert __main__.carry_out(folder, leads=True) == 2
    made = result(folder)
    assert not made["ok"]
    assert made["error"]["kind"] == kind
    assert says in made["error"]["message"]
    assert not (folder / "model").exists()


def test_corrupt_snapshot_is_refused_by_the_command(
    make_run: MakeRun, command: Command, corpus: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(corpus, tmp_path / "broken"))
    with (broken / "train.jsonl").open("r+b") as file:
        file.seek(200)
        file.write(b"#")
    folder = make_run("tokenizer", {"snapshot": broken})
    assert command(folder).returncode == 2
    assert result(folder)["error"]["kind"] == "data"
    assert "train.jsonl" in result(folder)["error"]["message"]


def test_unforeseen_failure_is_internal_and_in_the_log(make_run: MakeRun, command: Command, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus})
    ended = command(folder, "import trainer.recipes.tokenizer\ntrainer.recipes.tokenizer.measure = None")
    assert ended.returncode == 2
    assert result(folder)["error"]["kind"] == "internal"
    assert "Traceback" in ended.stderr


def test_memory_failure_has_a_remedy(make_run: MakeRun, command: Command, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus})
    before = "import trainer.recipes.tokenizer as t\ndef measure(*_): raise MemoryError\nt.measure = measure"
    assert command(folder, before).returncode == 2
    assert result(folder)["error"]["kind"] == "out_of_memory"
    assert "more memory" in result(folder)["error"]["remedy"]


def test_sigterm_checkpoints_and_leaves_with_3(
    make_run: MakeRun, command: Command, feedback: Path, base_folder: Path
) -> None:
    folder = make_run(
        "sft", {"snapshot": feedback, "base_model": base_folder}, {"batch_size": 4, "epochs": 4, "samples": 0}
    )
    ended = command(folder, at_step(5, "os.kill(os.getpid(), signal.SIGTERM)"))
    assert ended.returncode == 3, ended.stderr
    assert [p.name for p in (folder / "checkpoints").glob("step-*")] == ["step-5"]
    assert not (folder / "result.json").exists()
    assert not (folder / "model").exists()


def test_checkpoint_half_written_is_not_gone_on_from(tmp_path: Path) -> None:
    from trainer.run.checkpoints import keep_checkpoint, newest_checkpoint

    for step in (9, 10, 11, 12):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "weights").write_bytes(b"as they were")
        keep_checkpoint(tmp_path / "made", tmp_path, step, keep=4)
    (tmp_path / ".partial" / "checkpoint-13").mkdir(parents=True)
    (tmp_path / "step-14").mkdir()  # a name whose contents were lost with the power
    (tmp_path / "step-12" / "weights").write_bytes(b"")  # cut short
    (tmp_path / "step-11" / "manifest.json").write_text('{"files": {"wei')
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == "step-10"


def test_another_plan_starts_afresh(make_run: MakeRun, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus}, {"vocab_size": 360})
    assert not start_afresh_if_changed(folder, plan_sha256(read_run(folder)))
    (folder / "checkpoints" / "step-5").mkdir()
    make_run("tokenizer", {"snapshot": corpus}, {"vocab_size": 360}, attempt=2)
    assert not start_afresh_if_changed(folder, plan_sha256(read_run(folder)))
    assert (folder / "checkpoints" / "step-5").exists()
    make_run("tokenizer", {"snapshot": corpus}, {"vocab_size": 400})
    assert start_afresh_if_changed(folder, plan_sha256(read_run(folder)))
    assert not (folder / "checkpoints" / "step-5").exists()


def test_result_whose_model_was_damaged_does_not_count(
    make_run: MakeRun, corpus: Path, run_here: Callable[[Path], dict[str, Any]]
) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus}, {"vocab_size": 360})
    made = run_here(folder)
    assert is_finished(folder, 1)
    (folder / "model" / "tokenizer.json").write_text("{}")
    assert not is_finished(folder, 1)
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json"):
        open_model(folder / "model", made["model"]["manifest_sha256"])


@pytest.mark.parametrize("stranger", ["adapter_config.json", "model.safetensors.index.json", "tokenizer.model"])
def test_a_file_laid_into_a_model_is_found_before_it_is_loaded(
    stranger: str, make_run: MakeRun, corpus: Path, run_here: Callable[[Path], dict[str, Any]]
) -> None:
    """What loads a folder reads such files, too: every file of the manifest may be as it was, and the model another."""
    folder = make_run("tokenizer", {"snapshot": corpus}, {"vocab_size": 360})
    made = run_here(folder)
    (folder / "model" / stranger).write_text("{}")
    with pytest.raises(ModelCorrupt, match="not in its manifest"):
        open_model(folder / "model", made["model"]["manifest_sha256"])


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelCorrupt, match="pickled"):
        open_model(tmp_path)


def test_trainer_dies_with_its_parent(make_run: MakeRun, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus})
    child = (
        "import trainer.recipes.tokenizer as t, time, sys\n"
        f"t.measure = lambda *_: time.sleep(60)\nfrom trainer.__main__ import main\nsys.exit(main([{str(folder)!r}]))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"], cwd=ROOT
    )
    try:
        wait_until(lambda: any("measuring" in line.get("text", "") for line in lines_so_far(folder)), 30)
        assert is_locked(folder)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not is_locked(folder), 10)


def lines_so_far(folder: Path) -> list[dict[str, Any]]:
    return progress(folder) if (folder / "progress.jsonl").exists() else []


def is_locked(folder: Path) -> bool:
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def wait_until(happened: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_input_names_a_file_that_hashes_differently(make_run: MakeRun, command: Command, corpus: Path) -> None:
    folder = make_run("tokenizer", {"snapshot": corpus})
    run = json.loads((folder / "run.json").read_text())
    run["inputs"]["snapshot"]["manifest_sha256"] = file_sha256(corpus / "train.jsonl")
    (folder / "run.json").write_text(json.dumps(run))
    assert command(folder).returncode == 2
    assert "does not hash" in result(folder)["error"]["message"]
