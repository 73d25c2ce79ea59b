"""What the choices of the desk mean, explained where they are made. A project explains its own words in its
guidelines."""

from django import template

from feedback.rules.collection.kinds.rating import OVERALL
from feedback.rules.collection.kinds.registry import MARKING, WITH_SCHEME
from feedback.rules.collection.preferences import CLEAR, KEYS, NEGLIGIBLE, SLIGHT, STRENGTHS, STRONG

register = template.Library()

OTHERS_CHOICE = {
    STRONG: "almost everyone would choose it.",
    CLEAR: "most people would choose it.",
    SLIGHT: "some people would choose {other}.",
    NEGLIGIBLE: "next time you might choose {other}.",
}
DIMENSIONS = {
    "helpful": "does what was asked, completely and concisely",
    "truthful": "is correct, and admits what it does not know",
    "honest": "does not claim knowledge or actions it does not have",
    "harmless": "harms nobody and does not help to harm",
    "safe": "following it is safe",
    "correct": "facts, figures and steps are right",
    "clear": "easy to understand at first reading",
    "concise": "contains nothing unnecessary",
    "kind": "is respectful",
    "relevant": "stays on topic",
    OVERALL: "overall quality",
}


@register.filter
def step_means(key: str) -> str:
    """A step of the comparison's scale by its key."""
    outcome, side, strength = KEYS[key]
    if outcome == "tie":
        return "About the same: either would do."
    if side is None or strength is None:
        return "Both bad: neither response is acceptable."
    other = "B" if side == "a" else "A"
    return f"{side.upper()} is {STRENGTHS[strength]}: {OTHERS_CHOICE[strength].format(other=other)}"


@register.simple_tag
def strengths(side: str) -> str:
    """Strengths in the order of the keys of a side."""
    words = []
    for _, keyed, strength in KEYS.values():
        if keyed == side and strength is not None:
            words.append(STRENGTHS[strength])
    return ", ".join(words)


@register.filter
def dimension_means(name: str) -> str:
    """One of the usual dimensions; nothing for a project's own."""
    return DIMENSIONS.get(name, "")


@register.filter
def uses_scheme(kind: str) -> bool:
    """Whether tasks of this kind name a label scheme."""
    return kind in WITH_SCHEME


@register.filter
def marks_text(kind: str) -> bool:
    """Whether annotators mark stretches of a text."""
    return kind in MARKING
