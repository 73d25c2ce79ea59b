"""Annotations. Rows are appended, never edited (erasure is the one exception)."""

from django.db import models

from feedback.models.base import Row


class Draft(models.Model):
    """An unsubmitted answer to an assignment. Overwritten as it grows, deleted by the submission."""

    assignment = models.OneToOneField("feedback.Assignment", on_delete=models.CASCADE, related_name="draft")
    payload = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)


class Annotation(Row):
    """One annotator's answer to one task. A revision is another row; the assignment points to the current one.

    `payload` names responses by public id, never by the side they were shown on; `shown` keeps the order shown.
    A withdrawal is a row too: `withdrawn` is true and the payload empty.
    """

    project = models.ForeignKey(
        "feedback.Project", on_delete=models.CASCADE, related_name="annotations", db_index=False
    )
    task = models.ForeignKey("feedback.Task", on_delete=models.CASCADE, related_name="annotations")
    assignment = models.ForeignKey(
        "feedback.Assignment", on_delete=models.CASCADE, related_name="annotations", db_index=False
    )
    annotator = models.ForeignKey(
        "feedback.Person", on_delete=models.PROTECT, related_name="annotations", db_index=False
    )
    kind = models.CharField(max_length=16)
    revision = models.PositiveIntegerField(default=1)
    payload = models.JSONField()
    shown = models.JSONField(default=list, help_text="Public ids of the responses in the order shown.")
    withdrawn = models.BooleanField(default=False)
    late = models.BooleanField(default=False, help_text="Submitted after the assignment had expired.")
    seconds = models.FloatField(default=0, help_text="Time spent, from when the task was shown.")
    timed = models.BooleanField(
        default=False, db_default=False, help_text="The first revision, with seconds measured by its client."
    )
    blind = models.BooleanField(
        null=True, help_text="The annotator could not read who wrote the responses. Empty: unknown, imported."
    )
    guideline = models.ForeignKey(
        "feedback.GuidelineVersion", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    client = models.CharField(max_length=20, default="api", help_text="web, api, import or simulation.")

    class Meta:
        indexes = [
            models.Index(fields=["project", "-id"], name="annotation_newest_first"),
            models.Index(
                fields=["annotator", "project", "created_at"], condition=models.Q(revision=1), name="annotation_by_day"
            ),
            models.Index(fields=["annotator", "project", "-id"], name="annotation_of_annotator"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["assignment", "revision"], name="one_annotation_per_revision"),
        ]


class Flag(Row):
    """A report that something is wrong with an annotation or task, for a reviewer."""

    assignment = models.ForeignKey("feedback.Assignment", on_delete=models.CASCADE, related_name="flags")
    person = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)


class Review(Row):
    """A reviewer's decision about an annotation. It is not an annotation itself."""

    class Decision(models.TextChoices):
        ACCEPT = "accept"  # good as it is
        CORRECT = "correct"  # replaced by the reviewer's own answer
        SEND_BACK = "send_back"  # uncounted, its slot is open again

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(max_length=16, choices=Decision.choices)
    note = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["annotation"], name="one_decision_per_annotation")]


class Verdict(Row):
    """A reviewer's answer to a task where annotators disagree. It is not an annotation itself.

    `payload` and `shown` are those of an annotation. Snapshots of policy `consensus` take it for the answers.
    """

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="+")
    task = models.ForeignKey("feedback.Task", on_delete=models.CASCADE, related_name="verdicts")
    reviewer = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="+")
    payload = models.JSONField()
    shown = models.JSONField(default=list)
    note = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task"], name="one_verdict_per_task")]


class Concern(Row):
    """Why a reviewer should look at a task, or at one annotation of it. Open until somebody decides."""

    class Reason(models.TextChoices):
        FLAGGED = "flagged"  # somebody says that something is wrong with it
        SKIPPED = "skipped"  # so many people skipped it that it was put on hold
        DISAGREEMENT = "disagreement"  # its answers differ in what matters
        UNRELIABLE = "unreliable"  # of an annotator who agrees little with the others
        SAMPLE = "sample"  # drawn by chance

    RANK = {reason: rank for rank, reason in enumerate(Reason)}  # what is looked at first

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="concerns")
    task = models.ForeignKey("feedback.Task", on_delete=models.CASCADE, related_name="concerns")
    assignment = models.ForeignKey("feedback.Assignment", on_delete=models.CASCADE, null=True, related_name="concerns")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    rank = models.PositiveSmallIntegerField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        indexes = [
            models.Index(
                fields=["project", "rank", "id"], condition=models.Q(closed_at__isnull=True), name="concern_open"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["assignment", "reason"],
                condition=models.Q(closed_at__isnull=True),
                name="one_open_concern_per_answer_and_reason",
            ),
            models.UniqueConstraint(
                fields=["task", "reason"],
                condition=models.Q(closed_at__isnull=True, assignment__isnull=True),
                name="one_open_concern_per_task_and_reason",
            ),
        ]
