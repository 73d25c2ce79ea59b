"""Snapshot folders of the demo world, as `docs/trainer.md` describes them, for work outside the service."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path

Row = Mapping[str, object]


def canonical(row: Row) -> str:
    """One way to write a row: keys sorted, no white space."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_snapshot(folder: Path, splits: Mapping[str, Sequence[Row]], purpose: str) -> None:
    """Rows by split ("train", "selection", "test"), each row with its `kind`, into a snapshot folder.

    Args:
        purpose: "feedback" or "corpus".
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts, files = {}, {}
    for split in ("train", "selection", "test"):
        rows = splits.get(split, [])
        counts[split] = dict(Counter(map(itemgetter("kind"), rows)))
        hashed = []
        for text, count in Counter(map(canonical, rows)).items():
            hashed.append((hashlib.sha256(text.encode()).hexdigest(), text, count))
        lines = [f'{{"count":{count},"hash":"{digest}","row":{text}}}\n' for digest, text, count in sorted(hashed)]
        data = "".join(lines).encode()
        (folder / f"{split}.jsonl").write_bytes(data)
        files[f"{split}.jsonl"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": len(hashed)}
    name = hashlib.sha256(canonical(files).encode()).hexdigest()
    manifest = {"schema": 1, "hash": name, "purpose": purpose, "policy": {}, "counts": counts, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, sort_keys=True), encoding="utf-8")
