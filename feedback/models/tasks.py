"""Tasks: what annotators judge, and when it may be given out."""

from django.db import models
from django.db.models import F, Q

from feedback.models.base import Row


class Kind(models.TextChoices):
    COMPARISON = "comparison"
    RANKING = "ranking"
    RATING = "rating"
    DEMONSTRATION = "demonstration"
    CLASSIFICATION = "classification"
    SPANS = "spans"
    CONVERSATION = "conversation"


WAITING = Q(state="open", free_slots__gt=0, gold__isnull=True, training_round=False, contest__isnull=True)
CHECKS = Q(state="open", gold__isnull=False, training_round=False)
TRAINING = Q(state="open", training_round=True)
CONTEST = Q(state="open", free_slots__gt=0, contest__isnull=False)


class TaskQuerySet(models.QuerySet["Task"]):
    def open(self) -> "TaskQuerySet":
        return self.filter(state=Task.State.OPEN)

    def with_free_slots(self) -> "TaskQuerySet":
        """Tasks to be given out, except gold tasks, the qualification round and contests: those have indexes too."""
        return self.filter(WAITING)

    def checks(self) -> "TaskQuerySet":
        return self.filter(CHECKS)

    def of_training_round(self) -> "TaskQuerySet":
        return self.filter(TRAINING)

    def of_contests(self) -> "TaskQuerySet":
        return self.filter(CONTEST)


class Task(Row):
    """What an annotator judges: a kind, a prompt, its responses.

    `queue_key` is the fixed order in which tasks are given out: priority first, then chance. The queue reads a partial
    index over it that holds only tasks with free slots, so its cost does not grow with what is done. Where kinds are
    mixed by weight, each kind has the same by itself; gold tasks, the qualification round and contests have theirs.
    """

    class State(models.TextChoices):
        WAITING = "waiting"  # what it shows has not passed the guard yet
        OPEN = "open"  # wants more annotations
        SETTLED = "settled"  # has all it wants
        WITHDRAWN = "withdrawn"  # taken out of the queue; answers stay
        ASIDE = "aside"  # skipped by so many that a reviewer looks before anybody else is requested

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="tasks", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    prompt = models.ForeignKey("feedback.Prompt", on_delete=models.CASCADE, related_name="tasks", db_index=False)
    ask = models.JSONField(default=dict, blank=True, help_text='Details of the question, such as {"scheme": "topic"}.')
    responses = models.ManyToManyField("feedback.Response", through="TaskResponse", related_name="tasks")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    annotations_wanted = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Empty: every annotator may answer once (gold tasks, qualification round)."
    )
    free_slots = models.PositiveSmallIntegerField(help_text="Slots that are neither held nor submitted.")
    priority = models.PositiveSmallIntegerField(default=0, help_text="0 to 9; higher priorities are assigned first.")
    queue_key = models.BigIntegerField()
    arm = models.CharField(max_length=30, default="given", help_text="Why it was chosen.")
    propensity = models.FloatField(default=1.0, help_text="Probability with which that arm chose it.")
    choice = models.ForeignKey(
        "feedback.Choice",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="tasks",
        db_index=False,
        help_text="The batch of active selection that it belongs to.",
    )
    gold = models.JSONField(null=True, blank=True, help_text="Right answer, if this is a gold task.")
    explanation = models.TextField(blank=True, help_text="Why it is right; shown in the qualification round.")
    suggestion = models.JSONField(
        null=True,
        blank=True,
        help_text="Spans of the pre-annotation tagger, with its version. The desk starts with them.",
    )
    training_round = models.BooleanField(default=False)
    contest = models.ForeignKey(
        "feedback.Contest", on_delete=models.CASCADE, null=True, blank=True, related_name="tasks", db_index=False
    )
    external_id = models.CharField(max_length=200, null=True, blank=True)
    body_hash = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(
        "feedback.Person", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )

    objects = TaskQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "queue_key"], condition=WAITING, name="task_queue"),
            models.Index(fields=["project", "kind", "queue_key"], condition=WAITING, name="task_queue_of_kind"),
            models.Index(fields=["project", "queue_key"], condition=CHECKS, name="task_checks"),
            models.Index(fields=["project", "queue_key"], condition=TRAINING, name="task_training_round"),
            models.Index(fields=["contest", "queue_key"], condition=CONTEST, name="task_contest"),
            models.Index(fields=["project", "-id"], name="task_newest_first"),
            models.Index(fields=["project", "state", "-id"], name="task_newest_of_state"),
            models.Index(fields=["prompt", "kind"], name="task_of_prompt"),
            models.Index(fields=["choice"], condition=Q(choice__isnull=False), name="task_of_choice"),
            models.Index(
                fields=["project", "id"],
                condition=Q(kind="spans", state__in=["open", "waiting"], suggestion__isnull=True),
                name="task_to_mark",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["project", "external_id"], name="one_task_per_external_id"),
            models.CheckConstraint(
                condition=Q(annotations_wanted__isnull=True) | Q(free_slots__lte=F("annotations_wanted")),
                name="no_more_free_slots_than_wanted",
            ),
            models.CheckConstraint(condition=Q(propensity__gt=0, propensity__lte=1), name="propensity_in_0_1"),
        ]


class TaskResponse(models.Model):
    """A response on a task, at a fixed place; the order shown is each assignment's own."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="placed", db_index=False)
    response = models.ForeignKey("feedback.Response", on_delete=models.PROTECT, related_name="placed", db_index=False)
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["task", "position"], name="one_response_per_task_and_position"),
            models.UniqueConstraint(fields=["response", "task"], name="a_response_once_per_task"),
        ]
