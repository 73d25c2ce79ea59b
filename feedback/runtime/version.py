"""The version of the service: the first version heading of CHANGELOG.md. `python -m feedback.runtime.version`."""

import re
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parent.parent.parent / "CHANGELOG.md"


def read_version(changelog: str) -> str:
    """The newest version that a changelog names.

    Raises:
        ValueError: no heading names a version.
    """
    heading = re.search(r"^## (\d+\.\d+\.\d+)\b", changelog, re.MULTILINE)
    if heading is None:
        raise ValueError("CHANGELOG.md has no heading such as '## 1.2.3'.")
    return heading[1]


VERSION = read_version(CHANGELOG.read_text(encoding="utf-8"))

if __name__ == "__main__":
    print(VERSION)
