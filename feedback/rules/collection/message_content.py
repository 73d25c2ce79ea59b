"""Messages as other tools write them: roles, content in parts, and the fields that stand beside them.

One reader for every way in that takes messages from elsewhere: the OpenAI-compatible API and the file formats.
"""

from typing import Any

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
EMPTY: tuple[Any, ...] = (None, [], {}, "")


def text_of(content: Any) -> str | None:
    """Text, or the texts of parts that are all text; None where it is anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            return None
    return "".join(part["text"] for part in content)


def beside(message: dict[str, Any]) -> dict[str, Any]:
    """What a message holds beside its role and content. Null and empty fields hold nothing."""
    return {name: value for name, value in message.items() if name not in ("role", "content") and value not in EMPTY}
