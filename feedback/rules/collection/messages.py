"""What a prompt's messages must look like."""

ROLES = ("system", "user", "assistant")
MAX_CHARACTERS = 200_000


class InvalidMessages(ValueError):
    """Which message is wrong, and why."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


def checked(messages: object) -> list[dict[str, str]]:
    """`messages` as a list of {"role", "content"}: a prompt that can be answered.

    Raises:
        InvalidMessages: not a list of messages, an unknown role, no text, or the last turn is not the user's.
    """
    if not isinstance(messages, list) or not messages:
        raise InvalidMessages("messages", "It must be a list with at least one message.")
    total = 0
    checked_messages: list[dict[str, str]] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise InvalidMessages(where, 'It must be {"role": …, "content": …} and nothing else.')
        if message["role"] not in ROLES:
            raise InvalidMessages(f"{where}.role", f"It must be one of {', '.join(ROLES)}; got {message['role']!r}.")
        if not isinstance(message["content"], str):
            raise InvalidMessages(f"{where}.content", "It must be text.")
        if "\x00" in message["content"]:
            raise InvalidMessages(f"{where}.content", "It contains a NUL character, which cannot be stored.")
        total += len(message["content"])
        checked_messages.append({"role": message["role"], "content": message["content"]})
    if total > MAX_CHARACTERS:
        raise InvalidMessages("messages", f"They have {total} characters in total; the limit is {MAX_CHARACTERS}.")
    wrong = last_turn_fault(checked_messages)
    if wrong:
        raise InvalidMessages(f"messages[{len(messages) - 1}]", wrong)
    return checked_messages


def last_turn_fault(messages: list[dict[str, str]]) -> str:
    """Why the last message cannot be answered, or nothing. A response, a pair and a training row all follow it."""
    last = messages[-1]
    if last["role"] != "user":
        return f"The last message must be the user's, because it is what is answered; this one is the {last['role']}'s."
    if not last["content"].strip():
        return "The last message is empty. Write a message."
    return ""
