"""manage.py seed_demo: creates the demo projects on a new database.

It creates people with random passwords; the support desk with its guidelines, handwritten comparisons, prompts and
demonstrations; an inbox with every other kind of task; and a job that imports the corpus and starts the first training.
It acts once per database. If a run is killed, the next run finishes it.
"""

import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from feedback import celery_app
from feedback.models import Event, Job, Kind, Person, Project, Prompt, Response, Split, Task
from feedback.services.collection import prompts, tasks
from feedback.services.platform import events, jobs, people, projects, tokens
from workers.demo import demonstrations, handwritten, labels, world
from workers.demo.guidelines import GUIDELINES
from workers.demo_commands import inbox

SLUG = "support-desk"
WORLD = "support-desk"  # the source of prompts that the demo world can judge
SEEDED = "demo.seeded"
DEMONSTRATIONS_EACH = 8  # to a training prompt
# Divides the 96 prompts 76 / 10 / 10 with every item and every problem among the training prompts, on every machine.
SALT = "support desk 134"
SCOPES = ["read", "annotate", "submit", "data", "train", "admin"]
DIMENSIONS = ["helpful", "truthful", "harmless"]


class Command(BaseCommand):
    help = "Create the demo: people, the support desk, an inbox, prompts, demonstrations, and a job for the corpus."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=0, help="of the corpus, the demonstrations and the training")
        parser.add_argument("--wide", action="store_true", help="16 items and 10 problems, for simulated customers")

    def handle(self, *args: Any, seed: int = 0, wide: bool = False, **options: Any) -> None:
        self.seed, self.wide = seed, wide
        self.asked = world.prompts() + (world.further_prompts()[0] if wide else [])
        if Event.objects.filter(verb=SEEDED).exists():
            return
        if Project.objects.exclude(slug=SLUG).exists() and not Project.objects.filter(slug=SLUG).exists():
            self.stdout.write("This service has projects already; the demo is not created.")
            return
        admin, passwords = self._people()
        project = self._project(admin)
        self._handwritten(project, admin)
        self._prompts(project)
        self._demonstrations(project)
        self._first_training(project, admin)
        inbox.seed(admin, self._members())
        self._write_credentials(admin, passwords)
        events.record(SEEDED, project, actor=admin, project=project)
        self.stdout.write("The demo project is ready; its first model is being trained on the corpus.")

    def _people(self) -> tuple[Person, dict[str, str]]:
        """Admin, reviewer and annotator. A rerun after a kill sets new passwords: the old ones were never shown."""
        passwords = {name: secrets.token_urlsafe(12) for name in ("admin", "reviewer", "annotator")}
        for name, password in passwords.items():
            person = Person.objects.filter(username=name).first()
            if person is None:
                person = people.create_person(by=None, username=name, password=password, display_name=name.title())
            person.set_password(password)
            person.is_site_admin = name == "admin"
            person.password_origin = Person.PasswordOrigin.DEMO
            person.save(update_fields=["password", "is_site_admin", "password_origin"])
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
                label_scheme=labels.schemes(),
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
        """Create comparisons that need no model. Some of those with a clear answer are gold tasks."""
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
                pair = []
                for text in (comparison.a, comparison.b):
                    response, _ = prompts.add_response(prompt=prompt, by=None, text=text, model_name="handwritten")
                    pair.append(response)
                # About a third of those with a known answer are gold tasks; annotators cannot tell which.
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
        for prompt in self.asked:
            prompts.submit_prompt(
                project=project,
                by=None,
                messages=prompt.messages,
                source=WORLD,
                external_id=f"world-{prompt.item}-{prompt.problem}",
                responses_wanted=0,
            )

    def _demonstrations(self, project: Project) -> None:
        """Create good replies to training prompts, written by one imported person."""
        known = {prompt.text: prompt for prompt in Prompt.objects.filter(project=project, source=WORLD)}
        train = [prompt for prompt in self.asked if known[prompt.text].split == Split.TRAIN]
        writer = people.imported_person(source="demo world", name="support writer")
        if Response.objects.filter(project=project, author=writer).exists():
            return
        rows = []
        vocabulary = world.WIDE if self.wide else world.NARROW
        count = DEMONSTRATIONS_EACH * len(train)
        for one in demonstrations.demonstrations(self.seed, count, train, vocabulary=vocabulary):
            rows.append(Response(project=project, prompt=known[one.prompt.text], text=one.reply, author=writer))
        Response.objects.bulk_create(rows)

    def _first_training(self, project: Project, admin: Person) -> None:
        """Import the corpus in a job, so that the desk is usable at once; training starts when the job ends."""
        if not Job.objects.filter(project=project, kind=Job.Kind.CORPUS).exists():
            jobs.create(
                kind=Job.Kind.CORPUS,
                queue_name=celery_app.DEFAULT,
                project=project,
                by=admin,
                payload={
                    "corpus": "demo",
                    "seed": self.seed,
                    "wide": self.wide,
                    "then": ["tokenizer", "pretrain", "sft"],
                },
            )

    def _write_credentials(self, admin: Person, passwords: dict[str, str]) -> None:
        """Write passwords and a new token to a file that only this user of the machine can read."""
        _, token = tokens.create_token(person=admin, name="first token", scopes=SCOPES)
        lines = ["Sign in as"]
        for name, password in passwords.items():
            lines.append(f"  {name:<10} password  {password}")
        lines += ["API token", f"  {token}", ""]
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        path = settings.DATA_DIR / "credentials.txt"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text("\n".join(lines), encoding="utf-8")
