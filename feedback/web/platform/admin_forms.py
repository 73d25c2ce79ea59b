"""Forms of the admin's pages. They check shape; the services decide what is allowed."""

import json
import uuid
from typing import Any

from django import forms

from feedback.errors import DomainError
from feedback.models import Membership, Project, Prompt, Split, Stage
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.training.policies import MOST_DRAWN
from feedback.selectors.training.stages import STAGES

MOST_PROMPTS = 500
# Kinds that annotators have a desk for; the rest of `Kind` has columns and formats, not yet a page.
OFFERED_KINDS = [(kind.name, f"{kind.label}: {kind.summary}") for kind in KINDS.values()]
PRESETS = [
    ("small", "small: a from-scratch model for laptops, minutes on two cores"),
    ("tiny", "tiny: seconds; checks that everything works, learns little"),
    ("pretrained", "pretrained: continues from an external model, with learning rates by model size"),
    ("pretrained-lora", "pretrained-lora: the same with LoRA adapters, which need less memory"),
    ("book", "book: tokenizer and pretraining on a megabyte of prose; defaults for other stages"),
]


def add_error(form: forms.Form, error: DomainError) -> None:
    """Put what a service refused where the person can mend it: beside its field, or above the form."""
    form.add_error(error.field if error.field in form.fields else None, error.sentence)


def first_error(form: forms.Form) -> str:
    """The first thing wrong with a form that is one button wide."""
    return next((str(message) for errors in form.errors.values() for message in errors), "This is not possible.")


SPLITS = [(value, "validation" if value == Split.SELECTION else label) for value, label in Split.choices]


class PageForm(forms.Form):
    """A form of these pages: labels stand above their fields, so no colon ends them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)


class CommaList(forms.CharField):
    """Words with commas between them, as a list."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [word.strip() for word in (value or "").split(",") if word.strip()]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        return None


class JSONObject(forms.CharField):
    """A JSON object, pretty when shown."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        if not (value or "").strip():
            return {}
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"Not JSON: {error.msg} in line {error.lineno}.") from None
        if not isinstance(parsed, dict):
            raise forms.ValidationError("It must be a JSON object, in braces.")
        return parsed

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2) if isinstance(value, dict) and value else ("" if value == {} else value)

    def run_validators(self, value: Any) -> None:
        return None


class ProjectForm(PageForm):
    """What a project asks of its annotators and of its models."""

    name = forms.CharField(max_length=120)
    description = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 2}), help_text="One or two sentences, shown in lists."
    )
    kinds = forms.MultipleChoiceField(label="Task kinds", choices=OFFERED_KINDS, widget=forms.CheckboxSelectMultiple)
    annotations_per_task = forms.IntegerField(
        label="Annotations per task (K)",
        min_value=1,
        max_value=100,
        help_text="Number of annotators per task. More than one is needed to measure agreement.",
    )
    responses_per_prompt = forms.IntegerField(
        label="Responses per prompt", min_value=2, max_value=9, help_text="Generated for each submitted prompt."
    )
    asks_reason = forms.BooleanField(
        label="Require a reason", required=False, help_text="A few words with every annotation."
    )
    number_sends = forms.BooleanField(
        label="Number keys submit", required=False, help_text="Saves one key press; undo still works."
    )
    completions_make_tasks = forms.BooleanField(
        label="Completions become tasks",
        required=False,
        help_text="Each request to /v1/chat/completions gets two responses, which become a comparison task.",
    )
    temperature = forms.FloatField(
        label="Temperature of generated responses",
        min_value=0,
        max_value=5,
        help_text=(
            "0 always takes the most likely token; 1 samples from the model's distribution, which gives "
            "more varied pairs."
        ),
    )
    top_p = forms.FloatField(label="Nucleus (top-p)", min_value=0.01, max_value=1, help_text="1 keeps every token.")
    max_new_tokens = forms.IntegerField(label="Longest response, tokens", min_value=1, max_value=8192)
    best_of = forms.IntegerField(
        label="Best of",
        required=False,
        min_value=1,
        max_value=MOST_DRAWN,
        help_text="Number of samples per response; the newest reward model selects the best one. 1 draws one "
        "sample. More need a reward model and proportionally more compute, and disable streaming.",
    )
    preset = forms.ChoiceField(label="Training preset", choices=PRESETS, help_text="Base values of all settings.")
    stages = JSONObject(
        label="Settings by stage",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text='Preset overrides as JSON: {"ppo": {"kl_coef": 0.05}}. Empty keeps the preset.',
    )

    SAMPLING = ("temperature", "top_p", "max_new_tokens", "best_of")
    POLICY = ("preset", "stages")

    @classmethod
    def values_of(cls, project: Project, sampling: dict[str, Any]) -> dict[str, Any]:
        """What the project's row says, with the sampling that stands where it says nothing."""
        values = {name: getattr(project, name) for name in cls.base_fields if hasattr(project, name)}
        values |= {name: (sampling | project.sampling).get(name) for name in cls.SAMPLING}
        values["preset"] = project.training_policy.get("preset", PRESETS[0][0])
        values["stages"] = project.training_policy.get("stages", {})
        return values

    def clean_best_of(self) -> int:
        return self.cleaned_data["best_of"] or 1

    def clean_stages(self) -> dict[str, Any]:
        stages = self.cleaned_data["stages"]
        for name, settings in stages.items():
            if name not in Stage.values:
                raise forms.ValidationError(f"{name!r} is not a stage; the stages are {', '.join(Stage.values)}.")
            if not isinstance(settings, dict):
                raise forms.ValidationError(f"The settings of {name} must be a JSON object in braces.")
        return stages

    def changes(self, project: Project | None = None) -> dict[str, Any]:
        """Arguments of `open_project` and `update_project`; keys of JSON columns that have no field here are kept."""
        values = dict(self.cleaned_data)
        sampling = {name: values.pop(name) for name in self.SAMPLING}
        policy = {name: values.pop(name) for name in self.POLICY}
        values["sampling"] = (project.sampling if project else {}) | sampling
        values["training_policy"] = (project.training_policy if project else {}) | policy
        return values


class NewProjectForm(ProjectForm):
    dimensions = CommaList(
        required=False,
        help_text="Asked in addition to the overall choice, separated by commas: helpful, truthful, harmless.",
    )
    slug = forms.SlugField(
        label="Short name",
        max_length=60,
        help_text="Part of the address, permanent: lowercase letters, digits, hyphens.",
    )
    field_order = ("name", "slug")


class GuidelinesForm(PageForm):
    text = forms.CharField(
        label="Text of the new version",
        max_length=50_000,
        widget=forms.Textarea(attrs={"rows": 14}),
        help_text="Markdown. Describe which responses are better, with examples, and what to do when in doubt.",
    )


class MemberForm(PageForm):
    username = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(choices=Membership.Role.choices)


class NewPersonForm(MemberForm):
    display_name = forms.CharField(label="Display name", max_length=150, required=False)
    field_order = ("username", "display_name", "role")


class PromptFilter(PageForm):
    """What a list of prompts is narrowed to. Everything is optional; nonsense is ignored."""

    q = forms.CharField(label="Text", max_length=200, required=False)
    state = forms.ChoiceField(choices=[("", "any state"), *Prompt.State.choices], required=False)
    split = forms.ChoiceField(choices=[("", "any split"), *SPLITS], required=False)
    source = forms.CharField(max_length=100, required=False, widget=forms.TextInput(attrs={"list": "sources"}))
    group = forms.CharField(max_length=200, required=False)


class NewPromptsForm(PageForm):
    text = forms.CharField(label="Prompts", widget=forms.Textarea(attrs={"rows": 8}), max_length=400_000)
    each_line = forms.BooleanField(
        label="One prompt per line", required=False, help_text=f"At most {MOST_PROMPTS} at a time."
    )
    responses_wanted = forms.IntegerField(
        label="Responses per prompt",
        min_value=0,
        max_value=16,
        help_text="Generated by the serving model. 0: none.",
    )
    group = forms.CharField(
        max_length=200,
        required=False,
        help_text=(
            "Optional: the document, conversation or customer of the prompts. All prompts of a group share a split."
        ),
    )
    key = forms.CharField(widget=forms.HiddenInput, max_length=64)  # sending the page twice stores nothing twice

    @staticmethod
    def new_key() -> str:
        return uuid.uuid4().hex

    def clean_text(self) -> str:
        return self.cleaned_data["text"].replace("\r\n", "\n")

    def texts(self) -> list[str]:
        text = self.cleaned_data["text"]
        if not self.cleaned_data["each_line"]:
            return [text.strip()]
        return [line.strip() for line in text.split("\n") if line.strip()]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if "text" in values and len(self.texts()) > MOST_PROMPTS:
            self.add_error("text", f"{len(self.texts())} lines; at most {MOST_PROMPTS} at a time.")
        return values


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
        choices=[(card.stage.value, card.title) for card in STAGES],
        widget=forms.CheckboxSelectMultiple,
        initial=["sft", "reward", "ppo", "evaluate"],
    )
    promote = forms.BooleanField(
        label="Request promotion of the new policy",
        required=False,
        help_text="After a pipeline run, the home page asks an admin to decide on the new policy and lists all "
        "findings. Policies are never promoted automatically.",
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("rule") == "time" and "every" in values and not values["every"]:
            self.add_error("every", "Enter an interval.")
        if values.get("rule") == "pairs" and "after_pairs" in values and not values["after_pairs"]:
            self.add_error("after_pairs", "Enter a number of new pairs.")
        return values

    def arguments(self) -> dict[str, Any]:
        values = self.cleaned_data
        by_time = values["rule"] == "time"
        return {
            "name": values["name"],
            "stages": values["stages"],
            "promote": values["promote"],
            "every_seconds": values["every"] * (values["unit"] or 3600) if by_time else None,
            "after_pairs": None if by_time else values["after_pairs"],
        }


class PlaygroundForm(PageForm):
    text = forms.CharField(label="Prompt", max_length=20_000, widget=forms.Textarea(attrs={"rows": 3}))
    left = forms.UUIDField(label="First version")
    right = forms.UUIDField(label="Second version")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("left") and values.get("left") == values.get("right"):
            self.add_error("right", "Choose two different versions.")
        return values
