"""Compressed files, unpacked within bounds: what a few bytes unpack to may be more than a disk holds."""

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Any

from feedback.errors import NO_ROOM

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
CHUNK = 1 << 20
DESKTOP = (".DS_Store", "Thumbs.db", "desktop.ini")
MOST_TIMES = 200  # text shrinks to a twentieth; what shrinks to less than a two-hundredth is meant to fill a disk
HARMLESS = 32 * 2**20  # below this, no ratio is a danger
MOST = 20 * 2**30


def is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith((GZIP, ZIP))


def unpack(path: Path, target: Path, most: int | None = None) -> str:
    """Write what `path` holds to `target`, as far as it can be read.

    Args:
        most: for a preview: about how many bytes are enough.

    Returns:
        What was wrong from there on, in a sentence; empty when all of it was read.

    Raises:
        OSError: there is no room for it.
    """
    limit = min(MOST, max(HARMLESS, MOST_TIMES * path.stat().st_size))
    try:
        with path.open("rb") as file:
            packed_as_zip = file.read(4) == ZIP
        if not packed_as_zip:
            with gzip.open(path) as source:
                return _copy(source, target, limit, most)
        with zipfile.ZipFile(path) as archive:
            names = [one for one in archive.infolist() if not _is_beside(one)]
            if len(names) != 1:
                target.touch()
                return f"The zip file contains {len(names)} files; it must contain one."
            with archive.open(names[0]) as source:
                return _copy(source, target, limit, most)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        target.touch()
        return f"The zip file cannot be read: {error}."


def _is_beside(one: zipfile.ZipInfo) -> bool:
    """A folder, or what a desktop puts beside the files that people pack."""
    parts = one.filename.replace("\\", "/").split("/")
    return one.is_dir() or "__MACOSX" in parts or parts[-1] in DESKTOP or parts[-1].startswith("._")


def _copy(source: Any, target: Path, limit: int, most: int | None) -> str:
    written = 0
    with target.open("wb") as out:
        try:
            while chunk := source.read1(CHUNK):  # what there is, so that of a file cut off all that came is kept
                written += len(chunk)
                if written > limit:
                    return (
                        f"The file unpacks to more than {limit // 2**20} MB, over {MOST_TIMES} times its size;"
                        " reading stopped here."
                    )
                out.write(chunk)
                if most is not None and written >= most:
                    return ""
        except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise  # no fault of the file, so that what is left of it must not be passed over
            return f"The compressed file is cut off or damaged here: {error}."
    return ""
