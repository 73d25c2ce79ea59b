"""Who did what to which row, and replies kept for retries."""

from django.db import models

from feedback.models.base import Row


class Event(Row):
    """Appended by services. Holds ids only, never text."""

    project = models.ForeignKey(
        "feedback.Project", on_delete=models.CASCADE, null=True, related_name="events", db_index=False
    )
    actor = models.ForeignKey("feedback.Person", on_delete=models.SET_NULL, null=True, related_name="+", db_index=False)
    verb = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=40)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [models.Index(fields=["project", "-id"], name="event_newest_first")]


class IdempotencyRecord(models.Model):
    """The first reply to a request with an Idempotency-Key, given again to its repeats."""

    person = models.ForeignKey("feedback.Person", on_delete=models.CASCADE, related_name="+")
    route = models.CharField(max_length=200)
    key = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    reply = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "route", "key"], name="one_reply_per_idempotency_key")]
