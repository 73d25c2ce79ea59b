"""A snapshot that differs from its manifest by one byte is not trained on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from trainer.data.snapshot import Demonstration, Preference, Prompt, open_snapshot
from trainer.errors import SnapshotCorrupt


@pytest.fixture
def copy(feedback: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(feedback, tmp_path / "copy"))


def test_rows_come_typed_and_by_kind(feedback: Path) -> None:
    snapshot = open_snapshot(feedback)
    preferences = list(snapshot.rows("train", Preference))
    assert len(list(snapshot.rows("train", Demonstration))) == 12
    assert len(list(snapshot.rows("train", Prompt))) == 4
    assert {row.strength for row in preferences} == {0, 1, 2, 3}
    assert sum(row.count for row in preferences) == 48
    assert preferences[0].prompt[-1]["role"] == "user"


def test_manifest_hash_is_checked_when_given(copy: Path) -> None:
    right = hashlib.sha256((copy / "manifest.json").read_bytes()).hexdigest()
    assert open_snapshot(copy, right).path == copy
    with pytest.raises(SnapshotCorrupt, match=r"manifest\.json"):
        open_snapshot(copy, "0" * 64)


def test_one_changed_byte_is_refused_naming_the_file(copy: Path) -> None:
    data = (copy / "train.jsonl").read_bytes()
    (copy / "train.jsonl").write_bytes(data.replace(b"blue", b"grue", 1))
    with pytest.raises(SnapshotCorrupt, match=r"train\.jsonl .* differs"):
        open_snapshot(copy)


def test_missing_and_longer_files_are_refused(copy: Path) -> None:
    with (copy / "selection.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(SnapshotCorrupt, match=r"selection\.jsonl .* bytes"):
        open_snapshot(copy)
    (copy / "selection.jsonl").unlink()
    with pytest.raises(SnapshotCorrupt, match=r"selection\.jsonl is missing"):
        open_snapshot(copy)


def test_file_the_manifest_does_not_know_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["test.jsonl"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotCorrupt, match=r"test\.jsonl lies"):
        open_snapshot(copy)


def test_manifest_cannot_name_a_file_elsewhere(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["../secret"] = {"sha256": "", "bytes": 0, "rows": 0}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotCorrupt, match="outside"):
        open_snapshot(copy)


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "preference", "prompt": [{"role": "user", "content": "x"}], "chosen": "a", "rejected": "b"},
        {"kind": "demonstration", "prompt": [], "completion": "a"},
        {"kind": "demonstration", "prompt": [{"role": "assistant", "content": "x"}], "completion": "a"},
        {"kind": "demonstration", "prompt": [{"role": "pirate", "content": "x"}], "completion": "a"},
        {"no": "kind"},
    ],
)
def test_malformed_row_is_refused_with_its_line(copy: Path, row: dict[str, object]) -> None:
    data = (json.dumps({"count": 1, "hash": "", "row": row}) + "\n").encode()
    (copy / "test.jsonl").write_bytes(data)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["test.jsonl"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": 1}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotCorrupt, match=r"test\.jsonl line 1"):
        list(open_snapshot(copy).rows("test", Demonstration))
