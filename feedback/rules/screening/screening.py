"""What a project lets in and shows: its guard, its marker, and what becomes of personal data. Kept as one setting:

{"guard": {"model": "newest", "blocks": ["spam"], "threshold": 0.5, "when_away": "hold" | "pass"},
 "marker": {"model": "newest", "scheme": "names", "personal": ["person"]},
 "personal": "off" | "note" | "mask" | "block"}

A model is a version's public id, or `newest`: the newest that somebody approved.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feedback.rules.training.policies import InvalidPolicy

NEWEST = "newest"
OFF, NOTE, MASK, BLOCK = "off", "note", "mask", "block"
PERSONAL = (OFF, NOTE, MASK, BLOCK)
HOLD, PASS = "hold", "pass"
WHEN_AWAY = (HOLD, PASS)
KEYS = {"guard": {"model", "blocks", "threshold", "when_away"}, "marker": {"model", "scheme", "personal"}}


@dataclass(frozen=True)
class Guard:
    """A classifier and the classes that it blocks, from a probability on.

    `when_away` says what becomes of texts that it cannot look at: they are held until it can, or pass after a while.
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
    """A tagger whose spans stand on the desk beforehand; `personal` are the labels that mean personal data."""

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
        """The marker, if it looks for personal data at intake."""
        if self.marker and self.marker.personal and self.personal != OFF:
            return self.marker
        return None

    @property
    def holds_prompts(self) -> bool:
        """Whether a model looks at prompts before anything is made of them."""
        return self.guard is not None or self.marks_personal is not None


def read(setting: Mapping[str, Any]) -> Screening:
    """A setting that was checked."""
    guard, marker = setting.get("guard"), setting.get("marker")
    return Screening(
        _guard(guard) if guard else None,
        Marker(marker["model"], marker["scheme"], tuple(marker.get("personal", ()))) if marker else None,
        setting.get("personal", OFF),
    )


def _guard(part: Mapping[str, Any]) -> Guard:
    return Guard(part["model"], tuple(part["blocks"]), part.get("threshold", 0.5), part.get("when_away", HOLD))


def check(setting: Any, schemes: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises InvalidPolicy when a part has another shape, or the marker's scheme is none of the project's."""
    _need(isinstance(setting, dict), "", "It must be an object.")
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
        scheme = schemes.get(str(marker.get("scheme")), {})
        fitting = [name for name, one in schemes.items() if one.get("kind") == "spans"]
        _need(scheme.get("kind") == "spans", "marker.scheme", f"A scheme of spans: {', '.join(fitting) or 'none yet'}.")
        _names(marker.get("personal", []), "marker.personal", least=0)
        labels = {label["name"] for label in scheme["labels"]}
        unknown = sorted(set(marker.get("personal", [])) - labels)
        _need(not unknown, "marker.personal", f"No label of {marker['scheme']}: {', '.join(unknown)}.")


def masked(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """`text` with each span, none overlapping another, replaced by its label in brackets."""
    pieces, last = [], 0
    for start, end, label in sorted(spans):
        pieces += [text[last:start], f"[{label}]"]
        last = end
    return "".join([*pieces, text[last:]])


def _names(given: Any, field: str, least: int) -> None:
    fits = isinstance(given, Sequence) and not isinstance(given, str) and all(isinstance(one, str) for one in given)
    _need(fits and len(given) >= least, field, f"A list of names{', at least one' if least else ''}.")


def _need(fits: Any, field: str, sentence: str) -> None:
    if not fits:
        raise InvalidPolicy(f"screening.{field}" if field else "screening", sentence)
