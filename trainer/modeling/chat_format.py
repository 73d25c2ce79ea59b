"""How a model's own chat template writes a turn, in token ids: what opens an answer, what ends it, what marks what.

Everything is read off the template: a conversation is rendered with a stand-in for each text, so what stands between
the stand-ins is the template's, and the rest is somebody's words. The template's marks become the ids of control
tokens; text never does, whatever it spells. Where a text is not marked off from the template's own words by a control
token, the two are encoded as one piece, as the model's family does it.

An answered chat is `head + completion`: the head ends where the answer begins (an empty thinking block included); a
completion is the answer and the token with which the template ends the turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from trainer.modeling.chat_templates import TemplateRefused, is_ours, outcomes, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[dict[str, str]]
Item = int | str  # the id of a control token, or text that is encoded as a piece

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
        parts = [part for piece, place in zip(self.pieces, self.order, strict=False) for part in (piece, texts[place])]
        return "".join([*parts, self.pieces[-1]])


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
        added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.control = {text: number for text, number in added.items() if text in special}
        self.marks = _alternatives(self.control)
        written = str(tokenizer.get_chat_template())
        skeleton = self.skeleton(PROBE)
        ordinary = [text for text in added if text not in special and text.strip()]
        emitted = written + ("" if isinstance(skeleton, TemplateRefused) else "".join(skeleton.pieces))
        self.control |= {text: added[text] for text in ordinary if text in emitted}
        self.marks = _alternatives(self.control)
        self.encoders = Encoders(tokenizer, self.control)
        self.leading = leading_ids(tokenizer)
        self.turn_end = int(tokenizer.eos_token_id)
        self.spaces = self.closing = ""
        if not isinstance(skeleton, TemplateRefused):
            head, tail = skeleton.pieces[-2], skeleton.pieces[-1]
            self.spaces = head[len(head.rstrip(" ")) :]
            if mark := self.marks.search(tail):
                self.closing, self.turn_end = tail[: mark.start()], self.control[mark.group()]
        known = set(self.control.values())
        ends = [self.turn_end, int(tokenizer.eos_token_id), *(end for end in declared_ends if end in known)]
        self.ends = list(dict.fromkeys(ends))
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
            skeleton = self.skeleton(tuple(message["role"] for message in chat))
            assert isinstance(skeleton, Skeleton)
            before = 2 * skeleton.order.index(len(chat) - 1)  # pieces and messages take turns
            items.append(self.items([*parts[:before], (parts[before][0].rstrip(" "), False)]))
        return self.ids(items)

    def conversations(self, chats: Sequence[Messages]) -> list[list[int]]:
        """Token ids of whole conversations as the template writes them.

        Raises:
            TemplateRefused: see `heads`.
        """
        return self.ids([self.items(parts) for parts in self.written(chats)])

    def written(self, chats: Sequence[Messages]) -> list[list[tuple[str, bool]]]:
        """Each chat as (text, whether it is a message's and not the template's), in order."""
        skeletons = []
        for row, chat in enumerate(chats):
            skeleton = self.skeleton(tuple(message["role"] for message in chat))
            if isinstance(skeleton, TemplateRefused):
                raise TemplateRefused(skeleton.reason, row)
            skeletons.append(skeleton)
        texts = [[message["content"] for message in chat] for chat in chats]
        if not self.ours:
            for row, whole in enumerate(render(self.tokenizer, [list(chat) for chat in chats])):
                texts[row] = self.as_written(chats[row], skeletons[row], whole, row)
        return [
            [
                part
                for piece, place in zip(skeleton.pieces, skeleton.order, strict=False)
                for part in ((piece, False), (of[place], True))
            ]
            + [(skeleton.pieces[-1], False)]
            for skeleton, of in zip(skeletons, texts, strict=True)
        ]

    def skeleton(self, roles: tuple[str, ...]) -> Skeleton | TemplateRefused:
        """What the template writes around conversations of these roles, or why it does not take them."""
        if roles not in self.skeletons:
            if len(self.skeletons) > 1024:  # of as many kinds of conversation a long-lived worker need not know
                self.skeletons.clear()
            self.skeletons[roles] = self._skeleton(roles)
        return self.skeletons[roles]

    def _skeleton(self, roles: tuple[str, ...]) -> Skeleton | TemplateRefused:
        stand_ins = [f"\ue000text {place} of many\ue001" for place in range(len(roles))]
        chat = [{"role": role, "content": text} for role, text in zip(roles, stand_ins, strict=True)]
        [whole] = outcomes(self.tokenizer, [chat])
        if isinstance(whole, TemplateRefused):
            return whole
        for place, text in enumerate(stand_ins):
            if whole.count(text) != 1:
                says = "it leaves out" if text not in whole else "it repeats"
                return TemplateRefused(f"{says} the message of the {roles[place]}")
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
        texts = [message["content"] for message in chat]
        for candidate in (texts, [text if text == ANSWER else text.strip() for text in texts]):
            if skeleton.filled(candidate) == whole:
                return candidate
        stand_ins = [f"\ue000text {place} of many\ue001" for place in range(len(chat))]
        alone = [
            [
                {"role": message["role"], "content": message["content"] if place == here else stand_ins[place]}
                for place, message in enumerate(chat)
            ]
            for here in range(len(chat))
        ]
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

    def items(self, parts: Sequence[tuple[str, bool]]) -> list[Item]:
        """Control tokens that the template writes as ids, and what stands between them as text, words and all."""
        items: list[Item] = []
        swallow = False  # white space after a token that takes it with it
        for text, is_content in parts:
            places = [] if is_content else [*self.marks.finditer(text)]
            start = 0
            for mark in [*places, None]:
                piece = text[start : mark.start() if mark else len(text)]
                if swallow:
                    piece = piece.lstrip()
                token = None if mark is None else self.tokenizer.added_tokens_decoder[self.control[mark.group()]]
                if token is not None and token.lstrip:
                    piece = piece.rstrip()
                if piece:
                    swallow = False
                    if items and isinstance(items[-1], str):
                        items[-1] += piece
                    else:
                        items.append(piece)
                if mark is not None and token is not None:
                    items.append(self.control[mark.group()])
                    start, swallow = mark.end(), bool(token.rstrip)
        return items

    def ids(self, rows: Sequence[Sequence[Item]]) -> list[list[int]]:
        """Rows of items as token ids, with what the tokenizer puts in front of a text."""
        texts: dict[str, list[str]] = {"start": [], "after": []}
        for row in rows:
            for place, item in enumerate(row):
                if isinstance(item, str):
                    texts["after" if place else "start"].append(item)
        encoded = {how: iter(self.encoders.encode(how, of)) for how, of in texts.items()}
        made = []
        for row in rows:
            ids: list[int] = []
            for place, item in enumerate(row):
                ids += [item] if isinstance(item, int) else next(encoded["after" if place else "start"])
            made.append(ids if ids[: len(self.leading)] == self.leading else [*self.leading, *ids])
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
        text = str(
            self.tokenizer.decode(
                kept[:-1] if ended else kept, skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )
        text = text.removeprefix(self.spaces)
        return text.removesuffix(self.closing) if ended else text

    def _head_ends_with_a_mark(self, skeleton: Skeleton | TemplateRefused) -> bool:
        if isinstance(skeleton, TemplateRefused):
            return False
        items = self.items([(skeleton.pieces[-2].rstrip(" "), False)])
        return bool(items) and isinstance(items[-1], int)


class Encoders:
    """A tokenizer that reads marks as plain text, at the start of a text, after a mark, and within a text.

    They differ where a tokenizer puts a blank in front: at the start of every text, or also after every control token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control: dict[str, int]) -> None:
        self.numbers = frozenset(control.values())
        self.marks = _alternatives(control)
        described = json.loads(tokenizer.backend_tokenizer.to_str())
        described["padding"] = described["truncation"] = None
        for token in described["added_tokens"]:
            token["special"] = token["special"] or token["content"] in control
        self.made: dict[str, Any] = {"start": _plain_tokenizer(described)}

    def encode(self, how: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text; none is a control token's.

        Args:
            how: "start" of a sequence, "after" a control token, or "within" a text.
        """
        if not texts:
            return []
        rows = [list(one.ids) for one in self._of(how).encode_batch(list(texts), add_special_tokens=False)]
        return [
            self._apart(how, text) if self.numbers.intersection(row) else row
            for text, row in zip(texts, rows, strict=True)
        ]

    def _apart(self, how: str, text: str) -> list[int]:
        """For vocabularies that hold a mark as an ordinary word: it is broken after its first character."""
        cuts = [0, *(mark.start() + 1 for mark in self.marks.finditer(text)), len(text)]
        pieces = [text[start:end] for start, end in pairwise(cuts) if end > start]
        ids: list[int] = []
        for place, piece in enumerate(pieces):
            found = list(self._of("within" if place else how).encode(piece, add_special_tokens=False).ids)
            if self.numbers.intersection(found):
                found = [
                    one for letter in piece for one in self._of("within").encode(letter, add_special_tokens=False).ids
                ]
            ids += [one for one in found if one not in self.numbers]
        return ids

    def _of(self, how: str) -> Any:
        if how not in self.made:
            start = json.loads(self.made["start"].to_str())
            changed = _without_blanks(start, how)
            self.made[how] = self.made["start"] if changed == start else _plain_tokenizer(changed)
        return self.made[how]


def _plain_tokenizer(described: dict[str, Any]) -> Any:
    """A tokenizer from its JSON, to which special tokens are text as any other."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(json.dumps(described))
    made.encode_special_tokens = True
    return made


def _without_blanks(whole: dict[str, Any], how: str) -> dict[str, Any]:
    """A tokenizer's JSON that puts no blank in front where it would not, in the middle of a longer text."""

    def changed(part: Any) -> Any:
        if isinstance(part, list):
            return [one for one in map(changed, part) if one is not None]
        if not isinstance(part, dict):
            return part
        part = {
            name: changed(value) if name in ("normalizers", "pretokenizers") else value for name, value in part.items()
        }
        if part.get("type") == "Metaspace" and (how == "within" or part.get("prepend_scheme") == "first"):
            part["prepend_scheme"] = "never"
        if how == "within" and part.get("type") == "ByteLevel":
            part["add_prefix_space"] = False
        if how == "within" and part.get("type") == "Prepend":
            return None
        return part

    return whole | {name: changed(whole[name]) for name in ("normalizer", "pre_tokenizer")}


def _alternatives(control: dict[str, int]) -> re.Pattern[str]:
    """Finds marks in a template's text as tokenizers do: the first, and of several that begin there the longest."""
    longest_first = sorted(filter(None, control), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer's post-processor puts in front of a text."""
    encoded = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
    leading: list[int] = []
    for token, special in zip(encoded.ids, encoded.special_tokens_mask, strict=True):
        if not special:
            break
        leading.append(int(token))
    return leading if len(leading) < len(encoded.ids) else []


FORMATS: WeakKeyDictionary[Any, tuple[str, int, ChatFormat]] = WeakKeyDictionary()
DECLARED: WeakKeyDictionary[Any, list[int]] = WeakKeyDictionary()


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
    """Ids that end a completion, the one that is learnt first."""
    return chat_format(tokenizer).ends
