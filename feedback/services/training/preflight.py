"""Preflight: what a chain would meet and cost, looked at by a worker before anything is trained.

The snapshot that it looks at is frozen first, so that the chain which is started from it trains on exactly that.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from django.db import transaction

from feedback import celery_app
from feedback.errors import Invalid, InvalidTransition, PreflightBlocks
from feedback.models import Chain, DatasetSnapshot, Job, ModelVersion, Person, Project
from feedback.rules.json_types import JsonObject
from feedback.rules.training.policies import PipelineConfig
from feedback.rules.training.preflight import OVERRIDABLE
from feedback.selectors.training import plans, stages
from feedback.selectors.training.plans import PipelinePlan, PipelineRequest, StagePlan
from feedback.services.platform import events, jobs
from feedback.services.training import pipelines
from feedback.services.training.draft_snapshots import with_snapshots


class PreflightPayload(TypedDict):
    """A request as its job keeps it; rows by public id. `read` is the snapshot of texts."""

    stages: list[str]
    config: PipelineConfig
    seed: int
    texts: str
    promote: bool
    ignore: list[str]
    base_model: str | None
    snapshot: str | None
    read: str | None


def request_preflight(plan: PipelinePlan, *, by: Person | None) -> Job:
    """A job that checks the planned stages before anything is trained.

    Raises:
        see `pipelines.start_chain`.
    """
    plan.refuse_problems()
    with transaction.atomic():
        request = with_snapshots(plan.request, by)
        payload: PreflightPayload = {
            "stages": list(request.stages),
            "config": request.config,
            "seed": request.seed,
            "texts": request.texts,
            "promote": request.promote,
            "ignore": list(request.ignore_findings),
            "base_model": _public_id(request.base_model),
            "snapshot": _public_id(request.snapshot),
            "read": _public_id(request.corpus_snapshot),
        }
        job = jobs.create(
            kind=Job.Kind.PREFLIGHT,
            queue_name=celery_app.DEFAULT,
            project=request.project,
            by=by,
            payload=dict(payload),
        )
        events.record("preflight.requested", job, actor=by, stages="+".join(request.stages))
    return job


def planned(job: Job) -> tuple[StagePlan, ...]:
    """The stages of the job's pipeline, each with what it would start from."""
    return plans.plan_stages(_request_of(job))


def planned_of(chain: Chain) -> tuple[StagePlan, ...]:
    """The stages of a pipeline run that has not trained anything yet."""
    return plans.plan_stages(plans.request_of_chain(chain))


def _request_of(job: Job) -> PipelineRequest:
    """The request that the job checks, on the snapshots that it froze."""
    payload, project = job.payload, job.project
    if project is None:
        raise Invalid("It belongs to no project.")
    return PipelineRequest(
        project=project,
        stages=tuple(payload["stages"]),
        config=payload["config"],
        seed=payload.get("seed", 0),
        base_model=ModelVersion.objects.filter(project=project, public_id=payload["base_model"]).first(),
        snapshot=_snapshot(project, payload["snapshot"]),
        texts=payload.get("texts", ""),
        corpus_snapshot=_snapshot(project, payload["read"]),
        promote=payload.get("promote", False),
        ignore_findings=tuple(payload.get("ignore", [])),
    )


def start(*, by: Person, job: Job, ignore_findings: Sequence[str] = ()) -> Chain:
    """The chain that was looked at, on the snapshot that was looked at.

    Args:
        ignore_findings: names of findings that do not block it, beside those named when the preflight was requested.

    Raises:
        Invalid: no finding has such a name.
        InvalidTransition: the job is no preflight that has ended well.
        PreflightBlocks: something it found would waste the run; the sentence says what.
    """
    if job.kind != Job.Kind.PREFLIGHT or job.status != Job.Status.SUCCEEDED:
        raise InvalidTransition("The preflight check has no result yet. Wait for it, or run it again.")
    for problem in plans.finding_problems(tuple(ignore_findings)):
        raise problem
    ignored = sorted({*job.payload.get("ignore", []), *ignore_findings})
    if found := blocking(job.result.get("stages", []), ignored):
        raise PreflightBlocks(" ".join(_sentences(found)))
    request = replace(_request_of(job), ignore_findings=tuple(ignored))
    return pipelines.start_chain(plans.plan_pipeline(request), by=by, looked_at=True)


def blocks(job: Job) -> list[str]:
    """Sentences of all that blocks the chain, by stage."""
    return _sentences(blocking(job.result.get("stages", []), job.payload.get("ignore", [])))


def overridable(job: Job) -> dict[str, str]:
    """Name and description of what blocks the chain, if a person may override all of it; otherwise nothing."""
    found = blocking(job.result.get("stages", []), job.payload.get("ignore", []))
    names = sorted({finding["name"] for _, finding in found})
    if set(names) - OVERRIDABLE.keys():
        return {}
    return {name: OVERRIDABLE[name] for name in names}


def _sentences(found: list[tuple[str, JsonObject]]) -> list[str]:
    sentences: list[str] = []
    for stage, finding in found:
        name = stages.names_of([stage])
        sentences.append(f"{name[0].upper()}{name[1:]}: {finding['sentence']} {finding['remedy']}")
    return sentences


def blocking(stages: list[JsonObject], ignored: list[str]) -> list[tuple[str, JsonObject]]:
    """(stage, finding) of all that blocks a chain, of what the trainer reported of its stages."""
    found: list[tuple[str, JsonObject]] = []
    for stage in stages:
        for finding in stage["findings"]:
            if finding["severity"] == "block" and finding["name"] not in ignored:
                found.append((stage["stage"], finding))
    return found


def _snapshot(project: Project, key: str | None) -> DatasetSnapshot | None:
    return DatasetSnapshot.objects.get(project=project, public_id=key) if key else None


def _public_id(row: ModelVersion | DatasetSnapshot | None) -> str | None:
    return str(row.public_id) if row else None
