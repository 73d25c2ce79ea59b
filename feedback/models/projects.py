"""Projects: which questions, to whom, under which guidelines."""

import secrets

from django.db import models

from feedback.models.base import Row
from feedback.rules.collection.label_renames import Names


def new_salt() -> str:
    return secrets.token_hex(16)


class Project(Row):
    class State(models.TextChoices):
        OPEN = "open"  # tasks are given out
        PAUSED = "paused"  # no new assignments; what is held may be sent
        CLOSED = "closed"  # no new prompts, tasks or assignments

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    description = models.TextField(blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    kinds = models.JSONField(default=list, help_text="Task kinds that this project gives out.")
    label_scheme = models.JSONField(default=dict, blank=True)
    dimensions = models.JSONField(default=list, blank=True, help_text="Rated in each comparison, such as helpful.")
    renames = models.JSONField(
        default=dict,
        blank=True,
        help_text="Earlier names of labels (by scheme) and dimensions: rules.collection.label_renames.",
    )
    asks_reason = models.BooleanField(default=False)
    number_sends = models.BooleanField(default=False, help_text="A number key submits at once.")
    battles_train = models.BooleanField(default=False, help_text="Prompts and votes of battles may go into snapshots.")
    annotations_per_task = models.PositiveSmallIntegerField(default=1)
    responses_per_prompt = models.PositiveSmallIntegerField(default=2)
    split_salt = models.CharField(max_length=64, default=new_salt, editable=False)
    sampling = models.JSONField(default=dict, blank=True, help_text="Temperature and length of generated responses.")
    completions_make_tasks = models.BooleanField(
        default=False, help_text="Chat completions of clients get a second response and become tasks."
    )
    training_policy = models.JSONField(default=dict, blank=True, help_text="Preset and settings by stage.")
    queue_policy = models.JSONField(
        default=dict, blank=True, help_text="Which tasks are given to whom: rules.collection.queue_policy."
    )
    screening = models.JSONField(
        default=dict,
        blank=True,
        help_text="Guard model, pre-annotation tagger, and personal data: rules.screening.screening.",
    )
    active_selection = models.JSONField(
        default=dict,
        blank=True,
        help_text="Whether and how pairs are chosen by the reward model: rules.evaluation.active_selection.",
    )
    queue_epoch = models.PositiveIntegerField(
        default=0, help_text="Increases when all cursors must return to the start."
    )
    created_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(annotations_per_task__gte=1), name="at_least_one_annotation_per_task"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def names(self) -> Names:
        """What its labels and dimensions are called, and were called before."""
        renames = self.renames
        return Names(renames.get("labels", {}), renames.get("dimensions", {}), self.label_scheme, self.dimensions)


class Membership(Row):
    class Role(models.TextChoices):
        ANNOTATOR = "annotator"  # judges
        REVIEWER = "reviewer"  # judges, and decides about others' answers
        ADMIN = "admin"  # all of it: settings, data, training, models

    class Training(models.TextChoices):
        NEEDED = "needed"  # has not passed the qualification round, where the project has one
        PASSED = "passed"
        FAILED = "failed"  # answered all of it, too much of it wrong
        WAIVED = "waived"  # an admin lets them work without it

    RANK = {Role.ANNOTATOR: 1, Role.REVIEWER: 2, Role.ADMIN: 3}

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    person = models.ForeignKey("feedback.Person", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    guidelines_read = models.ForeignKey(
        "feedback.GuidelineVersion", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    qualified = models.JSONField(
        default=dict,
        blank=True,
        help_text='Task kinds and label schemes they may annotate: {"kinds": […], "schemes": […]}. Empty: all.',
    )
    daily_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Annotations a day. Empty: the project's limit."
    )
    training = models.CharField(max_length=10, choices=Training.choices, default=Training.NEEDED)
    trained_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "person"], name="one_role_per_person_and_project")]


class GuidelineVersion(Row):
    """The guidelines of annotators. Never edited: a change is a new version."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="guidelines")
    number = models.PositiveIntegerField()
    text = models.TextField()
    created_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="one_guideline_version_per_number")]
