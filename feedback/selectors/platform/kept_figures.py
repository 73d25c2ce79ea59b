"""Figures of a project that take long to compute: kept in this process until they are out of date.

A job would need a worker to show what needs none; so a page shows what is at hand and asks for the rest afterwards.
"""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from feedback.models import Event, Project

LARGE = 2_000  # annotations from which on figures are shown for a while before they are computed anew
FRESH_SECONDS = 60.0

Figures = TypeVar("Figures")
Stamp = tuple[int, int]


class Kept(NamedTuple, Generic[Figures]):
    stamp: Stamp
    computed_at: float  # of the monotonic clock
    figures: Figures


class KeptFigures(Generic[Figures]):
    """One kind of figures, for every project.

    Args:
        compute: makes the figures from what the database holds now; of a project up to a moment, where it takes one.
        size: how many annotations they are made from.
    """

    def __init__(self, compute: Callable[..., Figures], size: Callable[[Figures], int]) -> None:
        self.compute, self.size = compute, size
        self.kept: dict[tuple[uuid.UUID, datetime | None], Kept[Figures]] = {}
        self.computing: dict[uuid.UUID, threading.Lock] = defaultdict(threading.Lock)

    def get(self, project: Project, until: datetime | None = None) -> Figures:
        """The figures, computed unless those that are kept are still good. One thread computes, others wait for it.

        Args:
            until: figures that leave out what came since then; None: of everything.
        """
        figures, good = self.at_hand(project, until)
        if figures is not None and good:
            return figures
        with self.computing[project.public_id]:
            figures, good = self.at_hand(project, until)
            if figures is None or not good:
                limits = () if until is None else (until,)
                stamp, figures = _stamp(project), self.compute(project, *limits)
                self.kept[project.public_id, until] = Kept(stamp, time.monotonic(), figures)
        return figures

    def at_hand(self, project: Project, until: datetime | None = None) -> tuple[Figures | None, bool]:
        """What this process has computed before, and whether it is still good.

        It is until an annotation or an event comes; of many annotations, which take a second, for a minute at least.
        """
        kept = self.kept.get((project.public_id, until))
        if kept is None:
            return None, False
        still_fresh = self.size(kept.figures) >= LARGE and time.monotonic() - kept.computed_at < FRESH_SECONDS
        return kept.figures, still_fresh or kept.stamp == _stamp(project)


def is_large(project: Project) -> bool:
    """Whether figures of the project take longer than a page may."""
    return project.annotations.all()[:LARGE].count() >= LARGE


def _stamp(project: Project) -> Stamp:
    """Changes with every annotation, and with every event: a review, an exclusion, the end of a contest, an erasure."""
    newest = project.annotations.order_by("-pk").values_list("pk", flat=True).first() or 0
    event = Event.objects.filter(project=project).order_by("-pk").values_list("pk", flat=True).first() or 0
    return newest, event
