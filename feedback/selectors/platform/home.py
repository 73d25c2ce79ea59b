"""Figures of the home page: the stations of the pipeline, recent events, and what needs a decision by a person.

Counts over large tables are capped, so that the page costs the same with a million tasks.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from django.conf import settings
from django.db.models import Count, Exists, F, Max, Model, OuterRef, Q, QuerySet
from django.utils import timezone

from feedback import celery_app
from feedback.models import (
    Annotation,
    Campaign,
    Chain,
    Concern,
    Contest,
    ContestCandidate,
    Corpus,
    Deployment,
    Document,
    Evaluation,
    Event,
    Job,
    ModelVersion,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Schedule,
    Stage,
    Task,
    TrainingRun,
    WorkerProcess,
)
from feedback.models.prompts import NOT_READY, TO_COME
from feedback.rules.json_types import JsonObject
from feedback.rules.training.stages import ALIGNMENT, GIVEN
from feedback.selectors.evaluation import contest_accounts, contests, gate, labels_to_score, live_accuracy
from feedback.selectors.training.stages import NAMES

OfStage = TypeVar("OfStage", TrainingRun, ModelVersion)
Rows: TypeAlias = QuerySet[Any]  # of any model
COUNT_TO = 10_000  # past this a count is shown as "10,000+"
CONCERNS_COUNTED = 1000
IDLE, WORKING, STUCK, DONE = "idle", "working", "stuck", "done"


@dataclass(frozen=True)
class Station:
    """A step of the pipeline: its figure with a caption, its state, and a sentence about what blocks it."""

    key: str
    figure: str
    caption: str
    state: str = IDLE
    stuck: str = ""
    last: str = ""  # the newest thing that passed, in words
    at: datetime | None = None
    share: float | None = None  # progress of the running job, 0 to 1
    row: Model | None = None  # the row that the station links to


@dataclass(frozen=True)
class Pipeline:
    stations: dict[str, Station]
    serving: ModelVersion | None
    missing_workers: list[str] = field(default_factory=list)


def pipeline(project: Project) -> Pipeline:
    """All stations of a project, in a fixed number of queries."""
    missing = missing_queues()
    serving = Deployment.objects.filter(project=project, until=None).select_related("model_version").first()
    runs = _newest_of_stages(TrainingRun.objects.filter(project=project).select_related("job"))
    versions = _newest_of_stages(ModelVersion.objects.filter(project=project))
    stations = [_corpus(project)]
    for stage in ("tokenizer", "pretrain", "sft", "reward", "ppo", "mlm", "classify", "tag"):
        stations.append(_stage(stage, runs, versions, missing))
    stations += [
        _prompts(project),
        _responses(project, missing),
        _tasks(project),
        _annotations(project),
        _pairs(project),
        _gate(project),
        _serving(serving),
    ]
    serving_version = None
    if serving is not None:
        serving_version = serving.model_version
    return Pipeline({station.key: station for station in stations}, serving_version, missing)


def workers() -> QuerySet[WorkerProcess]:
    """Workers whose last heartbeat is recent."""
    alive = timezone.now() - timedelta(seconds=settings.SILENT_SECONDS)
    return WorkerProcess.objects.filter(seen_at__gte=alive).select_related("job__project").order_by("queue", "name")


def missing_queues() -> list[str]:
    """Queues that no live worker serves."""
    served = set(workers().values_list("queue", flat=True))
    return [name for name in celery_app.QUEUES if name not in served]


def events(project: Project, limit: int = 12) -> list[Event]:
    return list(Event.objects.filter(project=project).select_related("actor").order_by("-id")[:limit])


@dataclass(frozen=True)
class Need:
    """Something that waits for a person: a sentence, what to do, and the row it is about."""

    kind: str  # failed_run, review, contest, gate, drift, workers, schedule, campaign
    sentence: str
    remedy: str
    row: Model | None = None
    at: datetime | None = None


def needs_a_person(project: Project) -> list[Need]:
    """Failed runs with their remedies, flags, candidates to decide on, schedules in trouble, missing workers."""
    needs = list(map(_missing_worker, missing_queues()))
    recent = timezone.now() - timedelta(days=7)
    failed = TrainingRun.objects.filter(project=project, job__status=Job.Status.FAILED, job__finished_at__gte=recent)
    for run in failed.select_related("job").order_by("-id")[:5]:
        if not TrainingRun.objects.filter(project=project, stage=run.stage, number__gt=run.number).exists():
            sentence = f"Run {run.number} ({NAMES[run.stage]}) failed: {run.job.error}"
            needs.append(Need("failed_run", sentence, run.job.remedy, run))
    undecided, decided = _contest_needs(project)
    needs += undecided
    needs += [_decision(version) for version in _undecided(project).exclude(pk__in=decided)[:3]]
    needs.extend(_drift(project))
    if waiting := _waiting_for_review(project):
        needs.append(Need("review", f"Reviews pending: {waiting}.", "Open the review queue."))
    for schedule in Schedule.objects.filter(project=project, enabled=True).exclude(trouble="")[:5]:
        needs.append(
            Need("schedule", f"{schedule.name} could not start: {schedule.trouble}", "Open the schedule.", schedule)
        )
    for campaign in Campaign.objects.filter(project=project, state__in=Campaign.LIVE).exclude(trouble=""):
        sentence = f"The campaign {campaign.name} cannot go on: {campaign.trouble}"
        needs.append(Need("campaign", sentence, "Open the campaign.", campaign))
    return needs


def _contest_needs(project: Project) -> tuple[list[Need], list[int]]:
    """The contest that goes on, and the newest one if its winner waits; with the keys of versions that wait so."""
    needs: list[Need] = []
    waiting: list[int] = []
    for contest in contests.contests_of(project)[:2]:
        if contest.state in Contest.LIVE:
            standings = contest_accounts.standings(contest)
            best = max(standings, key=lambda one: one.evidence)
            votes = sum(one.votes for one in standings)
            so_far = f" {str(best.version).capitalize()} wins {best.result} so far." if best.result else ""
            sentence = (
                f"People compare {best.version} with {contest.plan.incumbent}: {votes:,} of at most "
                f"{contest.plan.cap:,} votes.{so_far}"
            )
            needs.append(Need("contest", sentence, contest_accounts.waits_for(contest), contest, contest.created_at))
        elif contest.winner and contest_accounts.waits_for_admin(contest, gate.serving(project)):
            version = contest.winner.model_version
            standing = contest_accounts.standing_of(contest, version)
            sentence = (
                f"People prefer {version} to {contest.plan.incumbent}: {standing.result}. It needs your decision."
            )
            needs.append(Need("contest", sentence, "Promote or reject it.", version, contest.decided_at))
            waiting.append(version.pk)
    return needs, waiting


def _missing_worker(queue: str) -> Need:
    sentence = f"No worker serves the queue “{queue}”."
    remedy = f"Start one: “make run” starts all workers, “celery -A workers.celery worker -Q {queue}” this one."
    return Need("workers", sentence, remedy)


def _drift(project: Project) -> list[Need]:
    """Drift alarms of the newest reward model."""
    version = labels_to_score.newest_reward_model(project)
    alarms = live_accuracy.alarms_of(version, names=True) if version is not None else []
    return [Need("drift", alarm.in_full, alarm.remedy, version, alarm.at) for alarm in alarms[:3]]


def _undecided(project: Project) -> QuerySet[ModelVersion]:
    """Candidate policies that wait for a decision: evaluated, or of a pipeline run with `promote`. Newest first.

    Not those that people compare, or decided against.
    """
    later = ModelVersion.objects.filter(
        kind=ModelVersion.Kind.POLICY,
        run__chain=OuterRef("run__chain"),
        run__position__gt=OuterRef("run__position"),
    )
    # Of a pipeline run only the last policy is to be decided on.
    requested = Q(~Exists(later), run__chain__promote=True) & ~Q(run__chain__state=Chain.State.ACTIVE)
    evaluated = Exists(Evaluation.objects.filter(candidate=OuterRef("pk"), decision=""))
    rows = ModelVersion.objects.filter(
        requested | evaluated, project=project, kind=ModelVersion.Kind.POLICY, state=ModelVersion.State.CANDIDATE
    )
    candidacies = ContestCandidate.objects.filter(model_version=OuterRef("pk"))
    lost = Q(plan__contest__state=Contest.State.DECIDED) & ~Q(plan__contest__winner=F("pk"))
    lost |= Q(plan__contest__state=Contest.State.DECIDED, plan__contest__winner=None)
    rows = rows.exclude(Exists(candidacies.filter(Q(plan__contest__state__in=Contest.LIVE) | lost)))
    return rows.select_related("project", "run__reward_model").order_by("-id")


def _decision(version: ModelVersion) -> Need:
    found = gate.of(version)
    sentence = f"{str(version).capitalize()} needs a decision."
    remedy = "Promote or reject it."
    if found.blocking:
        findings = " ".join(finding.sentence for finding in found.blocking)
        sentence += f" {_blocking_findings(len(found.blocking))}: {findings}"
        remedy = "Review its page, then promote it with a reason, or reject it."
    return Need("gate", sentence, remedy, version, version.created_at)


def _blocking_findings(count: int) -> str:
    if count == 1:
        return "1 blocking finding"
    return f"{count} blocking findings"


def _waiting_for_review(project: Project) -> str:
    """Open concerns by reason, as in: 2 flagged, 5 with answers that disagree."""
    rows = Concern.objects.filter(project=project, closed_at=None).order_by("rank").values_list("reason", flat=True)
    counts = Counter(rows[:CONCERNS_COUNTED])
    return ", ".join(f"{count} {CONCERNS[reason]}" for reason, count in counts.items())


# --- stations -----------------------------------------------------------------------------------


def _corpus(project: Project) -> Station:
    corpus = Corpus.objects.filter(project=project).order_by("-id").first()
    if corpus is None:
        return Station("corpus", "none", "no documents yet", stuck="Add a corpus to pretrain on.")
    documents = _count(Document.objects.filter(corpus=corpus))
    return Station("corpus", documents, "documents", DONE, at=corpus.created_at, last=corpus.name)


def _newest_of_stages(rows: QuerySet[OfStage]) -> dict[str, OfStage]:
    """The newest row of each training station. The station `ppo` stands for all alignment stages."""
    newest = rows.order_by().values("stage").annotate(newest=Max("pk")).values("newest")
    found = {}
    for row in rows.filter(pk__in=newest).order_by("pk"):
        station = row.stage
        if station in ALIGNMENT:
            station = Stage.PPO
        found[station] = row
    return found


def _stage(
    stage: str, runs: Mapping[str, TrainingRun], versions: Mapping[str, ModelVersion], missing: list[str]
) -> Station:
    """A training stage: its running job, or the newest version it made."""
    run, version = runs.get(stage), versions.get(stage)
    if run is None:
        return Station(stage, "—", "not run yet")
    job = run.job
    if job.status in Job.ACTIVE:
        station = Station(stage, "…", f"run {run.number} {job.status}", WORKING, last=job.progress_text, row=run)
        if job.steps:
            share = job.step / job.steps
            station = replace(station, figure=_percent(share), share=share)
        if celery_app.TRAIN in missing:
            station = replace(station, state=STUCK, stuck="No worker serves the queue for training.")
        return station
    if job.status == Job.Status.FAILED:
        return Station(stage, "failed", f"run {run.number}", STUCK, job.error, at=job.finished_at, row=run)
    if version is None:
        return Station(stage, "—", f"run {run.number} {job.status}", row=run, at=job.finished_at)
    figure, caption = _headline(stage, version.metrics)
    return Station(
        stage,
        figure or str(version),
        caption or "no metric yet",
        DONE,
        at=version.created_at,
        last=str(version),
        row=version,
    )


CONCERNS: dict[str, str] = {
    Concern.Reason.FLAGGED: "flagged",
    Concern.Reason.SKIPPED: "skipped by many",
    Concern.Reason.DISAGREEMENT: "with disagreeing annotations",
    Concern.Reason.UNRELIABLE: "by an annotator with low agreement",
    Concern.Reason.SAMPLE: "sampled at random",
}
HEADLINES = {
    "tokenizer": ("vocab_size", "{:,.0f}", "tokens in its vocabulary"),
    "pretrain": ("selection_bits_per_byte", "{:.2f}", "bits per byte, held out"),
    "sft": ("eos_rate", "{:.0%}", "EOS rate"),
    "reward": ("selection_accuracy", "{:.0%}", "accuracy on held-out pairs"),
    "ppo": ("kl", "{:.1f}", "nats KL to the reference"),
    "mlm": ("selection_masked_accuracy", "{:.0%}", "of masked tokens predicted"),
    "classify": ("macro_f1", "{:.0%}", "macro F1"),
    "tag": ("f1", "{:.0%}", "span F1"),
}


def _headline(stage: str, metrics: JsonObject) -> tuple[str, str]:
    name, shape, caption = HEADLINES[stage]
    value = metrics.get(name, metrics.get(f"test_{name}", metrics.get(f"selection_{name}")))
    if not isinstance(value, int | float):
        return "", ""
    baseline = (metrics.get("baseline") or {}).get(name)
    if isinstance(baseline, int | float):
        caption += f"; baseline {_shaped(shape, baseline)}"
        if baseline > value:
            caption += " is better"
    return _shaped(shape, value), caption


def _shaped(shape: str, value: float) -> str:
    return shape.format(value).replace("%", " %")


def _percent(share: float) -> str:
    return _shaped("{:.0%}", share)


def _prompts(project: Project) -> Station:
    waiting = Prompt.objects.filter(NOT_READY, project=project)
    newest = Prompt.objects.filter(project=project).order_by("-id").first()
    if newest is None:
        return Station("prompts", "none", "no prompts yet", stuck="Submit prompts on a page or over REST.")
    count = _count(waiting)
    state = WORKING
    if count == "0":
        state = DONE
    return Station("prompts", count, "waiting for responses", state, at=newest.created_at, last=newest.text[:80])


def _responses(project: Project, missing: list[str]) -> Station:
    rows = Response.objects.filter(project=project)
    waiting = _count(rows.filter(TO_COME))
    newest = rows.filter(state=Response.State.READY).order_by("-id").first()
    if waiting != "0":
        station = Station("responses", waiting, "being generated", WORKING)
        if celery_app.GENERATE in missing:
            station = replace(station, state=STUCK, stuck="No worker generates responses.")
    else:
        station = Station("responses", _count(rows), "written")
        if newest is not None:
            station = replace(station, state=DONE)
    if newest is None:
        return station
    return replace(station, last=newest.text[:80], at=newest.created_at)


def _tasks(project: Project) -> Station:
    free = _count(Task.objects.with_free_slots().filter(project=project))
    if free == "0":
        return Station("tasks", free, "open", STUCK, "No open tasks: new responses create new tasks.")
    return Station("tasks", free, "open", WORKING)


def _annotations(project: Project) -> Station:
    rows = Annotation.objects.filter(project=project)
    newest = rows.order_by("-id").first()
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    count = _count_since(today, rows)
    if newest is None:
        return Station("annotations", count, "today")
    return Station("annotations", count, "today", WORKING, at=newest.created_at)


def _pairs(project: Project) -> Station:
    last = Chain.objects.filter(project=project, state=Chain.State.SUCCEEDED).order_by("-id").first()
    pairs = PreferencePair.objects.standing().filter(project=project)
    rule = (
        Schedule.objects.filter(project=project, enabled=True, after_pairs__isnull=False)
        .order_by("after_pairs")
        .first()
    )
    caption = "new pairs since the last training run"
    if rule is not None:
        caption = f"of {rule.after_pairs:,} new pairs until the next pipeline run"
    count = _count(pairs) if last is None else _count_since(last.created_at, pairs)
    if count == "0":
        return Station("pairs", count, caption, row=rule)
    return Station("pairs", count, caption, DONE, row=rule)


def _gate(project: Project) -> Station:
    """The policy that waits for a decision, with the number of findings against it."""
    version = _undecided(project).first()
    if version is not None:
        against = len(gate.of(version).blocking)
        caption = "no blocking findings"
        if against:
            caption = _blocking_findings(against)
        return Station("gate", str(version), caption, WORKING, at=version.created_at, row=version)
    policies = ModelVersion.objects.filter(project=project, kind=ModelVersion.Kind.POLICY).select_related("run__chain")
    newest = policies.order_by("-id").first()
    if newest is None:
        return Station("gate", "none", "no candidate yet")
    if newest.run is not None and newest.run.chain.state == Chain.State.ACTIVE:
        return Station("gate", str(newest), "pipeline run active", WORKING, at=newest.created_at, row=newest)
    of_newest = contests.contests_of(project).filter(plan__candidates__model_version=newest)
    contest = of_newest.exclude(state=Contest.State.STOPPED).first()
    if contest is not None and newest.state == ModelVersion.State.CANDIDATE:
        caption, state = "people did not prefer it", DONE
        if contest.winner is not None and contest.winner.model_version_id == newest.pk:
            caption, state = "people prefer it", WORKING
        elif contest.state in Contest.LIVE:
            caption, state = "being compared by people", WORKING
        return Station("gate", str(newest), caption, state, at=newest.created_at, row=newest)
    if newest.state == ModelVersion.State.CANDIDATE:
        stuck = "Run the evaluation stage, which compares it with the serving model."
        return Station("gate", str(newest), "not evaluated", STUCK, stuck, at=newest.created_at, row=newest)
    return Station("gate", str(newest), newest.state, DONE, at=newest.created_at, row=newest)


def _serving(deployment: Deployment | None) -> Station:
    if deployment is None:
        return Station("serving", "none", "no model serves yet", stuck="Train a model and promote it.")
    version = deployment.model_version
    caption = "external"
    if version.stage != GIVEN:
        caption = f"stage: {NAMES[version.stage]}"
    return Station("serving", str(version), caption, DONE, at=deployment.since, row=version)


def _count(rows: Rows) -> str:
    """Rows, counted up to COUNT_TO."""
    return _figure(rows.order_by()[: COUNT_TO + 1].count())


def _count_since(time: datetime, rows: Rows) -> str:
    """Rows created after `time`, counted among the newest COUNT_TO: no index holds the time of creation."""
    newest = rows.order_by("-id")[: COUNT_TO + 1]
    return _figure(newest.aggregate(n=Count("pk", filter=Q(created_at__gt=time)))["n"])


def _figure(number: int) -> str:
    if number > COUNT_TO:
        return f"{COUNT_TO:,}+"
    return f"{number:,}"
