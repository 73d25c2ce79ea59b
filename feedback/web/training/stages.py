"""The form of the Train page: stages on the ring, what they start with, and a few settings of each."""

from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from django import forms
from django.forms import BoundField

from feedback.errors import DomainError
from feedback.models import Corpus, DatasetSnapshot, ModelVersion, Project
from feedback.rules.collection.label_schemes import names_of_kind
from feedback.rules.json_types import JsonObject
from feedback.rules.training import stage_settings
from feedback.rules.training.stages import LABELED
from feedback.rules.training.stages import STAGES as RULES
from feedback.selectors.screening import guard_models
from feedback.selectors.training import runs
from feedback.selectors.training.stages import ALIGNING, GROUPS, STAGES, TITLES, StageCard
from feedback.web.forms import JSONObject, PageForm
from feedback.web.platform.project_forms import PRESETS

Choice = tuple[str, str]
NOTHING = ModelVersion()  # knows no classes


@dataclass(frozen=True)
class Offered:
    """A stage in the form: whether it is ticked, its settings, and whether any of them was filled in."""

    card: StageCard
    ticked: bool
    fields: list[BoundField]
    changed: bool


@dataclass(frozen=True)
class Group:
    title: str
    short: str
    stages: list[Offered]
    one_of: bool  # chosen by radio

    @property
    def none_ticked(self) -> bool:
        return not any(map(attrgetter("ticked"), self.stages))


class StagesField(forms.MultipleChoiceField):
    """Ticked stages. Of the ways of alignment one is chosen by radio, and "none of them" comes as an empty value."""

    def to_python(self, value: object) -> list[str]:
        return list(filter(None, super().to_python(value)))


class StagesForm(PageForm):
    """Stages on the ring, and what they start with."""

    stages = StagesField(choices=list(TITLES.items()))
    preset = forms.ChoiceField(
        required=False, help_text="Base values of all settings, such as model size and number of steps."
    )
    base_model = forms.ChoiceField(
        label="Base model",
        required=False,
        help_text="Selected stages start from it, unless an earlier stage produces a newer model.",
    )
    snapshot = forms.ChoiceField(required=False)
    texts = forms.ChoiceField(
        label="Pretraining texts",
        required=False,
        help_text="Input of tokenizer, pretraining and masked pretraining.",
    )
    guard_label = forms.ChoiceField(
        label="Guard model class in the reward",
        required=False,
        help_text="For PPO, RLOO and GRPO: the guard model's probability of this class becomes a term of the reward.",
    )
    guard_weight = forms.FloatField(
        label="Weight of the guard model term",
        required=False,
        min_value=-100,
        max_value=100,
        help_text="In standard deviations of the reward model; negative to avoid the class. Default: 1.",
    )
    seed = forms.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="The same data, settings and seed give the same model.",
    )
    promote = forms.BooleanField(
        label="Request promotion of the new policy",
        required=False,
        help_text="After the pipeline run, the home page asks an admin to decide on the new policy and lists "
        "all findings. Policies are never promoted automatically.",
    )
    config = JSONObject(
        label="Other settings",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        help_text=('JSON by stage, for this pipeline run only: {"ppo": {"lam": 0.9}}. All settings: /api/v1/stages/.'),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        usual = project.training_policy.get("preset", PRESETS[0][0])
        self.choices("preset", [("", f"project default: {usual}"), *PRESETS])
        self.choices("base_model", [("", "newest compatible"), *_models(project)])
        self.choices("snapshot", [("", "freeze a new snapshot"), *_snapshots(project)])
        corpora = Corpus.objects.filter(project=project).order_by("-id")[:50]
        named = [(str(corpus.public_id), f"corpus {corpus.name}") for corpus in corpora]
        self.choices("texts", [("", "newest corpus, if any"), *named, (LABELED, "labeled texts")])
        classes = guard_models.classes_of(guard_models.term_model(project) or NOTHING)
        self.choices("guard_label", [("", "none"), *zip(classes, classes, strict=True)])
        for card in STAGES:
            for key, label, meaning in card.settings:
                self.fields[f"{card.stage.value}__{key}"] = _setting(project, card, key, label, meaning)

    def choices(self, name: str, choices: list[Choice]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def groups(self) -> Iterator[Group]:
        ticked = self["stages"].value() or []
        for name, (title, short) in GROUPS.items():
            offered = [self._offered(card, ticked) for card in STAGES if card.group == name]
            yield Group(title, short, offered, name == ALIGNING)

    def _offered(self, card: StageCard, ticked: Collection[str]) -> Offered:
        fields = []
        changed = False
        for key, _, _ in card.settings:
            field = self[f"{card.stage.value}__{key}"]
            fields.append(field)
            changed = changed or field.value() not in (None, "") or bool(field.errors)
        return Offered(card, card.stage.value in ticked, fields, changed)

    def clean(self) -> JsonObject:
        """Settings from fields and from JSON become one `config`."""
        values = super().clean() or {}
        config = deepcopy(values.get("config") or {})
        if values.get("preset"):
            config["preset"] = values["preset"]
        for card in STAGES:
            for key, _, _ in card.settings:
                value = values.get(f"{card.stage.value}__{key}")
                if value not in (None, ""):
                    _settings_of(config, card.stage.value)[key] = value
        if label := values.get("guard_label"):
            term = {"label": label, "weight": values.get("guard_weight") or 1.0}
            sampling = [stage for stage in values.get("stages", []) if RULES[stage].needs_reward_model]
            if not sampling:
                self.add_error("guard_label", "Select PPO, RLOO or GRPO; other stages do not use this reward.")
            for stage in sampling:
                terms = _settings_of(config, stage).setdefault("terms", {})
                if isinstance(terms, dict):
                    terms["guard"] = term
                else:
                    self.add_error("config", f"{stage}.terms: It must be an object.")
        return values | {"config": config}

    def add_refusal(self, error: DomainError) -> None:
        """What the service refused, beside the setting that it names."""
        field = (error.field or "").removeprefix("config.").replace(".", "__")
        if field == "corpus":
            field = "texts"
        if field in self.fields:
            self.add_error(field, error.sentence)
        elif (error.field or "").startswith("config"):
            self.add_error("config", f"{field.replace('__', '.')}: {error.sentence}")
        else:
            self.add_error(None, error.sentence)


def _settings_of(config: JsonObject, stage: str) -> JsonObject:
    """The settings of a stage in `config`, to add to. Where they are no object, the plan refuses them."""
    settings = config.setdefault(stage, {})
    if isinstance(settings, dict):
        return settings
    return {}


def _models(project: Project) -> list[Choice]:
    takes = set(chain.from_iterable(map(attrgetter("takes"), RULES.values())))
    rows = ModelVersion.objects.filter(project=project, kind__in=takes, tainted_at=None)
    rows = rows.exclude(state=ModelVersion.State.REVOKED).order_by("-id")[:50]
    return [(str(row.public_id), f"{row}, {runs.made_in(row)}") for row in rows]


def _snapshots(project: Project) -> list[Choice]:
    rows = DatasetSnapshot.objects.filter(
        project=project, purpose=DatasetSnapshot.Purpose.FEEDBACK, state=DatasetSnapshot.State.FROZEN
    ).order_by("-number")[:20]
    return [(str(row.public_id), f"snapshot {row.number}, {row.frozen_at:%Y-%m-%d %H:%M}") for row in rows]


def _setting(project: Project, card: StageCard, key: str, label: str, meaning: str) -> forms.Field:
    """A field for a setting, empty for the preset's value, which its help tells."""
    described = stage_settings.of_stage(card.stage.value)[key]
    if key == "scheme":
        names = names_of_kind(project.label_scheme, *RULES[card.stage.value].rows)
        choices = [("", "the only one"), *zip(names, names, strict=True)]
        return forms.ChoiceField(label=label, required=False, choices=choices, help_text=meaning)
    number: type[forms.IntegerField] = forms.FloatField
    if described["type"] == "integer":
        number = forms.IntegerField
    field = number(
        label=label,
        required=False,
        min_value=described.get("low"),
        max_value=described.get("high"),
        help_text=f"{meaning} Presets: {_in_presets(card, key)}.",
    )
    field.widget.attrs["placeholder"] = "preset default"
    if described["type"] == "number":
        field.widget.attrs["step"] = "any"
    return field


def _in_presets(card: StageCard, key: str) -> str:
    """The value of a setting in each preset, such as "small 3, pretrained 2"."""
    presets = stage_settings.presets()
    usual = stage_settings.of_stage(card.stage.value)[key]["default"]
    words = []
    for name, _ in PRESETS:
        value = presets[name].get(card.stage.value, {}).get(key, usual)
        if value is None:
            words.append(f"{name} by size")
        else:
            words.append(f"{name} {value:g}")
    return ", ".join(words)
