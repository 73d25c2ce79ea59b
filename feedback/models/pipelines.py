"""Pipelines: stages that run one after another, and schedules that start them."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row


class Stage(models.TextChoices):
    """In pipeline order: a pipeline run takes its stages in this order, however the request lists them."""

    TOKENIZER = "tokenizer"
    PRETRAIN = "pretrain"
    MLM = "mlm"
    CLASSIFY = "classify"
    TAG = "tag"
    SFT = "sft"
    REWARD = "reward"
    DPO = "dpo"
    KTO = "kto"
    RLOO = "rloo"
    GRPO = "grpo"
    PPO = "ppo"
    EVALUATE = "evaluate"


class Schedule(Row):
    """Start these stages every T seconds, or after N new pairs."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=120)
    stages = models.JSONField()
    every_seconds = models.PositiveIntegerField(null=True, blank=True)
    after_pairs = models.PositiveIntegerField(null=True, blank=True)
    config = models.JSONField(default=dict, blank=True)
    promote = models.BooleanField(
        default=False, help_text="At the end of its pipeline runs, request an admin's decision on the new policy."
    )
    enabled = models.BooleanField(default=True)
    next_due_at = models.DateTimeField(null=True, blank=True)
    pairs_at_last_start = models.PositiveIntegerField(default=0)
    trouble = models.CharField(
        max_length=500, blank=True, help_text="Why it could not start its pipeline run when due."
    )
    created_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(every_seconds__isnull=False, after_pairs__isnull=True)
                | Q(every_seconds__isnull=True, after_pairs__isnull=False),
                name="a_schedule_is_by_time_or_by_pairs",
            ),
            models.UniqueConstraint(fields=["project", "name"], name="one_schedule_per_name"),
        ]


class Chain(Row):
    """A pipeline run: stages that run one after another, each from the model of the one before."""

    class State(models.TextChoices):
        ACTIVE = "active"  # a run of it is queued or running
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="chains")
    stages = models.JSONField()
    kind = models.CharField(
        max_length=120, help_text="Stages joined by +. One pipeline run of a kind is active at a time."
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    config = models.JSONField(default=dict, blank=True, help_text="Settings by stage.")
    seed = models.PositiveIntegerField(default=0)
    snapshot = models.ForeignKey("feedback.DatasetSnapshot", on_delete=models.PROTECT, null=True, blank=True)
    corpus_snapshot = models.ForeignKey(
        "feedback.DatasetSnapshot", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    base_model = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    promote = models.BooleanField(default=False)
    looked_at = models.BooleanField(
        default=False, help_text="Its preflight check found nothing that blocks, apart from ignored findings."
    )
    ignore_findings = models.JSONField(
        default=list, blank=True, help_text="Names of preflight findings that do not block it."
    )
    schedule = models.ForeignKey(Schedule, on_delete=models.SET_NULL, null=True, blank=True, related_name="chains")
    due_key = models.CharField(max_length=64, null=True, blank=True)
    requested_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind"], condition=Q(state="active"), name="one_active_chain_of_a_kind"
            ),
            models.UniqueConstraint(fields=["schedule", "due_key"], name="a_due_time_starts_one_chain"),
        ]
