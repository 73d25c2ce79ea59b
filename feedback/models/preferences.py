"""Preference pairs: what comparisons become for training, written in the annotation's own transaction."""

from django.db import models
from django.db.models import F, Q

from feedback.models.base import Row


class PairQuerySet(models.QuerySet["PreferencePair"]):
    def standing(self) -> "PairQuerySet":
        """Neither revised nor withdrawn."""
        return self.filter(closed_at__isnull=True)


class PreferencePair(Row):
    """(prompt, chosen, rejected, strength). Closed when its annotation is revised or withdrawn, never changed."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="pairs", db_index=False)
    prompt = models.ForeignKey("feedback.Prompt", on_delete=models.CASCADE, related_name="pairs")
    chosen = models.ForeignKey("feedback.Response", on_delete=models.PROTECT, related_name="+")
    rejected = models.ForeignKey("feedback.Response", on_delete=models.PROTECT, related_name="+")
    strength = models.PositiveSmallIntegerField(help_text="0 negligibly to 3 significantly better.")
    annotation = models.ForeignKey(
        "feedback.Annotation", on_delete=models.CASCADE, related_name="pairs", db_index=False
    )
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = PairQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["project", "-id"], name="pair_newest_first")]
        constraints = [
            models.UniqueConstraint(fields=["annotation", "chosen", "rejected"], name="a_pair_once_per_annotation"),
            models.CheckConstraint(condition=Q(strength__lte=3), name="strength_0_to_3"),
            models.CheckConstraint(condition=~Q(chosen=F("rejected")), name="nothing_beats_itself"),
        ]
