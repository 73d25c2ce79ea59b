"""Text for pretraining."""

from django.db import models

from feedback.models.base import Row


class Corpus(Row):
    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="corpora")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "corpora"
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_corpus_per_name")]


class Document(Row):
    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="documents")
    text = models.TextField()
    messages = models.JSONField(null=True, blank=True, help_text="Turns, when the document is a conversation.")
    source = models.CharField(max_length=200)
    document_kind = models.CharField(max_length=30)
    licence = models.CharField(max_length=100)
    text_hash = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["corpus", "text_hash"], name="no_exact_duplicate_in_a_corpus")]
