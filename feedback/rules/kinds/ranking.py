"""Ranking: up to nine responses, best first, ties allowed.

Answer: {"ranking": [["b"], ["a", "c"], ["d"]], "reason": "…"}: groups from best to worst; those in one group tie.
"""

from itertools import combinations
from typing import Any

from feedback.rules.kinds.question import LETTERS, InvalidAnswer, Question, letter, only, reason, response
from feedback.rules.preference import STRONG, Preference


def resolve(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    only(answer, "ranking", "reason")
    given = answer.get("ranking")
    if not isinstance(given, list) or not all(isinstance(group, list) and group for group in given):
        raise InvalidAnswer("ranking", 'It must be a list of groups of letters, best first: [["b"], ["a", "c"]].')
    groups = [[response(one, question, f"ranking[{place}]") for one in group] for place, group in enumerate(given)]
    told = [one for group in groups for one in group]
    if len(set(told)) != len(told):
        twice = next(one for one in told if told.count(one) > 1)
        raise InvalidAnswer("ranking", f"Response {letter(twice, question.shown)} stands in it twice.")
    missing = [LETTERS[place] for place, one in enumerate(question.shown) if one not in told]
    if missing:
        raise InvalidAnswer("ranking", f"Rank every response; missing: {', '.join(missing)}.")
    return {"ranking": groups, "reason": reason(answer.get("reason"), question)}


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
