"""Stores tokenizers where pages can read them. For workers, which have the run folders."""

import hashlib
from pathlib import Path

from feedback.models import KeptTokenizer
from feedback.selectors.data.tokenizers import FILE

MOST_BYTES = 64 * 2**20


def keep(folder: Path) -> None:
    """Store the tokenizer of a model folder, if it can be shown. Safe to repeat."""
    file = folder / FILE
    if not file.is_file() or file.stat().st_size > MOST_BYTES:
        return
    raw = file.read_bytes()
    KeptTokenizer.objects.get_or_create(
        sha256=hashlib.sha256(raw).hexdigest(), defaults={"text": raw.decode("utf-8", errors="replace")}
    )
