"""What is wrong with a model's chat template, in sentences: found by rendering short conversations of every sort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainer.modeling.chat_format import ANSWER, ChatFormat, Skeleton, chat_format
from trainer.modeling.chat_templates import TemplateRefused, is_ours, outcomes
from trainer.run.microbatching import rows_at

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ONE_QUESTION, TWO_QUESTIONS = ("user",), ("user", "assistant", "user")
WITH_SYSTEM = ("system", "user")
TEXTS = {"system": "Be brief.", "user": "What colour is the sky?", "assistant": "The sky is blue."}


@dataclass(frozen=True)
class Fault:
    """Something about a model that a person should know.

    Attributes:
        name: steady, for programs. severity: "block" where nothing can be trained or answered rightly, "warn" where
            something is not possible or is done in another way. sentence, remedy: what, and what to do.
    """

    name: str
    severity: Literal["block", "warn"]
    sentence: str
    remedy: str = ""


def template_faults(tokenizer: PreTrainedTokenizerBase) -> list[Fault]:
    """Faults of the template; the first alone where it takes no conversation at all."""
    written = chat_format(tokenizer)
    plain = written.skeleton((*ONE_QUESTION, "assistant"))
    if isinstance(plain, TemplateRefused):
        return [
            Fault(
                "chat_template",
                "block",
                f"Its chat template cannot render a user message and a response: {plain.reason}.",
                "Mend the template, or start from another model.",
            )
        ]
    faults = [*refused_roles(written), *other_ids(tokenizer, written)]
    if is_ours(tokenizer):
        return faults
    return [*faults, *openings(tokenizer, plain), *ends_and_marks(tokenizer, written, plain)]


def refused_roles(written: ChatFormat) -> list[Fault]:
    """Sorts of conversations that the template does not take, or does not write whole."""
    faults = []
    for roles, name, what in (
        (WITH_SYSTEM, "no_system_message", "a system message"),
        (TWO_QUESTIONS, "one_question_only", "a second question"),
    ):
        skeleton = written.skeleton((*roles, "assistant"))
        if isinstance(skeleton, TemplateRefused):
            sentence = f"Its chat template does not take {what}: {skeleton.reason}."
            faults.append(Fault(name, "warn", sentence, f"Conversations with {what} are rejected individually."))
    return faults


def other_ids(tokenizer: PreTrainedTokenizerBase, written: ChatFormat) -> list[Fault]:
    """Whether token ids differ from those of the rendered text, up to the end of the answer."""
    for roles in (ONE_QUESTION, WITH_SYSTEM, TWO_QUESTIONS):
        chat = [{"role": role, "content": TEXTS[role]} for role in roles]
        if isinstance(written.skeleton((*roles, "assistant")), TemplateRefused):
            continue
        [whole] = outcomes(tokenizer, [[*chat, {"role": "assistant", "content": TEXTS["assistant"]}]])
        if isinstance(whole, TemplateRefused):
            return [Fault("chat_template", "block", whole.message, "Mend the template, or start from another model.")]
        expected: list[int] = tokenizer(whole, add_special_tokens=False)["input_ids"]
        ours = written.heads([chat])[0] + written.completions([TEXTS["assistant"]])[0]
        if expected[: len(written.leading)] != written.leading:
            ours = ours[len(written.leading) :]
        ends = written.turn_end in expected[len(ours) - 1 : len(ours)]
        if expected[: len(ours) if ends else len(ours) - 1] != (ours if ends else ours[:-1]):
            return [
                Fault(
                    "chat_template",
                    "block",
                    "A chat that is encoded text by text gives other tokens than its chat template as a whole, so the "
                    "model would be trained on chats that it has never seen.",
                    "Start from another model.",
                )
            ]
    return []


def openings(tokenizer: PreTrainedTokenizerBase, plain: Skeleton) -> list[Fault]:
    """Whether the template opens an answer as it writes one."""
    chat = [{"role": "user", "content": TEXTS["user"]}]
    texts = [
        outcomes(tokenizer, [chat])[0],
        outcomes(tokenizer, [chat], add_generation_prompt=True)[0],
        plain.filled([TEXTS["user"], ANSWER]),
    ]
    if any(isinstance(text, TemplateRefused) for text in texts):
        return []
    closed, opened, answered = map(str, texts)
    head = answered.partition(ANSWER)[0]
    if head.startswith(opened) and (opened != closed or not head[len(opened) :].strip()):
        return []
    if opened == closed:
        sentence = "Its chat template has no generation prompt."
    elif head.startswith(closed) and opened.startswith(head.rstrip()):
        sentence = (
            "The generation prompt of its chat template adds text, such as a thinking block, that is "
            "missing in rendered responses."
        )
    else:
        sentence = "The generation prompt of its chat template differs from rendered responses."
    return [
        Fault(
            "opens_otherwise",
            "warn",
            sentence,
            "Here answers are opened as the template writes them; a server elsewhere may open them otherwise.",
        )
    ]


def ends_and_marks(tokenizer: PreTrainedTokenizerBase, written: ChatFormat, plain: Skeleton) -> list[Fault]:
    """Whether turns end and begin with tokens that no text can spell, and whether the clock is read."""
    faults = []
    if not written.marks.search(plain.pieces[-1]):
        sentence = f"Its chat template writes no end token; {tokenizer.eos_token} is used as EOS."
        faults.append(Fault("no_turn_end", "warn", sentence, "Until it is trained, its responses may not end."))
    if not any(map(written.marks.search, plain.pieces[:-1])) or _unmarked(written, plain.pieces[1]):
        sentence = "Its chat template marks turns by plain words, so that a text can imitate one."
        faults.append(Fault("plain_marks", "warn", sentence, "Do not rely on message roles."))
    if "strftime_now" in str(tokenizer.get_chat_template()):
        sentence = "Its chat template writes today's date; it is held at 26 July 2024, so that a prompt stays the same."
        faults.append(Fault("clock", "warn", sentence, "Write the date into the message where it matters."))
    return faults


def _unmarked(written: ChatFormat, between: str) -> bool:
    return bool(between.strip()) and not written.marks.search(between)


def refused_rows(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[dict[str, str]]]) -> dict[int, str]:
    """Which of the prompts the template does not take, by place, each with the template's sentence."""
    written = chat_format(tokenizer)
    refused: dict[int, str] = {}
    rest = list(range(len(prompts)))
    while rest:
        try:
            written.heads(rows_at(prompts, rest))
            break
        except TemplateRefused as error:
            refused[rest[error.row]] = error.reason
            rest = rest[error.row + 1 :]
    return refused
