"""What the choices of the desk mean, explained where they are made. A project explains its own words in its
guidelines."""

from django import template

from feedback.rules.collection.kinds.rating import OVERALL

register = template.Library()

STEPS = {
    "1": "A is strongly better: nobody would choose B.",
    "2": "A is clearly better: most would choose it.",
    "3": "A is slightly better: some would choose B.",
    "4": "A is better by next to nothing: asked again, you might say B.",
    "5": "Equally good: either would do.",
    "6": "B is better by next to nothing: asked again, you might say A.",
    "7": "B is slightly better: some would choose A.",
    "8": "B is clearly better: most would choose it.",
    "9": "B is strongly better: nobody would choose A.",
    "0": "Neither should be sent to anybody.",
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
    return STEPS[key]


@register.filter
def dimension_means(name: str) -> str:
    """One of the usual dimensions; nothing for a project's own."""
    return DIMENSIONS.get(name, "")
