"""What a sentence for people must not hold: where things lie on the server's disk."""

import re
from typing import Any

# Two components at least, so that a fraction or "and/or" is none; not a part of an address, nor a path of the API.
_PATH = re.compile(r"(?<![\w:/.~-])/(?!api/|v1/|p/|static/)(?:[^\s/'\"“”,;:()]+/)+[^\s/'\"“”,;:()]*")


def without_paths(text: str) -> str:
    """`text` with each absolute path cut to its last component."""
    return _PATH.sub(_last, text)


SAYS = ("sentence", "remedy")  # what sentences are called in the results of jobs; `notes` are a list of them


def findings_without_paths(findings: Any) -> Any:
    """The same JSON, with the sentences of findings cut as `without_paths` does. Data of the project stays as it is."""
    if isinstance(findings, list):
        return [findings_without_paths(one) for one in findings]
    if not isinstance(findings, dict):
        return findings
    read: dict[str, Any] = {}
    for name, value in findings.items():
        if name in SAYS and isinstance(value, str):
            read[name] = without_paths(value)
        elif name == "notes" and isinstance(value, list):
            read[name] = [without_paths(one) if isinstance(one, str) else one for one in value]
        else:
            read[name] = findings_without_paths(value)
    return read


def _last(found: re.Match[str]) -> str:
    path = found[0]
    end = "." if path.endswith(".") else ""
    return path.rstrip("/.").rsplit("/", 1)[-1] + end
