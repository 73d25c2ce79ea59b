"""Active selection: rewards that responses were scored with, the batches chosen by them, and replays."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row


class ResponseScore(models.Model):
    """The rewards of a response by each head of a reward model, computed once."""

    response = models.ForeignKey("feedback.Response", on_delete=models.CASCADE, related_name="scores", db_index=False)
    reward_version = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.CASCADE, related_name="response_scores", db_index=False
    )
    heads = models.JSONField(help_text="Reward by each head before centering and scaling, log-odds.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reward_version", "response"], name="one_score_per_response_and_reward_version"
            )
        ]
        indexes = [models.Index(fields=["response"], name="score_of_response")]


class Choice(Row):
    """One batch of pairs chosen from a pool, written with its tasks in the transaction that ends its job."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="choices", db_index=False)
    number = models.PositiveIntegerField()
    job = models.OneToOneField("feedback.Job", on_delete=models.PROTECT, related_name="choice")
    reward_version = models.ForeignKey("feedback.ModelVersion", on_delete=models.PROTECT, related_name="+")
    acquisition = models.CharField(max_length=16, help_text="variance or d_optimal.")
    random_share = models.FloatField(help_text="Share drawn uniformly, 0.2 to 1.")
    temperature = models.FloatField(help_text="Active pairs weigh score ** (1 / temperature); 0 for the highest.")
    batch = models.PositiveIntegerField(help_text="Pairs wanted.")
    cap = models.PositiveIntegerField(help_text="Pairs of one prompt at most.")
    labels = models.PositiveIntegerField(help_text="Preference pairs of training prompts at that time.")
    pool_pairs = models.PositiveIntegerField()
    pool_prompts = models.PositiveIntegerField()
    pool_hash = models.CharField(max_length=64, help_text="SHA-256 of the pairs, by public ids of their responses.")
    seed = models.BigIntegerField()
    random_tasks = models.PositiveIntegerField(default=0)
    active_tasks = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="one_choice_per_number"),
            models.CheckConstraint(
                condition=Q(random_share__gte=0.2, random_share__lte=1), name="choice_has_random_share"
            ),
        ]


class SelectionReplay(Row):
    """What a replay of an acquisition on the project's own labels showed, written when its job succeeds."""

    project = models.ForeignKey(
        "feedback.Project", on_delete=models.CASCADE, related_name="selection_replays", db_index=False
    )
    job = models.OneToOneField("feedback.Job", on_delete=models.PROTECT, related_name="selection_replay")
    reward_version = models.ForeignKey("feedback.ModelVersion", on_delete=models.PROTECT, related_name="+")
    acquisition = models.CharField(max_length=16)
    random_share = models.FloatField()
    labels = models.PositiveIntegerField(help_text="Preference pairs of training prompts at that time.")
    pool = models.PositiveIntegerField(help_text="Labels that no reward model had chosen, of which half were picked.")
    held_out = models.PositiveIntegerField(help_text="Pairs of validation prompts that all models were measured on.")
    active_accuracy = models.JSONField(help_text="By seed, of models trained on the picked half.")
    random_accuracy = models.JSONField(help_text="By seed, of models trained on a random half.")
    difference = models.FloatField(help_text="Mean of active - random.")
    low = models.FloatField(help_text="Low end of its 95 % interval.")
    high = models.FloatField()
    learnable = models.BooleanField(help_text="Models trained on random labels were better than chance.")

    class Meta:
        indexes = [models.Index(fields=["project", "-id"], name="selection_replay_newest_first")]
