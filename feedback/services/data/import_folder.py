"""The import folder: files that an operator has put on the server, which imports name instead of uploading."""

from pathlib import Path

from django.conf import settings

from feedback.errors import Invalid

INBOX = "inbox"
MOST_LISTED = 200


def named(name: str) -> Path:
    """A file or folder below DATA_DIR/inbox. Names and links that lead outside are refused.

    Raises:
        Invalid: there is none.
    """
    inbox = (Path(settings.DATA_DIR) / INBOX).resolve()
    try:
        path = (inbox / name).resolve(strict=True) if name else None
    except (OSError, ValueError, RuntimeError):  # not there, too long for a name, a NUL in it, links in a circle
        path = None
    if path is None or not path.is_relative_to(inbox):
        raise Invalid(f"The import folder ({INBOX} in the data folder) has no file or folder {name!r}.", field="path")
    return path


def files() -> list[str]:
    """Names of the files in it, for a choice; without hidden ones and without folders."""
    inbox = Path(settings.DATA_DIR) / INBOX
    if not inbox.is_dir():
        return []
    names = [path.name for path in inbox.iterdir() if path.is_file() and not path.name.startswith(".")]
    return sorted(names)[:MOST_LISTED]
