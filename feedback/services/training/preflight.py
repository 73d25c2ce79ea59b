"""Preflight: what a chain would meet and cost, looked at by a worker before anything is trained.

The snapshot that it looks at is frozen first, so that the chain which is started from it trains on exactly that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from feedback import celery_app
from feedback.errors import Invalid, InvalidTransition, PreflightBlocks
from feedback.models import Chain, Corpus, DatasetSnapshot, Job, ModelVersion, Person, Project
from feedback.rules.training.preflight import OVERRIDABLE
from feedback.rules.training.stages import ON_TEXTS, STAGES
from feedback.selectors.screening import guard_models
from feedback.services.platform import events, jobs
from feedback.services.training import pipelines, stage_inputs


@dataclass(frozen=True)
class Planned:
    """One stage as it would run: its settings, its snapshot, and the models that are there for it already."""

    stage: str
    config: dict[str, Any]
    snapshot: DatasetSnapshot | None
    start: stage_inputs.Start


def request_preflight(
    *,
    project: Project,
    by: Person | None,
    stages: list[str],
    config: dict[str, Any] | None = None,
    seed: int = 0,
    base_model: ModelVersion | None = None,
    snapshot: DatasetSnapshot | None = None,
    texts: str = "",
    corpus: Corpus | None = None,
    promote: bool = False,
    ignore_findings: list[str] | None = None,
) -> Job:
    """A job that looks at a chain as `training.start_chain` would start it; arguments and refusals are the same."""
    stage_inputs.refuse_unknown_findings(ignore_findings or [])
    stages, config, texts = stage_inputs.settled(
        project, stages, config=config or {}, base_model=base_model, snapshot=snapshot, texts=texts, corpus=corpus
    )
    with transaction.atomic():
        rows, read = stage_inputs.drafts(project, by, stages, snapshot, texts, corpus)
        payload = {
            "stages": stages,
            "config": config,
            "seed": seed,
            "texts": texts,
            "promote": promote,
            "ignore": ignore_findings or [],
            "base_model": str(base_model.public_id) if base_model else None,
            "snapshot": str(rows.public_id) if rows else None,
            "read": str(read.public_id) if read else None,
        }
        job = jobs.create(
            kind=Job.Kind.PREFLIGHT, queue_name=celery_app.DEFAULT, project=project, by=by, payload=payload
        )
        events.record("preflight.requested", job, actor=by, stages="+".join(stages))
    return job


def planned(job: Job) -> list[Planned]:
    """The stages of the job's chain, each with what it would start from."""
    payload, project = job.payload, job.project
    assert project is not None
    rows, read = (_snapshot(project, payload[name]) for name in ("snapshot", "read"))
    base = ModelVersion.objects.filter(project=project, public_id=payload["base_model"]).first()
    return _plan(project, payload["stages"], payload["config"], rows, read, base)


def planned_of(chain: Chain) -> list[Planned]:
    """The stages of a chain that has not trained anything yet."""
    rows, read = chain.snapshot, chain.corpus_snapshot
    return _plan(chain.project, chain.stages, chain.config, rows, read, chain.base_model)


def _plan(
    project: Project,
    stages: list[str],
    config: dict[str, Any],
    rows: DatasetSnapshot | None,
    read: DatasetSnapshot | None,
    base: ModelVersion | None,
) -> list[Planned]:
    if read == rows:
        read = rows  # labelled texts are the rows' own: one object, so that who freezes it freezes it for all stages
    plan = []
    for stage in stages:
        start = stage_inputs.foreseen(project, stages, stage, base)
        settings = pipelines.settings_of_run(project, stage, config, start.base)
        if STAGES[stage].needs_reward_model and "reward" not in stages:
            start.reward = stage_inputs.newest(project, "reward")
        if stage_inputs.guard_term(settings) and "classify" not in stages:
            start.guard = guard_models.term_model(project)
        plan.append(Planned(stage, settings, read if stage in ON_TEXTS else rows, start))
    return plan


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
    stage_inputs.refuse_unknown_findings(ignore_findings)
    payload, project = job.payload, job.project
    ignored = sorted({*payload.get("ignore", []), *ignore_findings})
    if blocking_ones := blocking(job.result.get("stages", []), ignored):
        raise PreflightBlocks(" ".join(_sentences(blocking_ones)))
    if project is None:
        raise Invalid("It belongs to no project.")
    return pipelines.start_chain(
        project=project,
        by=by,
        stages=payload["stages"],
        config=payload["config"],
        seed=payload["seed"],
        base_model=ModelVersion.objects.filter(project=project, public_id=payload["base_model"]).first(),
        snapshot=_snapshot(project, payload["snapshot"]),
        texts=payload["texts"],
        corpus_snapshot=_snapshot(project, payload["read"]),
        promote=payload["promote"],
        ignore_findings=ignored,
        looked_at=True,
    )


def blocks(job: Job) -> list[str]:
    """Sentences of all that blocks the chain, by stage."""
    return _sentences(blocking(job.result.get("stages", []), job.payload.get("ignore", [])))


def overridable(job: Job) -> dict[str, str]:
    """Name and description of what blocks the chain, if a person may override all of it; otherwise nothing."""
    names = {finding["name"] for _, finding in blocking(job.result.get("stages", []), job.payload.get("ignore", []))}
    return {name: OVERRIDABLE[name] for name in sorted(names)} if names <= set(OVERRIDABLE) else {}


def _sentences(found: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"{stage}: {finding['sentence']} {finding['remedy']}" for stage, finding in found]


def blocking(stages: list[dict[str, Any]], ignored: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """(stage, finding) of all that blocks a chain, of what the trainer reported of its stages."""
    return [
        (stage["stage"], finding)
        for stage in stages
        for finding in stage["findings"]
        if finding["severity"] == "block" and finding["name"] not in ignored
    ]


def _snapshot(project: Project, key: str | None) -> DatasetSnapshot | None:
    return DatasetSnapshot.objects.get(project=project, public_id=key) if key else None
