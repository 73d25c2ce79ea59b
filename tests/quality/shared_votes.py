"""Hundreds of comparisons by several people, written in bulk as submitting them would have."""

from collections.abc import Sequence
from itertools import count
from random import Random

from django.utils import timezone

from feedback.models import Annotation, Assignment, Person, PreferencePair, Project, Response, Task
from feedback.services.platform import people, projects
from tests.factories import make_prompt_in

_numbers = count(1)


def hire(project: Project, by: Person, names: Sequence[str]) -> list[Person]:
    """Annotators of the project."""
    hired = []
    for name in names:
        person = people.create_person(by=None, username=name, password="a-long-password-for-tests", display_name=name)
        projects.set_member(by=by, project=project, person=person, role="annotator")
        hired.append(person)
    return hired


def vote(project: Project, tasks: Sequence[Sequence[tuple[Person, bool]]], strength: int = 2) -> None:
    """One task for each entry. Each of its people prefers the response placed first, or (False) the other one."""
    prompts = [make_prompt_in(project, "train"), make_prompt_in(project, "selection")]
    texts, wanted = [], []
    for place, _ in enumerate(tasks):
        prompt = prompts[place % 7 == 0]
        number = next(_numbers)
        texts += [
            Response(project=project, prompt=prompt, text=f"{side} {number}", model_name="m")
            for side in ("This", "That")
        ]
    responses = Response.objects.bulk_create(texts)
    for place, votes in enumerate(tasks):
        wanted.append(
            Task(
                project=project,
                prompt=responses[2 * place].prompt,
                kind="comparison",
                state=Task.State.SETTLED,
                annotations_wanted=len(votes),
                free_slots=0,
                queue_key=place,
            )
        )
    made = Task.objects.bulk_create(wanted)
    assignments, annotations, pairs = [], [], []
    for place, (task, votes) in enumerate(zip(made, tasks, strict=True)):
        one, other = responses[2 * place : 2 * place + 2]
        for slot, (person, first) in enumerate(votes, start=1):
            assignment = Assignment(
                project=project,
                task=task,
                annotator=person,
                state=Assignment.State.SUBMITTED,
                slot=slot,
                order=[one.pk, other.pk],
                held_until=timezone.now(),
                counted=True,
            )
            better, worse = (one, other) if first else (other, one)
            payload = {
                "outcome": "prefer",
                "chosen": str(better.public_id),
                "rejected": str(worse.public_id),
                "strength": strength,
                "dimensions": {},
                "reason": "",
            }
            annotation = Annotation(
                project=project, task=task, assignment=assignment, annotator=person, kind="comparison", payload=payload,
                shown=[str(one.public_id), str(other.public_id)],
            )  # fmt: skip
            assignments.append(assignment)
            annotations.append(annotation)
            pairs.append(
                PreferencePair(
                    project=project, prompt=task.prompt, chosen=better, rejected=worse, strength=strength,
                    annotation=annotation,
                )
            )  # fmt: skip
    Assignment.objects.bulk_create(assignments)
    Annotation.objects.bulk_create(annotations)
    for assignment, annotation in zip(assignments, annotations, strict=True):
        assignment.current = annotation
    Assignment.objects.bulk_update(assignments, ["current"], batch_size=200)
    PreferencePair.objects.bulk_create(pairs)


def drawn(
    right: Sequence[float], people: Sequence[Person], tasks: int, seed: int = 0
) -> list[list[tuple[Person, bool]]]:
    """Votes on so many tasks by two of the people in turn, who prefer the first response with their probability."""
    chance, found = Random(seed), []
    for number in range(tasks):
        shift = 1 + number // len(people) % (len(people) - 1)
        pair = (number % len(people), (number + shift) % len(people))
        found.append([(people[who], chance.random() < right[who]) for who in pair])
    return found
