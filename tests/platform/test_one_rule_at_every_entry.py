"""What one way in refuses, every way in refuses, in the same words: a table of rules and ways.

A way that a rule cannot be broken by says so in the table, so that a new way has to be decided for every rule.
"""

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from feedback.models import Corpus, Document, Person, PreferencePair, Project, Prompt, Response, Task, Thumb
from feedback.services.collection import conversations, tasks
from feedback.services.data import corpora, imports
from feedback.services.platform import projects
from tests.data.test_import import refusals
from tests.factories import PREFERS_A, bring, make_model, make_prompt, make_response, make_task, take, write_answers
from workers.execution import run_job

pytestmark = pytest.mark.database

USER, HALF = {"role": "user", "content": "q"}, {"role": "assistant", "content": "Once upon"}
SCHEME = {"topic": {"kind": "classification", "labels": [{"name": "billing"}, {"name": "other"}]}}
STORED = (Corpus, Document, Prompt, Response, Task, Thumb)


@dataclass(frozen=True)
class Refusal:
    """How a way refused. `code` is None where the way carries none: pages and lines of files carry sentences."""

    code: str | None
    text: str
    status: int


@dataclass
class World:
    """The project, everybody's clients, and rows to act on that were made while everything was allowed."""

    project: Project
    ada: Person
    ben: Person
    rest: Callable[[Person], Any]
    page: Callable[[Person], Any]
    prompt: Prompt | None = None
    pair: tuple[Response, ...] = ()
    corpus: Corpus | None = None
    talk: Any = None
    job: Any = None
    assignment: Any = None

    @property
    def fresh(self) -> Project:
        return Project.objects.get(pk=self.project.pk)


Way = Callable[[World], Refusal]


# --- how each way answers ------------------------------------------------------------------------------------


def of_rest(reply: Any) -> Refusal:
    (error,) = reply.json()["errors"]
    return Refusal(error["code"], error["detail"], reply.status_code)


def of_bulk(reply: Any) -> Refusal:
    assert reply.status_code in (200, 201, 207), reply.content
    (one,) = reply.json()
    (error,) = one["errors"]
    return Refusal(error["code"], error["detail"], one["status"])


def of_openai(reply: Any) -> Refusal:
    error = reply.json()["error"]
    return Refusal(error["code"], error["message"], reply.status_code)


def of_page(reply: Any) -> Refusal:
    return Refusal(None, html.unescape(reply.content.decode()), reply.status_code)


def of_script(reply: Any) -> Refusal:
    return Refusal(reply.json()["code"], reply.json()["sentence"], reply.status_code)


def of_line(job: Any) -> Refusal:
    assert job.result["new"] == 0
    ((_, _, sentence),) = refusals(job)
    return Refusal(None, sentence, 400)


def of_job(job: Any) -> Refusal:
    job.refresh_from_db()
    assert job.status == "failed"
    return Refusal(None, job.error, 409)


def rest(method: str, path: str, body: Any, who: str = "ada", read: Callable[[Any], Refusal] = of_rest) -> Way:
    def way(world: World) -> Refusal:
        client = world.rest(getattr(world, who))
        filled = json.loads(_filled(world, json.dumps(body)))
        return read(
            getattr(client, method)(_filled(world, path), filled, format="json", HTTP_IDEMPOTENCY_KEY=str(uuid4()))
        )

    return way


def page(path: str, body: dict[str, Any], who: str = "ada", follow: bool = False) -> Way:
    def way(world: World) -> Refusal:
        filled = {name: _filled(world, value) if isinstance(value, str) else value for name, value in body.items()}
        filled |= {"file": SimpleUploadedFile("a.jsonl", b'{"prompt": "x"}\n')} if "file" in body else {}
        return of_page(world.page(getattr(world, who)).post(_filled(world, path), filled, follow=follow))

    return way


def file(row: dict[str, Any], format: str = "touchstone") -> Way:
    return lambda world: of_line(bring(world.fresh, world.ada, json.dumps(row), format))


def _filled(world: World, text: str) -> str:
    known = {"PROMPT": world.prompt, "LEFT": world.pair[0], "RIGHT": world.pair[1], "CORPUS": world.corpus}
    known |= {"TALK": world.talk, "ASSIGNMENT": world.assignment}
    for name, row in known.items():
        if row is not None:
            text = text.replace(name, str(row.public_id))
    return text


# --- what each rule needs, and the ways in ---------------------------------------------------------------------


def nothing(world: World) -> None:
    pass


def an_old_pair_of_twins(world: World) -> None:
    """A task from before the rule, held by Ben."""
    make_task(world.fresh).responses.update(text="same")
    world.assignment = take(world.fresh, world.ben)


def open_tasks(world: World) -> None:
    project = projects.update_project(
        by=world.ada, project=world.fresh, kinds=["comparison", "classification", "rating"], label_scheme=SCHEME
    )
    text, rated = make_prompt(project), make_prompt(project)
    ask = {"scheme": "topic"}
    tasks.create_task(project=project, by=None, kind="classification", prompt=text, responses=[], ask=ask)
    tasks.create_task(project=project, by=None, kind="rating", prompt=rated, responses=[make_response(rated)])


def begun_then_closed(world: World) -> None:
    """Everything that can be begun is, and then the project is closed."""
    world.talk = conversations.start(project=world.fresh, person=world.ben, text="hello").conversation
    world.corpus = corpora.open_corpus(project=world.fresh, by=world.ada, name="texts")
    content = [b'{"prompt": "late", "responses": ["yes", "no"]}\n']
    world.job = imports.request_import(
        project=world.fresh, by=world.ada, format="touchstone", name="rows.jsonl", chunks=content
    )
    projects.set_state(by=world.ada, project=world.fresh, state="closed")


def removed(world: World) -> None:
    world.talk = conversations.start(project=world.fresh, person=world.ben, text="hello").conversation
    projects.remove_member(by=world.ada, project=world.fresh, person=world.ben)


def asked_by_worker(world: World) -> Refusal:
    run_job(world.job.pk)
    return of_job(world.job)


def turn_of_twins(world: World) -> Refusal:
    """A talk whose two answers are equal; one of them is preferred."""
    turn = conversations.start(project=world.fresh, person=world.ben, text="hello")
    write_answers(turn, "same", "same")
    assignment = conversations.assignment_of(turn)
    assert assignment is not None
    path = f"/api/v1/assignments/{assignment.public_id}/submit/"
    return of_rest(world.rest(world.ben).post(path, {"answer": PREFERS_A}, format="json", HTTP_IDEMPOTENCY_KEY="k"))


def desk_of_twins(world: World) -> Refusal:
    body = {"answer": PREFERS_A, "seconds": 3, "have": []}
    path = f"/desk/{world.assignment.public_id}/submit/"
    headers = {"Idempotency-Key": "k"}
    return of_script(world.page(world.ben).post(path, body, content_type="application/json", headers=headers))


def asked_by_ben(world: World) -> Refusal:
    body = {"project": "desk", "format": "touchstone", "file": SimpleUploadedFile("a.jsonl", b'{"prompt": "x"}')}
    return of_rest(world.rest(world.ben).post("/api/v1/imports/", body, format="multipart"))


SETTINGS = {
    "name": "Desk", "kinds": ["comparison", "classification", "rating"], "annotations_per_task": "2",
    "responses_per_prompt": "2", "dimension-TOTAL_FORMS": "1", "dimension-INITIAL_FORMS": "1",
    "dimension-0-was": "truthful", "dimension-0-name": "truthful", "temperature": "1", "top_p": "1",
    "max_new_tokens": "64", "preset": "tiny", "stages": "",
}  # fmt: skip
STATUS = {"invalid": 400, "conflict": 409, "project_not_open": 409, "not_found": 404, "forbidden": 403}
SHOWN_AGAIN = 422  # a form with what is wrong beside its fields
OF_OPENAI = {"invalid": "invalid_value", "not_found": "model_not_found", "project_not_open": "project_not_open"}
PREFERENCE = {
    "project": "desk", "source": "s", "annotator": "n", "prompt": [USER], "chosen": "aa", "rejected": "bb",
}  # fmt: skip
CHAT = {"model": "desk", "messages": [USER]}
RENEWED = "The form and PATCH are the only ways to change settings."
NOT_GIVEN = "Files and clients bring rows, never settings."


REMOVED_SCHEME = page("/p/desk/project/labels/topic/remove/", {}, follow=True)
FOLLOWED = (REMOVED_SCHEME,)  # says it on the page that it leads back to


@dataclass(frozen=True)
class Rule:
    """What is refused, in which words, and how each way can try; a text where a way cannot, which says why."""

    code: str
    sentence: str
    prepare: Callable[[World], None]
    page: str | list[Way]
    rest: str | list[Way]
    bulk: str | list[Way]
    file: str | list[Way]
    openai: str | list[Way]
    conversation: str | list[Way]
    worker: str | list[Way]


WAYS = ("page", "rest", "bulk", "file", "openai", "conversation", "worker")
RULES = {
    "a prompt that does not end with the user's turn": Rule(
        "invalid", "The last message must be the user's, because it is what is answered; this one is the assistant's.",
        nothing,
        page="The form takes the text of the user's turn and nothing else.",
        rest=[rest("post", "/api/v1/prompts/", {"project": "desk", "messages": [USER, HALF]}, "ben")],
        bulk=[rest("post", "/api/v1/preferences/", [PREFERENCE | {"prompt": [USER, HALF]}], read=of_bulk)],
        file=[
            file({"prompt": [USER, HALF], "responses": ["a", "b"]}),
            file({"prompt": [USER, HALF], "chosen": "a", "rejected": "b"}, "trl"),
            file(
                {"input": {"messages": [USER, HALF]}, "preferred_output": [HALF], "non_preferred_output": [HALF]},
                "openai",
            ),
        ],
        openai=[rest("post", "/v1/chat/completions", CHAT | {"messages": [USER, HALF]}, "ben", of_openai)],
        conversation="A message is the user's turn.",
        worker="It answers what was taken in; a freeze counts rows from before the rule (test_a_frozen_snapshot…).",
    ),
    "two responses that are the same text": Rule(
        "invalid", "are the same text, so neither can be better.", an_old_pair_of_twins,
        page=[desk_of_twins],
        rest=[
            rest("post", "/api/v1/tasks/", {
                "project": "desk", "kind": "comparison", "prompt": "PROMPT", "responses": ["LEFT", "RIGHT"],
            }),
            rest("post", "/api/v1/preferences/", PREFERENCE | {"chosen": "bb"}),
            rest("post", "/api/v1/assignments/ASSIGNMENT/submit/", {"answer": PREFERS_A}, "ben"),
        ],
        bulk=[rest("post", "/api/v1/preferences/", [PREFERENCE | {"chosen": "bb"}], read=of_bulk)],
        file=[
            file({"prompt": "q", "responses": ["a", "a"]}),
            file({"prompt": "q", "chosen": "a", "rejected": "a"}, "trl"),
        ],
        openai="Its answers are a model's: two that are equal become no task (test_the_same_text_twice).",
        conversation=[turn_of_twins],
        worker="Two equal answers of a model become no task (test_the_same_text_twice).",
    ),
    "a label scheme that open tasks ask for": Rule(
        "conflict", "Open tasks need the label scheme topic. Withdraw them first.", open_tasks,
        page=[
            REMOVED_SCHEME,
            page("/p/desk/project/labels/topic/", {
                "label-TOTAL_FORMS": "1", "label-INITIAL_FORMS": "1", "title": "Topic", "kind": "spans",
                "label-0-name": "billing", "label-0-was": "billing",
            }),
        ],
        rest=[
            rest("patch", "/api/v1/projects/desk/", {"label_scheme": {}}),
            rest("patch", "/api/v1/projects/desk/", {"label_scheme": {"topic": SCHEME["topic"] | {"kind": "spans"}}}),
        ],
        bulk=RENEWED, file=NOT_GIVEN, openai=NOT_GIVEN, conversation=NOT_GIVEN, worker=NOT_GIVEN,
    ),
    "a kind that open tasks have": Rule(
        "conflict", "Open tasks need the kind classification. Withdraw them first.", open_tasks,
        page=[page("/p/desk/project/", SETTINGS | {"kinds": ["comparison", "rating"]})],
        rest=[rest("patch", "/api/v1/projects/desk/", {"kinds": ["comparison", "rating"]})],
        bulk=RENEWED, file=NOT_GIVEN, openai=NOT_GIVEN, conversation=NOT_GIVEN, worker=NOT_GIVEN,
    ),
    "a dimension that open tasks ask about": Rule(
        "conflict", "Open tasks need the dimension truthful. Withdraw them first.", open_tasks,
        page=[page("/p/desk/project/", SETTINGS | {"dimension-0-was": "", "dimension-0-name": "helpful"})],
        rest=[rest("patch", "/api/v1/projects/desk/", {"dimensions": ["helpful"]})],
        bulk=RENEWED, file=NOT_GIVEN, openai=NOT_GIVEN, conversation=NOT_GIVEN, worker=NOT_GIVEN,
    ),
    "a closed project": Rule(
        "project_not_open", "The project is closed and takes no ", begun_then_closed,
        page=[
            page("/p/desk/data/prompts/new/", {"text": "hi", "key": "k", "responses_wanted": "0", "group": ""}),
            page("/p/desk/data/prompts/PROMPT/more/", {"count": "1"}),
            page("/p/desk/data/imports/new/", {"file": "", "format": "touchstone"}),
            page("/p/desk/data/corpora/", {"name": "more"}),
            page("/p/desk/data/corpora/CORPUS/upload/", {"file": "", "kind": "article"}),
            page("/p/desk/talk/", {"text": "hello"}, "ben"),
        ],
        rest=[
            rest("post", "/api/v1/prompts/", {"project": "desk", "text": "hi"}, "ben"),
            rest("post", "/api/v1/prompts/PROMPT/generate/", {"count": 1}),
            rest("post", "/api/v1/responses/", {"prompt": "PROMPT", "text": "mine"}, "ben"),
            rest("post", "/api/v1/tasks/", {
                "project": "desk", "kind": "comparison", "prompt": "PROMPT", "responses": ["LEFT", "RIGHT"],
            }),
            rest("post", "/api/v1/preferences/", PREFERENCE),
            rest("post", "/api/v1/feedback/", {"response": "LEFT", "thumbs": "up"}, "ben"),
            rest("post", "/api/v1/corpora/", {"project": "desk", "name": "more"}),
        ],
        bulk=[rest("post", "/api/v1/preferences/", [PREFERENCE], read=of_bulk)],
        file=[asked_by_worker],
        openai=[rest("post", "/v1/chat/completions", CHAT, "ben", of_openai)],
        conversation=[
            rest("post", "/api/v1/conversations/", {"project": "desk", "text": "hello"}, "ben"),
            rest("post", "/api/v1/conversations/TALK/turns/1/retry/", {}, "ben"),
        ],
        worker="It finishes what was asked for before: nothing written is lost (test_closed_project).",
    ),
    "somebody who was taken out": Rule(
        "not_found", "", removed,
        page=[
            page("/p/desk/desk/next/", {}, "ben"),
            page("/p/desk/talk/", {"text": "hello"}, "ben"),
        ],
        rest=[
            rest("post", "/api/v1/prompts/", {"project": "desk", "text": "hi"}, "ben"),
            rest("post", "/api/v1/responses/", {"prompt": "PROMPT", "text": "mine"}, "ben"),
            rest("post", "/api/v1/feedback/", {"response": "LEFT", "thumbs": "up"}, "ben"),
            rest("post", "/api/v1/tasks/next/", {"project": "desk"}, "ben"),
        ],
        bulk=[rest("post", "/api/v1/preferences/", [PREFERENCE], "ben", of_bulk)],
        file=[asked_by_ben],
        openai=[rest("post", "/v1/chat/completions", CHAT, "ben", of_openai)],
        conversation=[
            rest("post", "/api/v1/conversations/", {"project": "desk", "text": "hello"}, "ben"),
            rest("post", "/api/v1/conversations/TALK/turns/", {"text": "more"}, "ben"),
        ],
        worker="It acts for the project: what a member asked for while they were one is done.",
    ),
    "a role that is too low": Rule(
        "forbidden", "", nothing,
        page=[
            page("/p/desk/data/prompts/new/", {"text": "hi", "key": "k", "responses_wanted": "0"}, "ben"),
            page("/p/desk/project/", SETTINGS, "ben"),
            page("/p/desk/data/imports/new/", {"file": "", "format": "touchstone"}, "ben"),
        ],
        rest=[
            rest("post", "/api/v1/tasks/", {
                "project": "desk", "kind": "comparison", "prompt": "PROMPT", "responses": ["LEFT", "RIGHT"],
            }, "ben"),
            rest("patch", "/api/v1/projects/desk/", {"name": "mine"}, "ben"),
            rest("post", "/api/v1/preferences/", PREFERENCE, "ben"),
        ],
        bulk=[rest("post", "/api/v1/preferences/", [PREFERENCE], "ben", of_bulk)],
        file=[asked_by_ben],
        openai="Every member may ask the project's model.",
        conversation="Every member may talk with the project's model.",
        worker="It acts for the project.",
    ),
}  # fmt: skip


CELLS = [(rule, way) for rule, told in RULES.items() for way in WAYS if not isinstance(getattr(told, way), str)]


@pytest.fixture
def world(project: Project, ada: Person, ben: Person, client_for: Any, signed_in: Any) -> World:
    Project.objects.filter(pk=project.pk).update(kinds=["comparison", "conversation"])
    project.refresh_from_db()
    make_model(project, ada, serve=True)
    return World(project, ada, ben, client_for, signed_in, make_prompt(project, by=ben))


@pytest.mark.parametrize(("rule", "way"), CELLS, ids=[f"{rule}, {way}" for rule, way in CELLS])
def test_it_is_refused_in_the_same_words(world: World, rule: str, way: str) -> None:
    told = RULES[rule]
    assert world.prompt is not None
    texts = ("same", "same") if told.prepare is an_old_pair_of_twins else ("one", "two")
    world.pair = tuple(make_response(world.prompt, text=text) for text in texts)
    told.prepare(world)
    settings = Project.objects.values().get(pk=world.project.pk)
    for way_in in getattr(told, way):
        before = counted()
        refusal = way_in(world)
        assert told.sentence in refusal.text
        if refusal.code is not None:
            assert refusal.code == (OF_OPENAI[told.code] if way == "openai" else told.code)
        if way_in not in FOLLOWED:
            assert refusal.status in (STATUS[told.code], SHOWN_AGAIN if refusal.code is None else 0)
        assert counted() == before or way_in is turn_of_twins
    assert not PreferencePair.objects.exists()
    assert Project.objects.values().get(pk=world.project.pk) == settings


def counted() -> list[int]:
    return [model.objects.count() for model in STORED]


def test_a_way_that_is_left_out_says_why() -> None:
    for rule in RULES.values():
        for way in WAYS:
            assert getattr(rule, way), "a list of ways in, or a sentence"
