"""Form rows that have a name each. A row with a changed name renames it, and a row without a name is empty."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from django import forms
from django.forms import BaseFormSet, formset_factory

from feedback.errors import Conflict
from feedback.rules.collection import dimensions
from feedback.web.forms import PageForm

if TYPE_CHECKING:
    Rows = BaseFormSet["DimensionForm"]
else:
    Rows = BaseFormSet
R = TypeVar("R", bound="NamedRow")


class NamedRow(PageForm):
    """A row. `was` is its name when the page was shown, so that a row is identified by that name, not by its place."""

    was = forms.CharField(required=False, widget=forms.HiddenInput)

    def has_changed(self) -> bool:
        """Always True: Django would treat an extra row with unchanged values as empty, and so as removed."""
        return True


class DimensionForm(NamedRow):
    name = forms.CharField(label="Dimension", max_length=dimensions.MOST_CHARACTERS, required=False)


class NumberedRows(Rows):
    def add_fields(self, form: DimensionForm, index: int | None) -> None:
        super().add_fields(form, index)
        if index is not None:
            form.fields["name"].label = f"Dimension {index + 1}"


DimensionRows = formset_factory(DimensionForm, formset=NumberedRows, extra=2, max_num=dimensions.MOST)


def filled(rows: Iterable[R]) -> list[R]:
    """The rows that have a name."""
    return [row for row in rows if row.cleaned_data.get("name")]


def renamed(rows: Iterable[NamedRow], names: list[str]) -> list[tuple[str, str]]:
    """(earlier name, new name) of each row with a changed name, unless another row has the new name already.

    Args:
        names: the present names.

    Raises:
        Conflict: somebody else has renamed or removed one of them since the page was shown.
    """
    found = []
    for row in rows:
        old, new = row.cleaned_data.get("was", ""), row.cleaned_data["name"]
        if old and old not in names:
            raise Conflict(f"{old!r} was renamed or removed in the meantime. Reload the page.")
        if old and new not in names:
            found.append((old, new))
    return found
