"""Ranking: up to nine responses, best first, ties allowed.

Answer: {"ranking": [["b"], ["a", "c"], ["d"]], "reason": "…"}: groups from best to worst; those in one group tie.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from statistics import mean
from typing import NotRequired, TypedDict

from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import (
    LETTERS,
    Answer,
    InvalidAnswer,
    Question,
    letter,
    only,
    reason,
    response,
)
from feedback.rules.collection.kinds.shared import differ_in, most_common
from feedback.rules.collection.kinds.task_kind import Judged, KindFigures, TaskKind
from feedback.rules.collection.preferences import STRONG, Preference
from feedback.rules.collection.rank_groups import groups_of, ranks_of
from feedback.rules.data import texts
from feedback.rules.json_types import is_list_of
from feedback.rules.quality.agreement import agreement, kendall_tau, nominal

Groups = list[list[str]]


class RankingPayload(TypedDict):
    """`ranking`: groups of public ids from best to worst."""

    ranking: Groups
    reason: NotRequired[str]


def resolve(answer: Answer, question: Question) -> RankingPayload:
    only(answer, "ranking", "reason")
    given = answer.get("ranking")
    if not is_list_of(given, list) or not all(given):
        raise InvalidAnswer("ranking", 'It must be a list of groups of letters, best first: [["b"], ["a", "c"]].')
    groups: Groups = []
    for place, group in enumerate(given):
        groups.append([response(one, question, f"ranking[{place}]") for one in group])
    ranked = Counter(chain.from_iterable(groups))
    if ranked.total() > len(ranked):
        twice = next(one for one, count in ranked.items() if count > 1)
        raise InvalidAnswer("ranking", f"Response {letter(twice, question.shown)} occurs twice.")
    missing = [letter(one, question.shown) for one in question.shown if one not in ranked]
    if missing:
        raise InvalidAnswer("ranking", f"Rank every response; missing: {', '.join(missing)}.")
    _check_same_texts_tie(groups, question)
    return {"ranking": groups, "reason": reason(answer.get("reason"), question)}


def unresolve(payload: RankingPayload, shown: list[str]) -> Answer:
    ranking = []
    for group in payload["ranking"]:
        ranking.append([letter(one, shown) for one in group])
    return {"ranking": ranking, "reason": payload.get("reason", "")}


def read_form(form: Form, text: str) -> Answer:
    """A place (1 is best) for each letter; equal places tie."""
    return {"ranking": list(map(sorted, groups_of(form.numbers_with_prefix("place-"))))}


def describe(payload: RankingPayload, letter_of: Mapping[str, str]) -> str:
    groups = []
    for group in payload["ranking"]:
        groups.append(" = ".join(letter_of.get(one, "?") for one in group))
    return " > ".join(groups)


def preferences(payload: RankingPayload) -> list[Preference]:
    """A pair of every two responses that do not tie. The strength is how many groups lie between them, at most 3."""
    pairs: list[Preference] = []
    for (above, best), (below, worst) in combinations(enumerate(payload["ranking"]), 2):
        strength = min(STRONG, below - above)
        for better, worse in product(best, worst):
            pairs.append(Preference(better, worse, strength))
    return pairs


def count_compared(payload: RankingPayload) -> int:
    return sum(map(len, payload["ranking"]))


def find_indistinct(written: Sequence[str]) -> str:
    """A sentence where all responses are the same text. Where only some are, whoever ranks them ties these."""
    if len(set(map(texts.as_stored, written))) > 1:
        return ""
    twins = texts.twins(written)
    return texts.twins_sentence(twins) if twins else ""


def measure_agreement(tasks: Sequence[Sequence[Judged]]) -> KindFigures:
    """Agreement on the order of each two responses, and the mean rank correlation of two annotators."""
    units: list[list[int]] = []
    taus: list[float] = []
    for task in tasks:
        rankings: list[Groups] = [answer.payload["ranking"] for answer in task]
        units.extend(_ordered_pairs(rankings))
        for one, other in combinations(rankings, 2):
            tau = kendall_tau(one, other)
            if tau is not None:
                taus.append(tau)
    return KindFigures(agreement(units, nominal), tau=mean(taus) if taus else None)


def _is_same_order(given: Groups, right: Groups, tolerance: int) -> bool:
    return list(map(set, given)) == list(map(set, right))


def _top_group(payload: RankingPayload) -> Hashable:
    return frozenset(payload["ranking"][0])


def _all_groups(payload: RankingPayload) -> Hashable:
    return tuple(map(frozenset, payload["ranking"]))


def _ordered_pairs(rankings: Sequence[Groups]) -> Iterator[list[int]]:
    """For each two responses, which one stands higher in each ranking: -1, 0 or 1."""
    places = list(map(ranks_of, rankings))
    names = sorted(set.intersection(*map(set, places)))
    for a, b in combinations(names, 2):
        yield [(place[a] > place[b]) - (place[a] < place[b]) for place in places]


def _check_same_texts_tie(groups: Groups, question: Question) -> None:
    """Two responses of the same text cannot be one better than the other."""
    met: dict[str, tuple[str, int]] = {}
    for place, group in enumerate(groups):
        for one in group:
            other, before = met.setdefault(texts.as_stored(question.texts.get(one, one)), (one, place))
            if before != place:
                names = " and ".join(sorted((letter(one, question.shown), letter(other, question.shown))))
                raise InvalidAnswer("ranking", f"Responses {names} are the same text. Put them into one group.")


KIND = TaskKind[RankingPayload](
    name="ranking",
    label="Ranking",
    summary="up to nine responses from best to worst, ties allowed",
    instruction="rank several responses",
    question="Which responses are better? Rank them, best first.",
    fewest_responses=2,
    most_responses=len(LETTERS),
    resolve=resolve,
    unresolve=unresolve,
    read_form=read_form,
    describe=describe,
    preferences=preferences,
    majority=most_common(_all_groups),
    disagree=differ_in(_top_group),
    measure_agreement=measure_agreement,
    gold_fields={"ranking": _is_same_order},
    find_indistinct=find_indistinct,
    count_compared=count_compared,
    orders_responses=True,
    judges_responses=True,
)
