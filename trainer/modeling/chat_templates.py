"""Chat templates as text. Those from elsewhere are programs, and run in a process that can be ended; ours run here.

A chat template is Jinja: it can loop for ever, fill memory, or refuse a conversation in words. `render` bounds the
first two and turns all three into `TemplateRefused`, which is about one chat and no fault of anybody's code.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from trainer.errors import DataUnusable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD, END, MASK = "<|pad|>", "<|end|>", "<|mask|>"
ROLE_MARKS = ["<|system|>", "<|user|>", "<|assistant|>"]  # each opens a turn

# The end token belongs to the assistant's turn, so that stopping is learned; the other turns end where a mark begins.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' -}}{% generation %}{{- message['content'] + '<|end|>' -}}{% endgeneration %}"
    "{%- elif message['role'] in ['system', 'user'] -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] -}}"
    "{%- else -%}{{- raise_exception('unknown role ' + message['role']) -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

Chat = Sequence[dict[str, str]]


class RenderRequest(TypedDict):
    """What `template_process.py` reads, one JSON object a line."""

    template: str
    variables: dict[str, str | list[str]]
    chats: list[list[dict[str, str]]]
    add_generation_prompt: bool
    seconds: float


SECONDS = 3  # of computing for a request; usual templates take a millisecond for a chat
LONGEST_WAIT = 60.0  # seconds by the clock: a machine under load may take long over three of computing
CHATS_AT_ONCE = 256
PROGRAM = Path(__file__).with_name("template_process.py")
PLAIN_NAME = re.compile(r"[^'\"{}%\\\n]+")
BEGINNING = "{{- bos_token -}}"


class TemplateRefused(DataUnusable):
    """The model's chat template does not take a conversation.

    Attributes:
        reason: the template's own sentence, or why it was stopped. row: which of the conversations, from 0.
    """

    def __init__(self, reason: str, row: int = 0) -> None:
        reason = reason.rstrip(" .!")
        super().__init__(
            f"The model's chat template does not take this conversation: {reason}.",
            remedy="Leave out the message that it refuses, or use another model.",
        )
        self.reason, self.row = reason, row


def our_template(end: str = END, *, begins: bool = False) -> str:
    """The chat template of models made here, with another end token or a token that opens the text."""
    literal = f"'{end}'" if PLAIN_NAME.fullmatch(end) else "eos_token"
    return (BEGINNING if begins else "") + CHAT_TEMPLATE.replace(f"'{END}'", literal)


def is_ours(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer's template is the one written here, which copies every text and ends by itself."""
    template = str(tokenizer.chat_template).removeprefix(BEGINNING)
    return template in (our_template(), our_template(str(tokenizer.eos_token)))


def render(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat], *, add_generation_prompt: bool = False
) -> list[str]:
    """Each chat as the tokenizer's template writes it.

    Raises:
        TemplateRefused: the template refuses a chat, or does not come to an end; names the first such chat.
    """
    texts = []
    for row, outcome in enumerate(outcomes(tokenizer, chats, add_generation_prompt=add_generation_prompt)):
        if isinstance(outcome, TemplateRefused):
            outcome.row = row
            raise outcome
        texts.append(outcome)
    return texts


def outcomes(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat], *, add_generation_prompt: bool = False
) -> list[str | TemplateRefused]:
    """As `render`, but what is refused stands where its text would."""
    made: list[str | TemplateRefused] = []
    for start in range(0, len(chats), CHATS_AT_ONCE):
        copies: list[list[dict[str, str]]] = []
        for chat in chats[start : start + CHATS_AT_ONCE]:
            copies.append(list(map(dict, chat)))
        request: RenderRequest = {
            "template": tokenizer.get_chat_template(),
            "variables": {name: _text(value) for name, value in tokenizer.special_tokens_map.items()},
            "chats": copies,
            "add_generation_prompt": add_generation_prompt,
            "seconds": SECONDS,
        }
        for outcome in (_here if is_ours(tokenizer) else PROCESS.ask)(request):
            made.append(outcome["text"] if "text" in outcome else TemplateRefused(outcome["refused"]))
    return made


def _text(value: object) -> str | list[str]:
    if isinstance(value, list | tuple):
        return list(map(str, value))
    return str(value)


def _here(request: RenderRequest) -> list[dict[str, str]]:
    from trainer.modeling import template_process

    return template_process.render(request)


class TemplateProcess:
    """The process that renders, started when first needed and again after it was ended. For any number of threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0

    def ask(self, request: RenderRequest) -> list[dict[str, str]]:
        """Its answer; where it is ended over the request, one refusal for each chat."""
        with self.lock:
            if self.process is None or self.owner != os.getpid() or self.process.poll() is not None:
                self.start()
            answer = self.exchange(json.dumps(request).encode() + b"\n")
            if answer is not None:
                outcome: list[dict[str, str]] = json.loads(answer)
                return outcome
            self.end()
        return [{"refused": f"it is not done after {request['seconds']} seconds"}] * len(request["chats"])

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
        )
        self.owner = os.getpid()

    def exchange(self, line: bytes) -> bytes | None:
        """One line there and one back; None if it ended or took too long."""
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except OSError:
            return None
        received = b""
        while not received.endswith(b"\n"):
            if not select.select([process.stdout], [], [], LONGEST_WAIT)[0]:
                return None
            piece = os.read(process.stdout.fileno(), 1 << 20)
            if not piece:
                return None
            received += piece
        return received

    def end(self) -> None:
        """Leave no process behind. One that another process started, before a fork, is that one's to end."""
        process, self.process = self.process, None
        if process is None or self.owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


PROCESS = TemplateProcess()
atexit.register(PROCESS.end)
