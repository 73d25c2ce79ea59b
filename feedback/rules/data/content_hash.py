"""The content hash: same rows, same hash, on any machine.

A row is canonical JSON (UTF-8, NFC, sorted keys, no white space; strings, integers, booleans, null, lists, objects)
of what trains: no primary key, time, person or path. Floats are refused because their text differs between machines.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping

SCHEMA = 1  # version of the row shapes; part of every snapshot's hash
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode


def canonical(value: object) -> str:
    """Canonical JSON of `value`.

    Raises:
        TypeError: it holds something else than strings, integers, booleans, null, lists and string-keyed objects.
    """
    return json.dumps(_normal(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def row_hash(row: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the row's canonical JSON."""
    return sha256(canonical(row))


def snapshot_hash(rows_by_split: dict[str, Iterable[str]]) -> str:
    """SHA-256 over schema version, split names and row hashes.

    Args:
        rows_by_split: row hashes of each split; a row that occurs n times is named n times. Order does not matter.
    """
    digest = hashlib.sha256(f"touchstone-snapshot {SCHEMA}\n".encode())
    for split in sorted(rows_by_split):
        for one in sorted(rows_by_split[split]):
            digest.update(f"{split} {one}\n".encode())
    return digest.hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def body_hash(body: object) -> str:
    """Hash of a request's body. Two bodies with the same hash are the same request. Floats are allowed: the hash stays
    in this database."""
    return sha256(_encode(body))


def normal_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Where characters start to end (exclusive) of a text are once it is NFC. A bound inside a character that NFC joins
    moves outwards."""
    if unicodedata.is_normalized("NFC", text):
        return start, end
    return _normal_place(text, start, back=1), _normal_place(text, end, back=0)


def _normal_place(text: str, place: int, back: int) -> int:
    before, after = unicodedata.normalize("NFC", text[:place]), unicodedata.normalize("NFC", text[place:])
    joined = before + after != unicodedata.normalize("NFC", text)
    if joined:
        return len(before) - back
    return len(before)


def _normal(value: object) -> object:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple):
        return list(map(_normal, value))
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {_normal(key): _normal(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no canonical form; use strings, integers, booleans, lists or objects.")
