"""Evaluations of model versions: the evidence."""

from django.db import models

from feedback.models.base import Row
from feedback.models.model_versions import ModelVersion


class Evaluation(Row):
    """The measurement of a model version against another on a snapshot, and the decision."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="evaluations")
    candidate = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evaluations")
    incumbent = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    snapshot = models.ForeignKey("feedback.DatasetSnapshot", on_delete=models.PROTECT, null=True, related_name="+")
    run = models.OneToOneField(
        "feedback.TrainingRun", on_delete=models.PROTECT, null=True, blank=True, related_name="evaluation"
    )
    metrics = models.JSONField(default=dict)
    samples = models.JSONField(default=list, blank=True, help_text="Responses side by side, for people to read.")
    decision = models.CharField(max_length=30, blank=True)
    contest = models.ForeignKey(
        "feedback.Contest",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="evaluations",
        help_text="Where people decided.",
    )
