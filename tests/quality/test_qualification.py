"""New annotators begin with tasks whose answers are known, are told after each, and pass, fail, or are let through."""

import pytest

from feedback.errors import Invalid
from feedback.models import Annotation, Assignment, Event, Membership, Person, Project, Task
from feedback.services.collection import annotations, assignment_queue
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.platform import projects
from feedback.services.quality import qualification
from feedback.services.quality.qualification import QualificationVerdict
from tests.factories import make_task, take

pytestmark = pytest.mark.database

RIGHT = {"outcome": "tie"}
WRONG = {"outcome": "both_bad"}


@pytest.fixture
def work(project: Project, ada: Person) -> Task:
    """Two tasks of three must be right before real work, of which there is one. The round has four."""
    policy = {"training_tasks": 3, "training_pass": 66, "gold_share": 0}
    projects.update_project(by=ada, project=project, queue_policy=policy)
    for place in range(4):
        make_task(project, gold=RIGHT, training_round=True, explanation=f"They say the same ({place}).")
    return make_task(project)


def answer(project: Project, person: Person, said: dict[str, str]) -> QualificationVerdict:
    held = take(project, person)
    assert held.arm == "training" and held.task.training_round
    annotations.submit(assignment=held, answer=said)
    told = qualification.verdict_of(held)
    assert told is not None
    return told


def test_one_task_of_the_round_is_held_ahead_at_most(project: Project, ben: Person, work: Task) -> None:
    """It may be over with any answer."""
    shown = take(project, ben)
    ahead = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True)
    assert isinstance(ahead, Assignment) and ahead != shown
    have = {str(shown.public_id), str(ahead.public_id)}
    third = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True, have=have)
    assert isinstance(third, Assignment) and str(third.public_id) in have


def test_what_is_held_ahead_of_a_round_is_let_go_when_it_is_passed(project: Project, ben: Person, work: Task) -> None:
    for _ in range(2):
        answer(project, ben, RIGHT)
    last = take(project, ben)
    ahead = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True)
    assert isinstance(ahead, Assignment) and ahead.task.training_round
    annotations.submit(assignment=last, answer=RIGHT)
    ahead.refresh_from_db()
    assert ahead.state == "released" and take(project, ben).task == work


def test_told_after_each_and_real_work_after_the_last(project: Project, ben: Person, work: Task) -> None:
    first = answer(project, ben, WRONG)
    assert (first.right, first.answer["outcome"], first.training, first.answered) == (False, "tie", "needed", 1)
    assert first.explanation.startswith("They say the same")
    assert answer(project, ben, RIGHT).training == "needed"
    last = answer(project, ben, RIGHT)
    assert (last.right, last.training, last.answered, last.needed) == (True, "passed", 3, 3)
    real = take(project, ben)
    assert real.task_id == work.pk
    annotations.submit(assignment=real, answer=RIGHT)
    assert qualification.verdict_of(real) is None, "real work is not commented on"
    member = Membership.objects.get(project=project, person=ben)
    assert member.trained_at is not None
    assert Event.objects.filter(verb="member.training_passed").count() == 1


def test_one_more_chance_with_each_task_that_is_left(project: Project, ben: Person, work: Task) -> None:
    for said, then in ((WRONG, "needed"), (WRONG, "needed"), (RIGHT, "needed"), (RIGHT, "passed")):
        assert answer(project, ben, said).training == then


def test_failed_when_the_tasks_are_used_up_and_told_what_to_do(
    project: Project, ada: Person, ben: Person, work: Task
) -> None:
    for _ in range(4):
        last = answer(project, ben, WRONG)
    assert last.training == "failed"
    nothing = assignment_queue.next_assignment(project=project, annotator=ben)
    assert isinstance(nothing, NoTask) and nothing.reason == "training_failed"
    assert "ask a project admin" in nothing.sentence
    assert work.assignments.count() == 0

    qualification.set_training(by=ada, project=project, person=ben, training="needed")
    assert answer(project, ben, RIGHT).answered == 1, "it starts over"
    assert Annotation.objects.filter(annotator=ben).count() == 5, "what was said stays"


def test_an_admin_lets_somebody_work_without_it(project: Project, ada: Person, ben: Person, work: Task) -> None:
    qualification.set_training(by=ada, project=project, person=ben, training="waived")
    assert take(project, ben).task_id == work.pk
    with pytest.raises(Invalid):
        qualification.set_training(by=ada, project=project, person=ben, training="passed")


def test_reviewers_begin_at_once(project: Project, rosa: Person, work: Task) -> None:
    assert take(project, rosa).task_id == work.pk


def test_a_round_without_tasks_says_so(project: Project, ada: Person, ben: Person) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"training_tasks": 3})
    make_task(project)
    nothing = assignment_queue.next_assignment(project=project, annotator=ben)
    assert isinstance(nothing, NoTask) and nothing.reason == "training_empty"


def test_a_task_of_the_round_needs_its_answer(project: Project) -> None:
    with pytest.raises(Invalid):
        make_task(project, training_round=True)
