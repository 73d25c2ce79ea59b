"""Forms about giving out tasks: the queue policy of a project, the terms of a member, and one task."""

from typing import Any

from django import forms
from django.http import QueryDict

from feedback.models import Kind, Membership, Project, Task
from feedback.rules.collection.pairing import PRIORITIES
from feedback.rules.collection.queue_policy import MOST_DOUBLE, MOST_GOLD, MOST_WEIGHT, QueuePolicy
from feedback.rules.json_types import JsonObject
from feedback.rules.quality.doubling import LATER_SHARE
from feedback.rules.quality.reliability_weights import FEWEST_SHARED
from feedback.web.forms import PageForm

MOST_GOLD_PERCENT = round(100 * MOST_GOLD)
MOST_DOUBLE_PERCENT = round(100 * MOST_DOUBLE)
LATER_PERCENT = round(100 * LATER_SHARE)


class QueuePolicyForm(PageForm):
    """The queue policy. It holds shares, which this form shows in percent."""

    gold_percent = forms.IntegerField(
        label="Gold tasks, percent of assigned tasks",
        min_value=0,
        max_value=100,
        help_text=f"0 to {MOST_GOLD_PERCENT}; 100 assigns only gold tasks, to test annotators. Gold tasks look "
        "like other tasks, never follow one another, and are assigned once per annotator in random "
        "order.",
    )
    daily_limit = forms.IntegerField(
        label="Annotations per day and annotator",
        required=False,
        min_value=1,
        max_value=100_000,
        help_text="Empty: no limit. Days are in UTC. Members can have their own limit.",
    )
    training_tasks = forms.IntegerField(
        label="Tasks in the qualification round",
        min_value=0,
        max_value=100,
        help_text="Number of tasks that new annotators complete first, with the correct answer and reason shown "
        "after each. 0: no round. Mark tasks for the round on their pages; further tasks are "
        "additional attempts.",
    )
    training_pass = forms.IntegerField(
        label="Pass threshold, percent correct",
        min_value=1,
        max_value=100,
        help_text="Measured on the last tasks of the round.",
    )
    skips_to_review = forms.IntegerField(
        label="Skips before review",
        min_value=0,
        max_value=100,
        help_text="A task skipped by this many annotators is suspended until a reviewer decides. 0: never.",
    )
    review_percent = forms.IntegerField(
        label="Annotations to review, percent",
        min_value=0,
        max_value=100,
        help_text="Random sample, in addition to flagged tasks and disagreements.",
    )

    double_percent = forms.IntegerField(
        label="Comparisons for two annotators, percent",
        min_value=0,
        max_value=MOST_DOUBLE_PERCENT,
        help_text="Of new comparisons, where a task wants one annotation. They tell how reliable annotators are. Once "
        f"every active annotator has {FEWEST_SHARED} such annotations, {LATER_PERCENT} percent are made.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind in Kind.values:
            self.fields[f"weight_{kind}"] = forms.IntegerField(
                label=kind.capitalize(), required=False, min_value=0, max_value=MOST_WEIGHT
            )

    def clean_gold_percent(self) -> int:
        percent: int = self.cleaned_data["gold_percent"]
        if MOST_GOLD_PERCENT < percent < 100:
            raise forms.ValidationError(f"From 0 to {MOST_GOLD_PERCENT}, or 100 for only gold tasks.")
        return percent

    @property
    def weights(self) -> list[forms.BoundField]:
        return [self[f"weight_{kind}"] for kind in Kind.values]

    @staticmethod
    def values_of(project: Project) -> JsonObject:
        policy = QueuePolicy.of(project.queue_policy)
        values: JsonObject = {f"weight_{kind}": weight for kind, weight in policy.kind_weights.items()}
        return values | {
            "gold_percent": round(100 * policy.gold_share),
            "review_percent": round(100 * policy.review_share),
            "double_percent": round(100 * policy.double_share),
            "daily_limit": policy.daily_limit,
            "training_tasks": policy.training_tasks,
            "training_pass": policy.training_pass,
            "skips_to_review": policy.skips_to_review,
        }

    def policy(self) -> JsonObject:
        """The value of the field `queue_policy` of a project."""
        policy = dict(self.cleaned_data)
        policy["gold_share"] = policy.pop("gold_percent") / 100
        policy["review_share"] = policy.pop("review_percent") / 100
        policy["double_share"] = policy.pop("double_percent") / 100
        policy["kind_weights"] = {}
        for kind in Kind.values:
            weight = policy.pop(f"weight_{kind}")
            if weight is not None:
                policy["kind_weights"][kind] = weight
        return policy


class MemberTermsForm(PageForm):
    """The qualification and the daily limit of a member."""

    kinds = forms.MultipleChoiceField(
        label="Qualified task kinds",
        choices=[(kind, kind.capitalize()) for kind in Kind.values],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None selected: all.",
    )
    schemes = forms.MultipleChoiceField(
        label="Qualified label schemes",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="For classification and spans. None selected: all.",
    )
    daily_limit = forms.IntegerField(
        label="Annotations per day",
        required=False,
        min_value=1,
        max_value=100_000,
        help_text="Empty: the project's limit.",
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = sorted(project.label_scheme)
        self.fields["schemes"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        if not names:
            del self.fields["schemes"]

    @staticmethod
    def values_of(member: Membership) -> JsonObject:
        return {**member.qualified, "daily_limit": member.daily_limit}

    def terms(self) -> JsonObject:
        values = self.cleaned_data
        qualified = {name: values[name] for name in ("kinds", "schemes") if values.get(name)}
        return {"qualified": qualified, "daily_limit": values["daily_limit"]}


class TaskForm(PageForm):
    """How many answers a task wants, and how soon."""

    annotations_wanted = forms.IntegerField(label="Annotations wanted", min_value=1, max_value=100)
    priority = forms.IntegerField(
        min_value=0, max_value=PRIORITIES - 1, help_text="Tasks with a higher priority are assigned first."
    )

    @classmethod
    def of(cls, task: Task, data: QueryDict | None = None) -> "TaskForm":
        form = cls(data, initial={"annotations_wanted": task.annotations_wanted, "priority": task.priority})
        if task.annotations_wanted is None:
            del form.fields["annotations_wanted"]
        return form


class GoldForm(PageForm):
    """Besides the right answer: the reason, the tolerance, and whether it belongs to the qualification round."""

    explanation = forms.CharField(
        label="Explanation",
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Shown in the qualification round. Markdown.",
    )
    tolerance = forms.IntegerField(required=False, min_value=0, help_text="Allowed deviation.")
    training_round = forms.BooleanField(
        label="Use in the qualification round",
        required=False,
        help_text="New annotators see the correct answer after each task.",
    )
