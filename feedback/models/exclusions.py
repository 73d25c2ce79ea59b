"""Annotators whose annotations stay out of training data."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row


class Exclusion(Row):
    """The annotations of a person in a project are left out of snapshots, until an admin lifts it.

    A row rather than a figure computed at each freeze: two snapshots agree, and an admin has something to lift. `round`
    counts the exclusions of a person in a project. Whoever makes one names the round it follows, so that of two makers
    at once one wins, and an exclusion that was lifted meanwhile is not made again from the same annotations.
    """

    class Reason(models.TextChoices):
        PACE = "pace"  # answered faster than anybody can read
        GOLD = "gold"  # wrong on gold tasks

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="exclusions", db_index=False)
    person = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    hits = models.PositiveIntegerField(
        help_text="Annotations that were too fast, or wrong answers to gold tasks, at the alarm."
    )
    looked_at = models.PositiveIntegerField(help_text="Annotations examined until the alarm.")
    round = models.PositiveIntegerField(default=1)
    since = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "person", "round"], name="one_exclusion_per_person_and_round"),
            models.UniqueConstraint(
                fields=["project", "person"],
                condition=Q(lifted_at__isnull=True),
                name="one_active_exclusion_per_person",
            ),
        ]
