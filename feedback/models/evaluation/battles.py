"""Battles: a member's own prompt, answered by two versions, judged blind, and named afterwards."""

from django.db import models
from django.db.models import F, Q

from feedback.models.base import Row


class Battle(Row):
    """One battle. Its vote is an annotation like others, of a task with arm `battle`; no gate or contest counts it.

    The prompt has no author in the project: only this row says who typed it, so that nobody can look up there which
    version wrote what before the vote.
    """

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="battles", db_index=False)
    person = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="battles", db_index=False)
    prompt = models.OneToOneField("feedback.Prompt", on_delete=models.CASCADE, related_name="battle")
    left_version = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    right_version = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    propensity = models.FloatField(help_text="With which probability these two were drawn, in this order.")
    left = models.ForeignKey(
        "feedback.Response", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    right = models.ForeignKey(
        "feedback.Response", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    task = models.OneToOneField(
        "feedback.Task", on_delete=models.CASCADE, null=True, blank=True, related_name="battle", help_text="Once voted."
    )

    class Meta:
        indexes = [models.Index(fields=["project", "person", "-id"], name="battle_newest_first")]
        constraints = [
            models.CheckConstraint(condition=~Q(left_version=F("right_version")), name="a_battle_has_two_versions"),
        ]
