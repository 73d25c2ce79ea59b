"""What a sentence for people must not hold: where things lie on the server's disk."""

import re

# Two components at least, so that a fraction or "and/or" is none; not a part of an address, nor a path of the API.
_PATH = re.compile(r"(?<![\w:/.~-])/(?!api/|v1/|p/|static/)(?:[^\s/'\"“”,;:()]+/)+[^\s/'\"“”,;:()]*")


def without_paths(text: str) -> str:
    """`text` with each absolute path cut to its last component."""
    return _PATH.sub(_last, text)


def _last(found: re.Match[str]) -> str:
    path = found[0]
    end = "." if path.endswith(".") else ""
    return path.rstrip("/.").rsplit("/", 1)[-1] + end
