"""The figures of the quality page as rows of one table, for export."""

from collections.abc import Iterator
from typing import TypedDict

from feedback.models import Person
from feedback.rules.quality.agreement import Agreement
from feedback.selectors.quality.quality import Habits, Quality


class FigureRow(TypedDict):
    """A figure with its 95 % interval. Shares are from 0 to 1."""

    about: str  # project, kind, week, pair, annotator
    name: str
    other: str  # the second annotator of a pair
    measure: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None  # how many observations


COLUMNS = tuple(FigureRow.__annotations__)


def rows(quality: Quality) -> Iterator[FigureRow]:
    """All figures, one per row. A figure that could not be measured has no row."""
    for row in _all(quality):
        if row["value"] is not None:
            yield row


def _all(quality: Quality) -> Iterator[FigureRow]:
    yield from _agreement("project", "", quality.agreement)
    for kind in quality.kinds:
        yield from _agreement("kind", kind.kind, kind.agreement)
        yield _row("kind", kind.kind, "annotations", kind.answers)
        yield _row("kind", kind.kind, "tau", kind.tau, n=kind.answers)
        yield _row("kind", kind.kind, "f1", kind.f1, n=kind.answers)
    for week in quality.weeks:
        yield from _agreement("week", week.start.isoformat(), week.agreement)
        yield _row("week", week.start.isoformat(), "answers", week.answers)
    for pair in quality.pairs:
        one, other = _name(pair.one), _name(pair.other)
        yield _row("pair", one, "same", pair.raw, pair.interval, pair.tasks, other)
        yield _row("pair", one, "kappa", pair.kappa, n=pair.tasks, other=other)
    for habits in quality.annotators:
        yield from _habits(habits)


def _habits(one: Habits) -> Iterator[FigureRow]:
    name = _name(one.person)
    yield _row("annotator", name, "answers", one.answers)
    yield _row("annotator", name, "median_seconds", one.median_seconds, n=one.answers)
    yield _row("annotator", name, "agreement", one.agreement, one.agreement_interval)
    yield _row("annotator", name, "gold_right", one.gold.share, one.gold.interval(), one.gold.n)
    yield _row("annotator", name, "too_fast", one.too_fast.share, one.too_fast.interval(), one.too_fast.n)
    yield _row("annotator", name, "first_shown", one.first_share, one.first_interval)
    yield _row("annotator", name, "ties", one.ties, n=one.answers)
    yield _row("annotator", name, "both_bad", one.both_bad, n=one.answers)
    if one.reliability:
        share = one.reliability.share if one.reliability.met else None
        yield _row("annotator", name, "reliability", share)
    if one.leanings:
        effects = {
            "side_adjusted": one.leanings.side,
            "longer_adjusted": one.leanings.length,
            "slower_agrees": one.leanings.speed,
        }
        for measure, effect in effects.items():
            if effect:
                yield _row("annotator", name, measure, effect.share, effect.interval(), one.leanings.n)


def _name(person: Person) -> str:
    """Annotators known only from an import have no username."""
    return person.username or str(person.public_id)


def _agreement(about: str, name: str, found: Agreement) -> Iterator[FigureRow]:
    yield _row(about, name, "same", found.raw, n=found.units)
    yield _row(about, name, "alpha", found.alpha, (found.low, found.high), found.units)


def _row(
    about: str,
    name: str,
    measure: str,
    value: float | None,
    interval: tuple[float | None, float | None] = (None, None),
    n: int | None = None,
    other: str = "",
) -> FigureRow:
    low, high = interval
    return FigureRow(about=about, name=name, other=other, measure=measure, value=value, low=low, high=high, n=n)
