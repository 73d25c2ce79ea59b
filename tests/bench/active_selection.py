"""What a choice of active selection from 100,000 pairs costs.

    python -m tests.bench.active_selection [--prompts 3600] [--acquisition variance d_optimal]

A new database is filled with responses, 8 to a prompt, and a worker carries out choice jobs of each acquisition with an
untrained reward model of the demo world's size: CPU seconds, first with all responses to be scored, then with none.
"""

import argparse
import logging
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

WORDS = tuple("please restart the router wait two minutes then check cable light panel update firmware".split())  # noqa: SIM905
RESPONSES = 8


def choice(prompts: int, acquisitions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATA_DIR"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")
        import django

        django.setup()
        logging.disable(logging.WARNING)  # there is no broker
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        _choose(Path(folder), prompts, acquisitions)


def _choose(folder: Path, prompts: int, acquisitions: list[str]) -> None:
    from feedback.models import Job, Person, ResponseScore, Task
    from feedback.services.evaluation import active_selection, choices
    from feedback.services.platform import projects
    from workers.execution import run_job

    by = Person.objects.create_superuser("admin", "a-long-password-for-the-bench")
    project = projects.open_project(by=by, name="Bench", slug="bench")
    _fill(project, by, prompts)
    version = _reward_version(folder, project, by)
    print("| acquisition | pairs | responses | scored | CPU s | tasks |\n|---|--:|--:|--:|--:|--:|")
    for acquisition in acquisitions:
        _pass(project, by, version, acquisition)
        active_selection.change(by=by, project=project, acquisition=acquisition, on=True)
        for already in (False, True):
            Task.objects.filter(project=project, choice__isnull=False).delete()
            if not already:
                ResponseScore.objects.all().delete()
            before = ResponseScore.objects.count()
            job = choices.request_choice(project)
            assert job is not None
            began = time.process_time()
            run_job(job.pk)
            spent = time.process_time() - began
            job.refresh_from_db()
            assert job.status == Job.Status.SUCCEEDED, job.error
            made = job.choice
            scored = ResponseScore.objects.count() - before
            responses = prompts * RESPONSES
            tasks = made.random_tasks + made.active_tasks
            print(f"| {acquisition} | {made.pool_pairs:,} | {responses:,} | {scored:,} | {spent:.1f} | {tasks} |")


def _fill(project: Any, by: Any, prompts: int) -> None:
    """Prompts of the training split with 8 responses of a model each, and labels enough."""
    from django.utils import timezone

    from feedback.models import Annotation, Assignment, PreferencePair, Prompt, Response, Task

    chance = random.Random(1)
    rows = []
    for number in range(prompts):
        messages = [{"role": "user", "content": f"{' '.join(chance.choices(WORDS, k=8))} {number}?"}]
        rows.append(Prompt(project=project, messages=messages, family=f"{number:064d}", split="train", state="ready"))
    Prompt.objects.bulk_create(rows, batch_size=500)
    responses = []
    for prompt in rows:
        for number in range(RESPONSES + 2):
            text = " ".join([*chance.choices(WORDS, k=12), str(number)])
            responses.append(Response(project=project, prompt=prompt, text=text, state="ready", model_name="bench"))
    Response.objects.bulk_create(responses, batch_size=500)
    # Labels are of the two oldest responses, which are not among the newest eight.
    labels = rows[: min(2000, prompts)]
    tasks = [
        Task(project=project, kind="comparison", prompt=one, free_slots=0, queue_key=0, state="settled")
        for one in labels
    ]
    Task.objects.bulk_create(tasks, batch_size=500)
    now = timezone.now()
    given = [
        Assignment(project=project, task=task, annotator=by, state="submitted", order=[], held_until=now)
        for task in tasks
    ]
    Assignment.objects.bulk_create(given, batch_size=500)
    answers = [
        Annotation(project=project, task=one.task, assignment=one, annotator=by, kind="comparison", payload={})
        for one in given
    ]
    Annotation.objects.bulk_create(answers, batch_size=500)
    pairs = []
    for place, (prompt, answer) in enumerate(zip(labels, answers, strict=True)):
        first, second = responses[place * (RESPONSES + 2)], responses[place * (RESPONSES + 2) + 1]
        ends = {"chosen": first, "rejected": second}
        pairs.append(PreferencePair(project=project, prompt=prompt, **ends, strength=1, annotation=answer))
    PreferencePair.objects.bulk_create(pairs, batch_size=500)


def _reward_version(folder: Path, project: Any, by: Any) -> Any:
    """An untrained reward model of the demo world's size with four heads, in the registry."""
    import torch

    from feedback.models import ModelVersion
    from trainer.configs.stages import PretrainConfig
    from trainer.json_types import RunRequest
    from trainer.modeling.loading import build_model, load_classifier, save_model
    from trainer.recipes.tokenizer import train_tokenizer
    from trainer.run.checkpoints import write_manifest

    torch.set_num_threads(1)
    tokenizer = train_tokenizer(iter([" ".join(WORDS)] * 20), 1024, 2)
    save_model(folder / "base", build_model(PretrainConfig(), tokenizer), tokenizer)
    model = load_classifier(folder / "base", tokenizer, 4)
    model.config.touchstone = {"reward_mean": 0.0, "reward_std": 1.0, "head_offsets": [0.0] * 4}
    save_model(folder / "reward", model, tokenizer)
    run: RunRequest = {"run": "bench", "stage": "reward", "seed": 0}
    digest = write_manifest(folder / "reward", kind="reward", run=run, config={}, inputs={})
    metrics = {"selection_accuracy": 0.7, "selection_pairs": 500, "heads": 4}
    named = {"kind": "reward", "number": 1, "stage": "reward", "path": "reward"}
    return ModelVersion.objects.create(project=project, **named, manifest_sha256=digest, metrics=metrics)


def _pass(project: Any, by: Any, version: Any, acquisition: str) -> None:
    """A replay that allows the acquisition; what it costs is another matter."""
    from feedback.models import Job, SelectionReplay

    job = Job.objects.create(kind="replay", queue="train", project=project, status="succeeded")
    SelectionReplay.objects.create(
        project=project, job=job, reward_version=version, acquisition=acquisition, random_share=0.3, labels=2000,
        pool=2000, held_out=200, active_accuracy=[0.7] * 5, random_accuracy=[0.6] * 5, difference=0.1, low=0.1,
        high=0.1, learnable=True,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=3600)
    parser.add_argument("--acquisition", nargs="+", default=["variance", "d_optimal"])
    given = parser.parse_args()
    choice(given.prompts, given.acquisition)


if __name__ == "__main__":
    main()
