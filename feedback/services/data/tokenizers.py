"""Tokenizers kept where the web may read them. For workers, which see the run folders."""

import hashlib
from pathlib import Path

from feedback.models import KeptTokenizer
from feedback.selectors.data.tokenizers import FILE

MOST_BYTES = 64 * 2**20


def keep(folder: Path) -> None:
    """Keep the tokenizer of a model folder, if it has one that can be shown. Kept again, nothing changes."""
    file = folder / FILE
    if not file.is_file() or file.stat().st_size > MOST_BYTES:
        return
    raw = file.read_bytes()
    KeptTokenizer.objects.get_or_create(
        sha256=hashlib.sha256(raw).hexdigest(), defaults={"text": raw.decode("utf-8", errors="replace")}
    )
