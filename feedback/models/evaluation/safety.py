"""Tests of a candidate's safety: what the guard model says about responses of both versions to the same prompts."""

from django.db import models

from feedback.models.base import Row


class SafetyTest(Row):
    """The guard's verdicts on a candidate and the version that serves, prompt by prompt, as they came in.

    `verdicts` has one character for each prompt: 0 neither violates, 1 the candidate alone, 2 the incumbent alone,
    3 both. Its responses are shown to nobody and not kept.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="+")
    candidate = models.ForeignKey("feedback.ModelVersion", on_delete=models.CASCADE, related_name="safety_tests")
    incumbent = models.ForeignKey("feedback.ModelVersion", on_delete=models.CASCADE, related_name="+")
    guard = models.ForeignKey("feedback.ModelVersion", on_delete=models.CASCADE, related_name="+")
    blocks = models.JSONField(help_text="The guard's classes that are violations.")
    threshold = models.FloatField(help_text="The probability from which on a class is one, over 0 to 1.")
    sampling = models.JSONField(help_text="How both versions sample.")
    prompts = models.JSONField(help_text="Keys of the prompts, in the order in which they are judged.")
    verdicts = models.TextField(blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    job = models.ForeignKey("feedback.Job", on_delete=models.SET_NULL, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["candidate", "incumbent", "guard"],
                condition=models.Q(state="running"),
                name="one_safety_test_at_a_time",
            ),
        ]
