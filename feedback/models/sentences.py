"""Columns for sentences that people read. No path of the server is stored in one (`rules/platform/sentences.py`)."""

from typing import Any

from django.db import models

from feedback.rules.platform.sentences import without_paths


class SentenceText(models.TextField):
    """Text of any length. For the database it is a TextField, so that changing to it needs no migration."""

    def get_prep_value(self, value: object) -> Any:
        prepared = super().get_prep_value(value)
        return without_paths(prepared) if isinstance(prepared, str) else prepared

    def deconstruct(self) -> Any:
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.TextField", arguments, options


class SentenceLine(models.CharField):
    """Text up to `max_length` characters; otherwise as `SentenceText`."""

    def get_prep_value(self, value: object) -> Any:
        prepared = super().get_prep_value(value)
        return without_paths(prepared) if isinstance(prepared, str) else prepared

    def deconstruct(self) -> Any:
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.CharField", arguments, options
