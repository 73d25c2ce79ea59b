"""Quality of annotations: agreement of a project, figures of each annotator, and findings."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from operator import attrgetter
from statistics import median

from django.utils import timezone

from feedback.models import Assignment, Person, Project
from feedback.rules.quality import findings as rules
from feedback.rules.quality.agreement import Agreement
from feedback.rules.quality.bias import Leanings
from feedback.rules.quality.findings import Counted
from feedback.rules.quality.reliability import Reliability
from feedback.selectors.platform.kept_figures import KeptFigures
from feedback.selectors.quality import judgments
from feedback.selectors.quality.judgments import Answer, AnswerRow, KindAgreement, PairAgreement

NEWEST = 20_000  # answers looked at: the figures stay quick in a large project, and say so


@dataclass(frozen=True)
class Habits:
    """Figures of an annotator in a project. Shares have a 95 % interval; None if nothing was observed."""

    person: Person
    answers: int
    median_seconds: float
    first_share: float | None  # how often the response shown first was preferred; 0.5 without a bias
    first_interval: tuple[float, float]
    agreement: float | None  # with others on the same tasks
    agreement_interval: tuple[float, float]
    ties: int
    both_bad: int
    gold_right: int
    gold_asked: int
    too_fast: Counted = field(default_factory=lambda: Counted(0, 0))
    reliability: Reliability | None = None
    leanings: Leanings | None = None

    @property
    def key(self) -> str:
        return str(self.person.public_id)

    @property
    def gold(self) -> Counted:
        return Counted(self.gold_right, self.gold_asked)


@dataclass(frozen=True)
class Finding:
    """A deviation that chance does not explain, in a sentence."""

    person: Person
    check: str
    sentence: str
    share: float
    interval: tuple[float, float]
    n: int
    usual: float

    @classmethod
    def of(cls, found: rules.Finding, person: Person) -> "Finding":
        return cls(
            person=person,
            check=found.check,
            sentence=in_a_sentence(found, str(person)),
            share=found.share,
            interval=(found.low, found.high),
            n=found.n,
            usual=found.usual,
        )


@dataclass(frozen=True)
class TooFew:
    """Who has not enough annotations for a check: `n` of `needed`."""

    person: Person
    n: int
    needed: int


@dataclass(frozen=True)
class Look:
    """What a check could look at: how many annotators have enough annotations for it, and who has too few."""

    check: str
    name: str
    enough: int
    too_few: list[TooFew]

    @property
    def most(self) -> TooFew | None:
        """Who comes nearest among those with too few."""
        return max(self.too_few, key=attrgetter("n"), default=None)


CHECK_NAMES = {
    "agreement": "Agreement",
    "side": "Side",
    "length": "Length",
    "speed": "Speed and agreement",
    "too_fast": "Pace",
    "gold": "Gold tasks",
}


@dataclass(frozen=True)
class Week:
    start: date
    answers: int
    agreement: Agreement


@dataclass(frozen=True)
class Quality:
    agreement: Agreement
    kinds: list[KindAgreement]
    weeks: list[Week]
    pairs: list[PairAgreement]
    annotators: list[Habits]
    findings: list[Finding]
    looks: list[Look]
    looked_at: int
    truncated: bool
    at: datetime

    @property
    def tested(self) -> list[Look]:
        """Checks that have enough annotations of at least one annotator."""
        return list(filter(attrgetter("enough"), self.looks))

    @property
    def nearest(self) -> TooFew | None:
        """Where every check has too few annotations: how far the furthest of them is."""
        short = filter(None, map(attrgetter("most"), self.looks))
        return max(short, key=attrgetter("n"), default=None)


# --- computed --------------------------------------------------------------------------------------


def _compute(project: Project) -> Quality:
    answers = _answers(project)
    people = Person.objects.in_bulk(set(map(attrgetter("annotator"), answers)))
    seen = judgments.seen(answers)
    agreeing = judgments.agreement_with_others(answers)
    habits = []
    for key, rows in judgments.by_annotator(answers).items():
        habits.append(_habits(people[key], rows, seen[key], agreeing[key]))
    habits.sort(key=lambda one: (-one.answers, one.person.pk))
    return Quality(
        agreement=judgments.comparison_agreement(answers),
        kinds=judgments.by_kind(answers),
        weeks=_weeks(answers),
        pairs=judgments.by_pair(answers, people),
        annotators=habits,
        findings=[Finding.of(one, people[one.annotator]) for one in rules.findings(seen)],
        looks=_looks(seen, people),
        looked_at=len(answers),
        truncated=len(answers) >= NEWEST,
        at=timezone.now(),
    )


def _answers(project: Project) -> list[Answer]:
    """The newest standing answers, oldest first, with what is needed of their responses."""
    standing = Assignment.objects.filter(
        state=Assignment.State.SUBMITTED, project=project, current__isnull=False
    ).order_by("-current_id")
    rows = list(map(AnswerRow._make, standing.values_list(*judgments.COLUMNS)[:NEWEST]))
    texts = judgments.Texts.of(rows)
    return [Answer.of(row, texts, project.names) for row in reversed(rows)]


def _habits(person: Person, rows: list[Answer], seen: rules.Seen, agreement: Counted) -> Habits:
    sides = Counter(map(attrgetter("first"), rows))
    first = Counted(sides[True], sides[True] + sides[False])
    outcomes = Counter(row.payload.get("outcome") for row in rows)
    return Habits(
        person=person,
        answers=len(rows),
        median_seconds=median(map(attrgetter("seconds"), rows)),
        first_share=first.share,
        first_interval=first.interval(),
        agreement=agreement.share,
        agreement_interval=agreement.interval(),
        ties=outcomes["tie"],
        both_bad=outcomes["both_bad"],
        gold_right=seen.gold.hits,
        gold_asked=seen.gold.n,
        too_fast=seen.too_fast,
        reliability=seen.reliability,
        leanings=seen.leanings,
    )


def _looks(seen: Mapping[int, rules.Seen], people: Mapping[int, Person]) -> list[Look]:
    by_check: dict[str, list[rules.Look]] = defaultdict(list)
    for look in rules.looks(seen):
        by_check[look.check].append(look)
    looks = []
    for check, found in by_check.items():
        too_few = [TooFew(people[one.annotator], one.n, one.needed) for one in found if not one.enough]
        looks.append(Look(check, CHECK_NAMES[check], len(found) - len(too_few), too_few))
    return looks


def _weeks(answers: list[Answer]) -> list[Week]:
    """A task belongs to the week, from Monday, of its last answer."""
    last: dict[int, date] = {}
    here = timezone.get_current_timezone()
    for answer in answers:  # oldest first
        day = answer.at.astimezone(here).date()
        last[answer.task] = day - timedelta(days=day.weekday())
    weeks: dict[date, list[Answer]] = defaultdict(list)
    for answer in answers:
        weeks[last[answer.task]].append(answer)
    return [Week(start, len(rows), judgments.comparison_agreement(rows)) for start, rows in sorted(weeks.items())]


def in_a_sentence(found: rules.Finding, name: str) -> str:
    """A finding as a person would tell it."""
    figures = _figures(found.share, found.low, found.high, found.n)
    usual = f"{100 * found.usual:.0f} %"
    match found.check:
        case "inverted":
            return (
                f"{name} agrees with the consensus of others in {figures} annotations, less than "
                f"chance; {usual} is typical. The scale may be inverted."
            )
        case "agreement":
            return f"{name} agrees with the consensus of others in {figures} annotations; {usual} is typical here."
        case "side":
            side = "first"
            if found.share <= found.usual:
                side = "second"
                figures = _figures(1 - found.share, 1 - found.high, 1 - found.low, found.n)
            return (
                f"{name} picks the response shown {side} in {figures} annotations at equal quality, more than chance "
                "explains."
            )
        case "length":
            way = "shorter"
            if found.share > found.usual:
                way = "longer"
            return (
                f"{name} prefers {way} responses: at equal quality, the clearly longer one is chosen "
                f"in {figures} annotations; {usual} is typical here."
            )
        case "speed":
            return (
                f"{name} agrees less when annotating fast: the odds rise with time beyond what chance "
                f"explains, over {found.n} annotations."
            )
        case "too_fast":
            return f"{name} submitted {figures} annotations faster than reading speed."
        case _:
            return f"{name} was correct on {figures} gold tasks; a careful annotator here reaches {usual} or more."


def _figures(share: float, low: float, high: float, n: int) -> str:
    """A share with its interval, both in percent, and what it is a share of."""
    return f"{100 * share:.0f} % [{100 * low:.0f}, {100 * high:.0f}] of {n}"


_of_projects = KeptFigures(_compute, size=attrgetter("looked_at"))
quality, at_hand = _of_projects.get, _of_projects.at_hand
