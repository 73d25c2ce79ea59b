"""What stands for and against giving an annotator a task: membership, qualification, limits, and what they hold."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from django.db.models import Q

from feedback.models import Annotation, Assignment, Kind, Membership, Person, Project, Task
from feedback.rules.collection.queue_policy import QueuePolicy
from feedback.selectors.evaluation.contests import ACTIVE
from feedback.services.collection import assignment_queries as queries

AT_MOST_HELD = 4  # the one shown and three ahead: what can be answered while the network is away
AT_MOST_IN_QUALIFICATION = 2  # fewer: each answer may be the one that ends the round
MANY_VOTERS = 5  # from so many on, nobody gets more than a part of a contest
MANY_VOTERS_PART = 4  # a quarter
FEWEST_UNITS = 2  # that anybody may get
MOST_BEGUN = 32  # units of a contest that may wait for votes, beside those that annotators at work hold
SEVERAL_VOTERS = 3  # from so many on, a task that one gave back goes to another
ABOUT_THE_ANNOTATOR = ("daily_limit", "not_qualified", "training_failed", "training_empty", "not_a_member")


@dataclass(frozen=True)
class NoTask:
    """Why there is nothing to do, and when to ask again (seconds)."""

    reason: str
    sentence: str
    retry_after: int = 15

    @property
    def for_you(self) -> bool:
        """The reason is about this annotator: others may have work."""
        return self.reason in ABOUT_THE_ANNOTATOR


NOT_A_MEMBER = NoTask(
    "not_a_member",
    "You were removed from this project. Your current work was saved; there are no more tasks for you here.",
    3600,
)


class Criteria(NamedTuple):
    """Everything that decides which tasks there are for an annotator, the tasks themselves apart."""

    annotator: int
    kind: str | None
    policy: dict[str, object]
    queue_epoch: int
    in_qualification: bool
    qualified: dict[str, list[str]]
    held: list[int]


class Eligibility:
    """One annotator in one project, as the queue sees them at `now`. Reads, and changes nothing."""

    def __init__(self, project: Project, annotator: Person, kind: str | None, now: datetime) -> None:
        self.project, self.annotator, self.kind, self.now = project, annotator, kind, now
        self.policy = QueuePolicy.of(project.queue_policy)
        # Read before what is held: whatever another tab is given in between shows in the cursor when that is moved.
        self.member, self.cursors, self.contest = queries.read_annotator(project, annotator)
        self.held: list[Assignment] = queries.select_held.all(now=now, project=project.pk, annotator=annotator.pk)

    @property
    def blind_to(self) -> int:
        """The annotator's key if they may read no authors but those of their own prompts; else `NOBODY`."""
        only_annotates = self.member is not None and self.member.role == Membership.Role.ANNOTATOR
        return self.annotator.pk if only_annotates and not self.annotator.is_site_admin else queries.NOBODY

    @cached_property
    def in_qualification(self) -> bool:
        """They are in the qualification round, or have failed it."""
        member = self.member
        if member is None or not self.policy.training_tasks or member.role != Membership.Role.ANNOTATOR:
            return False
        return member.training in (Membership.Training.NEEDED, Membership.Training.FAILED)

    @cached_property
    def qualified(self) -> dict[str, list[str]]:
        """What they may do, by `kinds` and `schemes`; a key that is not there allows all."""
        return self.member.qualified if self.member else {}

    @cached_property
    def may_vote(self) -> bool:
        """They may be given a task of the contest that runs: blind, not excluded, and not too large a part of it."""
        contest = self.contest
        if contest is None or self.blind_to == queries.NOBODY or not self._asks_for(Kind.COMPARISON):
            return False
        excluded, at_work, units, _ = self._voter
        if excluded or at_work < MANY_VOTERS:
            return not excluded
        most = contest.next_number * contest.votes_per_unit / MANY_VOTERS_PART  # with the requested one
        return units + 1 <= max(FEWEST_UNITS, most)

    @property
    def others_vote(self) -> bool:
        """Enough annotators are at work in the contest that a task which this one gave back finds another."""
        return self._voter.at_work >= SEVERAL_VOTERS

    @property
    def may_begin_units(self) -> bool:
        """Not too many units of the contest wait for votes: somebody who gives all back would begin one each time."""
        return self._voter.begun < MOST_BEGUN + AT_MOST_HELD * self._voter.at_work

    @cached_property
    def _voter(self) -> queries.Voter:
        assert self.contest is not None
        since = self.now - ACTIVE
        (row,) = queries.select_voter.all(contest=self.contest.key, annotator=self.annotator.pk, since=since)
        return queries.Voter(*row)

    def _asks_for(self, one: str) -> bool:
        return self.kind in (None, one) and self.may_do(one)

    def may_do(self, kind: str) -> bool:
        return kind in self.qualified.get("kinds", [kind]) and self.policy.kind_weights.get(kind, 1) > 0

    def held_ahead(self, have: Collection[str]) -> Assignment | None:
        """What is already held ahead and is not among those that the client has (public ids).

        Once as many are held as may be, the last one: the client gets no new task.
        """
        held = self.held_of_kind()
        for assignment in held:
            if assignment.ahead and str(assignment.public_id) not in have:
                return assignment
        may_hold_more = len(self.held) < self._most_held()
        return None if may_hold_more or not held else held[-1]

    def held_of_kind(self) -> list[Assignment]:
        return [assignment for assignment in self.held if self.kind in (None, assignment.task.kind)]

    def _most_held(self) -> int:
        if len(self.held) >= AT_MOST_IN_QUALIFICATION and self.in_qualification:
            return AT_MOST_IN_QUALIFICATION
        return AT_MOST_HELD

    def refusal(self) -> NoTask | None:
        """What stands against giving this person any task at all."""
        member = self.member
        if self.in_qualification and member and member.training == Membership.Training.FAILED:
            return NoTask(
                "training_failed",
                f"You completed the qualification round with fewer than {self.policy.training_pass} % "
                "correct. Read the guidelines again and ask a project admin to restart it.",
                300,
            )
        if self.kind is not None and self.kind not in self.qualified.get("kinds", [self.kind]):
            return _not_qualified(f"You are not qualified for {self.kind} tasks in this project.")
        return self._daily_limit_reached()

    def _daily_limit_reached(self) -> NoTask | None:
        limit = self.policy.daily_limit
        if self.member is not None and self.member.daily_limit is not None:
            limit = self.member.daily_limit
        if limit is None:
            return None
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        today = Annotation.objects.filter(
            annotator=self.annotator, project=self.project, revision=1, created_at__gte=midnight
        ).count()
        if today + len(self.held) < limit:
            return None
        left = int((midnight + timedelta(days=1) - self.now).total_seconds()) + 1
        return NoTask(
            "daily_limit",
            f"You reached your daily limit of {limit} annotations. The limit resets at 00:00 UTC, in "
            f"{left // 3600} h {left % 3600 // 60} min.",
            left,
        )

    def criteria(self) -> Criteria:
        return Criteria(
            annotator=self.annotator.pk,
            kind=self.kind,
            policy=self.project.queue_policy,
            queue_epoch=self.project.queue_epoch,
            in_qualification=self.in_qualification,
            qualified=self.qualified,
            held=[assignment.pk for assignment in self.held],
        )

    def why_nothing(self) -> NoTask:
        """The reason, once no candidate could be claimed."""
        if self.in_qualification:
            return NoTask(
                "training_empty",
                "This project starts with a qualification round, and no task of it is left for you. Contact an admin.",
                60,
            )
        waiting = Task.objects.with_free_slots().filter(project=self.project)
        if self.qualified:
            kinds = [kind for kind in Kind.values if self.may_do(kind)]
            if waiting.exists() and not waiting.filter(kind__in=kinds).exists():
                return _not_qualified("You are not qualified for the kinds of the open tasks.")
        if waiting.exists():
            return NoTask("all_seen", "You have seen all open tasks. New tasks may arrive later.", 30)
        wanted = Q(annotations_wanted__isnull=False)
        if Task.objects.filter(wanted, project=self.project, state=Task.State.OPEN).exists():
            return NoTask(
                "all_held", "All open tasks are assigned to other annotators. One may become available soon.", 15
            )
        return NoTask("no_tasks", "There are no open tasks. New tasks arrive as responses are generated.", 15)


def _not_qualified(sentence: str) -> NoTask:
    return NoTask("not_qualified", f"{sentence} Ask an admin of the project.", 300)
