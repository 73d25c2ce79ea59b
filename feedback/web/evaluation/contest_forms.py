"""The form that opens a contest."""

from django import forms

from feedback.models import ContestPlan
from feedback.services.evaluation.contests import LARGEST_CAP, Rules
from feedback.web.forms import PageForm

DEFAULT = Rules()


class ContestForm(PageForm):
    cap = forms.IntegerField(
        label="Most votes",
        min_value=1,
        max_value=LARGEST_CAP,
        initial=DEFAULT.cap,
        help_text="If the votes have not decided by then, nothing changes.",
    )
    votes_per_unit = forms.IntegerField(
        label="Votes per prompt",
        min_value=1,
        max_value=100,
        initial=DEFAULT.votes_per_unit,
        help_text="One decides with the fewest votes.",
    )
    share = forms.IntegerField(
        label="Share of annotators' tasks, %",
        min_value=1,
        max_value=100,
        initial=round(100 * DEFAULT.share),
        help_text="Annotators cannot tell these tasks from others.",
    )
    fresh_only = forms.BooleanField(
        label="New prompts only",
        required=False,
        help_text="Otherwise held-out prompts are used while there are no new ones; the result then holds for these.",
    )
    promote = forms.BooleanField(
        label="Promote the winner automatically",
        required=False,
        help_text="Needs the votes of three people at least. Otherwise an admin promotes it.",
    )
    report = forms.BooleanField(
        label="Ask people although checks failed",
        required=False,
        help_text="The findings are kept with the comparison, and votes decide all the same.",
    )

    def rules(self) -> Rules:
        """Call once the form is valid."""
        values = self.cleaned_data
        preconditions = ContestPlan.Preconditions.REPORT if values["report"] else ContestPlan.Preconditions.BLOCK
        return Rules(
            cap=values["cap"],
            votes_per_unit=values["votes_per_unit"],
            share=values["share"] / 100,
            fresh_only=values["fresh_only"],
            promote=values["promote"],
            preconditions=preconditions,
        )
