"""Scoring jobs: the guard model scores new prompts and generated responses, the tagger suggests spans for tasks.

Safe to repeat: nothing is claimed. Waiting rows are read, scored, and moved by compare-and-set, so that two jobs at
once only compute twice. If a batch fails, the rows scored before stay scored and the rest waits for the next job.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from feedback.models import Job, ModelVersion, Project, Prompt, Task
from feedback.rules.screening.screening import Guard, Span
from feedback.selectors.screening import guard_models
from feedback.services.screening import screening
from workers import loaded_models
from workers.handlers.generation import let_live_ones_by
from workers.job_context import JobFailed, Outcome, Work

if TYPE_CHECKING:
    from trainer.recipes.classify import Classifier
    from trainer.recipes.tag import Tagger

Model = TypeVar("Model")

BATCH = 32
WAITS = "Until then, new texts wait. Approve or select another version, or remove the setting."


def carry_out(work: Work) -> Outcome:
    """Score until nothing waits."""
    assert work.job.project_id is not None
    project = Project.objects.get(pk=work.job.project_id)
    done = {"prompts": 0, "responses": 0, "tasks": 0}
    while prompts := list(screening.waiting_prompts(project)[:BATCH]):
        _step(work)
        done["prompts"] += _prompts(work, project, prompts)
    while responses := list(screening.waiting_responses(project)[:BATCH]):
        _step(work)
        texts = [response.text for response in responses]
        guard, version, scores = _guarded(work, project, texts)
        for response, score in zip(responses, scores, strict=True):
            done["responses"] += screening.settle_response(response, guard=guard, version=version, scores=score)
    while tasks := list(screening.tasks_to_mark(project)[:BATCH]):
        _step(work)
        done["tasks"] += _tasks(work, project, tasks)
    return Outcome(done)


def _step(work: Work) -> None:
    """Between two batches: leave if there is a reason, and let those pass for whom somebody waits."""
    work.check()
    let_live_ones_by(work)


def _prompts(work: Work, project: Project, prompts: Sequence[Prompt]) -> int:
    texts = [prompt.text for prompt in prompts]
    guard, version, scores = _guarded(work, project, texts)
    marker = guard_models.of(project).marks_personal
    found: list[list[Span]] = [[] for _ in texts]
    if marker is not None:
        tagger = _tagger(work, _model(project, ModelVersion.Kind.TAGGER, marker.model))
        for personal, spans in zip(found, tagger.spans(texts), strict=True):
            for span in spans:
                if span["label"] in marker.personal:
                    personal.append(cast(Span, span))
    settled = 0
    for prompt, score, personal in zip(prompts, scores, found, strict=True):
        prompt.project = project
        settled += screening.settle_prompt(prompt, guard=guard, version=version, scores=score, spans=personal)
    return settled


def _guarded(
    work: Work, project: Project, texts: list[str]
) -> tuple[Guard | None, ModelVersion | None, list[dict[str, float]]]:
    """The guard with its version and the scores of each text. Without a guard model texts have no scores and pass."""
    guard = guard_models.of(project).guard
    if guard is None:
        return None, None, [{} for _ in texts]
    version = _model(project, ModelVersion.Kind.CLASSIFIER, guard.model)
    return guard, version, classifier(work, version).scores(texts)


def _tasks(work: Work, project: Project, tasks: Sequence[Task]) -> int:
    marker = guard_models.of(project).marker
    assert marker is not None
    version = _model(project, ModelVersion.Kind.TAGGER, marker.model)
    texts = []
    for task in tasks:
        response = task.responses.first()
        texts.append(task.prompt.text if response is None else response.text)
    marked = 0
    for task, spans in zip(tasks, _tagger(work, version).spans(texts), strict=True):
        task.project = project
        marked += screening.suggest(task, version=version, spans=cast(list[Span], spans))
    return marked


def _model(project: Project, kind: str, wanted: str) -> ModelVersion:
    version = guard_models.model_of(project, kind, wanted)
    if version is None:
        raise JobFailed(Job.ErrorKind.CONFIG, f"The {kind} of this project was deleted or rejected.", WAITS)
    return version


def classifier(work: Work, version: ModelVersion) -> "Classifier":
    from trainer.recipes.classify import Classifier

    return _load(work, version, Classifier)


def _tagger(work: Work, version: ModelVersion) -> "Tagger":
    from trainer.recipes.tag import Tagger

    return _load(work, version, Tagger)


def _load(work: Work, version: ModelVersion, make: Callable[[Path], Model]) -> Model:
    from trainer.errors import TrainerError

    work.say(f"scoring with {version}")
    try:
        return loaded_models.labeller(make, version.path, version.manifest_sha256)
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message, WAITS) from error
