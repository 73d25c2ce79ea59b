"""Progress in the course: the depth that a person reads in, flash cards, and quizzes."""

from collections.abc import Mapping

from django.utils import timezone

from feedback.errors import Invalid, NotFound
from feedback.models import CardProgress, Learner, Person, QuizResult
from feedback.rules.platform.glossary import TERMS
from feedback.rules.platform.learn.course import BY_KEY
from feedback.rules.platform.learn.stage import DEPTHS


def set_depth(*, person: Person, depth: str) -> None:
    """Keep the depth of all pages of the course for this person.

    Raises:
        Invalid: there is no such depth.
    """
    if depth not in DEPTHS:
        raise Invalid(f"Choose one of {', '.join(DEPTHS)}.", field="depth")
    Learner.objects.update_or_create(person=person, defaults={"depth": depth})


def mark_card(*, person: Person, term: str, known: bool) -> None:
    """Keep what a person said of a flash card. Safe to repeat.

    Raises:
        NotFound: the glossary has no such term.
    """
    if term not in TERMS:
        raise NotFound("The glossary has no such term.")
    CardProgress.objects.update_or_create(
        person=person, term=term, defaults={"known": known, "seen_at": timezone.now()}
    )


def record_quiz(*, person: Person, stage: str, chosen: Mapping[int, int]) -> QuizResult:
    """Store the result of a finished quiz.

    Args:
        chosen: place of the chosen answer by place of the question.

    Raises:
        NotFound: the course has no such stage.
        Invalid: a question has no answer.
    """
    if stage not in BY_KEY:
        raise NotFound("The course has no such stage.")
    quiz = BY_KEY[stage].quiz
    right = 0
    for place, question in enumerate(quiz):
        if chosen.get(place) not in range(len(question.choices)):
            raise Invalid(f"Question {place + 1} has no answer yet.")
        right += chosen[place] == question.right
    return QuizResult.objects.create(person=person, stage=stage, right=right, questions=len(quiz))
