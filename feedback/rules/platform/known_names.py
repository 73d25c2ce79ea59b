"""Error sentences for unknown names, with the nearest known name."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 12
LIKENESS = 0.65  # difflib's ratio, 0 to 1: `model` has 0.67 to `model_name`, `limit` 0.6 to `split`


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to `name`, or None if none is similar enough."""
    choices = sorted(set(known))
    folded = {choice.casefold().replace("-", "_"): choice for choice in choices}
    found = get_close_matches(name.casefold().replace("-", "_"), list(folded), n=1, cutoff=LIKENESS)
    if found:
        return folded[found[0]]
    begun = [choice for choice in choices if len(name) > 2 and choice.startswith(name)]
    if begun:
        return begun[0]
    return None


def unknown_name(name: str, known: Iterable[str], what: str = "field") -> str:
    """A sentence with the unknown name and the nearest known one or, without one, the known names."""
    choices = sorted(set(known))
    shown = name if len(name) <= 60 else f"{name[:60]}…"
    if not choices:
        return f"There is no {what} {shown!r}; none is accepted here."
    near = nearest(name, choices)
    if near is not None:
        return f"There is no {what} {shown!r} here. Did you mean {near!r}?"
    more = ", …" if len(choices) > MOST_LISTED else ""
    return f"There is no {what} {shown!r} here; known are {', '.join(choices[:MOST_LISTED])}{more}."
