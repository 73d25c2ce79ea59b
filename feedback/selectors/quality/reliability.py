"""Reliability of annotators for training: the votes it is estimated from, and how a snapshot weighed whom."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

from django.db.models import Count, Exists, OuterRef
from django.utils import timezone

from feedback.models import (
    Annotation,
    DatasetSnapshot,
    Membership,
    Person,
    PreferencePair,
    Project,
    SnapshotReliability,
)
from feedback.rules.collection.kinds.registry import PAIRWISE
from feedback.rules.quality.reliability import Vote
from feedback.rules.quality.reliability_weights import BAR, Applied
from feedback.selectors.data.training_queries import Policy, all_pairs, without_excluded

ACTIVE_FOR = timedelta(days=7)


class Histogram(TypedDict):
    """Numbers by tenths of error: of annotators, and of rows that one of them stated alone or with others."""

    annotators: list[int]
    rows: list[int]


class ReliabilityAccount(TypedDict):
    """What the manifest of a snapshot says about the reliability of its annotators. It names nobody.

    `best` is the pulled share of the best three in hundredths. `why` and `sentence` are empty where errors hold.
    """

    policy: str
    applied: str
    why: str
    sentence: str
    annotators: int
    shared_votes: int
    able: int
    left_out: int
    best: int | None
    histogram: Histogram


def votes_of(project: Project, policy: Policy) -> list[Vote]:
    """Decided comparisons that the policy takes and that count for their task, each by the key of its annotator.

    Neither gold tasks nor the qualification round: they are easier than what is trained on.
    """
    pairs = all_pairs(project, policy).filter(annotation__kind__in=PAIRWISE, annotation__assignment__counted=True)
    columns = ("annotation__task_id", "annotation__annotator_id", "chosen_id", "rejected_id")
    rows = pairs.values_list(*columns)
    return [Vote(task, annotator, chosen < rejected) for task, annotator, chosen, rejected in rows]


def count_annotators(project: Project) -> int:
    """How many members may annotate."""
    return Membership.objects.filter(project=project, person__status=Person.Status.ACTIVE).count()


def shared_votes(project: Project) -> dict[int, int]:
    """Of each person who compared lately and is not excluded: votes on tasks that somebody else voted on too."""
    lately = timezone.now() - ACTIVE_FOR
    active = Annotation.objects.filter(project=project, kind__in=PAIRWISE, created_at__gte=lately)
    active = without_excluded(active, project, Policy()).exclude(annotator__status=Person.Status.WITHDRAWN)
    found = dict.fromkeys(active.order_by().values_list("annotator", flat=True).distinct(), 0)
    votes = all_pairs(project, Policy()).filter(annotation__kind__in=PAIRWISE, annotation__assignment__counted=True)
    doubled = votes.filter(annotation__task__annotations_wanted__gte=2)
    others = PreferencePair.objects.standing().filter(
        annotation__task=OuterRef("annotation__task"), annotation__assignment__counted=True
    )
    shared = doubled.filter(Exists(others.exclude(annotation__annotator=OuterRef("annotation__annotator"))))
    counts = shared.order_by().values("annotation__annotator").annotate(votes=Count("pk"))
    for person, count in counts.values_list("annotation__annotator", "votes"):
        if person in found:
            found[person] = count
    return found


@dataclass(frozen=True)
class Bar:
    """`low` to `high` percent of error, with how many annotators and rows have such an error."""

    low: int
    high: int
    annotators: int
    rows: int


@dataclass(frozen=True)
class Weighed:
    """One annotator, as project admins see it. `error` in hundredths."""

    person: Person
    votes: int
    shared_votes: int
    share: float
    error: int | None
    left_out: bool


@dataclass(frozen=True)
class SnapshotWeights:
    """How a frozen snapshot weighs its annotators. `by_annotator` is None for those who may not read names."""

    account: ReliabilityAccount
    bars: list[Bar]
    by_annotator: list[Weighed] | None

    @property
    def rows(self) -> int:
        """Rows with an error, 0 included."""
        return sum(self.account["histogram"]["rows"])

    @property
    def sentence(self) -> str:
        """What was done, in words."""
        account = self.account
        if account["applied"] == Applied.ERRORS:
            return (
                f"Each annotation counts with the error of its annotator, estimated from {account['shared_votes']:,} "
                f"annotations of tasks that several people judged. The most reliable three find the better response in "
                f"{account['best']} % of tasks."
            )
        if account["applied"] == Applied.DROPPED:
            n = account["left_out"]
            people = "1 annotator who agrees" if n == 1 else f"{n} annotators who agree"
            return f"Annotations of {people} too little with the others are left out."
        if account["applied"] == Applied.TEMPERATURE:
            return f"The reward model learns a weight per annotator. {account['sentence']}"
        return f"All annotators count the same. {account['sentence']}"


def of_snapshot(snapshot: DatasetSnapshot, *, with_names: bool) -> SnapshotWeights | None:
    """None for snapshots without annotators: of a corpus, not frozen yet, or frozen before annotators were weighed."""
    account: ReliabilityAccount | None = snapshot.manifest.get("reliability")
    if account is None:
        return None
    bars = []
    numbers = account["histogram"]
    for place, (annotators, rows) in enumerate(zip(numbers["annotators"], numbers["rows"], strict=True)):
        bars.append(Bar(place * BAR, (place + 1) * BAR, annotators, rows))
    by_annotator: list[Weighed] | None = None
    if with_names:
        by_annotator = []
        kept = SnapshotReliability.objects.filter(snapshot=snapshot, manifest_sha256=snapshot.manifest_sha256)
        for row in kept.select_related("person").order_by("-error", "-votes", "person"):
            by_annotator.append(Weighed(row.person, row.votes, row.shared_votes, row.share, row.error, row.left_out))
    return SnapshotWeights(account, bars, by_annotator)
