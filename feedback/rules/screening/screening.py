"""Content screening of a project: its guard model, its pre-annotation tagger, and what happens to personal data.

The setting is stored as one JSON object, `ScreeningSetting`. The tagger's key in it is `marker`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NotRequired, TypedDict

from feedback.rules.collection.kinds.question import LabelScheme
from feedback.rules.collection.kinds.registry import MARKING
from feedback.rules.collection.label_schemes import names_of_kind
from feedback.rules.json_types import is_list_of
from feedback.rules.training.policies import InvalidPolicy

NEWEST = "newest"
OFF, NOTE, MASK, BLOCK = "off", "note", "mask", "block"
PERSONAL = (OFF, NOTE, MASK, BLOCK)
HOLD, PASS = "hold", "pass"
WHEN_AWAY = (HOLD, PASS)
KEYS = {"guard": {"model", "blocks", "threshold", "when_away"}, "marker": {"model", "scheme", "personal"}}


class GuardSetting(TypedDict):
    """A guard model as it is stored. `model`: the public id of a version, or `newest`: the newest approved one."""

    model: str
    blocks: list[str]  # classes
    threshold: NotRequired[float]  # a probability between 0 and 1
    when_away: NotRequired[str]  # hold, pass


class MarkerSetting(TypedDict):
    """A pre-annotation tagger as it is stored. `model` as in `GuardSetting`."""

    model: str
    scheme: str  # name of a label scheme of spans
    personal: NotRequired[list[str]]  # its labels that mean personal data


class ScreeningSetting(TypedDict, total=False):
    guard: GuardSetting | None
    marker: MarkerSetting | None
    personal: str  # off, note, mask, block


class Span(TypedDict):
    """Characters `start` to `end` (exclusive) of a text, with their label."""

    start: int
    end: int
    label: str


class Unblocked(TypedDict):
    by: str
    reason: str
    at: str  # ISO 8601


class Screened(TypedDict, total=False):
    """The result of screening a prompt or response, as it is stored with the row."""

    guard: str | None  # the guard model in words
    model: str  # its public id
    scores: dict[str, float]  # probability of each class
    at: str  # ISO 8601
    blocked_by: str  # a class, or personal data
    personal: list[str]  # kinds of personal data that were found
    masked: bool
    unscreened: bool  # the guard was away and the project lets texts pass
    unblocked: Unblocked


@dataclass(frozen=True)
class Guard:
    """A classifier and the classes that it blocks at or above a probability.

    `when_away`: texts that it cannot score are held until it can, or pass after a while.
    """

    model: str
    blocks: tuple[str, ...]
    threshold: float = 0.5
    when_away: str = HOLD

    def blocked_by(self, scores: Mapping[str, float]) -> str:
        """The likeliest blocked class at or above the threshold; empty when the text passes."""
        over = [name for name in self.blocks if scores.get(name, 0.0) >= self.threshold]
        return max(over, key=lambda name: scores[name], default="")


@dataclass(frozen=True)
class Marker:
    """A tagger that suggests spans on the desk; `personal` are its labels that mean personal data."""

    model: str
    scheme: str
    personal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Screening:
    guard: Guard | None = None
    marker: Marker | None = None
    personal: str = OFF

    @property
    def marks_personal(self) -> Marker | None:
        """The tagger, if it searches new prompts for personal data."""
        if self.marker and self.marker.personal and self.personal != OFF:
            return self.marker
        return None

    @property
    def holds_prompts(self) -> bool:
        """Whether prompts wait until a model has scored them."""
        return self.guard is not None or self.marks_personal is not None


def read(setting: ScreeningSetting) -> Screening:
    """Read a stored setting, which `check` has accepted."""
    guard = marker = None
    if part := setting.get("guard"):
        guard = Guard(part["model"], tuple(part["blocks"]), part.get("threshold", 0.5), part.get("when_away", HOLD))
    if tagger := setting.get("marker"):
        marker = Marker(tagger["model"], tagger["scheme"], tuple(tagger.get("personal", ())))
    return Screening(guard, marker, setting.get("personal", OFF))


def check(setting: object, schemes: Mapping[str, LabelScheme]) -> None:
    """Raises InvalidPolicy when a part has another shape, or the marker's scheme is none of the project's."""
    if not isinstance(setting, dict):
        raise InvalidPolicy("screening", "It must be an object.")
    for name in setting:
        _need(name in (*KEYS, "personal"), name, "The keys are guard, marker and personal.")
    _need(setting.get("personal", OFF) in PERSONAL, "personal", f"Choose from {', '.join(PERSONAL)}.")
    for name, keys in KEYS.items():
        part = setting.get(name)
        if part is not None:
            _need(isinstance(part, dict), name, "It must be an object, or null.")
            _need(not set(part) - keys, name, f"Known are {', '.join(sorted(keys))}.")
            _need(isinstance(part.get("model"), str) and part["model"], f"{name}.model", "A version's id, or newest.")
    if guard := setting.get("guard"):
        _names(guard.get("blocks"), "guard.blocks", least=1)
        threshold = guard.get("threshold", 0.5)
        fits = isinstance(threshold, int | float) and not isinstance(threshold, bool) and 0 < threshold < 1
        _need(fits, "guard.threshold", "A probability between 0 and 1.")
        away = guard.get("when_away", HOLD)
        _need(away in WHEN_AWAY, "guard.when_away", f"Choose from {', '.join(WHEN_AWAY)}.")
    if marker := setting.get("marker"):
        scheme = schemes.get(str(marker.get("scheme")), LabelScheme())
        fitting = names_of_kind(schemes, *MARKING)
        _need(scheme.get("kind") in MARKING, "marker.scheme", f"A scheme of spans: {', '.join(fitting) or 'none yet'}.")
        _names(marker.get("personal", []), "marker.personal", least=0)
        labels = set(map(itemgetter("name"), scheme["labels"]))
        unknown = sorted(set(marker.get("personal", [])) - labels)
        _need(not unknown, "marker.personal", f"No label of {marker['scheme']}: {', '.join(unknown)}.")


def masked(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """`text` with each span, none overlapping another, replaced by its label in brackets."""
    pieces: list[str] = []
    last = 0
    for start, end, label in sorted(spans):
        pieces += [text[last:start], f"[{label}]"]
        last = end
    return "".join([*pieces, text[last:]])


def _names(given: object, field: str, least: int) -> None:
    names = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else None
    fits = is_list_of(names, str) and len(names) >= least
    _need(fits, field, f"A list of names{', at least one' if least else ''}.")


def _need(fits: object, field: str, sentence: str) -> None:
    if not fits:
        raise InvalidPolicy(f"screening.{field}".removesuffix("."), sentence)
