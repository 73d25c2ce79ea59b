"""Battles: a member types a prompt, two versions answer it, the member votes and then sees which they were.

A vote is an ordinary annotation, of a task with arm `battle`. No gate and no contest counts it, and it trains only
where the project says so.
"""

import random
import uuid
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from feedback.errors import AlreadySubmitted, Conflict, Invalid, ProjectClosed, TooManyRequests
from feedback.models import Annotation, Assignment, Battle, Kind, Person, Project, Prompt, Task
from feedback.rules.collection.pairing import queue_key
from feedback.rules.collection.preferences import KEYS
from feedback.selectors.evaluation import battles
from feedback.selectors.evaluation.battles import ARM
from feedback.services.collection import annotations, generation, prompts, tasks
from feedback.services.platform import events
from feedback.services.platform.closed_projects import refuse_when_closed

SOURCE = "battle"
MOST_AT_ONCE = 3  # of one person, waiting for responses: others wait behind them
MOST_CHARACTERS = 20_000
LEASE = timedelta(minutes=10)  # of the assignment, which is answered in the transaction that makes it


def start(*, project: Project, person: Person, text: str, rng: random.Random | None = None) -> Battle:
    """Store the prompt, draw two versions and their sides uniformly, and request a response of each.

    Args:
        rng: for tests; by default nobody can foresee the draw.

    Raises:
        Conflict: the project has fewer than two versions to draw from.
        Invalid: the prompt is empty, too long, or cannot be stored.
        ProjectClosed: the project is paused or closed.
        TooManyRequests: this person has as many responses waiting as one may have.
    """
    refuse_when_closed(project, "prompts")
    if project.state != Project.State.OPEN:
        raise ProjectClosed(f"{project.name} is {project.state}; no new prompts are accepted.")
    if not text.strip():
        raise Invalid("Write a prompt.", field="text")
    if len(text) > MOST_CHARACTERS:
        raise Invalid(f"A prompt has at most {MOST_CHARACTERS:,} characters.", field="text")
    drawn = battles.entrants(project)
    if len(drawn) < 2:
        raise Conflict("A battle needs two model versions. Train or register another policy first.")
    if battles.unfinished(project, person) >= MOST_AT_ONCE:
        raise TooManyRequests(5, "You have as many battles waiting for responses as one person may.")
    left, right = (rng or random.SystemRandom()).sample(drawn, 2)
    with transaction.atomic():
        prompt, _ = prompts.submit_prompt(
            project=project, by=None, messages=[{"role": "user", "content": text}], source=SOURCE, responses_wanted=0
        )
        battle = Battle.objects.create(
            project=project,
            person=person,
            prompt=prompt,
            left_version=left,
            right_version=right,
            propensity=1 / (len(drawn) * (len(drawn) - 1)),
        )
        events.record("battle.started", battle, actor=person)
        if prompt.state == Prompt.State.READY:
            _request(battle)
    battle.refresh_from_db()
    return battle


def go_on(prompt: Prompt) -> None:
    """Request the responses of a battle whose prompt has passed the guard. Call in that transaction."""
    battle = Battle.objects.filter(prompt=prompt, left=None).select_related("left_version", "right_version").first()
    if battle is not None:
        battle.prompt = prompt
        _request(battle)


def vote(*, battle: Battle, person: Person, choice: str) -> Annotation:
    """Store the person's vote, once.

    Args:
        choice: a key of the comparison scale, such as "2" for A is better; see `rules.collection.preferences`.

    Raises:
        Invalid: there is no such choice, or one of two equal texts was preferred.
        Conflict: the responses are not there yet.
        AlreadySubmitted: it was voted before.
    """
    if choice not in KEYS:
        raise Invalid("Choose A, B, about the same, or both bad.", field="choice")
    outcome, letter, strength = KEYS[choice]
    answer: dict[str, object] = {"outcome": outcome}
    if outcome == "prefer":
        answer |= {"choice": letter, "strength": strength}
    with transaction.atomic():
        locked = Battle.objects.select_for_update(of=("self",)).select_related("left", "right", "prompt__project")
        battle = locked.get(pk=battle.pk)
        if battle.task_id is not None:
            raise AlreadySubmitted("You already voted in this battle. Start another one.")
        if battles.view(battle).state != "ready":
            raise Conflict("The two responses are not ready. Wait for them, or write another prompt.")
        assert battle.left is not None and battle.right is not None
        now, public_id = timezone.now(), uuid.uuid4()
        battle.task = Task.objects.create(
            public_id=public_id,
            project_id=battle.project_id,
            kind=Kind.COMPARISON,
            prompt=battle.prompt,
            annotations_wanted=1,
            free_slots=0,
            queue_key=queue_key(0, public_id),
            arm=ARM,
            propensity=battle.propensity,
            created_by=person,
        )
        tasks.place_responses(battle.task, [battle.left, battle.right])
        assignment = Assignment.objects.create(
            project_id=battle.project_id,
            task=battle.task,
            annotator=person,
            slot=1,
            order=[battle.left.pk, battle.right.pk],
            held_until=now + LEASE,
            shown_at=now,
        )
        annotation = annotations.submit(assignment=assignment, answer=answer, client="web")
        battle.save(update_fields=["task"])
    return annotation


def _request(battle: Battle) -> None:
    """One response of each version. They have a job each, so that no batch keeps the person waiting.

    They are nobody's request: who asks for a response may read which model wrote it.
    """
    found = []
    for version in (battle.left_version, battle.right_version):
        found += generation.request_responses(
            prompt=battle.prompt, count=1, model_version=version, make_tasks=False, live=True
        )
    battle.left, battle.right = found
    battle.save(update_fields=["left", "right"])
