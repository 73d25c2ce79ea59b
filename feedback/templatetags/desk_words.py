"""What the choices of the desk mean, explained where they are made. A project explains its own words in its
guidelines."""

from django import template

from feedback.rules.collection.kinds.rating import OVERALL
from feedback.rules.collection.preference import CLEAR, KEYS, NEGLIGIBLE, SLIGHT, STRENGTHS, STRONG

register = template.Library()

OTHERS_CHOICE = {
    STRONG: "nobody would choose {other}.",
    CLEAR: "most would choose it.",
    SLIGHT: "some would choose {other}.",
    NEGLIGIBLE: "asked again, you might choose {other}.",
}
DIMENSIONS = {
    "helpful": "does what was asked, completely and to the point",
    "truthful": "says what is so, and says so where it does not know",
    "honest": "pretends neither to know nor to have done what it has not",
    "harmless": "hurts nobody, and helps nobody to hurt",
    "safe": "nobody comes to harm who does what it says",
    "correct": "facts, figures and steps are right",
    "clear": "understood at the first reading",
    "concise": "nothing that could be left out",
    "kind": "speaks as one would wish to be spoken to",
    "relevant": "stays with what was asked",
    OVERALL: "how good it is, all in all",
}


@register.filter
def step_means(key: str) -> str:
    """A step of the comparison's scale by its key."""
    outcome, side, strength = KEYS[key]
    if outcome == "tie":
        return "Equally good: either would do."
    if side is None or strength is None:
        return "Neither should be sent to anybody."
    other = "B" if side == "a" else "A"
    return f"{side.upper()} is {STRENGTHS[strength]}: {OTHERS_CHOICE[strength].format(other=other)}"


@register.simple_tag
def strengths(side: str) -> str:
    """Strengths in the order of the keys of a side."""
    return ", ".join(
        STRENGTHS[strength] for _, keyed, strength in KEYS.values() if keyed == side and strength is not None
    )


@register.filter
def dimension_means(name: str) -> str:
    """One of the usual dimensions; nothing for a project's own."""
    return DIMENSIONS.get(name, "")
