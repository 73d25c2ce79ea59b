"""Forms of the label schemes: the fields of a scheme, and a row for each label."""

from django import forms
from django.forms import formset_factory

from feedback.rules.collection import label_schemes
from feedback.rules.json_types import JsonObject
from feedback.web.forms import PageForm
from feedback.web.named_rows import NamedRow

KINDS = [
    ("classification", "Classification: labels for the whole text"),
    ("spans", "Spans: labels for parts of the text"),
]


class SchemeForm(PageForm):
    """The fields of a label scheme."""

    title = forms.CharField(max_length=label_schemes.MOST_CHARACTERS["title"])
    kind = forms.ChoiceField(choices=KINDS, widget=forms.RadioSelect, initial="classification")
    question = forms.CharField(
        required=False,
        max_length=label_schemes.MOST_CHARACTERS["question"],
        help_text="Shown above the labels, for example: Where would you file this message?",
    )
    many = forms.BooleanField(
        label="Allow several labels", required=False, help_text="Several labels per text, or overlapping spans."
    )

    def scheme(self, name: str, labels: list[JsonObject]) -> JsonObject:
        values = self.cleaned_data
        return {
            "name": name,
            "title": values["title"],
            "kind": values["kind"],
            "question": values["question"],
            "many": values["many"],
            "labels": labels,
        }


class NewSchemeForm(SchemeForm):
    name = forms.SlugField(
        label="Stored name", max_length=40, help_text="Lowercase letters, digits and hyphens. The name is permanent."
    )
    field_order = ("name",)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name == "new" or not label_schemes.NAME.fullmatch(name):
            raise forms.ValidationError("Lowercase letters, digits and hyphens; not the word “new”.")
        return name


class LabelForm(NamedRow):
    """One label. A row without a name is empty.

    Attributes:
        earlier: earlier names of the label; annotations that use them are read under the present name.
    """

    earlier: list[str] = []

    name = forms.CharField(label="Stored name", max_length=40, required=False)
    title = forms.CharField(label="Title", max_length=label_schemes.MOST_CHARACTERS["title"], required=False)
    definition = forms.CharField(
        label="When to use it",
        max_length=label_schemes.MOST_CHARACTERS["definition"],
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    key = forms.CharField(max_length=1, required=False, widget=forms.TextInput(attrs={"autocapitalize": "none"}))
    colour = forms.ChoiceField(
        label="Color",
        choices=[("", "automatic"), *zip(label_schemes.COLOURS, label_schemes.COLOURS, strict=True)],
        required=False,
    )
    underline = forms.ChoiceField(
        label="Line",
        choices=[("", "automatic"), *zip(label_schemes.UNDERLINES, label_schemes.UNDERLINES, strict=True)],
        required=False,
    )
    badge = forms.CharField(max_length=3, required=False)

    @staticmethod
    def values_of(label: JsonObject) -> JsonObject:
        values = dict(label)
        mark = values.pop("mark", None) or {}
        return values | mark | {"was": label["name"]}

    def label(self) -> JsonObject:
        values = {key: value for key, value in self.cleaned_data.items() if value and key != "was"}
        mark = {key: values.pop(key) for key in ("colour", "underline", "badge") if key in values}
        if mark:
            values["mark"] = mark
        return values


LabelRows = formset_factory(LabelForm, extra=3, max_num=label_schemes.MOST_LABELS)
