"""Drawings of the evaluation page, made on the server: calibration, and lengths of completions."""

from collections.abc import Sequence
from operator import attrgetter, itemgetter

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from feedback.selectors.evaluation.evaluations import Read

register = template.Library()

SIDE, LEFT, BOTTOM, TOP = 260, 40, 30, 10
WIDE, HIGH = 460, 180


@register.simple_tag
def text_rows(read: Read) -> list[tuple[str, float, float, float]]:
    """A sort of text's rows, each with the largest bits per byte among them, which bars are drawn against."""
    most = max(map(attrgetter("bits_per_byte"), read.rows))
    return [(*row, most) for row in read.rows]


@register.simple_tag
def reliability_diagram(bins: list[dict[str, float]]) -> SafeString:
    """Chances as stated, across, against how often people chose so, up; on the diagonal they are the same.

    A point's area is its share of the pairs.
    """
    most = max(map(itemgetter("pairs"), bins), default=1)

    def x(share: float) -> float:
        return round(LEFT + (share - 0.5) * 2 * SIDE, 1)

    def y(share: float) -> float:
        return round(TOP + SIDE - share * SIDE, 1)

    lines, names, points, words = [], [], [], []
    for share in (0, 0.5, 1):
        lines.append((LEFT, LEFT + SIDE, y(share), y(share) + 4, f"{share:.0%}"))
    for share in (0.5, 0.75, 1):
        names.append((x(share), TOP + SIDE + 18, f"{share:.0%}"))
    for one in bins:
        in_words = f"predicted {one['predicted']:.0%}, observed {one['observed']:.0%}"
        radius = round(3 + 7 * (one["pairs"] / most) ** 0.5, 1)
        points.append((x(one["predicted"]), y(one["observed"]), radius, f"{in_words}, {one['pairs']} pairs"))
        words.append(in_words)
    grid = format_html_join(
        "",
        '<line class="plot-track" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
        '<text class="plot-text" x="4" y="{3}">{4}</text>',
        lines,
    )
    dots = '<circle class="plot-dot" cx="{}" cy="{}" r="{}"><title>{}</title></circle>'
    return format_html(
        '<svg class="plot-wide" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">{3}'
        '<line class="plot-mark" x1="{4}" y1="{5}" x2="{6}" y2="{7}"/>{8}{9}</svg>',
        LEFT + SIDE + 24,
        TOP + SIDE + BOTTOM,
        f"Predicted and observed probabilities: {'; '.join(words)}",
        grid,
        *(x(0.5), y(0.5), x(1), y(1)),
        format_html_join("", dots, points),
        _below(names),
    )


@register.simple_tag
def length_histogram(lengths: list[tuple[str, list[dict[str, int]]]]) -> SafeString:
    """Shares of completions by length in tokens, one outline a model; they differ by dashes as well as by color."""
    end, most = 0, 0.0
    for _, bins in lengths:
        total = sum(map(itemgetter("completions"), bins))
        for one in bins:
            end, most = max(end, one["to"]), max(most, one["completions"] / total)
    most = most or 1.0

    def x(length: float) -> float:
        return round(LEFT + length / end * (WIDE - LEFT - 10), 1)

    def y(share: float) -> float:
        return round(HIGH - BOTTOM - share / most * (HIGH - BOTTOM - TOP), 1)

    outlines, names, words = [], [], []
    for place, (label, bins) in enumerate(lengths, 1):
        total = sum(map(itemgetter("completions"), bins))
        corners, classes = [], []
        for one in bins:
            share = one["completions"] / total
            corners.append(f"{x(one['from'])},{y(share)} {x(one['to'])},{y(share)}")
            classes.append(f"{one['from']} to {one['to'] - 1} tokens {share:.0%}")
        outlines.append((place, " ".join(corners)))
        words.append(f"{label}: {', '.join(classes)}")
    for length in (0, end / 2, end):
        names.append((x(length), HIGH - 8, round(length)))
    return format_html(
        '<svg class="plot-wide" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">'
        '<line class="plot-track" x1="{3}" x2="{4}" y1="{5}" y2="{5}"/>{6}{7}</svg>',
        *(WIDE, HIGH, ". ".join(words), LEFT, WIDE - 10, HIGH - BOTTOM),
        format_html_join("", '<polyline class="chart-line series-{}" points="{}"/>', outlines),
        _below(names),
    )


def _below(names: Sequence[tuple[float, int, object]]) -> SafeString:
    """Figures below an axis, each centered at its place."""
    return format_html_join("", '<text class="plot-text" text-anchor="middle" x="{}" y="{}">{}</text>', names)


@register.filter
def points(share: float) -> str:
    """A difference of shares as percentage points with its sign: 0.012 becomes "+1.2"."""
    return f"{100 * share:+.1f}"
