"""Nobody judges what they can read the authors of: whatever people do, no door tells and the queue does not give it."""

from random import Random
from typing import Any

import pytest

from feedback.models import Annotation, Assignment, Person, Project, Prompt, Response, Task
from feedback.services.collection import annotations, assignment_queue, prompts
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.platform import projects
from tests.factories import PREFERS_A, make_model, make_prompt, make_response, make_task, take, write_answers

pytestmark = pytest.mark.database

PROMPTS = "/api/v1/prompts/"


def ask(client: Any, text: str, external_id: str, **more: Any) -> Any:
    return client.post(PROMPTS, {"project": "desk", "text": text, "external_id": external_id, **more})


def test_a_repeat_of_somebody_else_s_external_id_tells_nothing(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person, client_for: Any
) -> None:
    hers = ask(client_for(ada), "My lamp is broken.", "x1").json()
    make_response(Prompt.objects.get(), "Which one?", model_name="SECRETMODEL")
    for text in ("My lamp is broken.", "Another text."):  # the same body and another one look alike
        for client in (client_for(ben), client_for(chloe)):
            reply = ask(client, text, "x1")
            assert (reply.status_code, reply.json()["responses"]) == (201, [])
            assert reply.json()["id"] != hers["id"] and "SECRETMODEL" not in reply.content.decode()
            again = ask(client, text, "x1")
            assert (again.status_code, again.json()["id"]) == (200, reply.json()["id"]), "their own repeat is found"
            assert ask(client, text + "!", "x1").status_code == 409, "and their own other body is a conflict"
            Prompt.objects.filter(public_id=reply.json()["id"]).delete()
    repeated = ask(client_for(rosa), "My lamp is broken.", "x1")
    assert (repeated.status_code, repeated.json()["id"]) == (200, hers["id"]), "who reviews may read it"
    assert "SECRETMODEL" in repeated.content.decode()
    assert ask(client_for(rosa), "Another text.", "x1").status_code == 409


def test_external_ids_of_responses_are_one_s_own_too(
    project: Project, ada: Person, ben: Person, client_for: Any
) -> None:
    make_response(make_prompt(project, by=ada), "Which one?", external_id="r1")
    own = make_prompt(project, by=ben)
    body = {"prompt": str(own.public_id), "text": "All of it?", "external_id": "r1"}
    client = client_for(ben)
    first, again = client.post("/api/v1/responses/", body), client.post("/api/v1/responses/", body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert client.post("/api/v1/responses/", body | {"text": "Half of it?"}).status_code == 409


def test_whoever_becomes_more_than_an_annotator_keeps_what_they_numbered(
    project: Project, ada: Person, ben: Person, client_for: Any
) -> None:
    his = ask(client_for(ben), "My lamp is broken.", "x1").json()
    hers = ask(client_for(ada), "My kettle is broken.", "x1").json()
    projects.set_member(by=ada, project=project, person=ben, role="reviewer")
    assert ask(client_for(ben), "My lamp is broken.", "x1").json()["id"] == his["id"]
    projects.set_member(by=ada, project=project, person=ben, role="annotator")
    assert ask(client_for(ben), "My lamp is broken.", "x1").json()["id"] == his["id"]
    assert ask(client_for(ada), "My kettle is broken.", "x1").json()["id"] == hers["id"]


def gets_nothing(project: Project, person: Person) -> bool:
    return isinstance(assignment_queue.next_assignment(project=project, annotator=person), NoTask)


def test_who_asked_for_the_responses_is_not_given_the_task(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person
) -> None:
    make_model(project, ada, serve=True)
    own = make_prompt(project, by=ben)
    prompts.want_more(prompt=own, by=ben, count=2)
    write_answers(own, "Which one?", "All of it?")
    assert Task.objects.get().prompt == own
    assert gets_nothing(project, ben), "it is his prompt"
    assert take(project, chloe).task.prompt == own
    other = make_prompt(project, by=ada)
    prompts.want_more(prompt=other, by=rosa, count=2)
    write_answers(other, "Why?", "When?")
    assert take(project, rosa).task.prompt == own, "others asked for these"
    annotations.submit(assignment=take(project, rosa), answer=PREFERS_A)
    assert gets_nothing(project, rosa), "she asked for the others"


def test_nobody_judges_what_they_wrote(project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person) -> None:
    prompt = make_prompt(project, by=ada)
    for author in (ben, rosa):
        make_task(project, prompt, responses=[make_response(prompt, author=author), make_response(prompt)])
    assert len({take(project, person).task_id for person in (ben, rosa)}) == 2
    for person in (ben, rosa):
        annotations.submit(assignment=take(project, person), answer=PREFERS_A)
        assert gets_nothing(project, person)
    assert take(project, chloe)


def test_reviewers_may_annotate_and_are_marked_as_not_blind(
    project: Project, hana: Person, ada: Person, ben: Person, rosa: Person, client_for: Any
) -> None:
    projects.update_project(by=ada, project=project, annotations_per_task=4)
    task = make_task(project, make_prompt(project, by=ada))
    said = {}
    for person in (ben, rosa, ada, hana):
        said[person] = annotations.submit(assignment=take(project, person), answer=PREFERS_A)
        assert said[person].task == task
    assert [one.blind for one in said.values()] == [True, False, False, False]
    again = annotations.revise(assignment=said[ben].assignment, answer=PREFERS_A, by=ben)
    corrected = annotations.revise(assignment=said[ben].assignment, answer=PREFERS_A, by=rosa)
    assert (again.blind, corrected.blind) == (True, False)
    told = client_for(rosa).get("/api/v1/annotations/?project=desk").json()["results"]
    assert [(one["annotator"]["username"], one["blind"]) for one in told] == [
        ("rosa", False),
        ("ben", True),
        ("hana", False),
        ("ada", False),
        ("rosa", False),
        ("ben", True),
    ]


def test_annotators_are_not_told_how_gold_is_mixed_in(
    project: Project, ada: Person, ben: Person, rosa: Person, client_for: Any
) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"gold_share": 0.2})
    for person, policy in ((ben, None), (rosa, {"gold_share": 0.2}), (ada, {"gold_share": 0.2})):
        client = client_for(person)
        one = client.get("/api/v1/projects/desk/").json()
        (listed,) = client.get("/api/v1/projects/").json()["results"]
        assert one["queue_policy"] == listed["queue_policy"] == policy
        assert one["training_policy"] == listed["training_policy"] == (None if policy is None else {})


class Crowd:
    """People who do whatever comes to their mind, over REST."""

    def __init__(self, project: Project, people: list[Person], client_for: Any, seed: int) -> None:
        self.project, self.people, self.rng = project, people, Random(seed)
        self.clients = {person: client_for(person) for person in people}

    def act(self) -> None:
        person = self.rng.choice(self.people)
        self.rng.choice([self.submit, self.want_more, self.write, self.make_task, self.annotate, self.annotate])(person)

    def submit(self, person: Person) -> None:
        reply = ask(
            self.clients[person],
            self.rng.choice(["My lamp is broken.", "My kettle is broken."]),
            f"x{self.rng.randrange(3)}",
            responses_wanted=self.rng.choice([0, 2]),
        )
        assert reply.status_code in (200, 201, 409), reply.content
        self.tells_nothing_of_others(person, reply)

    def want_more(self, person: Person) -> None:
        prompt = self.rng.choice(list(Prompt.objects.all()) or [None])
        if prompt is not None:
            reply = self.clients[person].post(f"{PROMPTS}{prompt.public_id}/generate/", {"count": 2})
            assert reply.status_code in (202, 404)
            self.tells_nothing_of_others(person, reply)
            waiting = prompt.responses.filter(state__in=["queued", "running"]).count()
            write_answers(prompt, *(f"Answer {self.rng.random()}" for _ in range(waiting)))

    def write(self, person: Person) -> None:
        prompt = self.rng.choice(list(Prompt.objects.all()) or [None])
        if prompt is not None:
            body = {"prompt": str(prompt.public_id), "text": str(self.rng.random()), "external_id": "r"}
            reply = self.clients[person].post("/api/v1/responses/", body)
            assert reply.status_code in (200, 201, 400, 404, 409), reply.content

    def make_task(self, person: Person) -> None:
        """An admin's work, with whatever responses there are."""
        prompt = self.rng.choice(list(Prompt.objects.all()) or [None])
        ready = list(prompt.responses.filter(state="ready")) if prompt is not None else []
        if prompt is not None and len(ready) >= 2:
            make_task(self.project, prompt, responses=self.rng.sample(ready, 2), annotations_wanted=2)

    def annotate(self, person: Person) -> None:
        given = assignment_queue.next_assignment(project=self.project, annotator=person)
        if isinstance(given, NoTask):
            return
        self.is_blind_to(person, given)
        said = annotations.submit(assignment=given, answer=PREFERS_A)
        assert said.blind is self.only_annotates(person)

    def only_annotates(self, person: Person) -> bool:
        return person.username in ("ben", "chloe")

    def is_blind_to(self, person: Person, given: Assignment) -> None:
        responses = list(given.task.responses.all())
        assert person not in {one.author for one in responses} | {one.requested_by for one in responses}
        if not self.only_annotates(person):
            return
        client, prompt = self.clients[person], given.task.prompt
        listed = {one["id"] for one in client.get(f"{PROMPTS}?project=desk").json()["results"]}
        assert str(prompt.public_id) not in listed
        paths = [f"{PROMPTS}{prompt.public_id}/", f"{PROMPTS}{prompt.public_id}/stream/"]
        for one in responses:
            paths += [f"/api/v1/responses/{one.public_id}/", f"/api/v1/responses/{one.public_id}/stream/"]
        assert {client.get(path).status_code for path in paths} == {404}
        up = {"response": str(responses[0].public_id), "thumbs": "up"}
        assert client.post("/api/v1/feedback/", up).status_code == 404
        if prompt.external_id is not None:
            text = prompt.messages[-1]["content"]
            self.tells_nothing_of_others(person, ask(client, text, prompt.external_id))

    def tells_nothing_of_others(self, person: Person, reply: Any) -> None:
        if self.only_annotates(person):
            others = Response.objects.exclude(prompt__created_by=person).values_list("public_id", flat=True)
            assert not [key for key in others if str(key) in reply.content.decode()]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.one_database) for seed in (1, 2))])
def test_whatever_people_do_annotators_stay_blind(
    project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person, client_for: Any, seed: int
) -> None:
    make_model(project, ada, serve=True)
    crowd = Crowd(project, [ada, rosa, ben, chloe], client_for, seed)
    for _ in range(120):
        crowd.act()
    blind = set(Annotation.objects.values_list("annotator__username", "blind"))
    assert {("ben", True), ("chloe", True)} <= blind, "there was something to judge"
    assert not blind & {("ben", False), ("chloe", False), ("ada", True), ("rosa", True)}
