"""Assignments: tasks that annotators hold, and how far along the queue each annotator is."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row
from feedback.models.tasks import Task


class Arm(models.TextChoices):
    """Why an annotator was given a task."""

    QUEUE = "queue"  # next in the order of its kind
    PRIORITY = "priority"  # higher priority
    GOLD = "gold"  # a gold task, mixed in
    TRAINING = "training"  # the qualification round
    CONTEST = "contest"  # a unit of a contest


class Assignment(Row):
    """A task that one annotator holds until a time, and its outcome."""

    class State(models.TextChoices):
        HELD = "held"  # this annotator's until `held_until`
        SUBMITTED = "submitted"  # answered; `current` is the answer
        SKIPPED = "skipped"  # not for this annotator
        EXPIRED = "expired"  # held too long; an answer is still accepted
        RELEASED = "released"  # given back; may be given out again

    LIVE = (State.HELD, State.SUBMITTED)

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, db_index=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments", db_index=False)
    annotator = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="assignments")
    state = models.CharField(max_length=16, choices=State.choices, default=State.HELD)
    slot = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="1 to K. Empty: an extra annotation, or a gold task."
    )
    order = models.JSONField(help_text="Keys of the responses in the order shown: the first is a, the next b, …")
    ahead = models.BooleanField(default=False, help_text="Fetched in advance, not shown yet.")
    held_until = models.DateTimeField()
    shown_at = models.DateTimeField(null=True, blank=True)
    counted = models.BooleanField(default=False, help_text="Its annotation is one of the K.")
    current = models.OneToOneField(
        "feedback.Annotation", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    skip_reason = models.CharField(max_length=30, blank=True)
    skip_note = models.CharField(max_length=500, blank=True)
    sent_back = models.CharField(
        max_length=500, blank=True, help_text="What the reviewer who sent it back wants changed."
    )
    arm = models.CharField(max_length=20, default=Arm.QUEUE, help_text="Why this annotator was given the task.")
    propensity = models.FloatField(default=1.0, help_text="Probability with which that arm was drawn.")

    texts: dict[int, str] | None = None  # of its responses by key, where they were read along; no column

    class Meta:
        indexes = [
            models.Index(fields=["project", "annotator", "state"], name="assignment_on_desk"),
            models.Index(fields=["held_until"], condition=Q(state="held"), name="assignment_expiry"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["task", "annotator"], name="nobody_gets_a_task_twice"),
            models.UniqueConstraint(
                fields=["task", "slot"], condition=Q(state__in=["held", "submitted"]), name="one_holder_per_slot"
            ),
            models.CheckConstraint(
                condition=Q(counted=False) | Q(state="submitted"), name="only_submitted_assignments_count"
            ),
        ]


class QueueCursor(models.Model):
    """The annotator's position in the fixed order of the queue, by kind where kinds are mixed ("" is all of them).

    A hint for speed; losing it loses nothing. The row of kind "" is also the annotator's own lock, and remembers
    whether the last task was a gold task.
    """

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE)
    annotator = models.ForeignKey("feedback.Person", on_delete=models.CASCADE)
    kind = models.CharField(max_length=16, blank=True, default="")
    queue_key = models.BigIntegerField(default=0)
    epoch = models.PositiveIntegerField(default=0)
    check_last = models.BooleanField(default=False)
    given = models.PositiveIntegerField(
        default=0, help_text="Tasks given so far; a request that finds it changed starts over."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "annotator", "kind"], name="one_cursor_per_annotator_and_kind")
        ]
