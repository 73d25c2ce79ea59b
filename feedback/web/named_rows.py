"""Rows of a form that each have a name: a changed name is the same thing under another one, an empty one is none."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.forms import BaseFormSet, formset_factory

from feedback.errors import Conflict
from feedback.rules.collection import dimensions
from feedback.web.platform.admin_forms import PageForm

if TYPE_CHECKING:
    Rows = BaseFormSet[Any]
else:
    Rows = BaseFormSet


class NamedRow(PageForm):
    """A row; `was` is the name it had when the page was shown, so that a row is known by it and not by its place."""

    was = forms.CharField(required=False, widget=forms.HiddenInput)

    def has_changed(self) -> bool:
        """Always: Django takes an extra row that says what there is already for an empty one, and so for removed."""
        return True


class DimensionForm(NamedRow):
    name = forms.CharField(label="Dimension", max_length=dimensions.MOST_CHARACTERS, required=False)


class NumberedRows(Rows):
    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if index is not None:
            form.fields["name"].label = f"Dimension {index + 1}"


DimensionRows = formset_factory(DimensionForm, formset=NumberedRows, extra=2, max_num=dimensions.MOST)


def filled(rows: Iterable[Any]) -> list[Any]:
    return [row for row in rows if row.cleaned_data.get("name")]


def renamed(rows: Iterable[Any], names: list[str]) -> list[tuple[str, str]]:
    """(earlier name, new name) of each row whose name was changed, unless another one has the new name by now.

    Args:
        names: those that there are.

    Raises:
        Conflict: somebody else renamed or removed one of them since the page was shown.
    """
    found = []
    for row in rows:
        old, new = row.cleaned_data.get("was", ""), row.cleaned_data["name"]
        if old and old not in names:
            raise Conflict(f"{old!r} was renamed or removed in the meantime. Reload the page.")
        if old and new not in names:
            found.append((old, new))
    return found
