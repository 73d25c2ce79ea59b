"""HH transcripts: one string a conversation, turns opened by "\\n\\nHuman:" and "\\n\\nAssistant:".

A preference is two whole transcripts, chosen and rejected. Ours is a prompt with two responses, so a pair is cut at the
last Assistant mark that both share; both directions are exact, byte for byte, or the transcript is refused.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MARKS = {"user": "\n\nHuman:", "assistant": "\n\nAssistant:"}
ROLES = {mark: role for role, mark in MARKS.items()}
_MARK = re.compile("|".join(map(re.escape, ROLES)))

Message = dict[str, str]


class InvalidTranscript(ValueError):
    """What about a transcript cannot be read, in a sentence."""


@dataclass(frozen=True)
class Comparison:
    """Two transcripts as one prompt and two verbatim rests, which keep their leading space."""

    prompt: list[Message]
    chosen: str
    rejected: str


def parse(transcript: str) -> list[Message]:
    """The turns of a transcript. One leading space of each is the format's own and is removed.

    Raises:
        InvalidTranscript: it does not begin with a mark, or would not render back byte for byte.
    """
    marks = list(_MARK.finditer(transcript))
    if not marks or marks[0].start() != 0:
        raise InvalidTranscript(f"It must begin with {MARKS['user']!r} or {MARKS['assistant']!r}.")
    ends = [mark.start() for mark in marks[1:]] + [len(transcript)]
    messages: list[Message] = []
    for mark, end in zip(marks, ends, strict=True):
        text = transcript[mark.end() : end].removeprefix(" ")
        messages.append({"role": ROLES[mark.group()], "content": text})
    if render(messages) != transcript:
        raise InvalidTranscript("A turn does not begin with one space, so it could not be written back as it was.")
    return messages


def render(messages: Iterable[Message]) -> str:
    """The transcript of `messages`.

    Raises:
        InvalidTranscript: a role has no mark, or a text contains one: it would be read as another turn.
    """
    parts = []
    for message in messages:
        mark = MARKS.get(message["role"])
        if mark is None:
            raise InvalidTranscript(f"The format has no mark for the role {message['role']!r}.")
        if _MARK.search(message["content"]):
            raise InvalidTranscript("A text contains a mark of the format and would be read as another turn.")
        parts.append(f"{mark} {message['content']}")
    return "".join(parts)


def comparison(chosen: str, rejected: str) -> Comparison:
    """Cut a pair of transcripts at the last Assistant mark of their longest common prefix.

    Raises:
        InvalidTranscript: they share no Assistant mark, or their common part cannot be read.
    """
    mark = MARKS["assistant"]
    place = chosen.rfind(mark, 0, _common(chosen, rejected))
    if place < 0:
        raise InvalidTranscript("The two transcripts share no Assistant turn, so there is no prompt in them.")
    end = place + len(mark)
    return Comparison(parse(chosen[:place]), chosen[end:], rejected[end:])


def transcripts(one: Comparison) -> dict[str, str]:
    """The row that `comparison` was made from."""
    prompt = render(one.prompt) + MARKS["assistant"]
    return {"chosen": prompt + one.chosen, "rejected": prompt + one.rejected}


def read(lines: Iterable[str]) -> Iterator[tuple[int, Comparison]]:
    """Comparisons of a JSON Lines file, each with its line number from 1. Empty lines are passed over.

    Raises:
        InvalidTranscript: a line is not such a row; the sentence names the line.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield number, comparison(row["chosen"], row["rejected"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidTranscript(f"Line {number}: {error}") from None


def _common(one: str, other: str) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # by halves: comparing slices runs in C, comparing characters does not
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
