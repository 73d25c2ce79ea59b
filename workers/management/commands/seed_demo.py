"""manage.py seed_demo: a living house in one command.

People with random passwords; the support desk with its guidelines, hand-written comparisons to judge at once, prompts
and demonstrations; an inbox with every other kind of task; then a job that brings the corpus in and starts the first
training. Runs once per database; a run that was killed half way is finished by the next.
"""

import dataclasses
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction

from feedback import celery_app
from feedback.models import Event, Job, Kind, Person, Project, Prompt, Response, Task
from feedback.services.collection import prompts, tasks
from feedback.services.platform import events, jobs, people, projects
from workers import demo_inbox
from workers.demo import demonstrations, handwritten, labels, world
from workers.demo.guidelines import GUIDELINES

SLUG = "support-desk"
WORLD = "support-desk"  # the source of prompts that the demo world can judge
SEEDED = "demo.seeded"
DEMONSTRATIONS = 608
# Divides the 96 prompts 76 / 10 / 10 with every item and every problem among the training prompts, on every machine.
SALT = "support desk 134"
SCOPES = ["read", "annotate", "submit", "data", "train", "admin"]
DIMENSIONS = ["helpful", "truthful", "harmless"]


class Command(BaseCommand):
    help = "Make the demo: people, the support desk, comparisons to judge, prompts, demonstrations, and a corpus job."

    def handle(self, *args: Any, **options: Any) -> None:
        if Event.objects.filter(verb=SEEDED).exists():
            return
        if Project.objects.exclude(slug=SLUG).exists() and not Project.objects.filter(slug=SLUG).exists():
            self.stdout.write("This house has projects of its own; the demo is left out.")
            return
        admin, secrets_told = self._people()
        project = self._project(admin)
        self._handwritten(project, admin)
        self._prompts(project)
        self._demonstrations(project)
        self._first_training(project, admin)
        demo_inbox.seed(admin, self._members())
        if secrets_told:
            self._tell(admin, secrets_told)
        events.record(SEEDED, project, actor=admin, project=project)
        self.stdout.write("The demo project is ready to judge; its first model is being made from the corpus.")

    def _people(self) -> tuple[Person, dict[str, str]]:
        """Admin, reviewer and annotator. A password that was never reported (a killed seeding) is made anew."""
        passwords = {name: secrets.token_urlsafe(12) for name in ("admin", "reviewer", "annotator")}
        for name, password in passwords.items():
            person = Person.objects.filter(username=name).first()
            if person is None:
                person = people.create_person(by=None, username=name, password=password, display_name=name.title())
            person.set_password(password)
            person.is_site_admin = name == "admin"
            person.save(update_fields=["password", "is_site_admin"])
        return Person.objects.get(username="admin"), passwords

    def _project(self, admin: Person) -> Project:
        project = Project.objects.filter(slug=SLUG).first()
        if project is None:
            project = projects.open_project(
                by=admin,
                name="Support desk",
                slug=SLUG,
                kinds=[Kind.COMPARISON.value],
                description="A small support desk: people ask about their things, models answer, you judge.",
                dimensions=DIMENSIONS,
                label_scheme={scheme.name: dataclasses.asdict(scheme) for scheme in labels.SCHEMES},
                sampling={"temperature": 1.0, "max_new_tokens": 40},
                training_policy={
                    "preset": "small",
                    "keep_open_tasks": 60,
                    "snapshot": {"prompt_sources": [WORLD]},
                },
            )
            Project.objects.filter(pk=project.pk).update(split_salt=SALT)
            project.refresh_from_db()
        for person, role in self._members():
            projects.set_member(by=admin, project=project, person=person, role=role)
        projects.publish_guidelines(by=admin, project=project, text=GUIDELINES)
        return project

    def _members(self) -> list[tuple[Person, str]]:
        return [(Person.objects.get(username=name), name) for name in ("reviewer", "annotator")]

    def _handwritten(self, project: Project, admin: Person) -> None:
        """Comparisons that people can judge before any model exists; those with a clear answer are checks."""
        for place, comparison in enumerate(handwritten.comparisons()):
            key = f"demo-{comparison.key}"
            if Task.objects.filter(project=project, external_id=key).exists():
                continue
            with transaction.atomic():
                prompt, _ = prompts.submit_prompt(
                    project=project,
                    by=admin,
                    messages=[{"role": "user", "content": comparison.prompt}],
                    source="handwritten",
                    external_id=key,
                )
                pair = [
                    prompts.add_response(prompt=prompt, by=None, text=text, model_name="handwritten")[0]
                    for text in (comparison.a, comparison.b)
                ]
                # Every third one with a known answer is a check, mixed in silently.
                gold = None
                if comparison.better and place % 3 == 0:
                    gold = {"outcome": "prefer", "choice": comparison.better}
                tasks.create_task(
                    project=project,
                    by=admin,
                    kind=Kind.COMPARISON,
                    prompt=prompt,
                    responses=pair,
                    external_id=key,
                    gold=gold,
                    explanation=comparison.reason or "",
                    arm="gold" if gold else "given",
                )

    def _prompts(self, project: Project) -> None:
        for prompt in world.prompts():
            prompts.submit_prompt(
                project=project,
                by=None,
                messages=prompt.messages,
                source=WORLD,
                external_id=f"world-{prompt.item}-{prompt.problem}",
                responses_wanted=0,
            )

    def _demonstrations(self, project: Project) -> None:
        """Good replies to training prompts, by a person known from the demo world."""
        known = {p.messages[0]["content"]: p for p in Prompt.objects.filter(project=project, source=WORLD)}
        train = [one for one in world.prompts() if known[one.text].split == "train"]
        writer = people.imported_person(source="demo world", name="support writer")
        if Response.objects.filter(project=project, author=writer).exists():
            return
        rows = [
            Response(project=project, prompt=known[one.prompt.text], text=one.reply, author=writer)
            for one in demonstrations.demonstrations(0, DEMONSTRATIONS, train)
        ]
        Response.objects.bulk_create(rows)

    def _first_training(self, project: Project, admin: Person) -> None:
        """The corpus comes in as a job, so that the desk is there at once; training starts when it is in."""
        if not Job.objects.filter(project=project, kind=Job.Kind.CORPUS).exists():
            jobs.create(
                kind=Job.Kind.CORPUS,
                queue_name=celery_app.DEFAULT,
                project=project,
                by=admin,
                payload={"corpus": "demo", "then": ["tokenizer", "pretrain", "sft"]},
            )

    def _tell(self, admin: Person, passwords: dict[str, str]) -> None:
        """Write the credentials where only this user reads them."""
        _, token = people.create_token(person=admin, name="first token", scopes=SCOPES)
        lines = [f"{name:<10} password  {password}" for name, password in passwords.items()]
        text = "Sign in as\n" + "\n".join(f"  {line}" for line in lines) + f"\nAPI token\n  {token}\n"
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        path = settings.DATA_DIR / "credentials.txt"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")
