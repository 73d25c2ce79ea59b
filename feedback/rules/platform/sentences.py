"""Removes paths on the server's disk from sentences for people."""

import re
from collections.abc import Mapping
from typing import Any

# Two components at least, so that a fraction or "and/or" is none; not a part of an address, nor a path of the API.
_PATH = re.compile(r"(?<![\w:/.~-])/(?!api/|v1/|p/|static/)(?:[^\s/'\"“”,;:()]+/)+[^\s/'\"“”,;:()]*")


def without_paths(text: str) -> str:
    """`text` with each absolute path cut to its last component."""
    return _PATH.sub(_last, text)


SAYS = ("sentence", "remedy")  # what sentences are called in the results of jobs; `notes` are a list of them


def findings_without_paths(findings: object) -> Any:
    """The same JSON with `without_paths` applied to the sentences of findings. Data of the project is not changed."""
    if isinstance(findings, list):
        return list(map(findings_without_paths, findings))
    if not isinstance(findings, Mapping):
        return findings
    read: dict[str, object] = {}
    for name, value in findings.items():
        if name in SAYS and isinstance(value, str):
            read[name] = without_paths(value)
        elif name == "notes" and isinstance(value, list):
            read[name] = list(map(_text_without_paths, value))
        else:
            read[name] = findings_without_paths(value)
    return read


def _text_without_paths(value: object) -> object:
    if isinstance(value, str):
        return without_paths(value)
    return value


def _last(found: re.Match[str]) -> str:
    path = found[0]
    end = "." if path.endswith(".") else ""
    return path.rstrip("/.").rsplit("/", 1)[-1] + end
