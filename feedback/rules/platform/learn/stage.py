"""What a stage of the course consists of."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Depth: TypeAlias = Literal["basic", "medium", "detailed"]
DEPTHS: tuple[Depth, ...] = get_args(Depth)


@dataclass(frozen=True)
class Question:
    """A question of a quiz.

    Attributes:
        choices: possible answers, three or four.
        right: place of the right one in `choices`.
        reason: why it is right, shown after each answer.
    """

    text: str
    choices: tuple[str, ...]
    right: int
    reason: str


@dataclass(frozen=True)
class LearnStage:
    """A stage of the course.

    Attributes:
        key: in the path of its page.
        name: in lists. title: of the page, a question.
        lead: what the page is for and what to do on it, in one sentence.
        basic, medium, detailed: three short paragraphs for each depth.
        everyday: something everyday that is like it.
        terms: keys of the glossary.
        stations: keys of the steps of the pipeline that belong to it.
        quiz: five questions.
    """

    key: str
    name: str
    title: str
    lead: str
    basic: tuple[str, ...]
    medium: tuple[str, ...]
    detailed: tuple[str, ...]
    everyday: str
    terms: tuple[str, ...]
    stations: tuple[str, ...]
    quiz: tuple[Question, ...]

    def paragraphs(self, depth: Depth) -> tuple[str, ...]:
        return {"basic": self.basic, "medium": self.medium, "detailed": self.detailed}[depth]
