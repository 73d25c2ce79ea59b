"""Texts as token ids in which nothing that a text spells becomes a control token."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.json_types import JsonObject

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


class Encoders:
    """A tokenizer that reads marks as plain text, at the start of a text, after a mark, and within a text.

    They differ where a tokenizer puts a blank in front: at the start of every text, or also after every control token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control: dict[str, int]) -> None:
        self.numbers = frozenset(control.values())
        self.marks = alternatives(control)
        described = json.loads(tokenizer.backend_tokenizer.to_str())
        described["padding"] = described["truncation"] = None
        for token in described["added_tokens"]:
            token["special"] = token["special"] or token["content"] in control
        self.made: dict[str, Tokenizer] = {"start": _plain_tokenizer(described)}

    def encode(self, how: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text; none is a control token's.

        Args:
            how: "start" of a sequence, "after" a control token, or "within" a text.
        """
        if not texts:
            return []
        rows: list[list[int]] = []
        for text, encoded in zip(texts, self._of(how).encode_batch(list(texts), add_special_tokens=False), strict=True):
            row = list(encoded.ids)
            if self.numbers.intersection(row):
                row = self._apart(how, text)
            rows.append(row)
        return rows

    def _apart(self, how: str, text: str) -> list[int]:
        """For vocabularies that hold a mark as an ordinary word: it is broken after its first character."""
        pieces: list[str] = []
        begin = 0
        for mark in self.marks.finditer(text):
            end = mark.start() + 1
            pieces.append(text[begin:end])
            begin = end
        pieces.append(text[begin:])
        ids: list[int] = []
        for place, piece in enumerate(filter(None, pieces)):
            where = "within" if place else how
            found = self._plain_ids(where, piece)
            if self.numbers.intersection(found):
                found = []
                for letter in piece:
                    found += self._plain_ids("within", letter)
            ids += [one for one in found if one not in self.numbers]
        return ids

    def _plain_ids(self, how: str, text: str) -> list[int]:
        return list(self._of(how).encode(text, add_special_tokens=False).ids)

    def _of(self, how: str) -> Tokenizer:
        if how not in self.made:
            start = json.loads(self.made["start"].to_str())
            changed = _without_blanks(start, how)
            self.made[how] = self.made["start"]
            if changed != start:
                self.made[how] = _plain_tokenizer(changed)
        return self.made[how]


def _plain_tokenizer(described: JsonObject) -> Tokenizer:
    """A tokenizer from its JSON, to which special tokens are text as any other."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(json.dumps(described))
    made.encode_special_tokens = True
    return made


def _without_blanks(whole: JsonObject, how: str) -> JsonObject:
    """A tokenizer's JSON that puts no blank in front where it would not, in the middle of a longer text."""

    def changed(part: object) -> object:
        if isinstance(part, list):
            return [one for one in map(changed, part) if one is not None]
        if not isinstance(part, dict):
            return part
        part = dict(part)
        for name in ("normalizers", "pretokenizers"):
            if name in part:
                part[name] = changed(part[name])
        if part.get("type") == "Metaspace" and (how == "within" or part.get("prepend_scheme") == "first"):
            part["prepend_scheme"] = "never"
        if how == "within" and part.get("type") == "ByteLevel":
            part["add_prefix_space"] = False
        if how == "within" and part.get("type") == "Prepend":
            return None
        return part

    changes = {"normalizer": changed(whole["normalizer"]), "pre_tokenizer": changed(whole["pre_tokenizer"])}
    return whole | changes


def alternatives(control: dict[str, int]) -> re.Pattern[str]:
    """Finds marks in a template's text as tokenizers do: the first, and of several that begin there the longest."""
    longest_first = sorted(filter(None, control), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
