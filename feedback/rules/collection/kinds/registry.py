"""Every task kind by its name, in the order in which pages list them."""

from collections.abc import Callable
from typing import Any, TypeAlias

from feedback.rules.collection.kinds import (
    classification,
    comparison,
    conversation,
    demonstration,
    ranking,
    rating,
    spans,
)
from feedback.rules.collection.kinds.task_kind import TaskKind

AnyKind: TypeAlias = TaskKind[Any]

ALL: tuple[AnyKind, ...] = (
    comparison.KIND,
    ranking.KIND,
    rating.KIND,
    demonstration.KIND,
    classification.KIND,
    spans.KIND,
    conversation.KIND,
)
KINDS: dict[str, AnyKind] = {kind.name: kind for kind in ALL}


def names_where(has: Callable[[AnyKind], bool]) -> tuple[str, ...]:
    """Names of the kinds that have a property."""
    return tuple(name for name, kind in KINDS.items() if has(kind))


PAIRWISE = names_where(lambda kind: kind.is_pairwise)
ORDERING = names_where(lambda kind: kind.orders_responses)
WITH_TEXT = names_where(lambda kind: kind.answers_with_text)
JUDGING = names_where(lambda kind: kind.judges_responses)
WITH_SCHEME = names_where(lambda kind: kind.uses_scheme)
WITH_NAMES = names_where(lambda kind: kind.uses_names)
WITH_DIMENSIONS = names_where(lambda kind: kind.rates_dimensions)
WITH_GOLD = names_where(lambda kind: kind.takes_gold)
MARKING = names_where(lambda kind: kind.marks_text)
WRITING = names_where(lambda kind: kind.written is not None)


def kind_for(responses: int) -> str:
    """The kind that suits a number of responses where a file does not name one; empty for just a prompt."""
    if responses < 2:
        return ""
    return comparison.KIND.name if responses == 2 else ranking.KIND.name
