"""Label schemes for classification and for spans: what can be marked, what each label means, and its key."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Mark:
    """How a span label looks. Color never stands alone: the line under the words and the badge after them say it too.

    ``colour`` is a name that the style sheet gives a light and a dark shade; ``underline`` is a value of CSS's
    text-decoration-style; ``badge`` is one letter.
    """

    colour: Literal["blue", "green", "yellow"]
    underline: Literal["solid", "double", "dotted"]
    badge: str


@dataclass(frozen=True)
class Label:
    """One label: its name in data, its title on the page, when to use it, and its key."""

    name: str
    title: str
    definition: str
    key: str
    mark: Mark | None = None


@dataclass(frozen=True)
class LabelScheme:
    """The labels of one question. ``many``: more than one may be picked, or, for spans, spans may overlap."""

    name: str
    title: str
    kind: Literal["classification", "spans"]
    question: str
    labels: tuple[Label, ...]
    many: bool = False

    def label(self, name: str) -> Label:
        """The label of that name.

        Raises:
            KeyError: the scheme has none.
        """
        return {label.name: label for label in self.labels}[name]


FOLDER = LabelScheme(
    name="folder",
    title="Folder",
    kind="classification",
    question="Where would you file this message?",
    labels=(
        Label("work", "Work", "From or about a job: meetings, orders, customers, colleagues, deadlines.", "1"),
        Label("personal", "Personal", "Between people who know each other: family, friends, neighbours, plans.", "2"),
        Label(
            "promotions",
            "Promotions",
            "Wants you to buy, join or click: offers, newsletters, vouchers, whoever sends it.",
            "3",
        ),
    ),
)

TONE = LabelScheme(
    name="tone",
    title="Tone",
    kind="classification",
    question="How does this text speak to the reader?",
    labels=(
        Label("friendly", "Friendly", "Warm: greets, thanks, cares how the reader feels.", "1"),
        Label("neutral", "Neutral", "Matter-of-fact; neither warm nor cold.", "2"),
        Label("impatient", "Impatient", "Pressing, curt or annoyed, but not insulting.", "3"),
        Label("rude", "Rude", "Insults, mocks or belittles the reader.", "4"),
        Label("boastful", "Boastful", "Praises itself or promises more than anybody can know.", "5"),
    ),
)

TOPIC = LabelScheme(
    name="topic",
    title="Topic",
    kind="classification",
    question="What is this text about?",
    many=True,
    labels=(
        Label("device", "Device trouble", "Something does not work: slow, hot, noisy, frozen, dead, dusty.", "1"),
        Label("connection", "Connection", "Network, cable, router, offline.", "2"),
        Label("account", "Account", "Signing in, passwords, locked, two-factor, personal data.", "3"),
        Label("billing", "Billing and returns", "Prices, payments, refunds, warranty, parcels.", "4"),
        Label("other", "Something else", "None of the others fits.", "5"),
    ),
)

SPANS = LabelScheme(
    name="names-places-dates",
    title="Names, places, dates",
    kind="spans",
    question="Mark every name, place and date.",
    labels=(
        Label(
            "name",
            "Name",
            "A particular person or organisation: Mara, Ms Ilse Brandt. Not roles (the manager), not products.",
            "n",
            Mark("blue", "solid", "N"),
        ),
        Label(
            "place",
            "Place",
            "Somewhere one can point to on a map: Saltby, the Lowgate bridge. Not kinds of place (the desk).",
            "p",
            Mark("green", "double", "P"),
        ),
        Label(
            "date",
            "Date",
            "A day, month or year one can find in a calendar: 3 May, last Tuesday. Not durations (two weeks).",
            "d",
            Mark("yellow", "dotted", "D"),
        ),
    ),
)

SCHEMES: tuple[LabelScheme, ...] = (FOLDER, TONE, TOPIC, SPANS)


def schemes() -> dict[str, dict[str, object]]:
    """All schemes by name, as the settings of a project hold them."""
    found = {}
    for scheme in SCHEMES:
        found[scheme.name] = asdict(scheme)
    return found
