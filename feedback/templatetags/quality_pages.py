"""Drawings of the quality page, made on the server: agreement over the weeks with its interval, and by pair."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

STEP, HEIGHT, LEFT, TOP, BOTTOM = 64, 180, 44, 12, 28
LOWEST = -0.2  # alpha below it is drawn at the edge; the table has the figure
SHOWN_WEEKS = 26
MATRIX = 12  # annotators; more do not fit a screen, and the table below has every pair


@register.simple_tag
def weeks_plot(weeks: list[Any], address: str) -> SafeString:
    """Krippendorff's alpha week by week: a point, a bar for its 95 % interval, a line through the points. Each point
    leads to the answers of its week, listed at `address`."""
    shown = weeks[-SHOWN_WEEKS:]
    width = LEFT + STEP * max(4, len(shown)) + 8
    points = [(LEFT + STEP * (place + 0.5), week) for place, week in enumerate(shown)]
    drawn = [(x, week) for x, week in points if week.agreement.alpha is not None]
    grid = format_html_join(
        "",
        '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="plot-text" x="{}" y="{}">{}</text>',
        (
            ("plot-mark" if value == 0 else "plot-track", LEFT, width - 8, _y(value), _y(value), 6, _y(value, 4), label)
            for value, label in ((0, "0.0"), (0.5, "0.5"), (1, "1.0"))
        ),
    )
    marks = format_html_join(
        "",
        "{}{}",
        (
            (
                _bar(x, week.agreement.low, week.agreement.high),
                format_html(
                    '<a href="{}?week={}" aria-label="Week of {}: alpha {}; show '
                    'annotations"><circle class="plot-hit" cx="{}" cy="{}" r="14"/><circle '
                    'class="plot-dot" cx="{}" cy="{}" r="4.5"/></a>',
                    *(address, week.start.isoformat(), week.start, f"{week.agreement.alpha:.2f}"),
                    *(x, _y(week.agreement.alpha)) * 2,
                ),
            )
            for x, week in drawn
        ),
    )
    names = format_html_join(
        "",
        '<text class="plot-text" text-anchor="middle" x="{}" y="{}">{}</text>',
        ((x, HEIGHT - 6, f"{week.start.day} {week.start:%b}") for x, week in points),
    )
    line = " ".join(f"{x},{_y(week.agreement.alpha)}" for x, week in drawn)
    words = "; ".join(f"week of {week.start}: {week.agreement.alpha:.2f}" for _, week in drawn)
    return format_html(
        '<svg class="plot-wide" viewBox="0 0 {} {}" width="{}" height="{}" role="group" aria-label="{}">'
        '{}<polyline class="plot-line" points="{}"/>{}{}</svg>',
        width,
        HEIGHT,
        width,
        HEIGHT,
        f"Krippendorff's alpha by week. {words or 'No data yet.'}",
        grid,
        line,
        marks,
        names,
    )


def _bar(x: float, low: float | None, high: float | None) -> SafeString | str:
    if low is None or high is None:
        return ""
    return format_html('<line class="plot-interval" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, _y(low), _y(high))


def _y(value: float, down: float = 0) -> float:
    share = (max(LOWEST, min(1.0, value)) - LOWEST) / (1 - LOWEST)
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM) + down, 1)


@dataclass(frozen=True)
class Cell:
    """Two annotators in the matrix: how often they say the same, and a shade from 0 to 4 that repeats it."""

    one: Any
    other: Any
    pair: Any | None

    @property
    def shade(self) -> int:
        return min(4, max(0, int((self.pair.raw - 0.4) / 0.12))) if self.pair else 0


@register.simple_tag
def pair_matrix(quality: Any) -> list[tuple[Any, list[Cell]]]:
    """Rows of annotators with a cell for each other, those with the most answers first."""
    among = [one.person for one in quality.annotators[:MATRIX]]
    pairs = {frozenset((one.one.pk, one.other.pk)): one for one in quality.pairs}
    return [(row, [Cell(row, column, pairs.get(frozenset((row.pk, column.pk)))) for column in among]) for row in among]
