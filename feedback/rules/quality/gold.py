"""Gold answers: their form, and whether an annotation is right.

A gold answer is a payload, less what no right answer fixes (strength, reasons), perhaps with a tolerance: how many
points a rating, or how many characters each end of a span, may be off.
"""

from feedback.rules.collection import payloads
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.kinds.task_kind import Matches
from feedback.rules.collection.payloads import Answer, InvalidAnswer, Payload, Question
from feedback.rules.collection.preferences import CLEAR

COMPARE: dict[str, Matches] = {}
for _kind in KINDS.values():
    COMPARE.update(_kind.gold_fields)


def checked(gold: object, question: Question) -> Answer:
    """What to store for a gold answer given in the letters of the task's own order, with or without a tolerance.

    Raises:
        InvalidAnswer: the kind has no right answers, or this is none.
    """
    kind = KINDS[question.kind]
    if not kind.takes_gold:
        raise InvalidAnswer("gold", f"A {question.kind} has no single correct answer, so it cannot be a gold task.")
    if not isinstance(gold, dict):
        raise InvalidAnswer("gold", "It must be an object.")
    tolerance = gold.get("tolerance", 0)
    most = kind.most_tolerance
    if isinstance(tolerance, bool) or not isinstance(tolerance, int) or not 0 <= tolerance <= most:
        raise InvalidAnswer("tolerance", f"For a {question.kind} it is a whole number from 0 to {most}.")
    answer = {name: value for name, value in gold.items() if name != "tolerance"}
    if answer.get("outcome") == "prefer":
        answer.setdefault("strength", CLEAR)  # how much better is no part of a right answer
    kept = without_blanks(question.kind, payloads.resolve(answer, question))
    if tolerance:
        kept["tolerance"] = tolerance
    return kept


def without_blanks(kind: str, payload: Payload) -> Answer:
    """A payload as a gold answer: without empty fields, unless the right answer fixes them."""
    fixed = KINDS[kind].gold_fields
    return {name: value for name, value in payload.items() if value not in ("", {}) or name in fixed}


def is_right(payload: Payload, gold: Payload) -> bool:
    """Whether every field that the gold answer fixes has its value, within the tolerance. Reasons are not compared."""
    tolerance = gold.get("tolerance", 0)
    fixes_any = False
    for name, matches in COMPARE.items():
        if gold.get(name) is None:
            continue
        fixes_any = True
        if payload.get(name) is None or not matches(payload[name], gold[name], tolerance):
            return False
    return fixes_any
