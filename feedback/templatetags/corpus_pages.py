"""Pictures and words of the corpus pages: reasons, lengths as bars, growth of the vocabulary, overlap of sources."""

from itertools import pairwise
from operator import itemgetter
from typing import TypedDict

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

REASONS = {
    "duplicate": "Exact duplicate",
    "near_duplicate": "Near duplicate",
    "evaluation": "Contains a held-out prompt",
    "too_short": "Too short",
    "not_text": "Too few letters",
    "symbols": "Too many symbols",
    "word_length": "Word length out of range",
    "repeated_lines": "Repeated lines",
    "language": "Other language",
    "unreadable": "Unreadable",
}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 480, 180, 52, 34, 14


@register.filter
def reason(name: str) -> str:
    return REASONS.get(name, name.replace("_", " ").capitalize())


@register.filter
def of_all(part: float, total: float) -> float:
    """The share of `part` in `total`; 0 if `total` is 0."""
    if not total:
        return 0.0
    return part / total


@register.simple_tag
def lengths_plot(lengths: list[dict[str, int]]) -> SafeString:
    """Documents by length, in characters: a bar for each class with its number on it."""
    most = max(map(itemgetter("documents"), lengths), default=0) or 1
    step = (WIDTH - LEFT) / max(1, len(lengths))
    bars, words = [], []
    for place, group in enumerate(lengths):
        left = LEFT / 2 + step * place
        middle = round(left + step / 2, 1)
        top = _y(group["documents"] / most)
        bar = (round(left + 2, 1), top, round(step - 4, 1), round(HEIGHT - BOTTOM - top, 1))
        count = (middle, top - 3, _short(group["documents"]))
        length = (middle, HEIGHT - BOTTOM + 14, _short(group["from"]))
        bars.append((*bar, *count, *length))
        words.append(f"from {group['from']}: {group['documents']}")
    drawn = format_html_join(
        "",
        '<rect class="plot-bar" x="{}" y="{}" width="{}" height="{}" rx="2"/>'
        '<text class="plot-text" text-anchor="middle" x="{}" y="{}">{}</text>'
        '<text class="plot-text" text-anchor="middle" x="{}" y="{}">{}</text>',
        bars,
    )
    axis = format_html('<text class="plot-text" x="{}" y="{}">characters, from</text>', LEFT / 2, HEIGHT - 4)
    return _svg(f"Documents by length in characters. {'; '.join(words) or 'None.'}", drawn, axis)


@register.simple_tag
def vocabulary_plot(points: list[dict[str, int]]) -> SafeString:
    """Distinct words against words read; a line that flattens is a corpus that says little new."""
    words = max(map(itemgetter("words"), points), default=0) or 1
    distinct = max(map(itemgetter("distinct"), points), default=0) or 1
    room = WIDTH - LEFT - 12
    line = []
    for one in points:
        line.append(f"{LEFT + room * one['words'] / words:.1f},{_y(one['distinct'] / distinct)}")
    ground = format_html(
        '<line class="plot-track" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><line '
        'class="plot-track" x1="{0}" x2="{0}" y1="{3}" y2="{2}"/><text class="plot-text" '
        'text-anchor="end" x="{4}" y="{5}">{6}</text><text class="plot-text" '
        'text-anchor="end" x="{4}" y="{2}">0</text><text class="plot-text" '
        'text-anchor="end" x="{1}" y="{7}">{8} words</text>',
        *(LEFT, WIDTH - 12, HEIGHT - BOTTOM, TOP, LEFT - 6, TOP + 8, _short(distinct)),
        *(HEIGHT - BOTTOM + 16, _short(words)),
    )
    label = f"Distinct words by words: {distinct:,} after {words:,}."
    return _svg(label, ground, format_html('<polyline class="plot-line" points="{}"/>', " ".join(line)))


class Overlap(TypedDict):
    """The share of each source's sequences that each other one has too."""

    sources: list[str]
    rows: list[list[float]]


@register.simple_tag
def overlap_rows(overlap: Overlap) -> list[tuple[str, list[tuple[float, int]]]]:
    """Rows of the matrix: a source, and for each other one the share and a shade from 0 to 4 that repeats it."""
    rows = []
    for name, shares in zip(overlap["sources"], overlap["rows"], strict=True):
        rows.append((name, [(share, min(4, int(share * 5))) for share in shares]))
    return rows


@register.simple_tag
def tells_little_new(points: list[dict[str, int]]) -> bool:
    """Whether the last fifth of the words brought fewer than one new word in two hundred."""
    if len(points) < 2:
        return False
    *_, last = points
    before = points[0]
    for one, after in pairwise(points):
        if after["words"] > 0.8 * last["words"]:
            before = one
            break
    return last["distinct"] - before["distinct"] < (last["words"] - before["words"]) / 200


def _svg(label: str, *drawn: SafeString) -> SafeString:
    inside = format_html_join("", "{}", zip(drawn))
    return format_html(
        '<svg class="plot-wide" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">{3}</svg>',
        *(WIDTH, HEIGHT, label, inside),
    )


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM - 12), 1)


def _short(number: int) -> str:
    for size, sign in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:.3g}{sign}"
    return str(number)
