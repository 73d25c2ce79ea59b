"""Diversity of a corpus: its composition, lengths, vocabulary growth, and the overlap of its sources.

Takes one document after another and keeps no text. Words are counted without case; what sources share is estimated on
every sixteenth of their five-word sequences, chosen by a hash, so that the same sequence is chosen in every source.
"""

import re
import zlib
from collections import Counter
from typing import Any

SHOWN = 12  # kinds, sources and licences that are determined by name
COMPARED = 8  # sources in the matrix of overlaps
SHINGLE, SAMPLED = 5, 16
MOST_SAMPLES = 400_000  # sequences kept of one source
_WORD = re.compile(r"\w+")
_EDGES = [0, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]


class Diversity:
    """Collects figures over documents: call `add` for each, then `report`."""

    def __init__(self) -> None:
        self.documents = self.characters = self.bytes = self.words = 0
        self.by: dict[str, dict[str, Counter[str]]] = {
            group: {"documents": Counter(), "characters": Counter()} for group in ("kind", "source", "licence")
        }
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
            self.by[group]["documents"][name] += 1
            self.by[group]["characters"][name] += len(text)
        self.lengths[max(place for place, edge in enumerate(_EDGES) if len(text) >= edge)] += 1
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

    def report(self) -> dict[str, Any]:
        """Figures as JSON. `overlap` is the share of a source's sequences that another source has too."""
        growth = self.growth
        if not growth or growth[-1][0] < self.words:
            growth = [*growth, (self.words, len(self.vocabulary))]
        sources = [name for name, _ in self._ranked("source")[:COMPARED]]
        once = sum(count == 1 for count in self.vocabulary.values())
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "words": self.words,
            "distinct_words": len(self.vocabulary),
            "words_met_once": once,
            "type_token_ratio": len(self.vocabulary) / self.words if self.words else 0.0,
            "longest": self.longest,
            "kinds": self._shares("kind"),
            "sources": self._shares("source"),
            "licences": self._shares("licence"),
            "lengths": [
                {"from": _EDGES[place], "documents": self.lengths[place]}
                for place in range(max(self.lengths, default=-1) + 1)
            ],
            "vocabulary": [{"words": words, "distinct": distinct} for words, distinct in growth],
            "common_words": [{"word": word[:40], "count": count} for word, count in self._common()],
            "overlap": {"sources": sources, "rows": [self._shares_of_source(one, sources) for one in sources]},
        }

    def _ranked(self, group: str) -> list[tuple[str, int]]:
        return sorted(self.by[group]["characters"].items(), key=lambda entry: (-entry[1], entry[0]))

    def _shares(self, group: str) -> list[dict[str, Any]]:
        """Names by share of characters; those after the first dozen are added up."""
        documents, ranked = self.by[group]["documents"], self._ranked(group)
        shown = [{"name": name, "documents": documents[name], "characters": size} for name, size in ranked[:SHOWN]]
        if rest := ranked[SHOWN:]:
            named = {"name": f"{len(rest)} others", "documents": sum(documents[name] for name, _ in rest)}
            shown.append(named | {"characters": sum(size for _, size in rest)})
        return shown

    def _common(self) -> list[tuple[str, int]]:
        return sorted(self.vocabulary.items(), key=lambda entry: (-entry[1], entry[0]))[:20]

    def _shares_of_source(self, one: str, others: list[str]) -> list[float]:
        return [self._share(one, other) for other in others]

    def _share(self, one: str, two: str) -> float:
        own = self.sequences[one]
        if own:
            return len(own & self.sequences[two]) / len(own)
        return 0.0
