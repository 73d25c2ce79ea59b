"""Tags of the arena page."""

from django import template

from feedback.models import ModelVersion
from feedback.selectors.evaluation.arena import Arena, Entrant

register = template.Library()


@register.simple_tag
def entrant_name(arena: Arena, entrant: Entrant) -> str:
    """What the entrant is called."""
    return arena.names[entrant]


@register.simple_tag
def entrant_version(arena: Arena, entrant: Entrant) -> ModelVersion | None:
    """Its version in the registry; None for a model that is known by name only."""
    return None if entrant.version is None else arena.versions[entrant.version]
