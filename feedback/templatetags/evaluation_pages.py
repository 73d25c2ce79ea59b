"""Drawings of the evaluation page, made on the server: calibration, and lengths of completions."""

from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

SIDE, LEFT, BOTTOM, TOP = 260, 40, 30, 10
WIDE, HIGH = 460, 180


@register.simple_tag
def text_rows(read: Any) -> list[tuple[str, float, float, float]]:
    """A sort of text's rows, each with the largest bits per byte among them, which bars are drawn against."""
    most = max(bits for _, _, bits in read.rows)
    return [(*row, most) for row in read.rows]


@register.simple_tag
def reliability_diagram(bins: list[dict[str, float]]) -> SafeString:
    """Chances as stated, across, against how often people chose so, up; on the diagonal they are the same.

    A point's area is its share of the pairs.
    """
    most = max((one["pairs"] for one in bins), default=1)

    def x(share: float) -> float:
        return round(LEFT + (share - 0.5) * 2 * SIDE, 1)

    def y(share: float) -> float:
        return round(TOP + SIDE - share * SIDE, 1)

    grid = format_html_join(
        "",
        '<line class="plot-track" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
        '<text class="plot-text" x="4" y="{3}">{4}</text>',
        ((LEFT, LEFT + SIDE, y(one), y(one) + 4, f"{one:.0%}") for one in (0, 0.5, 1)),
    )
    names = format_html_join(
        "",
        '<text class="plot-text" text-anchor="middle" x="{}" y="{}">{}</text>',
        ((x(one), TOP + SIDE + 18, f"{one:.0%}") for one in (0.5, 0.75, 1)),
    )
    points = format_html_join(
        "",
        '<circle class="plot-dot" cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
        (
            (
                x(one["predicted"]),
                y(one["observed"]),
                round(3 + 7 * (one["pairs"] / most) ** 0.5, 1),
                f"predicted {one['predicted']:.0%}, observed {one['observed']:.0%}, {one['pairs']} pairs",
            )
            for one in bins
        ),
    )
    words = "; ".join(f"predicted {one['predicted']:.0%}, observed {one['observed']:.0%}" for one in bins)
    return format_html(
        '<svg class="plot-wide" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">{3}'
        '<line class="plot-mark" x1="{4}" y1="{5}" x2="{6}" y2="{7}"/>{8}{9}</svg>',
        LEFT + SIDE + 24,
        TOP + SIDE + BOTTOM,
        f"Predicted and observed probabilities: {words}",
        grid,
        *(x(0.5), y(0.5), x(1), y(1)),
        points,
        names,
    )


@register.simple_tag
def length_histogram(lengths: list[tuple[str, list[dict[str, int]]]]) -> SafeString:
    """Shares of completions by length in tokens, one outline a model; they differ by dashes as well as by color."""
    end = max(one["to"] for _, bins in lengths for one in bins)
    shares = []
    for label, bins in lengths:
        total = sum(one["completions"] for one in bins)
        shares.append((label, [(one, one["completions"] / total) for one in bins]))
    most = max(share for _, bins in shares for _, share in bins) or 1.0

    def x(length: float) -> float:
        return round(LEFT + length / end * (WIDE - LEFT - 10), 1)

    def y(share: float) -> float:
        return round(HIGH - BOTTOM - share / most * (HIGH - BOTTOM - TOP), 1)

    outlines = format_html_join(
        "",
        '<polyline class="chart-line series-{}" points="{}"/>',
        (
            (
                place,
                " ".join(f"{x(one['from'])},{y(share)} {x(one['to'])},{y(share)}" for one, share in bins),
            )
            for place, (_, bins) in enumerate(shares, 1)
        ),
    )
    names = format_html_join(
        "",
        '<text class="plot-text" text-anchor="middle" x="{}" y="{}">{}</text>',
        ((x(length), HIGH - 8, round(length)) for length in (0, end / 2, end)),
    )
    words = ". ".join(
        f"{label}: " + ", ".join(f"{one['from']} to {one['to'] - 1} tokens {share:.0%}" for one, share in bins)
        for label, bins in shares
    )
    return format_html(
        '<svg class="plot-wide" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">'
        '<line class="plot-track" x1="{3}" x2="{4}" y1="{5}" y2="{5}"/>{6}{7}</svg>',
        *(WIDE, HIGH, words, LEFT, WIDE - 10, HIGH - BOTTOM),
        outlines,
        names,
    )
