"""Drawings of the quality page, made on the server: agreement by week and by pair of annotators."""

from dataclasses import dataclass
from typing import NamedTuple

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from feedback.models import Person
from feedback.selectors.quality.quality import PairAgreement, Quality, Week

register = template.Library()

STEP, HEIGHT, LEFT, TOP, BOTTOM = 64, 180, 44, 12, 28
LOWEST = -0.2  # a lower alpha is drawn at the edge; the table has the figure
SHOWN_WEEKS = 26
MATRIX = 12  # annotators; more do not fit the screen, and the table has every pair


@register.simple_tag
def weeks_plot(weeks: list[Week], address: str) -> SafeString:
    """Krippendorff's alpha by week: points with 95 % intervals, joined by a line.

    Args:
        address: the list of annotations, to which each point links.
    """
    shown = weeks[-SHOWN_WEEKS:]
    width = LEFT + STEP * max(4, len(shown)) + 8
    marks, names, line, words = [], [], [], []
    for place, week in enumerate(shown):
        x = LEFT + STEP * (place + 0.5)
        names.append((x, HEIGHT - 6, f"{week.start.day} {week.start:%b}"))
        alpha = week.agreement.alpha
        if alpha is None:
            continue
        marks.append((_bar(x, week.agreement.low, week.agreement.high), _week_link(week, address, x, alpha)))
        line.append(f"{x},{_y(alpha)}")
        words.append(f"week of {week.start}: {alpha:.2f}")
    return format_html(
        '<svg class="plot-wide" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="group" aria-label="{2}">'
        '{3}<polyline class="plot-line" points="{4}"/>{5}{6}</svg>',
        width,
        HEIGHT,
        f"Krippendorff's alpha by week. {'; '.join(words) or 'No data yet.'}",
        _grid(width),
        " ".join(line),
        format_html_join("", "{}{}", marks),
        format_html_join("", '<text class="plot-text" text-anchor="middle" x="{}" y="{}">{}</text>', names),
    )


def _grid(width: int) -> SafeString:
    """Lines at the alphas 0, 0.5 and 1, with their labels."""
    lines = []
    for alpha, style in ((0.0, "plot-mark"), (0.5, "plot-track"), (1.0, "plot-track")):
        lines.append((style, LEFT, width - 8, _y(alpha), 6, _y(alpha, 4), f"{alpha:.1f}"))
    return format_html_join(
        "",
        '<line class="{0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/><text class="plot-text" x="{4}" y="{5}">{6}</text>',
        lines,
    )


def _week_link(week: Week, address: str, x: float, alpha: float) -> SafeString:
    """The point of a week, which links to its annotations."""
    return format_html(
        '<a href="{0}?week={1}" aria-label="Week of {2}: alpha {3}; show annotations">'
        '<circle class="plot-hit" cx="{4}" cy="{5}" r="14"/>'
        '<circle class="plot-dot" cx="{4}" cy="{5}" r="4.5"/></a>',
        address,
        week.start.isoformat(),
        week.start,
        f"{alpha:.2f}",
        x,
        _y(alpha),
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
    """Two annotators in the matrix: their agreement, and a shade from 0 to 4 for it."""

    one: Person
    other: Person
    pair: PairAgreement | None

    @property
    def shade(self) -> int:
        if self.pair is None:
            return 0
        return min(4, max(0, int((self.pair.raw - 0.4) / 0.12)))


class MatrixRow(NamedTuple):
    """The row of one annotator, with a cell for each other one."""

    person: Person
    cells: list[Cell]


@register.simple_tag
def pair_matrix(quality: Quality) -> list[MatrixRow]:
    """The agreement of each pair of annotators, those with the most annotations first."""
    shown = [annotator.person for annotator in quality.annotators[:MATRIX]]
    pairs = {frozenset((pair.one.pk, pair.other.pk)): pair for pair in quality.pairs}
    rows = []
    for person in shown:
        cells = [Cell(person, other, pairs.get(frozenset((person.pk, other.pk)))) for other in shown]
        rows.append(MatrixRow(person, cells))
    return rows
