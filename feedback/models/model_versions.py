"""Model versions, and what serves."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row


class ModelVersion(Row):
    class Kind(models.TextChoices):
        TOKENIZER = "tokenizer"
        POLICY = "policy"
        REWARD = "reward"
        ENCODER = "encoder"  # the trunk of both classifiers, from masked language modeling
        CLASSIFIER = "classifier"
        TAGGER = "tagger"

    class State(models.TextChoices):
        CANDIDATE = "candidate"  # made, not decided on
        APPROVED = "approved"  # served, or fit to serve
        REJECTED = "rejected"  # the evidence or a person refused
        REVOKED = "revoked"  # must not be used any more

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="model_versions")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    number = models.PositiveIntegerField()
    stage = models.CharField(max_length=16, blank=True, help_text="Stage that produced it.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.CANDIDATE)
    path = models.CharField(max_length=300, help_text="Relative to DATA_DIR.")
    manifest_sha256 = models.CharField(max_length=64)
    manifest = models.JSONField(default=dict, blank=True)
    metrics = models.JSONField(default=dict, blank=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    run = models.OneToOneField(
        "feedback.TrainingRun", on_delete=models.PROTECT, null=True, blank=True, related_name="model_version"
    )
    tainted_at = models.DateTimeField(null=True, blank=True, help_text="Trained on rows that have been erased since.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "kind", "number"], name="one_model_version_per_number")
        ]

    def __str__(self) -> str:
        return f"{self.kind} v{self.number}"

    @property
    def faults(self) -> list[str]:
        """Faults that the trainer reports of this model, a sentence each; empty for a sound one."""
        return [str(fault.get("text", "")) for fault in self.manifest.get("faults", [])]


class Deployment(Row):
    """Which version serves a project, since and until. Promoting and rolling back append one."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="deployments")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="deployments")
    weight = models.FloatField(default=1.0)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    deployed_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")
    note = models.CharField(max_length=500, blank=True)
    override_reason = models.CharField(
        max_length=500, blank=True, help_text="Why it serves despite findings against it."
    )
    findings = models.JSONField(
        default=list, blank=True, help_text="Overridden findings: name and sentence of each, at that time."
    )
    rolled_back = models.BooleanField(default=False, help_text="Ended by a rollback.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project"], condition=Q(until__isnull=True), name="one_version_serves")
        ]
