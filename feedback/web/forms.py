"""The base form of the pages, fields that several forms share, and where errors of the services are shown.

Forms check the shape of the input; the services decide what is allowed.
"""

import json
from typing import Any

from django import forms

from feedback.errors import DomainError


class PageForm(forms.Form):
    """A form of the pages. Labels stand above their fields, so they have no colon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # those of Form
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)


class CommaList(forms.CharField):
    """A list of words, typed with commas between them."""

    def to_python(self, value: object) -> Any:
        if isinstance(value, list):
            return value
        words = map(str.strip, str(value or "").split(","))
        return list(filter(None, words))

    def prepare_value(self, value: object) -> object:
        return ", ".join(value) if isinstance(value, list) else value

    def run_validators(self, value: object) -> None:
        """Nothing: the validators of a text do not fit a list."""


class JSONObject(forms.CharField):
    """A JSON object, shown with indentation."""

    widget = forms.Textarea

    def to_python(self, value: object) -> Any:
        if isinstance(value, dict):
            return value
        text = str(value or "").strip()
        if not text:
            return {}
        try:
            parsed = json.loads(text)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"Not JSON: {error.msg} in line {error.lineno}.") from None
        if not isinstance(parsed, dict):
            raise forms.ValidationError("It must be a JSON object, in braces.")
        return parsed

    def prepare_value(self, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return json.dumps(value, indent=2) if value else ""

    def run_validators(self, value: object) -> None:
        """Nothing: the validators of a text do not fit an object."""


def add_error(form: forms.Form, error: DomainError) -> None:
    """Show an error of a service at its field, or above the form if the form has no such field."""
    field = error.field
    if field not in form.fields:
        field = None
    form.add_error(field, error.sentence)


def form_status(*forms_: forms.Form) -> int:
    """The status of a page with these forms: 422 if one of them has errors."""
    return 422 if any(form.errors for form in forms_) else 200


def first_error(form: forms.Form) -> str:
    """The first error of a form that is too small to show errors at its fields."""
    for errors in form.errors.values():
        return str(errors[0])
    return "This is not possible."
