"""Two responses that nobody can tell apart: no way in takes a judgment of which is better."""

import json

import pytest

from feedback.errors import Invalid
from feedback.models import Kind, PreferencePair, Prompt, Task
from feedback.rules.data.texts import same, twins
from feedback.services.collection import annotations, generation
from tests.factories import PREFERS_A, bring, make_model, make_prompt, make_response, take, write_answers

pytestmark = pytest.mark.database

COMPOSED, DECOMPOSED = "café au lait", "cafe\u0301 au lait"
ALIKE = [(COMPOSED, DECOMPOSED), ("one\r\ntwo", "one\ntwo"), ("one\rtwo", "one\ntwo"), ("same", "same")]
alike = pytest.mark.parametrize("texts", ALIKE, ids=["composed", "crlf", "cr", "bytes"])


def test_what_the_same_text_is():
    assert all(same(*texts) for texts in ALIKE)
    assert not same("Yes.", "Yes. ") and not same("ﬁt", "fit") and not same("a", "A")
    assert twins(["a", "b", "c", "b"]) == (1, 3)


@alike
@pytest.mark.parametrize("kind", ["comparison", "ranking"])
def test_no_task_is_made_of_them(project, rosa, client_for, texts, kind):
    prompt = make_prompt(project)
    keys = [str(make_response(prompt, text=text).public_id) for text in texts]
    body = {"project": "desk", "kind": kind, "prompt": str(prompt.public_id), "responses": keys}
    reply = client_for(rosa).post("/api/v1/tasks/", body)
    assert reply.status_code == 400
    assert reply.json()["errors"][0] == {
        "code": "invalid",
        "detail": "Responses a and b are the same text, so neither can be better.",
        "attr": "responses",
    }
    assert not Task.objects.exists()


@alike
def test_no_preference_between_them_is_taken(project, ada, client_for, texts):
    row = {"project": "desk", "source": "s", "annotator": "n", "prompt": [{"role": "user", "content": "q"}]}
    row |= {"chosen": texts[0], "rejected": texts[1]}
    reply = client_for(ada).post("/api/v1/preferences/", row)
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "rejected")
    assert [one["status"] for one in client_for(ada).post("/api/v1/preferences/", [row]).json()] == [400]
    assert (PreferencePair.objects.count(), Prompt.objects.count()) == (0, 0)


@alike
def test_a_file_is_refused_by_line(project, ada, texts):
    prefer = {"annotator": "z", "answer": {"outcome": "prefer", "choice": "a", "strength": 2}}
    rank = {"annotator": "z", "answer": {"ranking": [["a"], ["b"], ["c"]]}}
    rows = [
        {"prompt": "pair", "responses": list(texts), "answers": [prefer]},
        {"kind": "ranking", "prompt": "rank", "responses": [*texts, "other"], "answers": [rank]},
        {"kind": "demonstration", "prompt": "edit", "responses": [texts[0]], "answers": [edited(texts[1])]},
        {"prompt": "good", "responses": ["yes", "no"], "answers": [prefer]},
    ]
    job = bring(project, ada, "".join(json.dumps(row) + "\n" for row in rows))
    assert (job.result["new"], job.result["rejected"]) == (1, 3)
    assert [task.prompt.text for task in Task.objects.all()] == ["good"]
    assert PreferencePair.objects.count() == 1


def edited(text):
    return {"annotator": "z", "answer": {"text": text}}


@alike
def test_what_was_asked_before_can_be_answered_as_a_tie_only(project, ben, texts):
    """A task from before this rule."""
    prompt = make_prompt(project)
    responses = [make_response(prompt), make_response(prompt)]
    from tests.factories import make_task

    make_task(project, prompt, responses=responses)
    for response, text in zip(responses, texts, strict=True):
        response.text = text
        response.save(update_fields=["text"])
    assignment = take(project, ben)
    with pytest.raises(Invalid) as refused:
        annotations.submit(assignment=assignment, answer=PREFERS_A)
    assert refused.value.field == "choice"
    annotations.submit(assignment=assignment, answer={"outcome": "tie"})
    assert not PreferencePair.objects.exists()


def test_a_ranking_from_before_ties_them(project, ben):
    project.kinds = [Kind.RANKING]
    project.save(update_fields=["kinds"])
    prompt = make_prompt(project)
    from feedback.services.collection import tasks

    responses = [make_response(prompt) for _ in range(3)]
    tasks.create_task(project=project, by=None, kind=Kind.RANKING, prompt=prompt, responses=responses)
    for response in responses[:2]:
        response.text = "same"
        response.save(update_fields=["text"])
    assignment = take(project, ben)
    letters = dict(zip(assignment.order, "abc", strict=True))
    one, two, other = (letters[response.pk] for response in responses)
    with pytest.raises(Invalid, match="are the same text"):
        annotations.submit(assignment=assignment, answer={"ranking": [[one], [other], [two]]})
    annotations.submit(assignment=assignment, answer={"ranking": [[other], [one, two]]})
    assert PreferencePair.objects.count() == 2


@alike
def test_what_a_model_wrote_twice_becomes_no_task(project, ada, texts):
    make_model(project, ada, serve=True)
    prompt = make_prompt(project, responses_wanted=2)
    write_answers(prompt, *texts)
    assert not Task.objects.exists()
    assert not prompt.responses.filter(state__in=generation.AWAITED).exists()
