"""Training runs, one stage each, and what they report."""

from django.db import models

from feedback.models.base import Row
from feedback.models.pipelines import Chain, Stage
from feedback.models.sentences import SentenceLine


class TrainingRun(Row):
    """One stage of a pipeline run, one-to-one with its job."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="runs")
    job = models.OneToOneField("feedback.Job", on_delete=models.PROTECT, related_name="run")
    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="runs")
    position = models.PositiveSmallIntegerField(default=0)
    stage = models.CharField(max_length=16, choices=Stage.choices)
    number = models.PositiveIntegerField()
    config = models.JSONField(default=dict, blank=True)
    seed = models.PositiveIntegerField(default=0)
    snapshot = models.ForeignKey("feedback.DatasetSnapshot", on_delete=models.PROTECT, null=True, blank=True)
    base_model = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="runs_from"
    )
    reward_model = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    guard = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    incumbent = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    folder = models.CharField(max_length=300, help_text="Run folder, relative to DATA_DIR.")
    metrics = models.JSONField(default=dict, blank=True, help_text="Final metrics.")
    cpu_seconds = models.FloatField(default=0.0, help_text="CPU time of its trainer, over all attempts.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="one_run_per_number"),
            models.UniqueConstraint(fields=["chain", "position"], name="one_run_per_place_in_a_chain"),
        ]


class RunPoint(models.Model):
    """Metrics of one step of a run. Written again by a resumed attempt, harmlessly."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="points")
    step = models.PositiveIntegerField()
    at = models.DateTimeField()
    metrics = models.JSONField(help_text="Means, where the point stands for several steps.")
    minima = models.JSONField(default=dict, blank=True, help_text="Minimum of each metric over these steps.")
    maxima = models.JSONField(default=dict, blank=True, help_text="Maximum of each metric over these steps.")

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_point_per_run_and_step")]


class RunSamples(models.Model):
    """What the model in training answers to the same prompts, as training goes."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    samples = models.JSONField()

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_set_of_samples_per_run_and_step")]


class RunAlarm(models.Model):
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="alarms")
    step = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    text = SentenceLine(max_length=500)

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step", "name"], name="an_alarm_once_per_step")]
