"""Rows for tests, made by the services themselves: what a test stands on could have been made by people."""

from itertools import count
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.models import (
    Annotation,
    Assignment,
    Chain,
    DatasetSnapshot,
    Job,
    ModelVersion,
    Person,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Task,
    TrainingRun,
)
from feedback.rules.training.stages import KIND_OF_STAGE
from feedback.selectors.training.plans import PipelinePlan, PipelineRequest, plan_pipeline
from feedback.services.collection import annotations, assignment_queue, generation, prompts, tasks
from feedback.services.data import imports, preferences, snapshots
from feedback.services.platform import tokens
from feedback.services.registry import model_versions

_numbers = count(1)


def make_prompt(project: Project, text: str = "", *, by: Person | None = None, **options: Any) -> Prompt:
    text = text or f"My router is slow, what can I do? ({next(_numbers)})"
    prompt, _ = prompts.submit_prompt(project=project, by=by, messages=[{"role": "user", "content": text}], **options)
    return prompt


def make_prompt_in(project: Project, split: str, **options: Any) -> Prompt:
    """A prompt that falls into `split`. Splits follow from the text, so texts are tried until one does."""
    while True:
        prompt = make_prompt(project, **options)
        if prompt.split == split:
            return prompt
        prompt.delete()


def make_response(prompt: Prompt, text: str = "", *, model_name: str = "some-model", **options: Any) -> Response:
    if "author" in options or "model_version" in options:
        model_name = ""
    text = text or f"Restart it and wait {next(_numbers)} minutes."
    response, _ = prompts.add_response(prompt=prompt, by=None, text=text, model_name=model_name, **options)
    return response


def write_answers(prompt: Prompt, *texts: str | None) -> None:
    """What the worker does: each awaited response gets its text, or fails where there is None."""
    for response, text in zip(prompt.responses.filter(state__in=generation.AWAITED).order_by("pk"), texts, strict=True):
        if text is None:
            generation.fail_response(response, "The model was revoked.")
        else:
            Response.objects.filter(pk=response.pk).update(state=Response.State.RUNNING)
            generation.finish_response(response, text=text, finish_reason="stop", tokens=3, prompt_tokens=7)


def make_task(project: Project, prompt: Prompt | None = None, **options: Any) -> Task:
    """An open comparison of two responses."""
    prompt = prompt or make_prompt(project)
    responses = options.pop("responses", None) or [make_response(prompt), make_response(prompt)]
    task, _ = tasks.create_task(
        project=project, by=None, kind="comparison", prompt=prompt, responses=responses, **options
    )
    return task


def take(project: Project, person: Person) -> Assignment:
    """What `person` is given next; fails when there is nothing."""
    assignment = assignment_queue.next_assignment(project=project, annotator=person)
    assert isinstance(assignment, Assignment), assignment
    return assignment


PREFERS_A = {"outcome": "prefer", "choice": "a", "strength": 2}


def make_annotation(
    project: Project, person: Person, task: Task | None = None, answer: dict[str, Any] | None = None
) -> Annotation:
    """`person` takes the next task (of `project`, or `task` if it is the only open one) and answers it."""
    task = task or make_task(project)
    assignment = take(project, person)
    assert assignment.task_id == task.pk, "another task came first; make the annotation before making more tasks"
    return annotations.submit(assignment=assignment, answer=answer or PREFERS_A)


def make_pair(project: Project, by: Person, *, prompt: str = "", chosen: str = "yes", **options: Any) -> PreferencePair:
    """A preference given from elsewhere."""
    pair, _ = preferences.give_preference(
        project=project,
        by=by,
        prompt_messages=[{"role": "user", "content": prompt or f"Which one? ({next(_numbers)})"}],
        chosen=chosen,
        rejected=options.pop("rejected", "no"),
        source="elsewhere",
        annotator_name="somebody",
        **options,
    )
    return pair


def make_snapshot(project: Project, by: Person) -> DatasetSnapshot:
    """A frozen snapshot of what there is."""
    return snapshots.freeze(snapshots.request_snapshot(project=project, by=by))


def make_model(project: Project, by: Person, *, stage: str = "sft", serve: bool = False) -> ModelVersion:
    """A policy in the registry as a finished run would leave it, with a folder that holds no weights."""
    number = next(_numbers)
    folder = f"models/{number}"
    (Path(settings.DATA_DIR) / folder).mkdir(parents=True)
    run = make_run(project, by, stage=stage)
    Job.objects.filter(pk=run.job_id).update(status=Job.Status.SUCCEEDED)
    Chain.objects.filter(pk=run.chain_id).update(state=Chain.State.SUCCEEDED)
    version = model_versions.register(
        run=TrainingRun.objects.select_related("job", "base_model").get(pk=run.pk),
        kind=KIND_OF_STAGE[stage],
        path=folder,
        manifest={},
        manifest_sha256="0" * 64,
        metrics={"loss": 1.5},
    )
    if serve:
        model_versions.promote(by=by, model_version=version, override_reason="A test needs it to serve.")
    return version


def make_run(project: Project, by: Person, *, stage: str = "sft", **columns: Any) -> TrainingRun:
    """A queued run of one stage, whatever its stage would need."""
    number = next(_numbers)
    chain = Chain.objects.create(project=project, stages=[stage], kind=f"{stage}-{number}", requested_by=by)
    job = Job.objects.create(kind=Job.Kind.TRAINING, queue="train", project=project, requested_by=by)
    return TrainingRun.objects.create(
        project=project, job=job, chain=chain, stage=stage, number=number, folder=f"runs/{job.public_id}", **columns
    )


def token_of(person: Person, *scopes: str) -> str:
    """A secret to send as a bearer token over real HTTP."""
    return tokens.create_token(person=person, name="tests", scopes=list(scopes))[1]


def bring(project: Project, by: Person, content: str, format: str = "touchstone") -> Job:
    """A file brought in by a worker, to its end."""
    from workers.execution import run_job

    job = imports.request_import(project=project, by=by, format=format, name="rows.jsonl", chunks=[content.encode()])
    run_job(job.pk)
    job.refresh_from_db()
    return job


def plan_for(project: Project, *, stages: list[str], **options: Any) -> PipelinePlan:
    """The plan of a pipeline of these stages; `options` are those of `PipelineRequest`."""
    return plan_pipeline(PipelineRequest(project, tuple(stages), **options))
