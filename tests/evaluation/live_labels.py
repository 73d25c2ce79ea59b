"""Many labels at once, and reward versions with what they were trained on, for tests of live accuracy."""

import math
import random
from collections.abc import Callable, Sequence

from django.db import transaction
from django.utils import timezone

from feedback.models import (
    Annotation,
    Assignment,
    DatasetSnapshot,
    ModelVersion,
    Person,
    PreferencePair,
    Project,
    Task,
    TrainingRun,
)
from feedback.rules.evaluation.live_accuracy import Score, outcome
from tests.factories import make_model, make_prompt, make_response

PROMPTS = 24


def reward_model(project: Project, by: Person, snapshot: DatasetSnapshot | None = None) -> ModelVersion:
    """A reward version, trained on `snapshot`."""
    version = make_model(project, by, stage="reward")
    TrainingRun.objects.filter(model_version=version).update(snapshot=snapshot)
    return ModelVersion.objects.select_related("project", "run__snapshot").get(pk=version.pk)


def make_labels(
    project: Project, people: Sequence[Person], count: int, *, arm: str = "random", strength: int = 2
) -> list[Annotation]:
    """Settled comparisons, each with one annotation, by people in turn."""
    prompts = [make_prompt(project) for _ in range(min(count, PROMPTS))]
    responses = [(make_response(prompt), make_response(prompt)) for prompt in prompts]
    with transaction.atomic():
        tasks = []
        for number in range(count):
            prompt = prompts[number % len(prompts)]
            tasks.append(
                Task(
                    project=project,
                    kind="comparison",
                    prompt=prompt,
                    state=Task.State.SETTLED,
                    annotations_wanted=1,
                    free_slots=0,
                    queue_key=number,
                    arm=arm,
                )
            )
        Task.objects.bulk_create(tasks)
        held = []
        for number, task in enumerate(tasks):
            person = people[number % len(people)]
            held.append(
                Assignment(
                    project=project,
                    task=task,
                    annotator=person,
                    state=Assignment.State.SUBMITTED,
                    counted=True,
                    order=[],
                    held_until=timezone.now(),
                )
            )
        Assignment.objects.bulk_create(held)
        labels, pairs = [], []
        for number, assignment in enumerate(held):
            chosen, rejected = responses[number % len(prompts)]
            shown = [str(chosen.public_id), str(rejected.public_id)]
            payload = {"outcome": "prefer", "chosen": shown[0], "rejected": shown[1], "strength": strength}
            label = Annotation(
                project=project,
                task=assignment.task,
                assignment=assignment,
                annotator=assignment.annotator,
                kind="comparison",
                payload=payload,
                shown=shown,
            )
            labels.append(label)
            pairs.append(
                PreferencePair(
                    project=project,
                    prompt=assignment.task.prompt,
                    chosen=chosen,
                    rejected=rejected,
                    strength=strength,
                    annotation=label,
                )
            )
        Annotation.objects.bulk_create(labels)
        PreferencePair.objects.bulk_create(pairs)
        for assignment, label in zip(held, labels, strict=True):
            assignment.current = label
        Assignment.objects.bulk_update(held, ["current"])
    return labels


def scores_of(labels: Sequence[Annotation], gap: Callable[[Annotation], float] = lambda _: 1.0) -> list[Score]:
    """What a worker makes of labels by a model with these gaps."""
    return [Score(label.pk, 2, 1, outcome([gap(label)])) for label in labels]


def crowd(seed: int, inverters: Sequence[int] = ()) -> Callable[[Annotation], float]:
    """Gaps of a calibrated model: people choose what it favors with the probability it states, inverters the other."""
    rng = random.Random(seed)

    def gap(label: Annotation) -> float:
        size = abs(rng.gauss(0, 2.0))
        agrees = rng.random() < 1 / (1 + math.exp(-size))
        return size if agrees != (label.annotator_id in inverters) else -size

    return gap
