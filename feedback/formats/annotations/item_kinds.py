"""Task kinds as formats speak of them: what readers make, and what writers can carry."""

from feedback.formats.annotations.items import PROMPT, THUMB
from feedback.rules.collection.kinds import (
    classification,
    comparison,
    demonstration,
    ranking,
    rating,
    registry,
    spans,
)
from feedback.rules.collection.payloads import Answer

COMPARISON = comparison.KIND.name
DEMONSTRATION = demonstration.KIND.name
ORDERED = ranking.KIND.name
RATED = rating.KIND.name
LABELED = classification.KIND.name
MARKED = spans.KIND.name
PAIRWISE = registry.PAIRWISE
ORDERING = registry.ORDERING
WITH_TEXT = registry.WITH_TEXT


def kind_for(responses: int) -> str:
    """The kind of an item that does not name one, by its number of responses."""
    return registry.kind_for(responses) or PROMPT


def ordered(groups: list[list[str]]) -> Answer:
    """An answer that orders responses: groups of letters from best to worst."""
    return {"ranking": groups}


def order_in(answer: Answer) -> list[list[str]] | None:
    """The groups of an answer that orders responses; None for any other answer."""
    return answer.get("ranking")


def label_of(kind: str) -> str:
    """The kind of an item, for a heading."""
    if kind in registry.KINDS:
        return registry.KINDS[kind].label
    return {PROMPT: "Prompt without a task", THUMB: "Response with thumbs"}.get(kind, kind)
