"""How a model's own chat template writes a turn, in token ids: what opens an answer, what ends it, what marks what.

Everything is read off the template: a conversation is rendered with a stand-in for each text, so what stands between
the stand-ins is the template's, and the rest is somebody's words. The template's marks become the ids of control
tokens; text never does, whatever it spells. Where a text is not marked off from the template's own words by a control
token, the two are encoded as one piece, as the model's family does it.

An answered chat is `head + completion`: the head ends where the answer begins (an empty thinking block included); a
completion is the answer and the token with which the template ends the turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from trainer.data.plain_text import Encoders, alternatives
from trainer.modeling.chat_templates import TemplateRefused, is_ours, outcomes, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[dict[str, str]]
Item = int | str  # the id of a control token, or text that is encoded as a piece
Part = tuple[str, bool]  # text of a rendered conversation, and whether it is a message's and not the template's

ANSWER = "\ue000the answer\ue001"
PROBE = ("user", "assistant")


@dataclass(frozen=True)
class Skeleton:
    """What a template writes around the texts of a conversation of given roles.

    Attributes:
        pieces: n + 1 texts of the template around n messages, in the order in which it writes the messages.
        order: which message stands after each piece but the last.
    """

    pieces: tuple[str, ...]
    order: tuple[int, ...]

    def filled(self, texts: Sequence[str]) -> str:
        """The rendered conversation, if the template writes each text as it is."""
        return "".join(text for text, _ in self.parts(texts))

    def parts(self, texts: Sequence[str]) -> list[Part]:
        """The template's pieces and the messages' texts in the order in which they are written."""
        parts: list[Part] = []
        for piece, place in zip(self.pieces, self.order, strict=False):
            parts += [(piece, False), (texts[place], True)]
        return [*parts, (self.pieces[-1], False)]


class ChatFormat:
    """How one tokenizer's template writes turns. Get it from `chat_format`; it is made once for each tokenizer.

    Attributes:
        control: text -> id of tokens that mark something: those declared special, and those the template writes.
        leading: ids that the tokenizer puts in front of every text, such as a BOS token.
        spaces: blanks that the template writes between head and answer; they belong to the answer's first token.
        closing: text that the template writes between an answer and the token that ends the turn; mostly empty.
        turn_end: id of the token that ends an assistant's turn. ends: ids that end a completion, `turn_end` first.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, declared_ends: Sequence[int] = ()) -> None:
        self.held = ref(tokenizer)  # formats are kept by their tokenizer, which they must not keep alive
        self.skeletons: dict[tuple[str, ...], Skeleton | TemplateRefused] = {}
        self.ours = is_ours(tokenizer)
        self.control: dict[str, int] = {}
        ordinary: dict[str, int] = {}  # added tokens that are not declared special
        for number, token in tokenizer.added_tokens_decoder.items():
            if token.special:
                self.control[str(token)] = number
            else:
                ordinary[str(token)] = number
        self.marks = alternatives(self.control)
        written = str(tokenizer.get_chat_template())
        skeleton = self.skeleton(PROBE)
        emitted = written
        if isinstance(skeleton, Skeleton):
            emitted += "".join(skeleton.pieces)
        for text, number in ordinary.items():
            if text.strip() and text in emitted:
                self.control[text] = number
        self.marks = alternatives(self.control)
        self.encoders = Encoders(tokenizer, self.control)
        self.leading = leading_ids(tokenizer)
        self.turn_end = int(tokenizer.eos_token_id)
        self.spaces = self.closing = ""
        if isinstance(skeleton, Skeleton):
            head, tail = skeleton.pieces[-2], skeleton.pieces[-1]
            self.spaces = head[len(head.rstrip(" ")) :]
            if mark := self.marks.search(tail):
                self.closing, self.turn_end = tail[: mark.start()], self.control[mark.group()]
        known = set(self.control.values())
        known_ends = [end for end in declared_ends if end in known]
        self.ends = list(dict.fromkeys([self.turn_end, int(tokenizer.eos_token_id), *known_ends]))
        self.after_mark = self._head_ends_with_a_mark(skeleton)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer = self.held()
        assert tokenizer is not None
        return tokenizer

    # --- a conversation ----------------------------------------------------------------------------------

    def heads(self, prompts: Sequence[Messages]) -> list[list[int]]:
        """Token ids of each prompt up to where its answer begins.

        Raises:
            TemplateRefused: the template does not take one of them, or leaves out a message; names the first.
        """
        chats = [[*prompt, {"role": "assistant", "content": ANSWER}] for prompt in prompts]
        items = []
        for chat, parts in zip(chats, self.written(chats), strict=True):
            skeleton = self.skeleton(roles_of(chat))
            assert isinstance(skeleton, Skeleton)
            before = 2 * skeleton.order.index(len(chat) - 1)  # pieces and messages take turns
            items.append(self.items([*parts[:before], (parts[before][0].rstrip(" "), False)]))
        return self.ids(items)

    def conversations(self, chats: Sequence[Messages]) -> list[list[int]]:
        """Token ids of whole conversations as the template writes them.

        Raises:
            TemplateRefused: see `heads`.
        """
        return self.ids(list(map(self.items, self.written(chats))))

    def written(self, chats: Sequence[Messages]) -> list[list[Part]]:
        """Each chat in parts, in order."""
        skeletons: list[Skeleton] = []
        texts: list[list[str]] = []
        for row, chat in enumerate(chats):
            skeleton = self.skeleton(roles_of(chat))
            if isinstance(skeleton, TemplateRefused):
                raise TemplateRefused(skeleton.reason, row)
            skeletons.append(skeleton)
            texts.append(contents_of(chat))
        if not self.ours:
            for row, whole in enumerate(render(self.tokenizer, list(map(list, chats)))):
                texts[row] = self.as_written(chats[row], skeletons[row], whole, row)
        return list(map(Skeleton.parts, skeletons, texts))

    def skeleton(self, roles: tuple[str, ...]) -> Skeleton | TemplateRefused:
        """What the template writes around conversations of these roles, or why it does not take them."""
        if roles not in self.skeletons:
            if len(self.skeletons) > 1024:  # of as many kinds of conversation a long-lived worker need not know
                self.skeletons.clear()
            self.skeletons[roles] = self._skeleton(roles)
        return self.skeletons[roles]

    def _skeleton(self, roles: tuple[str, ...]) -> Skeleton | TemplateRefused:
        stand_ins = _stand_ins(len(roles))
        chat = _chat_of(roles, stand_ins)
        [whole] = outcomes(self.tokenizer, [chat])
        if isinstance(whole, TemplateRefused):
            return whole
        for place, text in enumerate(stand_ins):
            if whole.count(text) != 1:
                fault = "it repeats" if text in whole else "it leaves out"
                return TemplateRefused(f"{fault} the message of the {roles[place]}")
        order = sorted(range(len(roles)), key=lambda place: whole.index(stand_ins[place]))
        pieces = re.split("|".join(map(re.escape, stand_ins)), whole)
        return Skeleton(tuple(pieces), tuple(order))

    def as_written(self, chat: Messages, skeleton: Skeleton, whole: str, row: int) -> list[str]:
        """Each message's text as the template writes it, trimmed for instance.

        Where it is neither the text nor the text trimmed, each message is rendered alone among stand-ins: what then
        stands in its place is its text, whatever it spells.

        Raises:
            TemplateRefused: what the template writes around a message depends on what the message says.
        """
        texts = contents_of(chat)
        trimmed = list(map(str.strip, texts))
        for candidate in (texts, trimmed):
            if skeleton.filled(candidate) == whole:
                return candidate
        stand_ins = _stand_ins(len(chat))
        alone = []
        for here, message in enumerate(chat):
            stood_in = _chat_of(roles_of(chat), stand_ins)
            stood_in[here] = dict(message)
            alone.append(stood_in)
        found = []
        for here, text in enumerate(render(self.tokenizer, alone)):
            marked = skeleton.filled([*stand_ins[:here], ANSWER, *stand_ins[here + 1 :]])
            before, _, after = marked.partition(ANSWER)
            fits = len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
            if not fits:
                raise TemplateRefused(f"it writes message {here + 1} in another way for what it says", row)
            found.append(text[len(before) : len(text) - len(after)])
        if skeleton.filled(found) != whole:
            raise TemplateRefused("it writes messages in another way for what others say", row)
        return found

    # --- ids ---------------------------------------------------------------------------------------------

    def items(self, parts: Sequence[Part]) -> list[Item]:
        """Control tokens that the template writes as ids, and what stands between them as text, words and all."""
        items: list[Item] = []
        swallow = False  # white space after a token that takes it with it
        for text, is_content in parts:
            start = 0
            if not is_content:
                for mark in self.marks.finditer(text):
                    number = self.control[mark.group()]
                    token = self.tokenizer.added_tokens_decoder[number]
                    piece = text[start : mark.start()]
                    if swallow:
                        piece = piece.lstrip()
                    if token.lstrip:
                        piece = piece.rstrip()
                    _append_text(items, piece)
                    items.append(number)
                    start, swallow = mark.end(), bool(token.rstrip)
            rest = text[start:]
            if swallow:
                rest = rest.lstrip()
            if rest:
                _append_text(items, rest)
                swallow = False
        return items

    def ids(self, rows: Sequence[Sequence[Item]]) -> list[list[int]]:
        """Rows of items as token ids, with what the tokenizer puts in front of a text."""
        first: list[str] = []
        later: list[str] = []
        for row in rows:
            for place, item in enumerate(row):
                if not isinstance(item, str):
                    continue
                if place == 0:
                    first.append(item)
                else:
                    later.append(item)
        at_start = iter(self.encoders.encode("start", first))
        after_mark = iter(self.encoders.encode("after", later))
        made = []
        for row in rows:
            ids: list[int] = []
            for place, item in enumerate(row):
                if isinstance(item, int):
                    ids.append(item)
                elif place == 0:
                    ids += next(at_start)
                else:
                    ids += next(after_mark)
            if ids[: len(self.leading)] != self.leading:
                ids = [*self.leading, *ids]
            made.append(ids)
        return made

    def completions(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of answers as they follow a head, each closed by the end of the turn."""
        how = "after" if self.after_mark else "within"
        whole = [f"{self.spaces}{text}{self.closing}" for text in texts]
        return [[*ids, self.turn_end] for ids in self.encoders.encode(how, whole)]

    def documents(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts that are no chat, with what the tokenizer puts in front of them."""
        return [[*self.leading, *ids] for ids in self.encoders.encode("start", texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a completion: all that was written but the end, control tokens as they are spelled."""
        kept, ended = list(ids), bool(ids) and ids[-1] in self.ends
        if ended:
            kept.pop()
        text = str(self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        text = text.removeprefix(self.spaces)
        if ended:
            text = text.removesuffix(self.closing)
        return text

    def _head_ends_with_a_mark(self, skeleton: Skeleton | TemplateRefused) -> bool:
        if isinstance(skeleton, TemplateRefused):
            return False
        items = self.items([(skeleton.pieces[-2].rstrip(" "), False)])
        return bool(items) and isinstance(items[-1], int)


def roles_of(chat: Messages) -> tuple[str, ...]:
    return tuple(message["role"] for message in chat)


def contents_of(chat: Messages) -> list[str]:
    return [message["content"] for message in chat]


def _chat_of(roles: Sequence[str], texts: Sequence[str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]


def _stand_ins(count: int) -> list[str]:
    """Texts that no message holds, one for each message."""
    return [f"\ue000text {place} of many\ue001" for place in range(count)]


def _append_text(items: list[Item], text: str) -> None:
    """Text at the end of a row of items, joined to the text before it if that is what stands there."""
    if not text:
        return
    if items and isinstance(items[-1], str):
        items[-1] += text
    else:
        items.append(text)


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer's post-processor puts in front of a text."""
    encoded = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
    leading: list[int] = []
    for token, special in zip(encoded.ids, encoded.special_tokens_mask, strict=True):
        if not special:
            break
        leading.append(int(token))
    return leading if len(leading) < len(encoded.ids) else []


FORMATS: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[str, int, ChatFormat]] = WeakKeyDictionary()
DECLARED: WeakKeyDictionary[PreTrainedTokenizerBase, list[int]] = WeakKeyDictionary()


def chat_format(tokenizer: PreTrainedTokenizerBase) -> ChatFormat:
    """The format of a tokenizer, made again if its template or its tokens have changed since."""
    template, size = str(tokenizer.chat_template), len(tokenizer)
    known = FORMATS.get(tokenizer)
    if known is None or known[:2] != (template, size):
        known = (template, size, ChatFormat(tokenizer, DECLARED.get(tokenizer, ())))
        FORMATS[tokenizer] = known
    return known[2]


def declare_ends(tokenizer: PreTrainedTokenizerBase, ends: Sequence[int]) -> None:
    """Further ids that end a completion, such as a model's generation config lists; ordinary tokens never do."""
    kept = list(dict.fromkeys([*DECLARED.get(tokenizer, ()), *ends]))
    if kept != DECLARED.get(tokenizer, []):
        DECLARED[tokenizer] = kept
        FORMATS.pop(tokenizer, None)


def ends_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that end a completion, the one that is learned first."""
    return chat_format(tokenizer).ends
