"""The guard's page: what is let in, what waits, what was blocked; and letting on what was blocked."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError
from feedback.models import ModelVersion, Project
from feedback.rules.screening import screening as rules
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.screening import guard_models
from feedback.selectors.screening import screening as screening_selectors
from feedback.services.screening import screening
from feedback.web.pages import person, project_page, viewer
from feedback.web.platform.admin_common import same_project
from feedback.web.platform.admin_forms import CommaList, PageForm, add_error

PERSONAL = [
    (rules.OFF, "Not looked for"),
    (rules.NOTE, "Noted on the prompt"),
    (rules.MASK, "Masked before anything is stored: [email]"),
    (rules.BLOCK, "The prompt is blocked"),
]


class GuardForm(PageForm):
    """Guard, marker, personal data. An empty model is none."""

    guard = forms.ChoiceField(label="Guard", required=False, help_text="A classifier that was trained here.")
    blocks = CommaList(
        label="Blocks these classes",
        required=False,
        help_text="With commas between them, by their names in the scheme.",
    )
    threshold = forms.FloatField(
        label="From this probability on",
        required=False,
        initial=0.5,
        min_value=0.01,
        max_value=0.99,
        help_text="Lower blocks more, rightly and wrongly.",
    )
    when_away = forms.ChoiceField(
        label="While the guard cannot be reached",
        choices=[
            (rules.HOLD, "Hold what comes in until it is back"),
            (rules.PASS, "After ten minutes let it pass unscreened, and say so on each row"),
        ],
        initial=rules.HOLD,
        required=False,
        help_text="Prompts that are searched for personal data are held in any case.",
    )
    marker = forms.ChoiceField(label="Marker", required=False, help_text="A tagger that was trained here.")
    scheme = forms.ChoiceField(label="Marks tasks of", required=False, help_text="A label scheme of spans.")
    labels = CommaList(
        label="Labels that mean personal data",
        required=False,
        help_text="With commas between them. The marker looks for them in prompts as well, names for example.",
    )
    personal = forms.ChoiceField(
        label="Personal data in prompts",
        choices=PERSONAL,
        widget=forms.RadioSelect,
        help_text="Mail and IP addresses, telephone, account, card and identity numbers; and what the marker finds.",
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = (("guard", ModelVersion.Kind.CLASSIFIER), ("marker", ModelVersion.Kind.TAGGER))
        for name, kind in kinds:
            found = [
                (str(one.public_id), f"{one} ({one.state})") for one in screening_selectors.versions(project, kind)
            ]
            self._choices(name, [("", "none"), (rules.NEWEST, "the newest that was approved"), *found])
        spans = [name for name, scheme in project.label_scheme.items() if scheme.get("kind") == "spans"]
        self._choices("scheme", [(name, name) for name in spans] or [("", "no scheme of spans yet")])

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @staticmethod
    def values_of(project: Project) -> dict[str, Any]:
        setting = guard_models.of(project)
        values: dict[str, Any] = {"personal": setting.personal}
        if setting.guard:
            guard = setting.guard
            values |= {"guard": guard.model, "blocks": list(guard.blocks), "threshold": guard.threshold}
            values["when_away"] = guard.when_away
        if setting.marker:
            marker = setting.marker
            values |= {"marker": marker.model, "scheme": marker.scheme, "labels": list(marker.personal)}
        return values

    def changes(self) -> dict[str, Any]:
        """Arguments of `set_screening`."""
        values = self.cleaned_data
        guard = {
            "model": values["guard"],
            "blocks": values["blocks"],
            "threshold": values["threshold"] or 0.5,
            "when_away": values["when_away"] or rules.HOLD,
        }
        marker = {"model": values["marker"], "scheme": values["scheme"], "personal": values["labels"]}
        return {
            "guard": guard if values["guard"] else None,
            "marker": marker if values["marker"] else None,
            "personal": values["personal"],
        }


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
            messages.success(request, "Saved. It holds for what comes in from now on, and for what waits.")
            return redirect("guard", project.slug)
    setting = guard_models.of(project)
    serving = {
        name: guard_models.model_of(project, kind, part.model) if part else None
        for name, kind, part in (
            ("guard", ModelVersion.Kind.CLASSIFIER, setting.guard),
            ("marker", ModelVersion.Kind.TAGGER, setting.marker),
        )
    }
    context = {
        "project": project,
        "form": form,
        "setting": setting,
        "status": screening_selectors.status(project),
        "there": health.queue_now("generate"),
        "blocked": screening_selectors.blocked(project),
        **serving,
    }
    return render(request, "feedback/screening/guard.html", context, status=422 if form.errors else 200)


@require_POST
@project_page(ADMIN)
def unblock_prompt(request: HttpRequest, project: Project, prompt_id: Any) -> HttpResponse:
    found = access.get_prompt(viewer(request), prompt_id, ADMIN)
    same_project(found, project)
    screening.unblock_prompt(by=person(request), prompt=found, reason=request.POST.get("reason", ""))
    messages.success(request, "Let on; it goes the way of any prompt now.")
    return redirect("prompt", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def unblock_response(request: HttpRequest, project: Project, response_id: Any) -> HttpResponse:
    found = access.get_response(viewer(request), response_id, ADMIN)
    same_project(found, project)
    screening.unblock_response(by=person(request), response=found, reason=request.POST.get("reason", ""))
    messages.success(request, "Let on; it may meet others in tasks now.")
    return redirect("prompt", project.slug, found.prompt.public_id)
