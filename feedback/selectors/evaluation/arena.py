"""The arena: a leaderboard of model versions, and of models known by name, from people's blind comparisons.

Counted are standing annotations of comparisons whose two responses come from two different models. Left out are gold
tasks and the qualification round, annotations that were not blind or of which that is unknown, people who are excluded
or withdrawn, and contests that still run: nobody who votes in one may see how it stands. For such people everything but
battles stands still meanwhile (`blindness.shown_until`). Battles are counted apart, also those of people who could look
up the author: they vote before they see the names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from django.db.models import Case, Count, F, FilteredRelation, IntegerField, Q, QuerySet, Sum, Value, When
from django.utils import timezone

from feedback.models import Assignment, Contest, Kind, ModelVersion, Person, Project
from feedback.rules.evaluation import arena_board
from feedback.rules.evaluation.arena_board import Board, Part, PromptTally, Tally
from feedback.selectors.evaluation.battles import ARM
from feedback.selectors.platform.kept_figures import KeptFigures
from feedback.selectors.quality import exclusions

NO_SOURCE = "No source"


class Entrant(NamedTuple):
    """What wrote a response: a version of the registry by its key, or a model that is known by name only."""

    version: int | None
    name: str


@dataclass(frozen=True)
class Arena:
    """The leaderboard of a project.

    Attributes:
        battles: the votes of battles, which count apart: who votes has typed the prompt.
        names: of entrants. versions: those in the registry.
        sources: by source of the prompts, most votes first. annotators: likewise by person.
        until: where votes since then are not in it; None: it holds all that count.
        left_out: annotations of such comparisons that do not count, because they were not blind or by somebody whose
            annotations are excluded.
        waiting: votes of a comparison that still runs.
    """

    board: Board[Entrant]
    battles: Board[Entrant]
    names: dict[Entrant, str]
    versions: dict[int, ModelVersion]
    sources: list[Part[str]]
    annotators: list[Part[Person]]
    left_out: int
    waiting: int
    at: datetime
    until: datetime | None = None

    @property
    def votes(self) -> int:
        return self.board.votes


# --- computed --------------------------------------------------------------------------------------

PAIR = ("first_version", "first_name", "second_version", "second_name")


def compute(project: Project, until: datetime | None = None) -> Arena:
    """The leaderboard from what the database holds now. Two large reads, both summed by the database."""
    rows, fought, left_out, waiting = _prompt_tallies(project, until)
    board, battles = arena_board.board(rows), arena_board.board(fought)
    standings = (*board.standings, *battles.standings)
    versions = ModelVersion.objects.in_bulk(
        [one.entrant.version for one in standings if one.entrant.version is not None]
    )
    return Arena(
        board=board,
        battles=battles,
        names={one.entrant: _name(one.entrant, versions) for one in standings},
        versions=versions,
        sources=_most_first(arena_board.parts(arena_board.by_source(rows), board.standings)),
        annotators=_annotators(project, board, until),
        left_out=left_out,
        waiting=waiting,
        at=timezone.now(),
        until=until,
    )


def _name(entrant: Entrant, versions: dict[int, ModelVersion]) -> str:
    return entrant.name if entrant.version is None else str(versions[entrant.version])


def comparisons(project: Project, until: datetime | None = None) -> QuerySet[Any, Any]:
    """Standing comparisons of two different models, with what each is called and the votes in halves."""
    rows = Assignment.objects.filter(
        project=project,
        state=Assignment.State.SUBMITTED,
        current__withdrawn=False,
        task__kind=Kind.COMPARISON,
        task__gold__isnull=True,
        task__training_round=False,
    )
    if until is not None:
        rows = rows.filter(Q(current__created_at__lt=until) | Q(task__arm=ARM))
    rows = rows.alias(
        one=FilteredRelation("task__placed", condition=Q(task__placed__position=0)),
        other=FilteredRelation("task__placed", condition=Q(task__placed__position=1)),
        pair=FilteredRelation("current__pairs", condition=Q(current__pairs__closed_at=None)),
    )
    rows = rows.annotate(
        first_version=F("one__response__model_version"),
        first_name=F("one__response__model_name"),
        second_version=F("other__response__model_version"),
        second_name=F("other__response__model_name"),
        running=Case(When(task__contest__state__in=Contest.LIVE, then=Value(1)), default=Value(0)),
        battle=Case(When(task__arm=ARM, then=Value(1)), default=Value(0)),
        counts=Case(
            When(
                (Q(current__blind=True) | Q(task__arm=ARM))
                & ~Q(current__annotator__in=exclusions.excluded_people(project))
                & ~Q(current__annotator__status=Person.Status.WITHDRAWN),
                then=Value(1),
            ),
            default=Value(0),
        ),
        half=Case(
            When(pair__chosen=F("one__response"), then=Value(2)),
            When(pair__id=None, then=Value(1)),  # a tie, or both bad
            default=Value(0),
            output_field=IntegerField(),
        ),
    )
    # Stated as what differs, since nothing compares with an empty version.
    both = {"first_version__isnull": False, "second_version__isnull": False}
    neither = Q(first_version=None, second_version=None, first_name__gt="", second_name__gt="")
    different = Q(**both) & (Q(first_version__lt=F("second_version")) | Q(first_version__gt=F("second_version")))
    different |= neither & (Q(first_name__lt=F("second_name")) | Q(first_name__gt=F("second_name")))
    different |= Q(first_version__isnull=False, second_version=None, second_name__gt="")
    different |= Q(second_version__isnull=False, first_version=None, first_name__gt="")
    return rows.filter(different)


def _prompt_tallies(
    project: Project, until: datetime | None
) -> tuple[list[PromptTally[Entrant]], list[PromptTally[Entrant]], int, int]:
    """Votes by prompt and pair, then those of battles; how many were left out; how many are of a running contest."""
    rows = comparisons(project, until).values_list(
        "running", "battle", "counts", "task__prompt", "task__prompt__source", *PAIR
    )
    found: list[PromptTally[Entrant]] = []
    fought: list[PromptTally[Entrant]] = []
    left_out = waiting = 0
    summed = rows.annotate(halves=Sum("half"), votes=Count("pk")).order_by()
    for running, battle, counts, prompt, source, one, one_name, other, other_name, halves, votes in summed:
        if running:
            waiting += votes
        elif not counts:
            left_out += votes
        else:
            first, second = Entrant(one, one_name), Entrant(other, other_name)
            tally = PromptTally(prompt, source or NO_SOURCE, first, second, halves, votes)
            (fought if battle else found).append(tally)
    return found, fought, left_out, waiting


def _annotators(project: Project, board: Board[Entrant], until: datetime | None) -> list[Part[Person]]:
    rows = comparisons(project, until).filter(running=0, battle=0, counts=1)
    rows = rows.values_list("current__annotator", *PAIR)
    tallies = [
        Tally(person, Entrant(one, one_name), Entrant(other, other_name), halves, votes)
        for person, one, one_name, other, other_name, halves, votes in rows.annotate(
            halves=Sum("half"), votes=Count("pk")
        ).order_by()
    ]
    people = Person.objects.in_bulk({row.group for row in tallies})
    found = arena_board.parts(tallies, board.standings)
    return _most_first(Part(people[one.group], one.votes, one.shares) for one in found)


def _most_first(found: Iterable[Part[Any]]) -> list[Part[Any]]:
    return sorted(found, key=lambda one: (-one.votes, str(one.group)))


_leaderboards = KeptFigures(compute, size=attrgetter("votes"))
arena, at_hand = _leaderboards.get, _leaderboards.at_hand
