"""Live accuracy of reward models: labels scored before any training on them, and alarms when agreement drifts."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row


class LabelScore(models.Model):
    """What a reward version said about one label that it had not been trained on. Written once, never changed.

    `services.evaluation.live_accuracy` writes it by one statement that refuses what a snapshot of the version's lineage
    holds. A label of several pairs (an order of more than two responses) has one row: means over its pairs. A label
    that the version cannot read has no figures.
    """

    annotation = models.ForeignKey(
        "feedback.Annotation", on_delete=models.CASCADE, related_name="label_scores", db_index=False
    )
    reward_version = models.ForeignKey("feedback.ModelVersion", on_delete=models.CASCADE, related_name="label_scores")
    arm = models.CharField(max_length=30, help_text="Why its task was chosen.")
    strength = models.PositiveSmallIntegerField(null=True, help_text="Of its pair; empty where it has several.")
    pairs = models.PositiveSmallIntegerField(help_text="Pairs of this label: 1 where it is about two responses.")
    gap = models.FloatField(null=True, help_text="Reward of the chosen less that of the rejected response, log-odds.")
    p = models.FloatField(null=True, help_text="Probability that the version gave to the choice, 0 to 1.")
    favored = models.FloatField(null=True, help_text="Probability of the response that it favors, 0.5 to 1.")
    correct = models.FloatField(null=True, help_text="Share of pairs whose chosen response it favors; a tie is half.")
    spread = models.FloatField(null=True, help_text="Standard deviation of the gap over the heads, log-odds.")
    scored_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["annotation", "reward_version"], name="a_label_is_scored_once_by_a_version"
            ),
            models.CheckConstraint(
                condition=Q(gap__isnull=True, p__isnull=True, favored__isnull=True, correct__isnull=True)
                | Q(
                    gap__isnull=False,
                    p__gte=0,
                    p__lte=1,
                    favored__gte=0.5,
                    favored__lte=1,
                    correct__gte=0,
                    correct__lte=1,
                ),
                name="figures_of_a_score_in_range",
            ),
        ]

    def __str__(self) -> str:
        return f"score of annotation {self.annotation_id} by version {self.reward_version_id}"


class DriftState(models.Model):
    """The drift alarm of a reward version, or of one annotator under it, as far as labels are folded into it.

    The row of a version (no annotator) is locked by whoever writes its scores, so labels are folded in one order. It
    holds the baseline and the last score folded; rows of annotators leave those at 0.
    """

    reward_version = models.ForeignKey("feedback.ModelVersion", on_delete=models.CASCADE, related_name="drift_states")
    annotator = models.ForeignKey("feedback.Person", on_delete=models.CASCADE, null=True, related_name="+")
    baseline_labels = models.PositiveIntegerField(default=0)
    baseline_total = models.FloatField(default=0.0)
    baseline_squares = models.FloatField(default=0.0)
    folded_to = models.BigIntegerField(default=0, help_text="Key of the last score that is folded.")
    labels = models.PositiveIntegerField(default=0, help_text="Labels after the baseline.")
    bets = models.JSONField(default=list, help_text="M of each bet.")
    alarm_at = models.PositiveIntegerField(null=True, help_text="The label at which the alarm sounded.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reward_version"], condition=Q(annotator__isnull=True), name="one_drift_state_per_version"
            ),
            models.UniqueConstraint(fields=["reward_version", "annotator"], name="one_drift_state_per_annotator"),
        ]

    def __str__(self) -> str:
        return f"drift of version {self.reward_version_id}"


class DriftAlarm(Row):
    """People's labels no longer agree with a reward version as they did: of all, or of one annotator.

    `split` and `value` name where accuracy fell most: a strength, a source, or an annotator (by public id).
    """

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="drift_alarms")
    reward_version = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.CASCADE, related_name="drift_alarms", db_index=False
    )
    annotator = models.ForeignKey("feedback.Person", on_delete=models.CASCADE, null=True, related_name="+")
    labels = models.PositiveIntegerField(help_text="Labels after the baseline until the alarm.")
    accuracy_before = models.FloatField(help_text="On the labels of the baseline.")
    accuracy_since = models.FloatField(help_text="On the labels since, or on those of the annotator.")
    split = models.CharField(max_length=16, blank=True)
    value = models.CharField(max_length=200, blank=True)
    value_before = models.FloatField(null=True)
    value_since = models.FloatField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reward_version"], condition=Q(annotator__isnull=True), name="one_drift_alarm_per_version"
            ),
            models.UniqueConstraint(fields=["reward_version", "annotator"], name="one_drift_alarm_per_annotator"),
        ]
