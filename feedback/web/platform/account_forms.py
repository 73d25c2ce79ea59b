"""Forms of the account pages: sign-in and API tokens."""

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict

from feedback.models import Project
from feedback.rules.platform.scopes import SCOPES
from feedback.web.forms import PageForm


class SignInForm(PageForm):
    username = forms.CharField(
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True, "autocapitalize": "none"}),
    )
    password = forms.CharField(
        max_length=1000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class TokenForm(PageForm):
    name = forms.CharField(max_length=100, help_text="What uses the token, such as “import script”.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {meaning}") for scope, meaning in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
        initial=["read"],
    )
    project = forms.ModelChoiceField(
        queryset=Project.objects.none(), required=False, to_field_name="slug", empty_label="All of my projects"
    )
    days = forms.TypedChoiceField(
        label="Expires",
        coerce=int,
        choices=[(30, "in 30 days"), (90, "in 90 days"), (365, "in a year"), (0, "never")],
        initial=90,
    )

    def __init__(self, data: QueryDict | None = None, *, projects: QuerySet[Project]) -> None:
        super().__init__(data)
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]
