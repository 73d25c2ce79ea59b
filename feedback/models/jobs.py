"""Jobs: one table for all long work. The row is the job; the broker only knocks."""

from django.db import models
from django.db.models import Q

from feedback.models.base import Row
from feedback.models.sentences import SentenceLine, SentenceText


class Job(Row):
    class Kind(models.TextChoices):
        TRAINING = "training"  # one stage of training, in a child process
        GENERATION = "generation"  # a batch of responses
        FREEZE = "freeze"  # write a snapshot
        CORPUS = "corpus"  # import into a corpus
        IMPORT = "import"
        EXPORT = "export"
        PREFLIGHT = "preflight"  # what a training run would meet, looked at before it starts
        SCORE = "score"  # guard model or pre-annotation tagger, over prompts, responses or tasks
        LIVE_ACCURACY = "live_accuracy"  # score people's labels by the newest reward model
        SAFETY = "safety"  # the guard model judges responses of a candidate and of what serves
        ADOPT = "adopt"  # a model from elsewhere, copied and verified
        CHOICE = "choice"  # the next batch of pairs to compare, chosen by the reward model
        PROBE = "probe"  # one small question to a model, by somebody who waits in front of a page
        REPLAY = "replay"  # whether such choices would have saved labels, on labels that are there
        LOOKS = "looks"  # what other reward models make of the responses that a run saved

    class Status(models.TextChoices):
        QUEUED = "queued"  # no worker has it
        RUNNING = "running"  # one worker has it and is beating
        SUCCEEDED = "succeeded"
        FAILED = "failed"  # `error_kind`, `error` and `remedy` say why and what to do
        CANCELLED = "cancelled"

    ALLOWED = {
        Status.QUEUED: {Status.RUNNING, Status.CANCELLED, Status.FAILED},
        Status.RUNNING: {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.QUEUED},
        Status.SUCCEEDED: set(),
        Status.FAILED: {Status.QUEUED},  # retry: the same row, the same run folder
        Status.CANCELLED: {Status.QUEUED},
    }
    FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
    ACTIVE = (Status.QUEUED, Status.RUNNING)

    class ErrorKind(models.TextChoices):
        DATA = "data"  # theirs: what was trained on
        CONFIG = "config"  # theirs: a setting
        OUT_OF_MEMORY = "out_of_memory"
        DISK_FULL = "disk_full"
        DIVERGED = "diverged"  # a loss that is no number
        LOST_WORKER = "lost_worker"  # the worker went silent too often
        INTERNAL = "internal"  # ours

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, null=True, related_name="jobs")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    queue = models.CharField(max_length=16)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    payload = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)
    attempt = models.PositiveIntegerField(
        default=0, help_text="Number of claims; writes of an older attempt are refused."
    )
    losses = models.PositiveIntegerField(default=0, help_text="Lost workers since the last start or restart.")
    max_losses = models.PositiveIntegerField(default=5)
    worker = models.CharField(max_length=200, blank=True)
    queued_at = models.DateTimeField(null=True, blank=True, help_text="Start of its current or last wait.")
    knocked_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)
    progress_text = SentenceLine(max_length=300, blank=True)
    error_kind = models.CharField(max_length=16, choices=ErrorKind.choices, blank=True)
    error = SentenceText(blank=True)
    remedy = SentenceText(blank=True)
    log_tail = SentenceText(blank=True)
    requested_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        indexes = [
            models.Index(fields=["status", "queue"], condition=Q(status__in=["queued", "running"]), name="job_active"),
            models.Index(fields=["project", "-id"], name="job_newest_first"),
            models.Index(fields=["project", "-id"], condition=Q(kind="probe"), name="job_probes"),
        ]

    @property
    def is_final(self) -> bool:
        return self.status in self.FINAL


class WorkerProcess(models.Model):
    """A worker process. It writes its own row every few seconds, with or without a broker."""

    name = models.CharField(max_length=200, unique=True)
    queue = models.CharField(max_length=16)
    pid = models.PositiveIntegerField()
    host = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
