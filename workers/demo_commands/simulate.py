"""manage.py simulate: simulated annotators judge over real HTTP; with --turn they run one round of the pipeline, with
--rounds they judge while a campaign runs.

The command creates people and tokens through the services; everything else goes over HTTP. It writes one JSON report to
stdout and its progress to stderr. Exit code 1 means that a check failed, and names it; the report is written in any
case.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from feedback.models import ApiToken, Membership, ModelVersion, Person, Project, Prompt
from feedback.rules.platform.scopes import SCOPES
from feedback.services.collection import generation
from feedback.services.platform import people, projects, tokens
from workers.demo.annotators import Annotator
from workers.demo.client import Refused, Service, Unreachable
from workers.demo.loop.traffic import Traffic
from workers.demo.rounds import Rounds, RoundsFailed, RoundsPlan
from workers.demo.simulation import Collection, Faults, Worker, collect, summary
from workers.demo.turn import Plan, Turn, TurnFailed
from workers.demo.turn_report import Check

PREFIX = "simulated-"
TOKEN_NAME = "simulation"
FIRST_ANSWER = 30.0  # seconds until the first reply of the service
IDLE, IDLE_IN_A_TURN = 30.0, 300.0  # seconds an annotator waits at an empty queue


Crowd = Callable[[Collection], list[Worker]]  # makes the simulated annotators for a collection


class Command(BaseCommand):
    help = "Simulated annotators judge over HTTP; with --turn: collect, train, promote, collect again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=f"http://localhost:{settings.PORT}", help="where the service answers")
        parser.add_argument("--project", default="support-desk", help="short name of the project")
        parser.add_argument("--annotators", type=int, default=8, help="how many people")
        parser.add_argument("--comparisons", type=int, default=6000, help="how many answers in all")
        parser.add_argument("--noise", type=float, default=0.0, help="share of flipped sides, beyond what is human")
        for fault, what in (
            ("spammers", "answer by a coin"),
            ("inverters", "answer the opposite of what they think"),
            ("left-leaners", "lean to what is shown as a"),
            ("length-lovers", "lean to what is longer"),
        ):
            parser.add_argument(f"--{fault}", type=int, default=0, help=f"how many of them {what}")
        parser.add_argument("--seconds-per-task", type=float, default=0.0, help="mean time spent on a task")
        parser.add_argument("--drop", type=float, default=0.0, help="share of calls whose connection is cut")
        parser.add_argument("--patience", type=float, default=300.0, help="seconds a call is tried again")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--record", type=Path, help="a file to append every acknowledged answer to")
        parser.add_argument("--token", help="an admin's token for --turn; one is made when it is left out")
        parser.add_argument("--turn", action="store_true", help="one round of the pipeline, with its figures")
        parser.add_argument("--rounds", type=int, default=0, help="judge until so many rounds of a campaign have ended")
        parser.add_argument("--traffic", type=float, default=0, help="prompts a minute that customers send meanwhile")
        parser.add_argument("--samples", type=int, default=25, help="responses to a prompt behind a gold figure")
        parser.add_argument("--wait", type=float, default=1200.0, help="seconds the first model, or a round, may take")

    def handle(self, *args: Any, **options: Any) -> None:
        self.options, self.last_line = options, ""
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}. Run manage.py seed_demo, or name another.")
        faults = Faults(*(options[name] for name in Faults.__dataclass_fields__))
        try:
            crowd = faults.crowd(options["annotators"], options["seed"])
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        with self._tokens(project, crowd) as tokens, self._admin_token(project) as admin:
            try:
                Service(options["url"], admin, patience=FIRST_ANSWER).get(f"projects/{project.slug}/")
            except (Unreachable, Refused) as error:
                raise CommandError(f"The service cannot be used: {error}") from None

            def come(collection: Collection) -> list[Worker]:
                return self._workers(crowd, tokens, project, collection)

            with self._customers(project):
                if options["rounds"]:
                    self._rounds(project, admin, come)
                elif options["turn"]:
                    self._turn(project, admin, come)
                else:
                    self._collect(come)

    def _collect(self, come: Crowd) -> None:
        """Collect annotations only."""
        collection = Collection(self.options["comparisons"], self.options["record"])
        workers = come(collection)
        began = time.monotonic()
        try:
            collect(workers)
        except (Unreachable, Refused) as error:
            raise CommandError(str(error)) from None
        finally:
            collection.close()
            self._write_report(summary(collection, workers, time.monotonic() - began))
        if len(collection.answers) < collection.wanted:
            raise CommandError(f"{len(collection.answers)} of {collection.wanted} comparisons: the queue ran dry.")

    def _rounds(self, project: Project, admin: str, come: Crowd) -> None:
        """Judge while a campaign runs: the one that is running, or a new one of --comparisons labels a round."""
        plan = RoundsPlan(
            project=project.slug,
            rounds=self.options["rounds"],
            labels=self.options["comparisons"],
            wait=self.options["wait"],
        )
        rounds = Rounds(plan, self._service(admin), come, self._write_progress)
        try:
            rounds.run()
        except (RoundsFailed, Unreachable, Refused) as error:
            rounds.report["error"] = str(error)
            raise CommandError(str(error)) from None
        finally:
            self._write_report(rounds.report)

    def _turn(self, project: Project, admin: str, come: Crowd) -> None:
        plan = Plan(
            project=project.slug,
            comparisons=self.options["comparisons"],
            seed=self.options["seed"],
            samples=self.options["samples"],
            wait=self.options["wait"],
            record=self.options["record"],
        )
        turn = Turn(plan, self._service(admin), come, request_responses, self._write_progress)
        began = time.monotonic()
        try:
            turn.run()
        except (TurnFailed, Unreachable, Refused) as error:
            turn.report["error"] = str(error)
        finally:
            seconds = {**turn.report.get("seconds", {}), "total": round(time.monotonic() - began, 1)}
            checks = list(map(asdict, turn.checks))
            self._write_report({**turn.report, "seconds": seconds, "checks": checks})
        if "error" in turn.report:
            raise CommandError(turn.report["error"])
        if missed := [check for check in turn.checks if not check.met]:
            raise CommandError("missed: " + "; ".join(map(_in_words, missed)))

    def _workers(
        self, crowd: Sequence[Annotator], tokens: Sequence[str], project: Project, collection: Collection
    ) -> list[Worker]:
        idle = IDLE_IN_A_TURN if self.options["turn"] else IDLE
        if self.options["rounds"]:
            idle = self.options["wait"]  # while it trains, the queue may be empty
        pace = self.options["seconds_per_task"]
        workers = []
        for seed, (annotator, token) in enumerate(zip(crowd, tokens, strict=True), self.options["seed"]):
            service = self._service(token, drop=self.options["drop"], seed=seed)
            workers.append(Worker(annotator, service, project.slug, collection, seconds_per_task=pace, idle=idle))
        return workers

    def _service(self, token: str, *, drop: float = 0.0, seed: int | None = None) -> Service:
        return Service(self.options["url"], token, patience=self.options["patience"], drop=drop, seed=seed)

    @contextmanager
    def _tokens(self, project: Project, crowd: Sequence[Annotator]) -> Iterator[list[str]]:
        """A person and a token for each annotator of the crowd; the tokens are revoked at the end."""
        made: list[ApiToken] = []
        keys: list[str] = []
        for number in range(1, len(crowd) + 1):
            token, secret = new_token(person(project, number), project, ["read", "annotate"])
            made.append(token)
            keys.append(secret)
        try:
            yield keys
        finally:
            for token in made:
                tokens.revoke_token(by=token.person, token=token)

    @contextmanager
    def _admin_token(self, project: Project) -> Iterator[str]:
        """The token given, or a temporary one of an admin of the project."""
        if self.options["token"]:
            yield self.options["token"]
            return
        seat = Membership.objects.filter(project=project, role=Membership.Role.ADMIN).select_related("person").first()
        if seat is None:
            raise CommandError(f"{project.name} has no admin. Give --token.")
        token, secret = new_token(seat.person, project, list(SCOPES))
        try:
            yield secret
        finally:
            tokens.revoke_token(by=seat.person, token=token)

    @contextmanager
    def _customers(self, project: Project) -> Iterator[None]:
        """Customers who write meanwhile, if any are wanted."""
        if not self.options["traffic"]:
            yield
            return
        token, secret = customers_token(project)
        traffic = Traffic(self._service(secret), project.slug, self.options["traffic"], self.options["seed"])
        traffic.start()
        try:
            yield
        finally:
            try:
                self._write_progress(f"{traffic.end()} prompts of customers were sent")
            finally:
                tokens.revoke_token(by=token.person, token=token)

    def _write_progress(self, text: str) -> None:
        if text != self.last_line:
            self.stderr.write(f"{timezone.now():%H:%M:%S} {text}")
            self.stderr.flush()
            self.last_line = text

    def _write_report(self, report: Mapping[str, object]) -> None:
        self.stdout.write(json.dumps(report, indent=1))


def request_responses(prompt: str, model_version: str, count: int) -> None:
    """Request responses of a named version to a prompt, for figures only: no tasks are made of them."""
    with transaction.atomic():
        generation.request_responses(
            prompt=Prompt.objects.select_related("project").get(public_id=prompt),
            count=count,
            model_version=ModelVersion.objects.get(public_id=model_version),
            make_tasks=False,
        )


def person(project: Project, number: int) -> Person:
    """The simulated annotator of this number, created when first used."""
    return _member(project, f"{PREFIX}{number}", f"Simulated {number}")


def customers_token(project: Project) -> tuple[ApiToken, str]:
    """A token of the program that passes on what customers write."""
    return new_token(_member(project, f"{PREFIX}customers", "Simulated customers"), project, ["submit"])


def _member(project: Project, username: str, display_name: str) -> Person:
    """An annotator of the project. Nobody is given the password."""
    person = Person.objects.filter(username=username).first() or people.create_person(
        by=None, username=username, password=secrets.token_urlsafe(24), display_name=display_name
    )
    if not Membership.objects.filter(project=project, person=person).exists():
        projects.set_member(by=None, project=project, person=person, role=Membership.Role.ANNOTATOR)
    return person


def new_token(person: Person, project: Project, scopes: list[str]) -> tuple[ApiToken, str]:
    tomorrow = timezone.now() + timedelta(days=1)
    return tokens.create_token(person=person, name=TOKEN_NAME, scopes=scopes, project=project, expires_at=tomorrow)


def _in_words(check: Check) -> str:
    return f"{check.name} is {check.value}, needs {check.need}"
