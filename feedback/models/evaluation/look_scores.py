"""What each reward version makes of the responses that a run saved as it went."""

from django.db import models


class LookScore(models.Model):
    """The rewards of one reward version at a run's looks at the validation prompts, computed once."""

    run = models.ForeignKey(
        "feedback.TrainingRun", on_delete=models.CASCADE, related_name="look_scores", db_index=False
    )
    reward_version = models.ForeignKey("feedback.ModelVersion", on_delete=models.CASCADE, related_name="look_scores")
    steps = models.JSONField(help_text="Step of each look, ascending.")
    rewards = models.JSONField(help_text="Mean reward of its responses, standard deviations of this version.")
    kls = models.JSONField(help_text="Mean KL from the reference model, nats per response.")
    responses = models.PositiveIntegerField(help_text="Scored, of all looks.")
    scored_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "reward_version"], name="one_score_of_looks_per_reward_version")
        ]
