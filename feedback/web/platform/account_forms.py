"""Forms of the account pages: sign-in, passwords, people and API tokens."""

from collections.abc import Callable
from typing import Any

from allauth.account.forms import ChangePasswordForm, SetPasswordForm
from django import forms
from django.db.models import QuerySet
from django.http import QueryDict

from feedback.errors import DomainError
from feedback.models import Membership, Person, Project
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


PASSWORD_HELP = "At least 10 characters, no common word, unlike your name."


def _password_fields(form: forms.Form) -> None:
    """Labels and help of allauth's password fields as on the other pages."""
    form.label_suffix = ""
    words = {"oldpassword": ("Current password", ""), "password1": ("New password", PASSWORD_HELP)}
    words["password2"] = ("New password again", "")
    for name, field in form.fields.items():
        field.label, field.help_text = words[name]
        field.widget.attrs.pop("placeholder", None)
        field.max_length = 1000  # type: ignore[attr-defined]


class NewPasswordForm(SetPasswordForm):
    """A new password, twice, by a one-time link."""

    def __init__(self, data: QueryDict | None = None, *, user: Person) -> None:
        super().__init__(user=user, data=data)
        _password_fields(self)


class PasswordForm(ChangePasswordForm):
    """The current password and a new one, twice.

    Args:
        confirm: checks the current password, as slowly as the sign-in page does.
    """

    def __init__(self, data: QueryDict | None = None, *, user: Person, confirm: Callable[[str], bool]) -> None:
        super().__init__(user=user, data=data)
        self.confirm = confirm
        _password_fields(self)

    def clean_oldpassword(self) -> str:
        password: str = self.cleaned_data["oldpassword"]
        try:
            right = self.confirm(password)
        except DomainError as refused:
            raise forms.ValidationError(refused.sentence) from None
        if not right:
            raise forms.ValidationError("This is not your current password.")
        return password

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        if cleaned.get("password1") and cleaned["password1"] == cleaned.get("oldpassword"):
            self.add_error("password1", "Choose a password that differs from the current one.")
        return cleaned


class ForgottenForm(PageForm):
    name = forms.CharField(
        label="Username or e-mail address",
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )


class ContactForm(PageForm):
    display_name = forms.CharField(label="Display name", max_length=150, required=False)
    email = forms.EmailField(
        label="E-mail address", required=False, help_text="Where links to reset the password are sent."
    )


class InvitationForm(ContactForm):
    username = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    project = forms.ModelChoiceField(
        queryset=Project.objects.order_by("name"), required=False, to_field_name="slug", empty_label="No project yet"
    )
    role = forms.ChoiceField(choices=Membership.Role.choices, help_text="In the project.")
    field_order = ("username", "display_name", "email", "project", "role")


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
