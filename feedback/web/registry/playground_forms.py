"""The form of the playground."""

from django import forms

from feedback.rules.json_types import JsonObject
from feedback.web.forms import PageForm


class PlaygroundForm(PageForm):
    text = forms.CharField(label="Prompt", max_length=20_000, widget=forms.Textarea(attrs={"rows": 3}))
    left = forms.UUIDField(label="First version")
    right = forms.UUIDField(label="Second version")

    def clean(self) -> JsonObject:
        values = super().clean() or {}
        if values.get("left") and values.get("left") == values.get("right"):
            self.add_error("right", "Choose two different versions.")
        return values
