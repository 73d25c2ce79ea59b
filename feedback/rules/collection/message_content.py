"""Messages as other tools write them: roles, content in parts, and the fields that stand beside them.

One reader for every way in that takes messages from elsewhere: the OpenAI-compatible API and the file formats.
"""

from feedback.rules.json_types import JsonObject

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
EMPTY: tuple[object, ...] = (None, [], {}, "")


def text_of(content: object) -> str | None:
    """Text, or the texts of parts that are all text; None where it is anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    texts: list[str] = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            return None
        texts.append(part["text"])
    return "".join(texts)


def beside(message: JsonObject) -> JsonObject:
    """What a message holds beside its role and content. Null and empty fields hold nothing."""
    return {name: value for name, value in message.items() if name not in ("role", "content") and value not in EMPTY}
