"""Content screening: its settings, waiting and blocked texts, and unblocking."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import ModelVersion, Project
from feedback.rules.collection.kinds.registry import MARKING
from feedback.rules.collection.label_schemes import names_of_kind
from feedback.rules.json_types import JsonObject
from feedback.rules.screening import screening as rules
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.screening import guard_models
from feedback.selectors.screening import screening as screening_selectors
from feedback.services.screening import screening
from feedback.web.forms import CommaList, PageForm, add_error, form_status
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project

KINDS = {"guard": ModelVersion.Kind.CLASSIFIER, "marker": ModelVersion.Kind.TAGGER}
PERSONAL = [
    (rules.OFF, "Not detected"),
    (rules.NOTE, "Noted on the prompt"),
    (rules.MASK, "Masked before storage: [email]"),
    (rules.BLOCK, "Block the prompt"),
]


class GuardForm(PageForm):
    """The settings of content screening. An empty model means none."""

    guard = forms.ChoiceField(
        label="Guard model", required=False, help_text="A trained classifier that screens prompts and responses."
    )
    blocks = CommaList(
        label="Blocked classes",
        required=False,
        help_text="Names from the label scheme, separated by commas.",
    )
    threshold = forms.FloatField(
        label="Threshold",
        required=False,
        initial=0.5,
        min_value=0.01,
        max_value=0.99,
        help_text="Minimum probability. A lower threshold blocks more, including more false positives.",
    )
    when_away = forms.ChoiceField(
        label="When the guard model is unavailable",
        choices=[
            (rules.HOLD, "Hold texts until it is available"),
            (rules.PASS, "Pass texts unscreened after ten minutes and mark each row"),
        ],
        initial=rules.HOLD,
        required=False,
        help_text="Prompts that are checked for personal data are always held.",
    )
    marker = forms.ChoiceField(
        label="Pre-annotation tagger", required=False, help_text="A trained tagger that suggests spans."
    )
    scheme = forms.ChoiceField(label="Pre-annotated scheme", required=False, help_text="A label scheme for spans.")
    labels = CommaList(
        label="Personal data labels",
        required=False,
        help_text="Separated by commas. The tagger also detects these in prompts, for example names.",
    )
    personal = forms.ChoiceField(
        label="Personal data in prompts",
        choices=PERSONAL,
        widget=forms.RadioSelect,
        help_text="Email and IP addresses; phone, account, card and identity numbers; and spans found by the tagger.",
    )

    def __init__(self, data: QueryDict | None = None, *, project: Project, initial: JsonObject | None = None) -> None:
        super().__init__(data, initial=initial)
        for name, kind in KINDS.items():
            choices = [("", "none"), (rules.NEWEST, "newest approved version")]
            for version in screening_selectors.versions(project, kind):
                choices.append((str(version.public_id), f"{version} ({version.state})"))
            self._set_choices(name, choices)
        schemes = names_of_kind(project.label_scheme, *MARKING)
        self._set_choices("scheme", list(zip(schemes, schemes, strict=True)) or [("", "no span scheme yet")])

    def _set_choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @staticmethod
    def values_of(project: Project) -> JsonObject:
        setting = guard_models.of(project)
        values: JsonObject = {"personal": setting.personal}
        if setting.guard:
            guard = setting.guard
            values |= {"guard": guard.model, "blocks": list(guard.blocks), "threshold": guard.threshold}
            values["when_away"] = guard.when_away
        if setting.marker:
            marker = setting.marker
            values |= {"marker": marker.model, "scheme": marker.scheme, "labels": list(marker.personal)}
        return values

    def changes(self) -> JsonObject:
        """Arguments of `set_screening`."""
        values = self.cleaned_data
        changes: JsonObject = {"guard": None, "marker": None, "personal": values["personal"]}
        if values["guard"]:
            changes["guard"] = {
                "model": values["guard"],
                "blocks": values["blocks"],
                "threshold": values["threshold"] or 0.5,
                "when_away": values["when_away"] or rules.HOLD,
            }
        if values["marker"]:
            changes["marker"] = {
                "model": values["marker"],
                "scheme": values["scheme"],
                "personal": values["labels"],
            }
        return changes


FIELDS = {
    "screening.guard.model": "guard",
    "screening.guard.blocks": "blocks",
    "screening.guard.threshold": "threshold",
    "screening.marker.model": "marker",
    "screening.marker.scheme": "scheme",
    "screening.marker.personal": "labels",
}


@project_page(ADMIN)
def guard(request: HttpRequest, project: Project) -> HttpResponse:
    form = GuardForm(request.POST or None, project=project, initial=GuardForm.values_of(project))
    if request.method == "POST" and form.is_valid():
        try:
            screening.set_screening(by=person(request), project=project, **form.changes())
        except DomainError as error:
            error.field = FIELDS.get(error.field or "", error.field)
            add_error(form, error)
        else:
            messages.success(request, "Saved. This applies to new and waiting texts.")
            return redirect("guard", project.slug)
    setting = guard_models.of(project)
    serving: dict[str, ModelVersion | None] = {"guard": None, "marker": None}
    if setting.guard:
        serving["guard"] = guard_models.model_of(project, KINDS["guard"], setting.guard.model)
    if setting.marker:
        serving["marker"] = guard_models.model_of(project, KINDS["marker"], setting.marker.model)
    context = {
        "project": project,
        "form": form,
        "setting": setting,
        "status": screening_selectors.status(project),
        "there": health.queue_now("generate"),
        "blocked": screening_selectors.blocked(project),
        **serving,
    }
    return render(request, "feedback/screening/guard.html", context, status=form_status(form))


@require_POST
@project_page(ADMIN)
def unblock_prompt(request: HttpRequest, project: Project, prompt_id: UUID) -> HttpResponse:
    found = access.get_prompt(viewer(request), prompt_id, ADMIN)
    same_project(found, project)
    screening.unblock_prompt(by=person(request), prompt=found, reason=request.POST.get("reason", ""))
    messages.success(request, "Unblocked. The prompt is processed like any other.")
    return redirect("prompt", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def unblock_response(request: HttpRequest, project: Project, response_id: UUID) -> HttpResponse:
    found = access.get_response(viewer(request), response_id, ADMIN)
    same_project(found, project)
    screening.unblock_response(by=person(request), response=found, reason=request.POST.get("reason", ""))
    messages.success(request, "Unblocked. The response can become part of tasks.")
    return redirect("prompt", project.slug, found.prompt.public_id)
