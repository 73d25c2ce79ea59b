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


class SnapshotReliability(models.Model):
    """How one annotator was weighed in a snapshot. The files of the snapshot name nobody; this table does.

    Every attempt to freeze writes its rows before its files are moved, under the hash of its manifest. Those of the
    manifest that stands remain.
    """

    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.CASCADE, related_name="reliability", db_index=False)
    manifest_sha256 = models.CharField(max_length=64)
    person = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="+")
    votes = models.PositiveIntegerField(help_text="Comparisons that prefer a response.")
    shared_votes = models.PositiveIntegerField(help_text="Those of them on tasks that somebody else voted on too.")
    share = models.FloatField(help_text="Estimated share of votes on the better side, 0 to 1.")
    error = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Hundredths, 0 to 98. Empty: the loss discounted nothing by errors."
    )
    left_out = models.BooleanField(default=False, help_text="The annotations were left out of the snapshot.")
    index = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="What the rows of the snapshot call this annotator. Empty: nothing."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["snapshot", "manifest_sha256", "person"], name="one_reliability_per_annotator_of_a_freeze"
            ),
            models.UniqueConstraint(
                fields=["snapshot", "manifest_sha256", "index"], name="one_annotator_per_index_of_a_freeze"
            ),
            models.CheckConstraint(condition=Q(error__isnull=True) | Q(error__lte=98), name="error_in_hundredths"),
        ]
