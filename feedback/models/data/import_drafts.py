"""An import that somebody is preparing: an uploaded file, how it is read, and what its columns are."""

from django.db import models

from feedback.models.base import Row


class ImportDraft(Row):
    """The state of the import wizard. It stays once it is imported: the next file with these columns is read alike."""

    project = models.ForeignKey("feedback.Project", on_delete=models.CASCADE, related_name="import_drafts")
    created_by = models.ForeignKey("feedback.Person", on_delete=models.PROTECT, related_name="+")
    folder = models.CharField(max_length=100, help_text="Where the file lies, in the data folder.")
    name = models.CharField(max_length=200)
    format = models.CharField(max_length=40)
    layout = models.JSONField(default=dict)
    mapping = models.JSONField(default=dict, help_text="Of a table: formats.tables.mapping.")
    repairs = models.JSONField(default=dict, help_text="Repaired cells by line and column.")
    signature = models.CharField(max_length=64, help_text="Hash of the columns' names.")
    source = models.CharField(max_length=100, blank=True)
    annotator = models.CharField(max_length=200, blank=True)
    trial = models.ForeignKey("feedback.Job", on_delete=models.SET_NULL, null=True, related_name="+")
    job = models.ForeignKey("feedback.Job", on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "signature", "-id"], name="drafts_by_columns")]
