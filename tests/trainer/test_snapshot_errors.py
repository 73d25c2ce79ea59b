"""What the sidecar of a snapshot tells of a row beside its weight: an error, or the index of its annotator."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from micro import feedback_rows, write_snapshot

from trainer.data.snapshot import Demonstration, Preference, open_snapshot
from trainer.errors import SnapshotCorrupt


def with_lines(folder: Path, lines: list[str]) -> Path:
    data = "".join(f"{line}\n" for line in lines).encode()
    (folder / "weights.jsonl").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["weights.jsonl"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_row_has_what_its_line_tells(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s", {"train": feedback_rows()})
    first, second, third, *others = [row.hash for row in open_snapshot(folder).rows("train", Preference)]
    with_lines(
        folder,
        [
            f'{{"hash":"{first}","weight":[1,1],"error":77}}',
            f'{{"hash":"{second}","weight":[1,6],"annotator":0}}',
            f'{{"hash":"{third}","weight":[2,1]}}',
        ],
    )
    snapshot = open_snapshot(folder)
    read = {row.hash: (row.weight, row.error, row.annotator) for row in snapshot.rows("train", Preference)}
    assert read[first] == (1.0, 0.77, None)
    assert read[second] == (1 / 6, 0.0, 0)
    assert read[third] == (2.0, 0.0, None)
    assert {read[one] for one in others} == {(1.0, 0.0, None)}
    assert list(snapshot.rows("train", Demonstration))


@pytest.mark.parametrize(
    "told",
    ['"error":99', '"error":-1', '"error":0.5', '"error":true', '"error":null', '"annotator":-1', '"annotator":"ben"',
     '"annotator":1.0', '"annotator":false'],
)  # fmt: skip
def test_a_line_out_of_range_is_refused(told: str, tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s", {})
    with_lines(folder, ['{"hash":"x","weight":[1,1],"error":98}', f'{{"hash":"y","weight":[1,1],{told}}}'])
    with pytest.raises(SnapshotCorrupt, match="line 2"):
        open_snapshot(folder)


def test_a_line_without_a_weight_is_refused(tmp_path: Path) -> None:
    folder = with_lines(write_snapshot(tmp_path / "s", {}), ['{"hash":"x","error":5}'])
    with pytest.raises(SnapshotCorrupt, match="line 1"):
        open_snapshot(folder)
