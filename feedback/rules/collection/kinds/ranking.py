"""Ranking: up to nine responses, best first, ties allowed.

Answer: {"ranking": [["b"], ["a", "c"], ["d"]], "reason": "…"}: groups from best to worst; those in one group tie.
"""

from itertools import combinations
from typing import Any

from feedback.rules.collection.kinds.question import LETTERS, InvalidAnswer, Question, letter, only, reason, response
from feedback.rules.collection.preference import STRONG, Preference
from feedback.rules.data.texts import as_stored


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    only(answer, "ranking", "reason")
    given = answer.get("ranking")
    if not isinstance(given, list) or not all(isinstance(group, list) and group for group in given):
        raise InvalidAnswer("ranking", 'It must be a list of groups of letters, best first: [["b"], ["a", "c"]].')
    groups = [[response(one, question, f"ranking[{place}]") for one in group] for place, group in enumerate(given)]
    ranked = [one for group in groups for one in group]
    if len(set(ranked)) != len(ranked):
        twice = next(one for one in ranked if ranked.count(one) > 1)
        raise InvalidAnswer("ranking", f"Response {letter(twice, question.shown)} stands in it twice.")
    missing = [LETTERS[place] for place, one in enumerate(question.shown) if one not in ranked]
    if missing:
        raise InvalidAnswer("ranking", f"Rank every response; missing: {', '.join(missing)}.")
    _same_texts_tie(groups, question)
    return {"ranking": groups, "reason": reason(answer.get("reason"), question)}


def _same_texts_tie(groups: list[list[str]], question: Question) -> None:
    """Two responses of the same text cannot be one better than the other."""
    met: dict[str, tuple[str, int]] = {}
    for place, group in enumerate(groups):
        for one in group:
            other, before = met.setdefault(as_stored(question.texts.get(one, one)), (one, place))
            if before != place:
                names = " and ".join(sorted(letter(name, question.shown) for name in (one, other)))
                raise InvalidAnswer("ranking", f"Responses {names} are the same text. Put them into one group.")


def unresolve(payload: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    ranking = [[letter(one, shown) for one in group] for group in payload["ranking"]]
    return {"ranking": ranking, "reason": payload.get("reason", "")}


def preferences(payload: dict[str, Any]) -> list[Preference]:
    """A pair of every two responses that do not tie. The strength is how many groups lie between them, at most 3."""
    return [
        Preference(better, worse, min(STRONG, below - above))
        for (above, best), (below, worst) in combinations(enumerate(payload["ranking"]), 2)
        for better in best
        for worse in worst
    ]
