"""What the quality page costs in a large project: the figures computed, the page shown again, the answers behind one.

    python -m tests.bench.quality [answers]

20,000 answers (what the page looks at) by 20 annotators, two a task. Processor seconds, since they do not depend on
what else the machine does. The rows are written straight into a database of its own, which is removed.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from typing import Any

FOLDER = tempfile.mkdtemp(prefix="touchstone-quality-")
os.environ["DATA_DIR"] = FOLDER
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")
ANNOTATORS = 20


def furnish(answers: int) -> Any:
    """A crowd that finds the better response four times in five, over half a year."""
    from django.utils import timezone

    from feedback.models import Annotation, Assignment, Person, Prompt, Response, Task, TaskResponse
    from feedback.services.platform import projects

    rng, now = random.Random(0), timezone.now()
    by = Person.objects.create_superuser("bench", "a-long-password-for-benches")
    project = projects.open_project(by=by, name="Bench", slug="bench", annotations_per_task=2)
    people = [Person.objects.create(username=f"annotator-{n}", password="!") for n in range(ANNOTATORS)]
    prompts = Prompt.objects.bulk_create(
        [
            Prompt(
                project=project, messages=[{"role": "user", "content": f"Question {n}?"}], family=str(n), split="train"
            )
            for n in range(answers // 2)
        ]
    )
    texts = ["Restart it. " * rng.randint(3, 60) for _ in range(2 * len(prompts))]
    responses = Response.objects.bulk_create(
        [
            Response(project=project, prompt=prompts[n // 2], text=text, model_name="ab"[rng.random() < 0.5])
            for n, text in enumerate(texts)
        ],
        batch_size=2000,
    )
    tasks = Task.objects.bulk_create(
        [
            Task(
                project=project, kind="comparison", prompt=prompt, state="settled", annotations_wanted=2,
                free_slots=0, queue_key=n,
            )
            for n, prompt in enumerate(prompts)
        ]
    )  # fmt: skip
    placed = [TaskResponse(task=tasks[n // 2], response=one, position=n % 2) for n, one in enumerate(responses)]
    TaskResponse.objects.bulk_create(placed, batch_size=2000)
    held = []
    for n, task in enumerate(tasks):
        for slot, person in enumerate(rng.sample(people, 2), 1):
            pair = [responses[2 * n], responses[2 * n + 1]]
            rng.shuffle(pair)
            held.append(
                Assignment(
                    project=project, task=task, annotator=person, state="submitted", slot=slot, counted=True,
                    order=[one.pk for one in pair], held_until=now,
                )
            )  # fmt: skip
    held = Assignment.objects.bulk_create(held, batch_size=2000)
    key_of = {one.pk: str(one.public_id) for one in responses}
    said = []
    for one in held:
        shown = [key_of[key] for key in one.order]
        better = min(one.order) if rng.random() < 0.8 else max(one.order)
        payload = {"outcome": "prefer", "chosen": key_of[better], "strength": rng.randint(0, 3)}
        said.append(
            Annotation(
                project=project, task_id=one.task_id, assignment=one, annotator_id=one.annotator_id,
                kind="comparison", payload=payload, shown=shown, seconds=rng.uniform(3, 60),
            )
        )  # fmt: skip
    said = Annotation.objects.bulk_create(said, batch_size=2000)
    for n, (one, annotation) in enumerate(zip(held, said, strict=True)):
        one.current, annotation.created_at = annotation, now - timedelta(days=180 * (1 - n / len(said)))
    Assignment.objects.bulk_update(held, ["current"], batch_size=500)
    Annotation.objects.bulk_update(said, ["created_at"], batch_size=500)
    return project, by


def main(answers: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from feedback.selectors.quality import quality

    call_command("migrate", verbosity=0)
    project, by = furnish(answers)
    client = Client(headers={"Host": "localhost"})
    client.force_login(by)
    found: dict[str, float] = {"answers": answers}

    def timed(name: str, act: Any) -> Any:
        begun = time.process_time()
        made = act()
        found[name] = round(time.process_time() - begun, 3)
        return made

    client.get("/glossary/")  # templates and paths are loaded by whoever comes first
    timed("first look, which asks for the rest", lambda: client.get("/p/bench/quality/"))
    kept = timed("figures computed", lambda: quality.quality(project))
    page = timed("page with figures at hand", lambda: client.get("/p/bench/quality/"))
    assert page.status_code == 200 and b"By pair of annotators" in page.content
    timed("figures as CSV", lambda: client.get("/p/bench/quality/figures.csv"))
    one = kept.annotators[0].key
    timed("answers behind a check", lambda: client.get(f"/p/bench/quality/annotations/?annotator={one}&check=too_fast"))
    timed("answers behind a pair", lambda: client.get(
        f"/p/bench/quality/annotations/?annotator={one}&other={kept.annotators[1].key}"
    ))  # fmt: skip
    timed("answers behind a week", lambda: client.get(f"/p/bench/quality/annotations/?week={kept.weeks[0].start}"))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
