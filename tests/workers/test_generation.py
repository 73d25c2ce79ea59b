"""Responses: each written once, by the model it was asked of; what is too long fails alone; nothing waits for ever."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from django.db import transaction
from django.utils import timezone

from feedback import streaming
from feedback.models import Job, ModelVersion, Person, Project, Prompt, Response, Task
from feedback.rules.data.seeds import stable_seed
from feedback.services.collection import task_supply
from feedback.services.collection.generation import request_responses
from feedback.services.platform import jobs, projects
from tests import factories
from tests.servers import valkey
from trainer.errors import DataUnusable, TrainerError
from trainer.recipes.best_of_n import best_place
from workers import housekeeping, loaded_models
from workers.execution import run_job
from workers.handlers import generation

pytestmark = pytest.mark.database
State = Response.State


class Echo:
    """Answers with the seed, and fails as told."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.error: TrainerError | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def generate(self, prompts: Any, *, seeds: Any, reader: Any, **settings: Any) -> list[Any]:
        self.calls.append(len(prompts))
        self.meanwhile()
        for index, seed in enumerate(seeds):
            reader.text(index, "reply\x00 ")
            reader.step()
            reader.text(index, f"{seed}")
        if self.error is not None:
            raise self.error
        if any("too long" in messages[-1]["content"] for messages in prompts):
            raise DataUnusable("The prompt fills the model's context.")
        return [
            SimpleNamespace(text=f"reply\x00 {seed}", tokens=2, finish_reason="stop", prompt_tokens=5) for seed in seeds
        ]


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Echo:
    echo = Echo()
    monkeypatch.setattr(loaded_models, "generator", lambda *_: echo)
    monkeypatch.setattr(generation, "_remote", lambda: echo)
    return echo


@pytest.fixture
def serving(project: Project, ada: Person) -> ModelVersion:
    return factories.make_model(project, ada, serve=True)


def job_of(project: Project) -> Job:
    return Job.objects.filter(project=project, kind=Job.Kind.GENERATION).earliest("pk")


def test_responses_are_written_and_meet_in_a_task(echo: Echo, serving: ModelVersion, project: Project) -> None:
    prompt = factories.make_prompt(project, responses_wanted=4)
    run_job(job_of(project).pk)
    responses = list(prompt.responses.all())
    assert {response.state for response in responses} == {State.READY}
    assert len({response.text for response in responses}) == 4
    assert all(response.text == f"reply {response.seed}" for response in responses)
    assert {response.model_version_id for response in responses} == {serving.pk}
    assert Task.objects.filter(prompt=prompt).count() == 2
    assert job_of(project).result == {"written": 4, "failed": 0}


def test_demonstrations_are_not_put_before_annotators(
    echo: Echo, serving: ModelVersion, project: Project, ada: Person
) -> None:
    prompt = factories.make_prompt(project)
    for _ in range(8):
        factories.make_response(prompt, author=ada)
    project.training_policy = {"keep_open_tasks": 1}
    project.save()
    assert task_supply.top_up() == 1
    run_job(job_of(project).pk)
    task = Task.objects.get(prompt=prompt)
    assert {response.model_version_id for response in task.responses.all()} == {serving.pk}


class LikesOneEnd:
    """A reward model to which a text is worth its last digit."""

    def score(self, prompts: Any, texts: Any) -> torch.Tensor:
        assert len(prompts) == len(texts)
        return torch.tensor([float(text[-1]) for text in texts])


def test_the_best_of_several_is_kept(
    echo: Echo, serving: ModelVersion, project: Project, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects.update_project(by=ada, project=project, sampling={"best_of": 4})
    alone = factories.make_prompt(project, responses_wanted=2)
    assert {response.sampling["best_of"] for response in alone.responses.all()} == {1}, "nobody is there to choose"
    run_job(job_of(project).pk)
    reward = factories.make_model(project, ada, stage="reward")
    monkeypatch.setattr(loaded_models, "reward_model", lambda *_: LikesOneEnd())
    told: list[str] = []
    monkeypatch.setattr(generation.pen, "write", lambda pieces: told.extend(pieces.values()))
    prompt = factories.make_prompt(project, responses_wanted=2)
    echo.calls.clear()
    run_job(Job.objects.filter(kind=Job.Kind.GENERATION, status=Job.Status.QUEUED).get().pk)
    assert echo.calls == [8] and told == [], "what may not be chosen is not read aloud"
    for response in prompt.responses.all():
        assert (response.sampling["best_of"], response.sampling["judge"]) == (4, str(reward.public_id))
        drawn = [response.seed, *(stable_seed("best of", response.seed, n, bits=31) for n in (1, 2, 3))]
        assert response.text == f"reply {max(drawn, key=lambda seed: int(str(seed)[-1]))}"
    greedy = request_responses_of(prompt, temperature=0)
    assert greedy.sampling["best_of"] == 1, "greedy answers are all the same"
    assert best_place([False, True, True, False], [9.0, 1.0, 2.0, 3.0]) == 2, "what ended beats what was cut"


def request_responses_of(prompt: Prompt, **sampling: Any) -> Response:
    with transaction.atomic():
        return request_responses(prompt=prompt, count=1, sampling=sampling)[0]


def test_a_prompt_that_is_too_long_fails_alone(echo: Echo, serving: ModelVersion, project: Project) -> None:
    good = factories.make_prompt(project, responses_wanted=2)
    bad = factories.make_prompt(project, "This is too long", responses_wanted=2)
    run_job(job_of(project).pk)
    assert {response.state for response in good.responses.all()} == {State.READY}
    assert {response.error for response in bad.responses.all()} == {"The prompt fills the model's context."}
    bad.refresh_from_db()
    assert bad.state == "ready"  # nothing is awaited any more


def test_what_a_killed_worker_was_writing_is_written_by_the_next_attempt(
    echo: Echo, serving: ModelVersion, project: Project
) -> None:
    prompt = factories.make_prompt(project, responses_wanted=2)
    job = job_of(project)
    claimed = jobs.claim(job.pk, "a worker that is killed now")
    assert claimed is not None
    prompt.responses.update(state=State.RUNNING, job=job)
    jobs.requeue(claimed, "it was silent")
    run_job(job.pk)
    assert {response.state for response in prompt.responses.all()} == {State.READY}


def test_when_the_model_cannot_be_used_every_response_says_why(
    echo: Echo, serving: ModelVersion, project: Project
) -> None:
    prompt = factories.make_prompt(project, responses_wanted=2)
    ModelVersion.objects.update(state=ModelVersion.State.REVOKED)
    run_job(job_of(project).pk)
    assert job_of(project).error == "policy v1 was revoked."
    assert {(r.state, r.error) for r in prompt.responses.all()} == {(State.FAILED, "policy v1 was revoked.")}
    housekeeping.sweep()
    assert Job.objects.filter(kind=Job.Kind.GENERATION).count() == 1


def test_a_server_that_is_away_is_tried_again_and_then_told(
    echo: Echo, project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.GENERATION_URL = "http://elsewhere/v1"
    monkeypatch.setattr("workers.job_context.Work.pause", lambda self, seconds: None)
    echo.error = TrainerError("It cannot be reached", remedy="Check the address.")
    prompt = factories.make_prompt(project, responses_wanted=1)
    run_job(job_of(project).pk)
    assert len(echo.calls) == generation.REMOTE_TRIES
    assert job_of(project).remedy == "Check the address."
    assert prompt.responses.get().state == State.FAILED


def test_a_canceled_job_takes_what_waited_with_it(
    echo: Echo, serving: ModelVersion, project: Project, ada: Person
) -> None:
    prompt = factories.make_prompt(project, responses_wanted=2)
    prompt.responses.filter(pk=prompt.responses.first().pk).update(state=State.RUNNING, job=job_of(project))  # type: ignore[union-attr]
    jobs.request_cancel(by=ada, job=job_of(project))
    housekeeping.sweep()
    assert {response.state for response in prompt.responses.all()} == {State.FAILED}


def test_somebody_who_waits_is_let_by_in_the_middle_of_a_batch(
    echo: Echo, serving: ModelVersion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of forty is being written when a live one is asked for: it is written within the first batch."""
    monkeypatch.setattr(generation, "LOOK_UP_EVERY", 0.0)
    batch = [factories.make_prompt(project, responses_wanted=2) for _ in range(20)]
    live = factories.make_prompt(project)
    ready: list[int] = []

    def asks() -> None:
        echo.meanwhile = lambda: ready.append(Response.objects.filter(state=State.READY).count())
        with transaction.atomic():
            request_responses(prompt=live, count=2, live=True, sampling={"stop": ["."]}, seed=7)

    echo.meanwhile = asks
    run_job(job_of(project).pk)
    first, second = live.responses.order_by("pk")
    assert (first.state, first.text) == (State.READY, f"reply {first.seed}") and first.seed != second.seed
    assert first.sampling["stop"] == ["."] and first.prompt_tokens == 5
    assert echo.calls == [32, 2, 8] and ready[0] == 0, "the batch stood still and went on"
    assert {response.state for prompt in batch for response in prompt.responses.all()} == {State.READY}
    assert [job.status for job in Job.objects.filter(kind=Job.Kind.GENERATION)] == ["succeeded", "succeeded"]


def test_a_live_job_that_fails_takes_nothing_with_it(
    echo: Echo, serving: ModelVersion, project: Project, ada: Person
) -> None:
    waits = factories.make_prompt(project, responses_wanted=2)
    live = factories.make_prompt(project)
    with transaction.atomic():
        request_responses(prompt=live, count=2, live=True)
    job = Job.objects.filter(kind=Job.Kind.GENERATION).latest("pk")
    jobs.request_cancel(by=ada, job=job)
    housekeeping.sweep()
    assert {response.error for response in live.responses.all()} == {"It was canceled."}
    assert {response.state for response in waits.responses.all()} == {State.QUEUED}


def test_responses_without_a_job_get_one(serving: ModelVersion, project: Project) -> None:
    prompt = factories.make_prompt(project, responses_wanted=2)
    Job.objects.filter(kind=Job.Kind.GENERATION).delete()
    housekeeping.sweep()
    assert not Job.objects.filter(kind=Job.Kind.GENERATION).exists()  # their own job may be about to commit
    prompt.responses.update(created_at=timezone.now() - timedelta(seconds=30))
    housekeeping.sweep()
    housekeeping.sweep()
    assert Job.objects.filter(kind=Job.Kind.GENERATION).count() == 1


def test_tasks_are_kept_in_supply(echo: Echo, serving: ModelVersion, project: Project) -> None:
    project.training_policy = {"keep_open_tasks": 3, "snapshot": {"prompt_sources": ["here"]}}
    project.save()
    for _ in range(5):
        factories.make_prompt(project, source="here")
    elsewhere = factories.make_prompt(project, source="elsewhere")
    assert task_supply.top_up() == 3
    assert task_supply.top_up() == 0  # what is awaited counts as there
    run_job(job_of(project).pk)
    assert Task.objects.filter(project=project).count() == 3
    assert task_supply.top_up() == 0
    assert not elsewhere.responses.exists()


def test_nothing_is_asked_for_without_a_model_or_a_policy(
    project: Project, other_project: Project, ada: Person
) -> None:
    factories.make_prompt(project)
    assert task_supply.top_up() == 0
    Project.objects.update(training_policy={"keep_open_tasks": 3})
    assert task_supply.top_up() == 0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("relay")) as url:
        yield url


def test_a_completion_whose_readers_have_left_is_not_written_to_its_end(
    echo: Echo, serving: ModelVersion, project: Project, broker: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads, nobody can ask again, no task needs it. Where one of these is not so, it is written."""
    settings.STREAM_URL = broker
    monkeypatch.setattr(generation, "LOOK_UP_EVERY", 0.0)
    monkeypatch.setattr(generation, "pen", streaming.StreamWriter())
    cases: dict[str, dict[str, Any]] = {
        "left": {},
        "read": {},
        "found again by its key": {"external_id": "openai:ada:1"},
        "rated": {"make_tasks": True},
        "asked elsewhere": {"source": "playground"},
    }
    written: dict[str, Response] = {}
    for name, case in cases.items():
        about = {"source": "openai"} | {key: case[key] for key in ("source", "external_id") if key in case}
        prompt = factories.make_prompt(project, **about)
        with transaction.atomic():
            asked = request_responses(prompt=prompt, count=1, live=True, make_tasks=case.get("make_tasks", False))
        written[name] = asked[0]
    streaming.StreamReader([written["read"].public_id]).read(0.01)
    monkeypatch.setattr(streaming, "READER_SECONDS", 0)
    for job in Job.objects.filter(kind=Job.Kind.GENERATION).order_by("pk"):
        run_job(job.pk)
    for response in written.values():
        response.refresh_from_db()
    assert {name: response.state for name, response in written.items()} == dict.fromkeys(cases, State.READY) | {
        "left": State.FAILED
    }
    assert written["left"].error == generation.NOBODY_WAITED


def test_a_relay_that_is_away_stops_nothing(
    echo: Echo, serving: ModelVersion, project: Project, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STREAM_URL = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setattr(generation, "LOOK_UP_EVERY", 0.0)
    monkeypatch.setattr(generation, "pen", streaming.StreamWriter())
    monkeypatch.setattr(streaming, "READER_SECONDS", 0)
    with transaction.atomic():
        asked = request_responses(
            prompt=factories.make_prompt(project, source="openai"), count=1, live=True, make_tasks=False
        )
    run_job(Job.objects.get(kind=Job.Kind.GENERATION).pk)
    asked[0].refresh_from_db()
    assert asked[0].state == State.READY
