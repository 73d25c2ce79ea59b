"""Text for pretraining."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from feedback.models.base import Row

if TYPE_CHECKING:
    from feedback.models.projects import Project


class Corpus(Row):
    class HoldOut(models.TextChoices):
        """What of it is kept out of training, to measure bits per byte on."""

        SHARE = "share"  # one document in twenty, chosen by its text's hash
        LAST_TENTH = "last_tenth"  # the last tenth of the characters, in the order in which they came

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="corpora")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    hold_out = models.CharField(max_length=16, choices=HoldOut.choices, default=HoldOut.SHARE)
    report = models.JSONField(default=dict, blank=True, help_text="Diversity, as computed by the last report job.")
    reported_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "corpora"
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_corpus_per_name")]


class DocumentQuerySet(models.QuerySet["Document"]):
    def standing(self) -> "DocumentQuerySet":
        """Documents that nobody has removed."""
        return self.filter(removed_at=None)


class Document(Row):
    class Kind(models.TextChoices):
        BOOK = "book"
        ARTICLE = "article"
        WEBSITE = "website"
        CONVERSATION = "conversation"
        CODE = "code"

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="documents")
    text = models.TextField()
    messages = models.JSONField(null=True, blank=True, help_text="Turns, when the document is a conversation.")
    source = models.CharField(max_length=200)
    document_kind = models.CharField(max_length=30)
    licence = models.CharField(max_length=100)
    text_hash = models.CharField(max_length=64)
    name = models.CharField(max_length=200, blank=True, help_text="File and line, or its title.")
    characters = models.PositiveIntegerField(default=0)
    signature = models.BinaryField(null=True, blank=True, help_text="MinHash of its five-word sequences.")
    upload = models.ForeignKey("feedback.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    removed_at = models.DateTimeField(null=True, blank=True)
    removed_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    removed_reason = models.CharField(max_length=200, blank=True)

    objects = DocumentQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["corpus", "-id"], name="document_newest_first"),
            models.Index(fields=["corpus", "-id"], condition=Q(removed_at__isnull=False), name="document_removed"),
        ]
        constraints = [models.UniqueConstraint(fields=["corpus", "text_hash"], name="no_exact_duplicate_in_a_corpus")]

    @property
    def project(self) -> "Project":
        return self.corpus.project


class KeptTokenizer(models.Model):
    """A tokenizer.json by its hash, which the manifests of all versions that hold it name. Kept where web processes may
    read: they open no run folder, and how a text falls into tokens is wanted while somebody types."""

    sha256 = models.CharField(max_length=64, unique=True)
    text = models.TextField()
