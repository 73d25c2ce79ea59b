"""What the arena page costs: 10 versions, 100,000 votes by 20 annotators, on SQLite.

    python -m tests.bench.arena [votes]

Milliseconds by the clock: the page at its first opening (it shows itself and asks for the figures afterwards), the
figures, and the page with the figures at hand (the median and the slowest of nine). The rows are written straight
into a database of its own, which is removed.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

FOLDER = tempfile.mkdtemp(prefix="touchstone-arena-")
os.environ["DATA_DIR"] = FOLDER
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")
ANNOTATORS, VERSIONS, VOTES_PER_TASK = 20, 10, 4


def furnish(votes: int) -> Any:
    """Tasks of two versions each, with four votes; version 1 is the best and version 10 the worst."""
    from django.utils import timezone

    from feedback.models import (
        Annotation,
        Assignment,
        ModelVersion,
        Person,
        PreferencePair,
        Prompt,
        Response,
        Task,
        TaskResponse,
    )
    from feedback.services.platform import projects

    rng, now = random.Random(0), timezone.now()
    by = Person.objects.create_superuser("bench", "a-long-password-for-benches")
    project = projects.open_project(by=by, name="Bench", slug="bench", annotations_per_task=VOTES_PER_TASK)
    people = [Person.objects.create(username=f"annotator-{n}", password="!") for n in range(ANNOTATORS)]
    versions = ModelVersion.objects.bulk_create(
        [
            ModelVersion(project=project, kind="policy", number=n + 1, path=f"models/{n}", manifest_sha256="0" * 64)
            for n in range(VERSIONS)
        ]
    )
    number = votes // VOTES_PER_TASK
    prompts = Prompt.objects.bulk_create(
        [
            Prompt(
                project=project, messages=[{"role": "user", "content": f"Question {n}?"}], family=str(n), split="train",
                source=f"source {n % 5}",
            )
            for n in range(number)
        ],
        batch_size=2000,
    )  # fmt: skip
    drawn = [rng.sample(range(VERSIONS), 2) for _ in prompts]
    responses = Response.objects.bulk_create(
        [
            Response(project=project, prompt=prompt, text="Restart it.", model_version=versions[one])
            for prompt, pair in zip(prompts, drawn, strict=True)
            for one in pair
        ],
        batch_size=2000,
    )
    tasks = Task.objects.bulk_create(
        [
            Task(
                project=project, kind="comparison", prompt=prompt, state="settled", annotations_wanted=VOTES_PER_TASK,
                free_slots=0, queue_key=n,
            )
            for n, prompt in enumerate(prompts)
        ],
        batch_size=2000,
    )  # fmt: skip
    placed = [TaskResponse(task=tasks[n // 2], response=one, position=n % 2) for n, one in enumerate(responses)]
    TaskResponse.objects.bulk_create(placed, batch_size=2000)
    held = Assignment.objects.bulk_create(
        [
            Assignment(
                project=project, task=task, annotator=person, state="submitted", slot=slot, counted=True,
                order=[responses[2 * n].pk, responses[2 * n + 1].pk], held_until=now,
            )
            for n, task in enumerate(tasks)
            for slot, person in enumerate(rng.sample(people, VOTES_PER_TASK), 1)
        ],
        batch_size=2000,
    )  # fmt: skip
    said = Annotation.objects.bulk_create(
        [
            Annotation(
                project=project, task_id=one.task_id, assignment=one, annotator_id=one.annotator_id, kind="comparison",
                payload={"outcome": "prefer"}, blind=True,
            )
            for one in held
        ],
        batch_size=2000,
    )  # fmt: skip
    pairs = []
    for n, (one, annotation) in enumerate(zip(held, said, strict=True)):
        one.current = annotation
        task = n // VOTES_PER_TASK
        first, second = drawn[task]
        better = rng.random() < 1 / (1 + 2.0 ** ((first - second) / 4))
        if rng.random() < 0.9:  # else a tie
            chosen, rejected = one.order if better else reversed(one.order)
            pairs.append(
                PreferencePair(
                    project=project, prompt=prompts[task], chosen_id=chosen, rejected_id=rejected, strength=1,
                    annotation=annotation,
                )
            )  # fmt: skip
    Assignment.objects.bulk_update(held, ["current"], batch_size=500)
    PreferencePair.objects.bulk_create(pairs, batch_size=2000)
    return project, by


def main(votes: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from feedback.selectors.evaluation import arena

    call_command("migrate", verbosity=0)
    project, by = furnish(votes)
    client = Client(headers={"Host": "localhost"})
    client.force_login(by)
    client.get("/glossary/")  # templates and paths are loaded by whoever comes first

    def timed(act: Callable[[], Any]) -> tuple[float, Any]:
        begun = time.perf_counter()
        made = act()
        return round(1000 * (time.perf_counter() - begun), 1), made

    first, _ = timed(lambda: client.get("/p/bench/arena/"))
    computed, found = timed(lambda: arena.arena(project))
    assert found.votes == votes and found.names[found.board.standings[0].entrant] == "policy v1"
    times = []
    for _ in range(9):
        took, page = timed(lambda: client.get("/p/bench/arena/"))
        assert page.status_code == 200 and b"Votes won against each other" in page.content
        times.append(took)
    figures = {
        "votes": votes,
        "versions": VERSIONS,
        "first opening, ms": first,
        "figures computed, ms": computed,
        "page with figures at hand, ms": median(times),
        "slowest, ms": max(times),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
