"""Campaigns: rounds of collecting, training and comparing that run unattended. A schedule is their simplest form."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row
from feedback.models.sentences import SentenceLine


class Campaign(Row):
    """A plan that runs rounds one after another until its budget of labels is used up.

    `plan` is a `feedback.rules.training.campaign_plans.CampaignPlan`; it never changes. The budget may.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"  # takes no step; a pipeline run or comparison that goes on does so
        ENDED = "ended"  # the budget is used up, or an admin ended it

    LIVE = (State.RUNNING, State.PAUSED)

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="campaigns")
    name = models.CharField(max_length=120)
    plan = models.JSONField(help_text="Trigger, stages, settings of the comparison, how the winner is promoted.")
    budget = models.PositiveIntegerField(help_text="Labels of all rounds together, votes included.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    after_label = models.BigIntegerField(help_text="Key of the last annotation from before it.")
    trouble = SentenceLine(max_length=500, blank=True, help_text="Why its last step could not be taken.")
    created_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project"], condition=Q(state__in=["running", "paused"]), name="one_campaign_at_a_time"
            ),
            models.UniqueConstraint(fields=["project", "name"], name="one_campaign_per_name"),
        ]

    def __str__(self) -> str:
        return self.name


class CampaignRound(Row):
    """One round: labels, a pipeline run on them, and what people say about the policy that it made."""

    class State(models.TextChoices):
        COLLECTING = "collecting"  # labels come in
        TRAINING = "training"  # its pipeline run is at work
        CHECKING = "checking"  # the candidate is about to be compared
        COMPARING = "comparing"  # people compare the candidate with what serves
        DECIDED = "decided"  # `decision` says how
        FAILED = "failed"  # its pipeline run failed; `reason` says why
        STOPPED = "stopped"  # canceled, or ended with its campaign

    class Decision(models.TextChoices):
        PROMOTED = "promoted"  # the candidate serves
        KEPT = "kept"  # the votes did not show that the candidate is better
        REFUSED = "refused"  # findings speak against the candidate; `findings` names them

    OPEN = (State.COLLECTING, State.TRAINING, State.CHECKING, State.COMPARING)

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="rounds", db_index=False)
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.COLLECTING)
    decision = models.CharField(max_length=12, choices=Decision.choices, blank=True)
    reason = SentenceLine(max_length=500, blank=True, help_text="Why it ended as it did.")
    findings = models.JSONField(default=list, help_text="What spoke against the candidate: name and sentence of each.")
    after_label = models.BigIntegerField(help_text="Key of the last annotation from before it.")
    last_label = models.BigIntegerField(null=True, blank=True, help_text="Key of the last annotation within it.")
    chain = models.OneToOneField(
        "feedback.Chain", on_delete=models.SET_NULL, null=True, blank=True, related_name="campaign_round"
    )
    candidate = models.ForeignKey(
        "feedback.ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    contest = models.OneToOneField(
        "feedback.Contest", on_delete=models.SET_NULL, null=True, blank=True, related_name="campaign_round"
    )
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["campaign", "number"], name="one_campaign_round_per_number"),
            models.UniqueConstraint(
                fields=["campaign"],
                condition=Q(state__in=["collecting", "training", "checking", "comparing"]),
                name="one_campaign_round_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(state="decided") | Q(decision=""), name="only_decided_campaign_rounds_have_a_decision"
            ),
        ]
