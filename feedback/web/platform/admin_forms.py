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
    ("tiny", "tiny: seconds; to see that everything works, not to learn much"),
    ("pretrained", "pretrained: goes on from a model from elsewhere, at learning rates by its size"),
    ("pretrained-lora", "pretrained-lora: the same with adapters, which need less memory"),
    ("book", "book: tokenizer and pretraining on a megabyte of prose; other stages by their defaults"),
]


def add_error(form: forms.Form, error: DomainError) -> None:
    """Put what a service refused where the person can mend it: beside its field, or above the form."""
    form.add_error(error.field if error.field in form.fields else None, error.sentence)


def first_error(form: forms.Form) -> str:
    """The first thing wrong with a form that is one button wide."""
    return next((str(message) for errors in form.errors.values() for message in errors), "That cannot be done.")


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
    kinds = forms.MultipleChoiceField(
        label="What annotators do", choices=OFFERED_KINDS, widget=forms.CheckboxSelectMultiple
    )
    annotations_per_task = forms.IntegerField(
        label="Annotations per task (K)",
        min_value=1,
        max_value=100,
        help_text="How many different people answer each task. More than one lets agreement be measured.",
    )
    responses_per_prompt = forms.IntegerField(
        label="Responses per prompt", min_value=2, max_value=9, help_text="Generated for each prompt submitted here."
    )
    asks_reason = forms.BooleanField(label="Ask why", required=False, help_text="A few words with every answer.")
    number_sends = forms.BooleanField(
        label="A number key sends", required=False, help_text="Faster by one key press; undo stays."
    )
    completions_make_tasks = forms.BooleanField(
        label="Completions become tasks",
        required=False,
        help_text="What clients ask over /v1/chat/completions is answered twice, and the two answers are compared.",
    )
    temperature = forms.FloatField(
        label="Temperature of generated responses",
        min_value=0,
        max_value=5,
        help_text="0 is always the likeliest word; 1 is the model's own spread, which gives pairs that differ.",
    )
    top_p = forms.FloatField(label="Nucleus (top-p)", min_value=0.01, max_value=1, help_text="1 keeps every word.")
    max_new_tokens = forms.IntegerField(label="Longest response, tokens", min_value=1, max_value=8192)
    best_of = forms.IntegerField(
        label="Best of",
        required=False,
        min_value=1,
        max_value=MOST_DRAWN,
        help_text="So many are drawn for each response, and the one that the newest reward model likes best is kept. 1"
        " draws one; more cost as many times the work, need a reward model, and nobody can read along.",
    )
    preset = forms.ChoiceField(label="Training preset", choices=PRESETS, help_text="Where settings start from.")
    stages = JSONObject(
        label="Settings by stage",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text='Overrides of the preset, as JSON: {"ppo": {"kl_coef": 0.05}}. Empty keeps the preset.',
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
                raise forms.ValidationError(f"{name!r} is no stage; the stages are {', '.join(Stage.values)}.")
            if not isinstance(settings, dict):
                raise forms.ValidationError(f"The settings of {name} must be an object, in braces.")
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
        required=False, help_text="Asked beside the overall choice, with commas between: helpful, truthful, harmless."
    )
    slug = forms.SlugField(
        label="Short name", max_length=60, help_text="In its address, for ever: small letters, digits, hyphens."
    )
    field_order = ("name", "slug")


class GuidelinesForm(PageForm):
    text = forms.CharField(
        label="Text of the next version",
        max_length=50_000,
        widget=forms.Textarea(attrs={"rows": 14}),
        help_text="Markdown. Say what is better than what, with an example of each, and what to do in doubt.",
    )


class MemberForm(PageForm):
    username = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(choices=Membership.Role.choices)


class NewPersonForm(MemberForm):
    display_name = forms.CharField(label="Name shown", max_length=150, required=False)
    field_order = ("username", "display_name", "role")


class PromptFilter(PageForm):
    """What a list of prompts is narrowed to. Everything is optional; nonsense is ignored."""

    q = forms.CharField(label="Text", max_length=200, required=False)
    state = forms.ChoiceField(choices=[("", "any state"), *Prompt.State.choices], required=False)
    split = forms.ChoiceField(choices=[("", "any split"), *Split.choices], required=False)
    source = forms.CharField(max_length=100, required=False, widget=forms.TextInput(attrs={"list": "sources"}))
    group = forms.CharField(max_length=200, required=False)


class NewPromptsForm(PageForm):
    text = forms.CharField(label="Prompts", widget=forms.Textarea(attrs={"rows": 8}), max_length=400_000)
    each_line = forms.BooleanField(
        label="Each line is a prompt of its own", required=False, help_text=f"At most {MOST_PROMPTS} at a time."
    )
    responses_wanted = forms.IntegerField(
        label="Responses to each",
        min_value=0,
        max_value=16,
        help_text="From the model that serves now. 0: none.",
    )
    group = forms.CharField(
        max_length=200,
        required=False,
        help_text="Optional: the document, conversation or customer they are from. One group lies in one split.",
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
        choices=[("time", "Every so often"), ("pairs", "After so many new preference pairs")],
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
        label="Ask an admin to promote the new policy",
        required=False,
        help_text="When a chain has ended, its policy waits on the home page, with all that speaks against serving it "
        "beside what serves now. Nothing is promoted by itself: only people can judge that it is better.",
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("rule") == "time" and "every" in values and not values["every"]:
            self.add_error("every", "Say how often.")
        if values.get("rule") == "pairs" and "after_pairs" in values and not values["after_pairs"]:
            self.add_error("after_pairs", "Say after how many new pairs.")
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
    left = forms.UUIDField(label="One version")
    right = forms.UUIDField(label="The other")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("left") and values.get("left") == values.get("right"):
            self.add_error("right", "Choose two different versions.")
        return values
