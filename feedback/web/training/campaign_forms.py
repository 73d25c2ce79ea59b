"""The forms of a campaign."""

from typing import cast

from django import forms

from feedback.rules.json_types import JsonObject
from feedback.rules.training.campaign_plans import Promotion
from feedback.selectors.training.stages import TITLES
from feedback.services.evaluation.contests import Rules
from feedback.services.training.campaigns import DEFAULT_CAP
from feedback.web.forms import PageForm

MOST_LABELS = 100_000_000


class CampaignForm(PageForm):
    UNITS = ((60, "minutes"), (3600, "hours"), (86400, "days"))

    name = forms.CharField(max_length=120)
    rule = forms.ChoiceField(
        label="Train",
        choices=[("labels", "After a number of labels"), ("time", "After a time")],
        widget=forms.RadioSelect,
        initial="labels",
    )
    after_labels = forms.IntegerField(
        label="Labels per round", min_value=1, max_value=MOST_LABELS, required=False, initial=1000
    )
    every = forms.IntegerField(label="Time per round", min_value=1, max_value=10_000, required=False, initial=1)
    unit = forms.TypedChoiceField(coerce=int, choices=UNITS, required=False, initial=86400)
    stages = forms.MultipleChoiceField(
        choices=list(TITLES.items()),
        widget=forms.CheckboxSelectMultiple,
        initial=["sft", "reward", "ppo", "evaluate"],
    )
    budget = forms.IntegerField(
        label="Budget in labels",
        min_value=2,
        max_value=MOST_LABELS,
        initial=8000,
        help_text="Of all rounds together, votes included. The campaign ends when it is used up.",
    )
    cap = forms.IntegerField(
        label="Votes per comparison, at most",
        min_value=1,
        max_value=100_000,
        initial=DEFAULT_CAP,
        help_text="With 300 votes a policy that wins 65 % of comparisons is nearly always found.",
    )
    promote = forms.ChoiceField(
        label="When people prefer the new policy",
        choices=[("automatically", "It serves at once"), ("ask", "Ask an admin")],
        widget=forms.RadioSelect,
        initial="automatically",
    )

    def clean(self) -> JsonObject:
        values = super().clean() or {}
        if values.get("rule") == "time" and "every" in values and not values["every"]:
            self.add_error("every", "Enter a time.")
        if values.get("rule") == "labels" and "after_labels" in values and not values["after_labels"]:
            self.add_error("after_labels", "Enter a number of labels.")
        return values

    def arguments(self) -> JsonObject:
        values = self.cleaned_data
        every_seconds, after_labels = None, values["after_labels"]
        if values["rule"] == "time":
            every_seconds, after_labels = values["every"] * (values["unit"] or 86400), None
        return {
            "name": values["name"],
            "stages": values["stages"],
            "budget": values["budget"],
            "after_labels": after_labels,
            "every_seconds": every_seconds,
            "contest": Rules(cap=values["cap"]),
            "promote": cast(Promotion, values["promote"]),
        }


class BudgetForm(PageForm):
    budget = forms.IntegerField(label="Budget in labels", min_value=2, max_value=MOST_LABELS)
