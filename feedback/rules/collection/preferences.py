"""What an answer to a comparison means: side, strength, tie, both bad."""

from dataclasses import dataclass

NEGLIGIBLE, SLIGHT, CLEAR, STRONG = 0, 1, 2, 3
# The one wording of how much better a response is; after Touvron et al. 2023 (Llama 2), section 3.2.1.
STRENGTHS = {
    STRONG: "significantly better",
    CLEAR: "better",
    SLIGHT: "slightly better",
    NEGLIGIBLE: "negligibly better",
}
STRENGTH_SCALE = ", ".join(f"{strength} {name}" for strength, name in STRENGTHS.items())
OUTCOMES = ("prefer", "tie", "both_bad")

# One number key chooses side and strength at once: 1-4 for a (strongest first), 6-9 for b (strongest last).
KEYS: dict[str, tuple[str, str | None, int | None]] = {
    "1": ("prefer", "a", STRONG),
    "2": ("prefer", "a", CLEAR),
    "3": ("prefer", "a", SLIGHT),
    "4": ("prefer", "a", NEGLIGIBLE),
    "5": ("tie", None, None),
    "6": ("prefer", "b", NEGLIGIBLE),
    "7": ("prefer", "b", SLIGHT),
    "8": ("prefer", "b", CLEAR),
    "9": ("prefer", "b", STRONG),
    "0": ("both_bad", None, None),
}


@dataclass(frozen=True)
class Preference:
    """One response over another: ids as the annotation stores them, strength 0 to 3."""

    chosen: str
    rejected: str
    strength: int


def margin(strength: int, margin_scale: float = 0.0) -> float:
    """Margin of the reward loss, log-odds: 0, 1/3, 2/3, 1 times `margin_scale` (0: off, the default)."""
    return strength / 3 * margin_scale
