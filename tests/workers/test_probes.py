"""Questions of the course's boxes: answered by every kind of model, once each, before any batch, and only to those who
may see the answer."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import Job, ModelVersion, Person, Project, TrainingRun
from feedback.rules.registry.probes import PROBES
from feedback.services.collection import generation, tasks
from feedback.services.platform import projects
from feedback.services.registry import probes
from tests.factories import make_annotation, make_model, make_prompt
from tests.untrained_models import LABELS, SPANS, register
from workers import housekeeping
from workers.execution import run_job

STAGES = ("pretrain", "sft", "reward", "mlm", "classify", "tag")
BODIES: dict[str, dict[str, Any]] = {
    "next_tokens": {"text": "The sky is"},
    "hidden_words": {"text": "The sky is blue.", "hidden": [[4, 7], [11, 15]]},
    "labels": {"text": "Lunch on Saturday?"},
    "mailbox": {},
    "spans": {"text": "Meet Anna in Graz on Friday."},
    "before_after": {"prompt": "My router is offline."},
    "rewards": {"prompt": "My router is offline.", "first": "Check the cable.", "second": "Buy a new one now"},
    "scores": {"prompt": "My router is offline.", "response": "Check the cable."},
}


@pytest.fixture
def models(project: Project, ada: Person) -> dict[str, ModelVersion]:
    return {stage: register(project, ada, stage) for stage in STAGES}


@pytest.fixture
def known(project: Project, ada: Person) -> dict[str, ModelVersion]:
    """Versions of every stage without weights, where no worker answers."""
    return {stage: make_model(project, ada, stage=stage) for stage in STAGES}


@pytest.fixture
def ask(project: Project, signed_in: Any) -> Callable[..., Any]:
    def post(person: Person, kind: str, body: Any) -> Any:
        return signed_in(person).post(f"/p/desk/probes/{kind}/", body, content_type="application/json")

    return post


def answer(client: Any, reply: Any) -> Any:
    """What the page reads once a worker has done the job."""
    assert reply.status_code == 202, reply.content
    job = Job.objects.get(public_id=reply.json()["id"])
    run_job(job.pk)
    told = client.get(f"/p/desk/probes/{job.public_id}/").json()
    assert told["state"] == "succeeded", told
    return told["result"]


def test_every_kind_of_model_answers(
    project: Project, rosa: Person, signed_in: Any, ask: Any, models: dict[str, ModelVersion]
) -> None:
    client = signed_in(rosa)
    found = {kind: answer(client, ask(rosa, kind, BODIES[kind])) for kind in PROBES}

    tokens = found["next_tokens"]["tokens"]
    chances = [token["probability"] for token in tokens]
    assert len(tokens) == 10 and chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1.0001
    assert found["next_tokens"]["entropy"] > 0

    sky, blue = found["hidden_words"]["words"]
    assert [(word["start"], word["end"]) for word in (sky, blue)] == [(4, 7), (11, 15)]
    assert all(len(guesses) == 5 for word in (sky, blue) for guesses in word["tokens"])
    assert len(sky["truth"]) == len(sky["tokens"]) >= 1 and all(0 < chance < 1 for chance in sky["truth"])

    assert set(found["labels"]["labels"]) == set(LABELS)
    assert sum(found["labels"]["labels"].values()) == pytest.approx(1, abs=1e-5)
    assert found["mailbox"] == {"labels": list(LABELS), "many": False, "messages": []}
    assert found["spans"]["labels"] == list(SPANS)
    assert set(found["before_after"]) == {"base", "sft"} and found["before_after"]["sft"]["tokens"] <= 40

    first, second = found["rewards"]["responses"]
    assert [word["text"] for word in first["words"]] == ["Check", "the", "cable."]
    assert [word["text"] for word in second["words"]] == ["Buy", "a", "new", "one", "now"]
    assert (found["rewards"]["first_wins"] > 0.5) == (first["reward"] > second["reward"])
    assert found["scores"]["reward"] == pytest.approx(first["reward"], abs=1e-4)
    assert set(found["scores"]["labels"]) == set(LABELS)


def test_leaving_a_word_out_is_what_its_effect_says(
    project: Project, rosa: Person, signed_in: Any, ask: Any, models: dict[str, ModelVersion]
) -> None:
    body = {"prompt": "My router is offline.", "first": "Check the cable.", "second": "Check cable."}
    whole, without = answer(signed_in(rosa), ask(rosa, "rewards", body))["responses"]
    assert whole["words"][1]["text"] == "the"
    assert whole["words"][1]["effect"] == pytest.approx(whole["reward"] - without["reward"], abs=1e-4)


def test_an_answer_is_given_again_and_forgotten_later(
    project: Project, ben: Person, chloe: Person, signed_in: Any, ask: Any, models: dict[str, ModelVersion]
) -> None:
    first = ask(ben, "labels", BODIES["labels"])
    assert ask(chloe, "labels", BODIES["labels"]).json()["id"] == first.json()["id"], "asked once, while it waits"
    found = answer(signed_in(ben), first)
    again = ask(chloe, "labels", BODIES["labels"])
    assert (again.status_code, again.json()["result"]) == (200, found)
    assert Job.objects.filter(kind=Job.Kind.PROBE).count() == 1
    Job.objects.filter(kind=Job.Kind.PROBE).update(finished_at=timezone.now() - timedelta(hours=1))
    housekeeping.sweep()
    assert not Job.objects.filter(kind=Job.Kind.PROBE).exists()


@pytest.mark.database
def test_who_types_on_waits_for_the_last_question_only(
    project: Project, ben: Person, ask: Any, known: dict[str, ModelVersion]
) -> None:
    for text in ("L", "Lu", "Lunch"):
        assert ask(ben, "labels", {"text": text}).status_code == 202
    standing = Job.objects.filter(kind=Job.Kind.PROBE, status=Job.Status.QUEUED)
    assert [job.payload["inputs"]["text"] for job in standing] == ["Lunch"]
    for kind in ("spans", "next_tokens", "hidden_words"):
        assert ask(ben, kind, BODIES[kind]).status_code == 202
    assert ask(ben, "mailbox", {}).status_code == 429, "four at once are one person's share"
    standing.update(created_at=timezone.now() - timedelta(minutes=5))
    assert probes.forget_old() == 0 and not standing.exists(), "nobody waits so long"


@pytest.mark.database
def test_a_question_goes_before_a_batch(
    project: Project, ben: Person, ask: Any, known: dict[str, ModelVersion]
) -> None:
    reply = ask(ben, "labels", BODIES["labels"])
    job = Job.objects.get(public_id=reply.json()["id"])
    assert generation.live_jobs() == [job.pk] and job.queue == "generate"


@pytest.mark.parametrize("kind", [name for name, kind in PROBES.items() if kind.role == "reviewer"])
def test_what_would_influence_a_judge_is_not_told_to_one(
    project: Project, ben: Person, rosa: Person, signed_in: Any, ask: Any, known: dict[str, ModelVersion], kind: str
) -> None:
    assert ask(ben, kind, BODIES[kind]).status_code == 403
    reply = ask(rosa, kind, BODIES[kind])
    assert signed_in(ben).get(f"/p/desk/probes/{reply.json()['id']}/").status_code == 403
    page = {"before_after": "fine-tuning", "rewards": "preferences", "scores": "evaluation"}[kind]
    assert "data-probes" not in signed_in(ben).get(f"/learn/{page}/").content.decode()
    assert "data-probes" in signed_in(rosa).get(f"/learn/{page}/").content.decode()


def test_strangers_and_projects_without_models_are_told_nothing(
    project: Project, ben: Person, dan: Person, signed_in: Any, ask: Any
) -> None:
    assert ask(dan, "labels", BODIES["labels"]).status_code == 404
    refused = ask(ben, "labels", BODIES["labels"])
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "An admin can train one" in refused.json()["sentence"]
    assert ask(ben, "horoscope", {}).status_code == 404
    assert signed_in(ben).get(f"/p/desk/probes/{project.public_id}/").status_code == 404
    assert not Job.objects.filter(kind=Job.Kind.PROBE).exists()


REFUSED: list[tuple[str, Any]] = [
    ("next_tokens", {"text": "x" * 1001}),
    ("next_tokens", {"text": "x", "step": -1}),
    ("next_tokens", {"text": "x", "step": "last"}),
    ("hidden_words", {"text": "The sky", "hidden": [[4, 99]]}),
    ("hidden_words", {"text": "The sky", "hidden": [[4]]}),
    ("hidden_words", {"text": "The sky", "hidden": [[True, 3]]}),
    ("hidden_words", {"text": "The sky", "hidden": [[0, 1]] * 13}),
    ("labels", {"text": "  "}),
    ("labels", {"text": 7}),
    ("spans", []),
]


def test_what_a_model_cannot_be_asked_is_refused(
    project: Project, ben: Person, ask: Any, known: dict[str, ModelVersion]
) -> None:
    assert [(kind, body) for kind, body in REFUSED if ask(ben, kind, body).status_code != 400] == []
    assert not Job.objects.filter(kind=Job.Kind.PROBE).exists()


def test_a_revoked_model_and_a_missing_checkpoint_say_so(
    project: Project, ben: Person, signed_in: Any, ask: Any, models: dict[str, ModelVersion]
) -> None:
    def failure(reply: Any) -> str:
        job = Job.objects.get(public_id=reply.json()["id"])
        run_job(job.pk)
        told = signed_in(ben).get(f"/p/desk/probes/{job.public_id}/").json()
        assert told["state"] == "failed"
        return str(told["sentence"])

    assert failure(ask(ben, "next_tokens", {"text": "The", "step": 7})).startswith("This run kept no weights")
    asked = ask(ben, "labels", BODIES["labels"])
    ModelVersion.objects.filter(pk=models["classify"].pk).update(state=ModelVersion.State.REVOKED)
    assert failure(asked).startswith("The model was revoked or deleted.")
    assert ask(ben, "labels", {"text": "other"}).status_code == 409, "and nobody asks it again"


def test_a_checkpoint_answers_with_its_own_weights(
    project: Project, ben: Person, signed_in: Any, ask: Any, models: dict[str, ModelVersion], settings: Any
) -> None:
    import torch

    from trainer.modeling.loading import load_policy
    from trainer.modeling.weights import own_weights, write_weights
    from trainer.run.milestones import milestone

    base = models["pretrain"]
    run = TrainingRun.objects.get(model_version=base)
    model = load_policy(settings.DATA_DIR / base.path)
    with torch.no_grad():
        next(model.parameters()).mul_(3)
    target = milestone(settings.DATA_DIR / run.folder, 7)
    target.parent.mkdir(parents=True)
    write_weights(target, own_weights(model))
    ModelVersion.objects.filter(pk=base.pk).update(metrics={"milestones": [7], "steps": 50})
    client = signed_in(ben)
    assert 'data-steps="7"' in client.get("/learn/pretraining/").content.decode()
    after = answer(client, ask(ben, "next_tokens", {"text": "The sky is", "step": None}))
    before = answer(client, ask(ben, "next_tokens", {"text": "The sky is", "step": 7}))
    assert before["entropy"] != pytest.approx(after["entropy"], abs=1e-3)


def test_the_mailbox_holds_what_is_settled(
    project: Project,
    hana: Person,
    ben: Person,
    chloe: Person,
    signed_in: Any,
    ask: Any,
    models: dict[str, ModelVersion],
) -> None:
    scheme = {"kind": "classification", "labels": [{"name": name} for name in LABELS]}
    projects.update_project(by=hana, project=project, kinds=["classification"])
    projects.set_scheme(by=hana, project=project, name="classifier", scheme=scheme)
    project.refresh_from_db()
    for text, given in (
        ("Lunch on Saturday?", {ben: "personal", chloe: "personal"}),
        ("Minutes of Monday", {ben: "work", chloe: "personal"}),
        ("Half off today!", {ben: "promotions"}),
    ):
        task, _ = tasks.create_task(
            project=project,
            by=None,
            kind="classification",
            prompt=make_prompt(project, text),
            responses=[],
            ask={"scheme": "classifier"},
        )
        for person, label in given.items():
            make_annotation(project, person, task, {"labels": [label]})
    found = answer(signed_in(ben), ask(ben, "mailbox", {}))
    [message] = found["messages"]
    assert (message["text"], message["people"]) == ("Lunch on Saturday?", ["personal"])
    assert set(message["model"]) == set(LABELS)
