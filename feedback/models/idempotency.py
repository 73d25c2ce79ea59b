"""Replies kept for retries."""

from django.db import models


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
