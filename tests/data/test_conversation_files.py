"""What was said in several turns goes out, whole, in the formats that can carry it, and comes in again."""

from typing import Any

import pytest

from feedback.models import Annotation, Person, PreferencePair, Project, Task
from feedback.selectors.collection.conversations import assignment_of
from feedback.selectors.data.training_queries import Policy
from feedback.selectors.data.training_rows import feedback_rows
from feedback.services.collection import annotations, conversations
from tests.data.test_import import brought_in, rows_of, written
from tests.factories import make_model, write_answers

pytestmark = pytest.mark.database


@pytest.fixture
def talked(project: Project, ada: Person, rosa: Person) -> Project:
    """Rosa's two turns: B clearly, then a tie."""
    make_model(project, ada, serve=True)
    project.kinds = ["comparison", "conversation"]
    project.save()
    turn = conversations.start(project=project, person=rosa, text="My lamp is broken.")
    write_answers(turn, "Which lamp?", "All lamps?")
    _judge(turn, {"outcome": "prefer", "choice": "b", "strength": 2})
    assert turn.conversation is not None
    turn = conversations.say(conversation=turn.conversation, text="The one in the hall.")
    write_answers(turn, "Change the bulb.", "Call us.")
    _judge(turn, {"outcome": "prefer", "choice": "a", "strength": 1})
    return project


def _judge(turn: Any, answer: dict[str, Any]) -> None:
    assignment = assignment_of(turn)
    assert assignment is not None
    annotations.submit(assignment=assignment, answer=answer)


def test_trl_gets_every_turn_with_all_that_was_said_before(talked: Project, ada: Person) -> None:
    rows = rows_of(written(talked, ada, "trl")[1])
    pairs = list(PreferencePair.objects.order_by("pk"))
    assert [len(row["prompt"]) for row in rows] == [1, 3]
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [
        (pair.chosen.text, pair.rejected.text) for pair in pairs
    ]
    assert rows[1]["prompt"][1] == {"role": "assistant", "content": pairs[0].chosen.text}


def test_our_own_format_carries_a_talk_there_and_back(
    talked: Project, other_project: Project, ada: Person, dan: Person
) -> None:
    job, path = written(talked, ada, "touchstone")
    rows = rows_of(path)
    assert [row["kind"] for row in rows] == ["conversation"] * 2 and job.result["left_out"] == {
        "a prompt's place in a conversation": 2
    }
    before = [one.row for one in feedback_rows(talked, Policy()) if one.row["kind"] == "preference"]
    assert brought_in(other_project, dan, path.read_bytes()).status == "succeeded"
    assert Task.objects.filter(project=other_project, kind="conversation").count() == 2
    assert Annotation.objects.filter(project=other_project, kind="conversation").count() == 2
    after = [one.row for one in feedback_rows(other_project, Policy()) if one.row["kind"] == "preference"]
    assert after == before
