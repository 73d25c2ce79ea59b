"""A project that holds something of every kind that a project can hold, made by the services that make it."""

from typing import Any

from django.utils import timezone

from feedback.models import Annotation, Assignment, Person, Project, Prompt, Response, Task
from feedback.selectors.collection import conversations as conversation_selectors
from feedback.services.collection import annotations, assignments, conversations, tasks, thumbs
from feedback.services.platform import people, tokens
from feedback.services.quality import reviews
from tests.factories import make_prompt, make_response, make_task, take, token_of, write_answers
from tests.kinds import SCHEMES, make_kind

PREFERS = {"outcome": "prefer", "choice": "a", "strength": 3, "reason": "It helps.", "dimensions": {"truthful": "b"}}


def answered(project: Project, person: Person, task: Task, answer: dict[str, Any], **more: Any) -> Annotation:
    """The answer of `person` to this task, whatever else the queue holds."""
    placed = list(task.placed.order_by("position").values_list("response_id", flat=True))
    Task.objects.filter(pk=task.pk, free_slots__gt=0).update(free_slots=task.free_slots - 1)
    slot = None if task.annotations_wanted is None else Assignment.objects.filter(task=task).count() + 1
    assignment = Assignment.objects.create(
        project=project, task=task, annotator=person, slot=slot, order=placed, held_until=timezone.now(),
        shown_at=timezone.now(), **more,
    )  # fmt: skip
    task.refresh_from_db()
    return annotations.submit(assignment=assignment, answer=answer)


def one_of_each_kind(project: Project, ben: Person) -> None:
    answers: dict[str, dict[str, Any]] = {
        "comparison": PREFERS,
        "ranking": {"ranking": [["b"], ["a", "c"], ["d"]], "reason": "b is best"},
        "demonstration": {"text": "Try the cable first."},
    }
    for kind, answer in answers.items():
        answered(project, ben, make_kind(project, kind), answer)
    labeled = make_kind(project, "classification", scheme="topic", text="My bill is wrong.")
    answered(project, ben, labeled, {"labels": ["billing", "account"]})
    spans = {"spans": [{"start": 0, "end": 6, "label": "name"}]}
    answered(project, ben, make_kind(project, "spans", scheme="names"), spans)
    for outcome in ("tie", "both_bad"):
        answered(project, ben, make_task(project), {"outcome": outcome})
    # Two responses of one prompt, rated apart by one person: a pair that only the prompt holds together.
    prompt = make_prompt(project, external_id="rated", group="customer 7")
    for text, value in (("Good.", 5), ("Bad.", 2)):
        responses = [make_response(prompt, text)]
        task, _ = tasks.create_task(project=project, by=None, kind="rating", prompt=prompt, responses=responses)
        answered(project, ben, task, {"ratings": {"truthful": value}})


def thumbs_and_ids(project: Project, ada: Person, ben: Person) -> None:
    prompt = make_prompt(project, external_id="P-1", metadata={"trl": "1.12", "ticket": 7})
    first, second, third = (make_response(prompt, external_id=f"R-{n}") for n in range(3))
    answered(project, ben, make_task(project, prompt, responses=[first, second], external_id="T-1"), PREFERS)
    thumbs.give_thumb(response=first, person=ada, token=None, up=False)
    thumbs.give_thumb(response=first, person=ada, token=None, up=True, comment="fixed it!")
    thumbs.give_thumb(response=third, person=ada, token=None, up=False)
    for up in (True, False):  # two clients of one person: both count
        token = tokens.authenticate_token(token_of(ada, "submit"))
        thumbs.give_thumb(response=second, person=ada, token=token, up=up)
    make_task(project, make_prompt(project), external_id="P-1")  # a task may have a prompt's id
    make_response(make_prompt(project, external_id="lonely"), "A response that no task shows.")


def written_by_people(project: Project, ben: Person, chloe: Person, rosa: Person) -> None:
    prompt = make_prompt(project)
    human, other = make_response(prompt, "From a person.", author=chloe), make_response(prompt)
    answered(project, ben, make_task(project, prompt, responses=[human, other]), {"outcome": "tie"})
    task, _ = tasks.create_task(project=project, by=None, kind="demonstration", prompt=prompt, responses=[])
    said = answered(project, ben, task, {"text": "Written for a task."})
    written = Response.objects.get(annotation=said)
    answered(project, rosa, make_task(project, prompt, responses=[written, other]), PREFERS)
    turn = conversations.start(project=project, person=rosa, text="My lamp is broken.")
    write_answers(turn, "Which lamp?", "All lamps?")
    assignment = conversation_selectors.assignment_of(turn)
    assert assignment is not None
    annotations.submit(assignment=assignment, answer={"outcome": "both_bad", "rewrite": "Is it plugged in?"})
    assert turn.conversation is not None
    turn = conversations.say(conversation=turn.conversation, text="Yes.")
    write_answers(turn, "Change the bulb.", "Call us.")


def decided_by_reviewers(project: Project, rosa: Person, ben: Person, chloe: Person) -> None:
    task = make_task(project, annotations_wanted=2)
    answered(project, ben, task, PREFERS)
    answered(project, chloe, task, {"outcome": "prefer", "choice": "b", "strength": 1})
    reviews.decide(task=task, by=rosa, answer={"outcome": "both_bad"}, note="Neither helps.")
    said = answered(project, ben, make_task(project), PREFERS)
    reviews.review(
        annotation=said, by=rosa, decision="correct", answer={"outcome": "prefer", "choice": "b", "strength": 0}
    )
    said = answered(project, ben, make_task(project), PREFERS)
    reviews.review(annotation=said, by=rosa, decision="send_back", note="Look again.")
    said = answered(project, ben, make_task(project), PREFERS)
    annotations.revise(assignment=said.assignment, answer={"outcome": "tie"}, by=ben)
    said = answered(project, chloe, make_task(project), PREFERS)
    annotations.withdraw(assignment=said.assignment, by=chloe)


def beyond_the_usual(project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person) -> None:
    task = make_task(project, annotations_wanted=1)
    answered(project, ben, task, PREFERS)
    late = answered(project, chloe, task, {"outcome": "tie"}, state=Assignment.State.EXPIRED)
    assert not Assignment.objects.get(pk=late.assignment_id).counted
    task = make_task(project, annotations_wanted=2)
    answered(project, ben, task, PREFERS)
    tasks.withdraw_task(by=ada, task=task)
    gold = make_task(project, gold={"outcome": "prefer", "choice": "a", "strength": 2}, explanation="It is true.")
    answered(project, ben, gold, PREFERS)
    gone = people.imported_person(source="elsewhere", name="gone")
    answered(project, gone, make_task(project), PREFERS)
    thumbs.give_thumb(response=make_response(make_prompt(project)), person=gone, token=None, up=True)
    Person.objects.filter(pk=gone.pk).update(status=Person.Status.WITHDRAWN)
    for state in (Prompt.State.BLOCKED, Prompt.State.RECEIVED):
        task = make_task(project)
        answered(project, ben, task, PREFERS)
        thumbs.give_thumb(response=task.responses.first(), person=ada, token=None, up=True)  # type: ignore[arg-type]
        Prompt.objects.filter(pk=task.prompt_id).update(state=state)
    for unwritten in (Response.State.FAILED, Response.State.QUEUED):
        Response.objects.filter(pk=make_response(make_prompt(project)).pk).update(state=unwritten)
    make_prompt(project, "The same words.")
    make_prompt(project, "the same words")
    make_prompt(project, "The same words.")
    held = take(project, rosa)
    assignments.skip(assignment=held, reason="unclear")


def fill(project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person) -> None:
    """Something of every kind; `project` serves a policy and has the annotators."""
    Project.objects.filter(pk=project.pk).update(
        annotations_per_task=1, label_scheme=SCHEMES, kinds=["comparison", "conversation", "demonstration"]
    )
    project.refresh_from_db()
    one_of_each_kind(project, ben)
    thumbs_and_ids(project, ada, ben)
    written_by_people(project, ben, chloe, rosa)
    decided_by_reviewers(project, rosa, ben, chloe)
    beyond_the_usual(project, ada, ben, chloe, rosa)
