"""Snapshots: what a model was trained on, frozen."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row
from feedback.models.sentences import SentenceLine


class DatasetSnapshot(Row):
    """Rows by content hash in files under DATA_DIR. Immutable once frozen; revoked when a person is erased."""

    class State(models.TextChoices):
        DRAFT = "draft"  # requested, not written
        FROZEN = "frozen"  # files and manifest stand
        FAILED = "failed"  # could not be written; `error` says why
        REVOKED = "revoked"  # files deleted, manifest kept

    class Purpose(models.TextChoices):
        FEEDBACK = "feedback"  # preferences, demonstrations, prompts, unpaired examples
        CORPUS = "corpus"  # documents

    ALLOWED = {
        State.DRAFT: {State.FROZEN, State.FAILED},
        State.FROZEN: {State.REVOKED},
        State.FAILED: set(),
        State.REVOKED: set(),
    }

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="snapshots")
    purpose = models.CharField(max_length=16, choices=Purpose.choices, default=Purpose.FEEDBACK)
    corpus = models.ForeignKey("feedback.Corpus", on_delete=models.PROTECT, null=True, blank=True)
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    policy = models.JSONField(default=dict, help_text="Pairs: each or consensus; unsettled tasks; extras.")
    content_hash = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(default=dict, blank=True)
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    path = models.CharField(max_length=300, blank=True, help_text="Relative to DATA_DIR.")
    error = SentenceLine(max_length=500, blank=True)
    frozen_at = models.DateTimeField(null=True, blank=True)
    requested_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="one_snapshot_per_number"),
            models.CheckConstraint(
                condition=~Q(state="frozen") | ~Q(content_hash=""), name="a_frozen_snapshot_has_its_hash"
            ),
        ]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by split and kind, as the manifest says."""
        return self.manifest.get("counts", {})


class SnapshotAnnotation(models.Model):
    """This annotation is in this snapshot: the thread from an answer to every model it trained."""

    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.CASCADE, related_name="members", db_index=False)
    annotation = models.ForeignKey("feedback.Annotation", on_delete=models.CASCADE, related_name="snapshots")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "annotation"], name="an_annotation_once_per_snapshot")
        ]
