"""The schema as it is written out, and a row for each of its rooms: what a walk over all doors stands on."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from feedback.models import ApiToken, Campaign, Concern, Contest, Document, Exclusion, Job, Person, Project
from feedback.services.collection import annotations, conversations
from feedback.services.data import corpora, exports, imports
from feedback.services.training import campaigns, schedules
from tests.evaluation.contest_story import begin
from tests.factories import (
    PREFERS_A,
    make_model,
    make_pair,
    make_prompt,
    make_response,
    make_run,
    make_snapshot,
    make_task,
    take,
    write_answers,
)

document = SchemaGenerator().get_schema(public=True)


def row_of(room: str, project: Project, ada: Person) -> Any:
    """A row that the doors of this room are about; None where they name none."""
    made: dict[str, Callable[[], Any]] = {
        "prompts": lambda: make_prompt(project, by=ada),
        "responses": lambda: make_response(make_prompt(project, by=ada)),
        "tasks": lambda: make_task(project),
        "assignments": lambda: make_task(project) and take(project, ada),
        "annotations": lambda: (
            make_task(project) and annotations.submit(assignment=take(project, ada), answer=PREFERS_A)
        ),
        "concerns": lambda: flagged(project, ada),
        "snapshots": lambda: make_pair(project, ada) and make_snapshot(project, ada),
        "preferences": lambda: make_pair(project, ada),
        "jobs": lambda: make_run(project, ada).job,
        "imports": lambda: imports.request_import(
            project=project, by=ada, format="touchstone", name="rows.jsonl", chunks=[b"{}"]
        ),
        "exports": lambda: exports.request_export(project=project, by=ada, format="touchstone"),
        "corpora": lambda: corpora.open_corpus(project=project, by=ada, name=str(uuid4())),
        "corpus-uploads": lambda: uploaded(project, ada),
        "documents": lambda: Document.objects.create(
            corpus=corpora.open_corpus(project=project, by=ada, name=str(uuid4())), text="t", text_hash="t"
        ),
        "training-runs": lambda: make_run(project, ada),
        "chains": lambda: make_run(project, ada).chain,
        "models": lambda: make_model(project, ada),
        "schedules": lambda: schedules.create_schedule(
            by=ada, project=project, name=str(uuid4()), stages=["sft"], every_seconds=600
        ),
        "campaigns": lambda: running_campaign(project, ada),
        "contests": lambda: contest(project, ada),
        "tokens": lambda: ApiToken.objects.filter(person=ada).first(),
        "conversations": lambda: talk(project, ada),
        "feedback": lambda: make_response(make_prompt(project, by=ada)),
        "people": lambda: Person.objects.create_user(f"somebody-{uuid4()}"),
        "exclusions": lambda: Exclusion.objects.update_or_create(
            project=project,
            person=ada,
            round=1,
            defaults={"reason": "pace", "hits": 7, "looked_at": 7, "since": timezone.now(), "lifted_at": None},
        )[0],
    }
    return made[room]() if room in made else None


def running_campaign(project: Project, ada: Person) -> Campaign:
    """The campaign that runs; the first call makes it."""
    live = Campaign.objects.filter(project=project, state="running").first()
    if live is not None:
        return live
    Campaign.objects.filter(project=project).update(state="ended")
    return campaigns.create_campaign(
        by=ada, project=project, name=str(uuid4()), stages=["sft", "evaluate"], after_labels=500, budget=9000
    )


def contest(project: Project, ada: Person) -> Contest:
    """The one that runs, or was the last one: a project has one at a time."""
    return Contest.objects.filter(project=project).last() or begin(project, ada)


def uploaded(project: Project, ada: Person) -> Job:
    corpus = corpora.open_corpus(project=project, by=ada, name=str(uuid4()))
    return corpora.request_upload(corpus=corpus, by=ada, name="a.txt", chunks=[b"text"])


def talk(project: Project, ada: Person) -> Any:
    """A conversation whose first turn is ready to be judged."""
    make_model(project, ada, serve=True)
    Project.objects.filter(pk=project.pk).update(kinds=["comparison", "conversation"])
    turn = conversations.start(project=Project.objects.get(pk=project.pk), person=ada, text="My lamp is broken.")
    write_answers(turn, "Which one?", "All of it?")
    return turn.conversation


def flagged(project: Project, ada: Person) -> Concern:
    make_task(project)
    annotation = annotations.submit(assignment=take(project, ada), answer=PREFERS_A)
    annotations.flag(assignment=annotation.assignment, by=ada, reason="odd")
    return Concern.objects.latest("pk")
