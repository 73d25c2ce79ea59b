"""Who did what to which row."""

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
