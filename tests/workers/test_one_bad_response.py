"""One bad prompt or model among good ones: it alone fails, for its own reason, and the rest is written."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings

from feedback.models import Job, Response
from feedback.services.collection.generation import request_responses
from tests import factories
from trainer.errors import DataUnusable, ModelCorrupt, PromptTooLong
from workers import loaded_models
from workers.execution import run_job

pytestmark = pytest.mark.database


class Fussy:
    """Answers every prompt but those that name how it is to fail."""

    def generate(self, prompts: Any, *, seeds: Any, reader: Any, **sampling: Any) -> list[Any]:
        asked = " ".join(messages[-1]["content"] for messages in prompts)
        if "too long" in asked:
            raise PromptTooLong("A prompt of 90 tokens leaves no room in a context of 64.")
        if "with system" in asked:
            raise DataUnusable("The chat template refuses this prompt: System role not supported.")
        if "unexpected" in asked:
            raise ValueError("a fault that nobody thought of")
        return [SimpleNamespace(text="fine", tokens=2, finish_reason="stop", prompt_tokens=5) for _ in seeds]


@pytest.fixture
def run(project, monkeypatch):
    """Carries out the project's first generation job."""
    monkeypatch.setattr(loaded_models, "generator", lambda *_: Fussy())

    def carry_out() -> Job:
        job = Job.objects.filter(project=project, kind=Job.Kind.GENERATION).earliest("pk")
        run_job(job.pk)
        job.refresh_from_db()
        return job

    return carry_out


@pytest.mark.parametrize(
    "bad, sentence, code",
    [
        ("too long", "A prompt of 90 tokens leaves no room", "context_length_exceeded"),
        ("with system", "System role not supported", "prompt_unusable"),
        ("unexpected", "An internal error occurred", ""),
    ],
)
def test_one_prompt_fails_alone(project, ada, run, bad, sentence, code):
    factories.make_model(project, ada, serve=True)
    texts = ["plain 0", "plain 1", bad, "plain 2"]
    prompts = [factories.make_prompt(project, text, responses_wanted=1) for text in texts]
    job = run()
    assert (job.status, job.result) == ("succeeded", {"written": 3, "failed": 1})
    states = [prompt.responses.get().state for prompt in prompts]
    assert states == ["ready", "ready", "failed", "ready"]
    failed = prompts[2].responses.get()
    assert (sentence in failed.error, failed.error_code) == (True, code)


def test_a_corrupt_model_costs_no_other_model_its_responses(project, ada, run, monkeypatch):
    corrupt = factories.make_model(project, ada, stage="sft")
    healthy = factories.make_model(project, ada, stage="sft", serve=True)

    def loaded(path: str, manifest: str) -> Any:
        if path == corrupt.path:
            raise ModelCorrupt(
                f"model.safetensors in {settings.DATA_DIR / path} differs from its manifest.", remedy="Train it again."
            )
        return Fussy()

    monkeypatch.setattr(loaded_models, "generator", loaded)
    prompt = factories.make_prompt(project)
    for version in (corrupt, healthy, corrupt):
        request_responses(prompt=prompt, count=1, by=None, model_version=version)
    job = run()
    assert (job.status, job.result) == ("succeeded", {"written": 1, "failed": 2})
    told = list(Response.objects.order_by("pk").values_list("state", "error"))
    assert [state for state, _ in told] == ["failed", "ready", "failed"]
    assert told[0][1].startswith("model.safetensors in ") and "differs from its manifest." in told[0][1]
    assert not any(str(settings.DATA_DIR) in error or "/" in error for _, error in told)


def test_when_nothing_could_be_written_the_job_says_why_without_a_path(project, ada, run, monkeypatch):
    version = factories.make_model(project, ada, serve=True)

    def loaded(path: str, manifest: str) -> Any:
        raise ModelCorrupt(f"config.json is missing from {settings.DATA_DIR / path}.", remedy="Train it again.")

    monkeypatch.setattr(loaded_models, "generator", loaded)
    factories.make_prompt(project, responses_wanted=2)
    job = run()
    assert (job.status, job.error_kind, job.remedy) == ("failed", "data", "Train it again.")
    assert job.error == f"config.json is missing from {version.path.rsplit('/', 1)[-1]}."
    assert set(Response.objects.values_list("state", flat=True)) == {"failed"}
