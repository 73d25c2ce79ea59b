"""Spans as tags of the pieces that they cover, tokens or words: B at the first, I at the others, O outside of spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainer.data.snapshot import Span

OUTSIDE = "O"


def tags_of(classes: Sequence[str]) -> list[str]:
    """O, then B and I of each class."""
    tags = [OUTSIDE]
    for name in classes:
        tags += [f"B-{name}", f"I-{name}"]
    return tags


def numbered(tags: Sequence[str]) -> dict[str, int]:
    """Tag -> its place in `tags`."""
    return {tag: number for number, tag in enumerate(tags)}


def may_follow(before: str, tag: str) -> bool:
    """Whether `tag` may stand after `before`: I follows B or I of its own label, B and O follow anything."""
    return not tag.startswith("I-") or before[1:] == tag[1:]


def tag_pieces(pieces: Iterable[tuple[int, int]], spans: Sequence[Span]) -> list[str]:
    """The tag of each piece of a text, from start to end in characters: that of the first span which it overlaps."""
    tags: list[str] = []
    begun: set[Span] = set()
    for start, end in pieces:
        span = _overlapping(spans, start, end)
        if span is None:
            tags.append(OUTSIDE)
            continue
        mark = "B"
        if span in begun:
            mark = "I"
        tags.append(f"{mark}-{span.label}")
        begun.add(span)
    return tags


def _overlapping(spans: Sequence[Span], start: int, end: int) -> Span | None:
    for span in spans:
        if start < span.end and end > span.start:
            return span
    return None
