"""Forms of the pages of a project: settings, guidelines and members."""

from django import forms

from feedback.models import Membership, Project, Stage
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.json_types import JsonObject
from feedback.rules.training.policies import MOST_DRAWN
from feedback.web.forms import CommaList, JSONObject, PageForm

# The kinds that the desk can show.
OFFERED_KINDS = [(kind.name, f"{kind.label}: {kind.summary}") for kind in KINDS.values()]
PRESETS = [
    ("small", "small: a model trained from scratch on a laptop, minutes on two cores"),
    ("tiny", "tiny: seconds; checks that everything works, learns little"),
    ("pretrained", "pretrained: continues from an external model, with learning rates by model size"),
    ("pretrained-lora", "pretrained-lora: the same with LoRA adapters, which need less memory"),
    ("book", "book: tokenizer and pretraining on a megabyte of prose; defaults for other stages"),
]
WEIGHING = [
    ("weigh", "weigh by reliability"),
    ("drop", "leave out annotators who agree too little with the others"),
    ("off", "count all annotators the same"),
]


class ProjectForm(PageForm):
    """The settings of a project, for annotation and for training."""

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
    battles_train = forms.BooleanField(
        label="Battles train",
        required=False,
        help_text="Prompts and votes of battles in the arena may go into snapshots.",
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
    weigh_annotators = forms.ChoiceField(
        label="Unreliable annotators",
        required=False,
        choices=WEIGHING,
        help_text="How training counts annotators of different reliability. Weighing needs tasks with two annotations.",
    )
    stages = JSONObject(
        label="Settings by stage",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text='Preset overrides as JSON: {"ppo": {"kl_coef": 0.05}}. Empty keeps the preset.',
    )

    SAMPLING = ("temperature", "top_p", "max_new_tokens", "best_of")
    POLICY = ("preset", "stages")

    @classmethod
    def values_of(cls, project: Project, sampling: JsonObject) -> JsonObject:
        """The initial values for a project. `sampling` has the defaults of the sampling settings."""
        values = {name: getattr(project, name) for name in cls.base_fields if hasattr(project, name)}
        sampling = sampling | project.sampling
        values |= {name: sampling.get(name) for name in cls.SAMPLING}
        values["preset"] = project.training_policy.get("preset", PRESETS[0][0])
        values["stages"] = project.training_policy.get("stages", {})
        values["weigh_annotators"] = _weighing(project.training_policy)
        return values

    def clean_best_of(self) -> int:
        return self.cleaned_data["best_of"] or 1

    def clean_stages(self) -> JsonObject:
        stages = self.cleaned_data["stages"]
        for name, settings in stages.items():
            if name not in Stage.values:
                raise forms.ValidationError(f"{name!r} is not a stage; the stages are {', '.join(Stage.values)}.")
            if not isinstance(settings, dict):
                raise forms.ValidationError(f"The settings of {name} must be a JSON object in braces.")
        return stages

    def changes(self, project: Project | None = None) -> JsonObject:
        """Arguments of `open_project` and `update_project`. Keys of JSON columns that have no field here are kept."""
        values = dict(self.cleaned_data)
        sampling: JsonObject = {}
        policy: JsonObject = {}
        if project is not None:
            sampling |= project.sampling
            policy |= project.training_policy
        for name in self.SAMPLING:
            sampling[name] = values.pop(name)
        for name in self.POLICY:
            policy[name] = values.pop(name)
        weighing = values.pop("weigh_annotators")
        if weighing and weighing != _weighing(policy):
            policy["snapshot"] = policy.get("snapshot", {}) | {"weigh_annotators": weighing}
        return values | {"sampling": sampling, "training_policy": policy}


def _weighing(policy: JsonObject) -> str:
    """The value of `weigh_annotators` in a training policy, or its default."""
    return str(policy.get("snapshot", {}).get("weigh_annotators", WEIGHING[0][0]))


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


class MemberInvitationForm(MemberForm):
    display_name = forms.CharField(label="Display name", max_length=150, required=False)
    email = forms.EmailField(label="E-mail address", required=False)
    field_order = ("username", "display_name", "email", "role")
