"""What a prompt's messages must look like."""

from typing import Any

ROLES = ("system", "user", "assistant")
MAX_CHARACTERS = 200_000


class InvalidMessages(ValueError):
    """Which message is wrong, and why."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


def checked(messages: Any) -> list[dict[str, str]]:
    """`messages` as a list of {"role", "content"}.

    Raises:
        InvalidMessages: not a list of messages, an unknown role, no text, or no user message in it.
    """
    if not isinstance(messages, list) or not messages:
        raise InvalidMessages("messages", "It must be a list with at least one message.")
    total = 0
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise InvalidMessages(where, 'It must be {"role": …, "content": …} and nothing else.')
        if message["role"] not in ROLES:
            raise InvalidMessages(f"{where}.role", f"It must be one of {', '.join(ROLES)}; got {message['role']!r}.")
        if not isinstance(message["content"], str):
            raise InvalidMessages(f"{where}.content", "It must be text.")
        if "\x00" in message["content"]:
            raise InvalidMessages(f"{where}.content", "It holds a NUL character, which cannot be stored.")
        total += len(message["content"])
    if total > MAX_CHARACTERS:
        raise InvalidMessages("messages", f"They have {total} characters in all; at most {MAX_CHARACTERS} are taken.")
    if not any(message["role"] == "user" and message["content"].strip() for message in messages):
        raise InvalidMessages("messages", "There must be a user message with text in it.")
    return [{"role": message["role"], "content": message["content"]} for message in messages]
