"""A project with something on every page: answers, snapshots, a chain with curves, models with evidence, schedules.

Made by the services where they make it; what a worker or a trainer would write is written here as they would.
"""

import math
import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from feedback.models import (
    Annotation,
    Assignment,
    Campaign,
    Chain,
    DatasetSnapshot,
    Evaluation,
    Job,
    ModelVersion,
    Person,
    Project,
    Prompt,
    Schedule,
    Stage,
    TrainingRun,
    WorkerProcess,
)
from feedback.rules.training.stages import KIND_OF_STAGE
from feedback.services.collection import annotations, assignment_queue, generation, prompts
from feedback.services.data import snapshots
from feedback.services.platform import jobs
from feedback.services.registry import model_versions
from feedback.services.training import campaigns, pipelines, schedules
from tests.factories import make_prompt, make_response, make_task, plan_for


@dataclass
class Furnished:
    """What stands in the project."""

    prompt: Prompt
    awaited: Prompt
    snapshots: list[DatasetSnapshot]
    runs: dict[str, TrainingRun]
    failed: TrainingRun
    running: TrainingRun
    sft: ModelVersion
    ppo: ModelVersion
    schedule: Schedule
    campaign: Campaign


def worker(queue: str, job: Job | None = None, seconds_ago: float = 1.0) -> WorkerProcess:
    """A worker that was heard so many seconds ago."""
    now = timezone.now()
    row, _ = WorkerProcess.objects.update_or_create(
        name=f"{queue}@host",
        defaults={
            "queue": queue,
            "pid": 100,
            "host": "host",
            "started_at": now - timedelta(hours=1),
            "seen_at": now - timedelta(seconds=seconds_ago),
            "job": job,
        },
    )
    return row


def judge(project: Project, people: list[Person], count: int, seed: int = 0) -> None:
    """So many tasks, each answered by all of `people`, who mostly agree."""
    rng = random.Random(seed)
    for _ in range(count):
        make_task(project)
    for person in people:
        for _ in range(count):
            assignment = assignment_queue.next_assignment(project=project, annotator=person)
            if not isinstance(assignment, Assignment):
                break
            letter = "ab"[(assignment.order[0] != min(assignment.order)) ^ (rng.random() < 0.2)]
            answer: dict[str, Any] = {"outcome": "prefer", "choice": letter, "strength": rng.randint(0, 3)}
            if rng.random() < 0.1:
                answer = {"outcome": "tie"}
            answer["reason"] = "It says what to do first." if rng.random() < 0.3 else ""
            said = annotations.submit(assignment=assignment, answer=answer)
            # The service allows no more seconds than have passed since the task was shown.
            Annotation.objects.filter(pk=said.pk).update(seconds=rng.uniform(4, 40))


def frozen(project: Project, by: Person) -> DatasetSnapshot:
    return snapshots.freeze(snapshots.request_snapshot(project=project, by=by))


def finish(run: TrainingRun, metrics: dict[str, Any], steps: int = 60) -> ModelVersion | None:
    """What the worker and its trainer do with a run that ends well."""
    job = jobs.claim(run.job_id, "train@host")
    assert job is not None
    jobs.beat(job, step=steps, steps=steps)
    report(run, steps)
    pipelines.record_result(run, metrics)
    version = None
    if run.stage != Stage.EVALUATE:
        folder = Path(settings.DATA_DIR) / "models" / str(run.public_id)
        folder.mkdir(parents=True, exist_ok=True)
        version = model_versions.register(
            run=TrainingRun.objects.select_related("job", "base_model").get(pk=run.pk),
            kind=KIND_OF_STAGE[run.stage],
            path=f"models/{run.public_id}",
            manifest={},
            manifest_sha256=f"{run.number:064x}",
            metrics=metrics,
        )
    jobs.succeed(job, {})
    pipelines.advance_chain(run.chain)
    return version


def report(run: TrainingRun, steps: int) -> None:
    """Curves and samples of a stage, up to a step."""
    now = timezone.now().timestamp()
    points = []
    for step in range(1, steps + 1):
        t = step / 60
        metrics: dict[str, Any] = {"loss": 2.5 * math.exp(-t) + 0.4, "grad_norm": 1.0 + 0.2 * math.sin(step)}
        if run.stage == Stage.PPO:
            metrics = {
                "score": 1.2 * t + 0.05 * math.sin(step),
                "reward": 1.0 * t,
                "kl": 2.7 * t * t,
                "entropy": 1.9 - 0.4 * t,
                "length": 12 + 3 * t,
                "eos_rate": 0.9 + 0.1 * t,
                "policy_loss": -0.02 + 0.01 * math.cos(step),
                "value_loss": 0.5 * math.exp(-t),
                "clip_fraction": 0.05,
                "approx_kl": 0.01 if step != 7 else "nan",
            }
        elif step % 12 == 0:
            metrics |= {"selection_loss": 2.6 * math.exp(-t) + 0.5}
            if run.stage == Stage.REWARD:
                metrics |= {"selection_accuracy": 0.5 + 0.2 * t}
        points.append(pipelines.Point(step, now + step, metrics))
    texts = ("try try the the", "try the cable", "Restart the router, then try the cable.")
    samples = [
        (
            max(1, steps * (n + 1) // 3),
            [
                {"prompt": "My router is slow since yesterday.", "text": texts[n]},
                {"prompt": "The <b>printer</b> is offline.", "text": texts[n].replace("router", "printer")},
            ],
        )
        for n in range(3)
    ]
    pipelines.record_points(
        run,
        points=points,
        samples=samples,
        alarms=[(40, "kl_budget", "KL passed half of its budget.")] if run.stage == Stage.PPO else None,
        log_tail="\n".join(f"step {step}: loss {2.5 * math.exp(-step / 60) + 0.4:.3f}" for step in range(1, steps + 1)),
    )


def furnish(project: Project, admin: Person, annotators: list[Person], answers: int = 16) -> Furnished:
    """Every page of `project` has something to show afterwards."""
    for name in ("default", "generate", "train"):
        worker(name)
    judge(project, annotators, answers)
    first = frozen(project, admin)
    # Tokenizer and base model, as a first start makes them; a corpus is not needed for their rows.
    base_chain = Chain.objects.create(
        project=project, stages=["tokenizer", "pretrain"], kind="tokenizer+pretrain", requested_by=admin
    )
    for position, (stage, metrics) in enumerate(
        (("tokenizer", {"vocab_size": 1024, "bytes_per_token": 3.4}), ("pretrain", {"selection_bits_per_byte": 1.91}))
    ):
        number = TrainingRun.objects.filter(project=project).count() + 1
        job = jobs.create(kind=Job.Kind.TRAINING, queue_name="train", project=project, by=admin)
        run = TrainingRun.objects.create(
            project=project,
            job=job,
            chain=base_chain,
            position=position,
            stage=stage,
            number=number,
            folder=f"runs/{job.public_id}",
        )
        Chain.objects.filter(pk=base_chain.pk).update(stages=["tokenizer", "pretrain"][: position + 1])
        base_chain.refresh_from_db()
        finish(run, metrics)
    Chain.objects.filter(pk=base_chain.pk).update(stages=["tokenizer", "pretrain"])
    runs: dict[str, TrainingRun] = {}
    made: dict[str, ModelVersion] = {}
    chain = pipelines.start_chain(
        plan_for(project, stages=["sft", "reward", "ppo", "evaluate"], snapshot=first), by=admin
    )
    figures: dict[str, dict[str, Any]] = {
        "sft": {"steps": 60, "selection_loss": 0.91, "parameters": 1_200_000, "eos_rate": 0.97},
        "reward": {"steps": 60, "selection_accuracy": 0.712, "selection_ece": 0.04, "train_pairs": 24},
        "ppo": {"steps": 60, "score": 1.21, "kl": 2.7},
    }
    for stage in ("sft", "reward", "ppo"):
        run = chain.runs.get(stage=stage)
        runs[stage] = run
        version = finish(run, figures[stage])
        assert version is not None
        made[stage] = version
    model_versions.promote(by=admin, model_version=made["sft"], override_reason="It answers; the base only rambles.")
    runs["evaluate"] = run = chain.runs.get(stage="evaluate")
    evaluation_metrics = {
        "split": "test",
        "reward_model_win_rate": {"value": 0.71, "low": 0.64, "high": 0.78, "prompts": 38, "judge": "reward_model"},
        "policy": {
            "reward": 1.2,
            "reward_low": 1.0,
            "reward_high": 1.4,
            "eos_rate": 0.98,
            "length": 14.2,
            "entropy": 1.3,
            "repetition": 0.01,
            "kl": 2.9,
            "kl_to": "reference",
        },
        "incumbent": {"reward": 0.1, "eos_rate": 0.97, "length": 13.0, "entropy": 1.6, "repetition": 0.01},
        "reward_model": {
            "accuracy": 0.7,
            "accuracy_low": 0.65,
            "accuracy_high": 0.75,
            "pairs": 320,
            "prompts": 38,
        },
        "prompts": 38,
    }
    pipelines.record_evaluation(
        run,
        metrics=evaluation_metrics,
        samples=[
            {"prompt": "My router is slow.", "model": model, "text": text}
            for model, text in (("candidate", "Restart it, **then** wait a minute."), ("incumbent", "router router"))
        ],
    )
    finish(run, evaluation_metrics)
    Evaluation.objects.filter(run=run).update(candidate=made["ppo"], incumbent=made["sft"])
    # One that failed, and one at work.
    broken = pipelines.start_chain(plan_for(project, stages=["sft"], snapshot=first), by=admin)
    failed = broken.runs.get()
    failing = jobs.claim(failed.job_id, "train@host")
    assert failing is not None
    jobs.beat(failing, step=7, steps=60)
    jobs.fail(failing, Job.ErrorKind.DIVERGED, "The loss is not a number at step 7.", "Lower the learning rate.")
    pipelines.advance_chain(broken)
    judge(project, annotators, 3, seed=1)
    second = frozen(project, admin)
    active = pipelines.start_chain(plan_for(project, stages=["ppo", "evaluate"], snapshot=second), by=admin)
    running = active.runs.get()
    working = jobs.claim(running.job_id, "train@host")
    assert working is not None
    jobs.beat(working, step=22, steps=60, text="sampling")
    report(running, 22)
    worker("train", working)
    schedule = schedules.create_schedule(
        by=admin, project=project, name="After 50 pairs", stages=["sft", "reward", "ppo", "evaluate"], after_pairs=50
    )
    schedules.create_schedule(by=admin, project=project, name="Nightly", stages=["reward"], every_seconds=86400)
    campaign = campaigns.create_campaign(
        by=admin, project=project, name="To eight thousand", stages=["ppo", "evaluate"], after_labels=1000, budget=8000
    )
    prompt = make_prompt(project, by=admin)
    make_response(prompt, "Restart it.", model_version=made["ppo"])
    make_response(prompt, "```\nping router\n```\nand <script>alert(1)</script> wait.", model_version=made["sft"])
    awaited, _ = prompts.submit_prompt(
        project=project, by=admin, messages=[{"role": "user", "content": "What is a router?"}], source="page"
    )
    with transaction.atomic():
        generation.request_responses(prompt=awaited, count=2, by=admin)
    make_task(project)
    for run_row in (failed, running):
        run_row.refresh_from_db()
    return Furnished(
        prompt, awaited, [first, second], runs, failed, running, made["sft"], made["ppo"], schedule, campaign
    )
