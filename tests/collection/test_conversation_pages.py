"""Talking with the model in the page, without script: every state says what to do next, and model text is only text."""

from typing import Any

import pytest
from django.test import Client

from feedback.models import Annotation, Conversation, Person, Project, Prompt
from tests.factories import make_model, make_prompt, write_answers

TALKS = "/p/desk/talk/"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> [link](javascript:alert(3))"


@pytest.fixture
def talking(project: Project, ada: Person) -> Project:
    make_model(project, ada, serve=True)
    project.kinds = ["comparison", "conversation"]
    project.dimensions = []
    project.save()
    return project


@pytest.fixture
def rosas(rosa: Person, signed_in: Any) -> Client:
    return signed_in(rosa)


def begin(client: Client, text: str = "My lamp is broken.") -> str:
    """The page of a new talk."""
    reply = client.post(TALKS, {"text": text})
    assert reply.status_code == 302, reply.content.decode()
    return reply["Location"]


def write(*texts: str | None) -> None:
    write_answers(Prompt.objects.exclude(conversation=None).latest("pk"), *texts)


def told(client: Client, page: str) -> str:
    return client.get(page).content.decode()


def test_a_talk_by_plain_forms(talking: Project, rosas: Client) -> None:
    page = begin(rosas)
    assert "Generating two responses" in told(rosas, page)
    write("Which lamp is it?", "All of them?")
    ready = told(rosas, page)
    assert "Which lamp is it?" in ready and "Continue with this" in ready and "Your next message" not in ready
    action = ready.split('talk-task" method="post" action="')[1].split('"')[0]
    assert rosas.post(action, {"choice": "2"}).status_code == 302
    answer = Annotation.objects.get()
    assert (answer.payload["chosen"], answer.payload["strength"]) == (answer.shown[0], 2)
    assert "Your next message" in told(rosas, page)
    say = f"/talk/{page.split('/')[-2]}/say/"
    assert rosas.post(say, {"text": "The one in the hall."}).status_code == 302
    write("No.", "Never.")
    action = told(rosas, page).split('talk-task" method="post" action="')[1].split('"')[0]
    assert rosas.post(action, {"choice": "0", "rewrite": "Then change the bulb."}).status_code == 302
    assert "written by you" in told(rosas, page) and "Then change the bulb." in told(rosas, page)
    assert rosas.post(say.replace("say", "end")).status_code == 302
    ended = told(rosas, page)
    assert "This conversation has ended" in ended and "2 turns" in ended and "<textarea" not in ended


@pytest.mark.parametrize("answers", [(), ("Which lamp is it?", "All of them?"), (None, None)])
def test_a_talk_that_ends_before_a_choice_keeps_its_page(
    talking: Project, rosas: Client, answers: tuple[str | None, ...]
) -> None:
    page = begin(rosas)
    if answers:
        write(*answers)
    end = f"/talk/{page.split('/')[-2]}/end/"
    assert rosas.post(end).status_code == 302
    reply = rosas.get(page)
    ended = reply.content.decode()
    assert reply.status_code == 200, "its annotator can read it again"
    assert "This conversation has ended" in ended and "My lamp is broken." in ended
    assert "talk-task" not in ended and "Regenerate" not in ended and "<textarea" not in ended, (
        "there is nothing left to choose or write"
    )


def test_model_text_is_only_text(talking: Project, rosas: Client) -> None:
    page = begin(rosas, HOSTILE)
    write(HOSTILE, "Harmless.")
    body = told(rosas, page)
    for wrong in ("<img src=x", "<script>alert", 'href="javascript'):
        assert wrong not in body
    assert body.count("&lt;script&gt;") >= 2, "what was said is shown as it was said"


def test_what_failed_or_is_held_back_says_what_to_do(talking: Project, rosas: Client) -> None:
    page = begin(rosas)
    write(None, "One is there.")
    body = told(rosas, page)
    assert "The model was revoked." in body and "Regenerate" in body and "My lamp is broken.</textarea>" in body
    rosas.post(f"/talk/{page.split('/')[-2]}/retry/")
    assert "Generating two responses" in told(rosas, page)
    Prompt.objects.latest("pk").responses.exclude(state="ready").update(state="blocked")
    assert "The guard model blocked a response" in told(rosas, page)


def test_nobody_is_there_to_talk_with(project: Project, ada: Person, rosas: Client, signed_in: Any) -> None:
    assert "has no conversations" in told(rosas, TALKS) and "Ask a project admin" in told(rosas, TALKS)
    assert "Open settings" in told(signed_in(ada), TALKS)
    project.kinds = ["conversation"]
    project.save()
    assert "No model serves this project yet" in told(rosas, TALKS)
    make_model(project, ada, serve=True)
    body = told(rosas, TALKS)
    assert "No worker is running to generate responses" in body and "Your first message" in body
    reply = rosas.post(TALKS, {"text": " "})
    assert (
        reply.status_code == 400 and "Write a message" in reply.content.decode() and not Conversation.objects.exists()
    )


def test_an_admin_offers_openings(talking: Project, ada: Person, rosas: Client) -> None:
    make_prompt(talking, "How do I brew tea?", by=ada, source="opening")
    assert 'value="How do I brew tea?"' in told(rosas, TALKS)
    page = begin(rosas, "How do I brew tea?")
    first, again = Prompt.objects.order_by("pk")
    assert (first.family, first.split) == (again.family, again.split), "what is asked again stays in its split"
    assert "How do I brew tea?" in told(rosas, page)


def test_a_talk_is_nobody_elses(talking: Project, ben: Person, dan: Person, rosas: Client, signed_in: Any) -> None:
    page = begin(rosas)
    write("One.", "Two.")
    key = page.split("/")[-2]
    action = told(rosas, page).split('talk-task" method="post" action="')[1].split('"')[0]
    for other in (signed_in(ben), signed_in(dan)):
        assert other.get(page).status_code == 404
        for verb in ("say", "retry", "end"):
            assert other.post(f"/talk/{key}/{verb}/", {"text": "Mine."}).status_code == 404
        assert other.post(action, {"choice": "1"}).status_code == 404
    assert not Annotation.objects.exists() and Conversation.objects.get().ended_at is None
    assert key not in told(signed_in(ben), TALKS)
