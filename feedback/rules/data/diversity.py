"""Diversity of a corpus: its composition, lengths, vocabulary growth, and the overlap of its sources.

Takes one document after another and keeps no text. Words are counted without case; what sources share is estimated on
every sixteenth of their five-word sequences, chosen by a hash, so that the same sequence is chosen in every source.
"""

import re
import zlib
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TypedDict

from feedback.rules.json_types import JsonObject

SHOWN = 12  # kinds, sources and licenses that are determined by name
COMPARED = 8  # sources in the matrix of overlaps
SHINGLE, SAMPLED = 5, 16
MOST_SAMPLES = 400_000  # sequences kept of one source
_WORD = re.compile(r"\w+")
_EDGES = [0, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]


class Share(TypedDict):
    """What documents of one kind, source or license come to."""

    name: str
    documents: int
    characters: int


@dataclass
class Group:
    """Documents and characters by kind, by source or by license."""

    documents: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)


class Diversity:
    """Collects figures over documents: call `add` for each, then `report`."""

    def __init__(self) -> None:
        self.documents = self.characters = self.bytes = self.words = 0
        self.by = {"kind": Group(), "source": Group(), "licence": Group()}
        self.lengths: Counter[int] = Counter()
        self.vocabulary: Counter[str] = Counter()
        self.growth: list[tuple[int, int]] = []
        self.next_point = 100
        self.sequences: dict[str, set[int]] = {}
        self.longest = 0

    def add(self, text: str, *, kind: str, source: str, licence: str) -> None:
        self.documents += 1
        self.characters += len(text)
        self.bytes += len(text.encode())
        self.longest = max(self.longest, len(text))
        for group, name in (("kind", kind), ("source", source), ("licence", licence)):
            self.by[group].documents[name] += 1
            self.by[group].characters[name] += len(text)
        self.lengths[bisect_right(_EDGES, len(text)) - 1] += 1
        words = _WORD.findall(text.casefold())
        for start in range(0, len(words), 1000):
            part = words[start : start + 1000]
            self.words += len(part)
            self.vocabulary.update(part)
            if self.words >= self.next_point:
                self.growth.append((self.words, len(self.vocabulary)))
                self.next_point = int(self.words * 1.25) + 1
        kept = self.sequences.setdefault(source, set())
        for start in range(max(0, len(words) - SHINGLE + 1)):
            number = zlib.crc32(" ".join(words[start : start + SHINGLE]).encode())
            if number % SAMPLED == 0 and len(kept) < MOST_SAMPLES:
                kept.add(number)

    def report(self) -> JsonObject:
        """Figures as JSON. `overlap` is the share of a source's sequences that another source has too."""
        growth = self.growth
        if not growth or growth[-1][0] < self.words:
            growth = [*growth, (self.words, len(self.vocabulary))]
        common_words = []
        for word, count in _ranked(self.vocabulary)[:20]:
            common_words.append({"word": word[:40], "count": count})
        lengths = []
        for place in range(max(self.lengths, default=-1) + 1):
            lengths.append({"from": _EDGES[place], "documents": self.lengths[place]})
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "words": self.words,
            "distinct_words": len(self.vocabulary),
            "words_met_once": list(self.vocabulary.values()).count(1),
            "type_token_ratio": len(self.vocabulary) / self.words if self.words else 0.0,
            "longest": self.longest,
            "kinds": self._shares("kind"),
            "sources": self._shares("source"),
            "licences": self._shares("licence"),
            "lengths": lengths,
            "vocabulary": [{"words": words, "distinct": distinct} for words, distinct in growth],
            "common_words": common_words,
            "overlap": self._overlap(),
        }

    def _shares(self, group: str) -> list[Share]:
        """Names by share of characters; those after the first dozen are added up."""
        documents = self.by[group].documents
        shown: list[Share] = []
        others: Share = {"name": "", "documents": 0, "characters": 0}
        for place, (name, size) in enumerate(_ranked(self.by[group].characters)):
            if place < SHOWN:
                shown.append({"name": name, "documents": documents[name], "characters": size})
            else:
                others["name"] = f"{place + 1 - SHOWN} others"
                others["documents"] += documents[name]
                others["characters"] += size
        if others["name"]:
            shown.append(others)
        return shown

    def _overlap(self) -> JsonObject:
        sources = [name for name, _ in _ranked(self.by["source"].characters)[:COMPARED]]
        rows = []
        for one in sources:
            rows.append([self._share(one, other) for other in sources])
        return {"sources": sources, "rows": rows}

    def _share(self, one: str, two: str) -> float:
        own = self.sequences[one]
        if own:
            return len(own & self.sequences[two]) / len(own)
        return 0.0


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """Names by their count, the largest first; those with the same count by name."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
