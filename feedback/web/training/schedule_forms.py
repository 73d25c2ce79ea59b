"""The form of a training schedule."""

from django import forms

from feedback.rules.json_types import JsonObject
from feedback.selectors.training.stages import TITLES
from feedback.web.forms import PageForm


class ScheduleForm(PageForm):
    UNITS = ((60, "minutes"), (3600, "hours"), (86400, "days"))

    name = forms.CharField(max_length=120)
    rule = forms.ChoiceField(
        label="When",
        choices=[("time", "At an interval"), ("pairs", "After a number of new preference pairs")],
        widget=forms.RadioSelect,
        initial="pairs",
    )
    every = forms.IntegerField(label="Every", min_value=1, max_value=10_000, required=False, initial=6)
    unit = forms.TypedChoiceField(coerce=int, choices=UNITS, required=False, initial=3600)
    after_pairs = forms.IntegerField(label="New pairs", min_value=1, max_value=10_000_000, required=False, initial=500)
    stages = forms.MultipleChoiceField(
        choices=list(TITLES.items()),
        widget=forms.CheckboxSelectMultiple,
        initial=["sft", "reward", "ppo", "evaluate"],
    )
    promote = forms.BooleanField(
        label="Request promotion of the new policy",
        required=False,
        help_text="After a pipeline run, the home page asks an admin to decide on the new policy and lists all "
        "findings. Policies are never promoted automatically.",
    )

    def clean(self) -> JsonObject:
        values = super().clean() or {}
        if values.get("rule") == "time" and "every" in values and not values["every"]:
            self.add_error("every", "Enter an interval.")
        if values.get("rule") == "pairs" and "after_pairs" in values and not values["after_pairs"]:
            self.add_error("after_pairs", "Enter a number of new pairs.")
        return values

    def arguments(self) -> JsonObject:
        values = self.cleaned_data
        every_seconds, after_pairs = None, values["after_pairs"]
        if values["rule"] == "time":
            every_seconds, after_pairs = values["every"] * (values["unit"] or 3600), None
        return {
            "name": values["name"],
            "stages": values["stages"],
            "promote": values["promote"],
            "every_seconds": every_seconds,
            "after_pairs": after_pairs,
        }
