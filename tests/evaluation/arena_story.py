"""What tests of the arena begin with: people who prefer a response of one model to one of another."""

from typing import Any

from feedback.models import Annotation, ModelVersion, Person, Project, Prompt, Response
from feedback.services.collection import annotations
from tests.factories import make_prompt, make_response, make_task, take

Author = ModelVersion | str


def respond(prompt: Prompt, author: Author) -> Response:
    if isinstance(author, str):
        return make_response(prompt, model_name=author)
    return make_response(prompt, model_version=author)


def compare(
    project: Project, person: Person, winner: Author, loser: Author, *, tie: bool = False, prompt: Prompt | None = None
) -> Annotation:
    """`person` prefers a response of `winner` to one of `loser`, in a task of their own."""
    prompt = prompt or make_prompt(project)
    better, worse = respond(prompt, winner), respond(prompt, loser)
    task = make_task(project, prompt, responses=[worse, better], annotations_wanted=1, priority=9)
    assignment = take(project, person)
    assert assignment.task_id == task.pk
    answer: dict[str, Any] = {"outcome": "tie"}
    if not tie:
        answer = {"outcome": "prefer", "choice": "ab"[assignment.order.index(better.pk)], "strength": 1}
    return annotations.submit(assignment=assignment, answer=answer)
