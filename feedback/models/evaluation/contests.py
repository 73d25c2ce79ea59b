"""Contests: what people's blind votes say about model versions, and what that decides."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row


class ContestPlan(Row):
    """The rules of a contest. Written with it, before the first vote, and never changed."""

    class Preconditions(models.TextChoices):
        BLOCK = "block"  # findings against a candidate keep the contest from being opened
        REPORT = "report"  # they are kept with it, and votes decide all the same

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="+")
    incumbent = models.ForeignKey("feedback.ModelVersion", on_delete=models.PROTECT, related_name="+")
    alpha = models.FloatField(help_text="The chance at most of promoting a version that is not better.")
    null_mean = models.FloatField(help_text="The win rate that must be exceeded.")
    futility_mean = models.FloatField(help_text="The least win rate that would be worth going on for.")
    futility_limit = models.FloatField(help_text="Evidence against it from which on a candidate is given up.")
    bets = models.JSONField(help_text="Shares of capital that the evidence bets, each weighed alike.")
    cap = models.PositiveIntegerField(help_text="Votes after which the incumbent stays.")
    votes_per_unit = models.PositiveSmallIntegerField(help_text="People who judge each prompt.")
    fresh_only = models.BooleanField(help_text="Only prompts that neither model can have met.")
    fresh_after = models.BigIntegerField(help_text="Key of the last prompt from before both models' data froze.")
    share = models.FloatField(help_text="Part of the annotators' tasks that it may take, over 0 to 1.")
    sampling = models.JSONField(help_text="How every version of it samples.")
    promote = models.BooleanField(help_text="A candidate that wins serves at once.")
    preconditions = models.CharField(max_length=8, choices=Preconditions.choices)
    opened_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(share__gt=0, share__lte=1), name="contest_share_in_0_1"),
            models.CheckConstraint(condition=Q(alpha__gt=0, alpha__lt=1), name="contest_alpha_in_0_1"),
            models.CheckConstraint(
                condition=Q(votes_per_unit__gte=1, votes_per_unit__lte=100), name="contest_units_have_votes"
            ),
        ]


class ContestCandidate(models.Model):
    """A version that competes with the incumbent. How many there are is fixed when the contest opens."""

    plan = models.ForeignKey(ContestPlan, on_delete=models.CASCADE, related_name="candidates", db_index=False)
    model_version = models.ForeignKey("feedback.ModelVersion", on_delete=models.PROTECT, related_name="candidacies")
    position = models.PositiveSmallIntegerField(help_text="0, 1, … as they were named.")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "position"], name="one_candidate_per_position"),
            models.UniqueConstraint(fields=["plan", "model_version"], name="a_version_once_per_contest"),
        ]


class Contest(Row):
    """Where a contest stands. Its row is the last lock that a vote takes, so the evidence has one order.

    `evidence` has one entry for each candidate, by its position: what `feedback.rules.evaluation.contest_evidence`
    keeps. It is folded over the units of that candidate in the order of their numbers, up to the one in `folded`.
    """

    class State(models.TextChoices):
        RUNNING = "running"  # its tasks are given out
        PAUSED = "paused"  # no task is given out; what is held may be sent
        DECIDED = "decided"  # the votes decided
        STOPPED = "stopped"  # ended without a decision

    class Decision(models.TextChoices):
        PROMOTE = "promote"  # people prefer a candidate
        GIVE_UP = "give_up"  # no candidate can be better by what is worth going on for
        CAP = "cap"  # all votes are in, and it is not shown that a candidate is better
        INCUMBENT_CHANGED = "incumbent_changed"  # another version serves than the candidates competed with
        STOPPED = "stopped"  # an admin stopped it

    LIVE = (State.RUNNING, State.PAUSED)
    ENDED = (State.DECIDED, State.STOPPED)

    plan = models.OneToOneField(ContestPlan, on_delete=models.CASCADE, related_name="contest")
    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="contests", db_index=False)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    decision = models.CharField(max_length=20, choices=Decision.choices, blank=True)
    winner = models.ForeignKey(ContestCandidate, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    evidence = models.JSONField(default=list)
    folded = models.JSONField(default=list, help_text="By candidate, the last number that is done with.")
    next_number = models.PositiveIntegerField(default=1)
    voided = models.PositiveIntegerField(default=0, help_text="Units closed with fewer votes than they wanted.")
    findings = models.JSONField(default=list, help_text="What spoke against the candidates when it was opened.")
    running_since = models.DateTimeField(help_text="When it was opened, or resumed last.")
    decided_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True, help_text="When what follows the decision was done.")
    refusal = models.JSONField(default=list, help_text="Why the winner was not promoted: name and sentence of each.")

    class Meta:
        indexes = [models.Index(fields=["project", "-id"], name="contest_newest_first")]
        constraints = [
            models.UniqueConstraint(
                fields=["project"],
                condition=Q(state__in=["running", "paused"]),
                name="one_contest_at_a_time",
            ),
        ]


class ContestUnit(Row):
    """One prompt with a response of a candidate and one of the incumbent: what one value of the evidence comes from.

    The number is given when its task is first handed out, so that the order of the evidence depends on no answer.
    """

    class State(models.TextChoices):
        PREPARING = "preparing"  # its responses are being written
        READY = "ready"  # its task waits to be given out
        OPEN = "open"  # numbered, and not all votes are in
        COMPLETE = "complete"  # its value stands, whatever becomes of the answers
        VOID = "void"  # closed with fewer votes than it wanted; `why_void` says why

    class Void(models.TextChoices):
        FAILED = "failed"  # a response could not be written
        BLOCKED = "blocked"  # the guard model refused a text
        STALE = "stale"  # it kept later ones waiting for a day
        WITHDRAWN = "withdrawn"  # its task was taken out of the queue
        CONTEST_OVER = "contest_over"  # the contest ended first

    contest = models.ForeignKey(Contest, on_delete=models.CASCADE, related_name="units", db_index=False)
    candidate = models.ForeignKey(ContestCandidate, on_delete=models.PROTECT, related_name="+", db_index=False)
    propensity = models.FloatField(default=1.0, help_text="With which probability the candidate was drawn.")
    prompt = models.ForeignKey("feedback.Prompt", on_delete=models.CASCADE, related_name="contest_units")
    round = models.PositiveIntegerField(default=0, help_text="The pass over the held-out prompts; 0: a fresh prompt.")
    candidate_response = models.ForeignKey(
        "feedback.Response", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    incumbent_response = models.ForeignKey(
        "feedback.Response", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    task = models.OneToOneField(
        "feedback.Task", on_delete=models.CASCADE, null=True, blank=True, related_name="contest_unit"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.PREPARING)
    number = models.PositiveIntegerField(null=True, blank=True)
    numbered_at = models.DateTimeField(null=True, blank=True)
    votes = models.PositiveSmallIntegerField(default=0)
    halves = models.PositiveSmallIntegerField(default=0, help_text="Twice the wins of the candidate; ties are 1.")
    x = models.FloatField(null=True, blank=True, help_text="The candidate's mean over its votes, 0 to 1.")
    log_e_after = models.FloatField(null=True, blank=True, help_text="The candidate's evidence with it.")
    completed_at = models.DateTimeField(null=True, blank=True)
    why_void = models.CharField(max_length=14, choices=Void.choices, blank=True)

    class Meta:
        indexes = [models.Index(fields=["contest", "state"], name="contest_unit_of_state")]
        constraints = [
            models.UniqueConstraint(fields=["contest", "number"], name="one_contest_unit_per_number"),
            models.UniqueConstraint(fields=["contest", "round", "prompt"], name="a_prompt_once_per_contest_round"),
            models.CheckConstraint(
                condition=~Q(state="complete") | Q(number__isnull=False, x__isnull=False),
                name="a_complete_contest_unit_has_a_value",
            ),
        ]


class ContestVote(models.Model):
    """An annotation that counts in a contest. An erased person leaves the value, without who or what it was."""

    unit = models.ForeignKey(ContestUnit, on_delete=models.CASCADE, related_name="cast", db_index=False)
    annotation = models.ForeignKey("feedback.Annotation", on_delete=models.SET_NULL, null=True, related_name="+")
    annotator = models.ForeignKey("feedback.Person", on_delete=models.SET_NULL, null=True, related_name="+")
    halves = models.PositiveSmallIntegerField(help_text="2 for the candidate, 1 for neither, 0 for the incumbent.")
    counted_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["unit", "annotation"], name="an_annotation_once_per_contest_unit"),
            models.CheckConstraint(condition=Q(halves__lte=2), name="a_contest_vote_is_0_to_2_halves"),
        ]
