"""A contest among ordinary comparisons, and annotators who keep every reply that they get.

Half of them use the REST API, half the desk as its script does. What answers them is handed in: the service's own
processes over HTTP, or this process.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from feedback.models import Assignment, Contest, ContestUnit, Person, Project, Response, Task
from feedback.services.collection import generation, prompts
from feedback.services.evaluation import contest_supply
from tests.evaluation.blindness_attack import Columns, Dossier, Receipt, columns
from tests.evaluation.contest_story import begin, crowd

WORDS = ("router", "cable", "light", "signal", "restart", "wait", "firmware", "channel", "password", "slow", "wall")
OTHER_WORDS = ("first", "therefore", "however", "please", "kindly", "unplug", "observe", "confirm", "report", "second")
ANNOTATORS = 8
WAITING_EACH = 6  # tasks of each kind for each annotator: nobody works off all of one kind


class Entrance(Protocol):
    """Sends a person's request and returns all of the reply; pages with their session, the API with their token."""

    def __call__(self, person: int, name: str, method: str, path: str, body: Any = None, key: str = "") -> Receipt: ...


@dataclass
class World:
    """A project with a contest of two policies.

    Attributes:
        alike: whether both write from one distribution, as a model and its copy do.
    """

    project: Project
    by: Person
    alike: bool
    contest: Contest
    annotators: list[Person]
    rng: random.Random

    def text(self, words: tuple[str, ...], low: int, high: int) -> str:
        return " ".join(self.rng.choice(words) for _ in range(self.rng.randint(low, high)))

    def stock(self) -> None:
        """Enough tasks of both kinds, from traffic that both share."""
        waiting = WAITING_EACH * len(self.annotators)
        ready = ContestUnit.objects.filter(contest=self.contest, state=ContestUnit.State.READY).count()
        open_tasks = Task.objects.with_free_slots().filter(project=self.project).count()
        for wanted in [2] * max(0, waiting - open_tasks) + [0] * max(0, waiting - ready):
            message = {"role": "user", "content": self.text(WORDS, 8, 16).capitalize() + "?"}
            prompts.submit_prompt(project=self.project, by=None, messages=[message], responses_wanted=wanted)
        contest_supply.supply(self.contest.pk)
        self.write()

    def write(self) -> None:
        """What the generate worker does: model by model, as their batches come."""
        waiting = Response.objects.filter(project=self.project, state=Response.State.QUEUED)
        candidate = self.contest.plan.candidates.get().model_version_id
        for response in waiting.select_related("prompt__project").order_by("model_version_id", "pk"):
            if response.model_version_id == candidate and not self.alike:
                text = self.text(OTHER_WORDS, 12, 40)
            else:
                text = self.text(WORDS, 4, 20)
            Response.objects.filter(pk=response.pk).update(state=Response.State.RUNNING)
            generation.finish_response(response, text=text, finish_reason="stop", tokens=len(text.split()))


def open_world(project: Project, by: Person, *, alike: bool, annotators: int = ANNOTATORS, seed: int = 0) -> World:
    Project.objects.filter(pk=project.pk).update(annotations_per_task=1)
    contest = begin(project, by, prompts=0, share=0.5, cap=100_000)
    people = crowd(project, by, annotators)
    project.refresh_from_db()
    return World(project, by, alike, contest, people, random.Random(seed))


def visit(world: World, call: Entrance, tasks: int) -> list[Dossier]:
    """All annotators work in turns until `tasks` tasks of the contest were judged; what each got, by task."""
    desks = [
        _desk(world, call, number) if number % 2 else _program(world, call, number)
        for number in range(len(world.annotators))
    ]
    found: list[Dossier] = []
    judged = 0
    while judged < tasks:
        world.stock()
        before = len(found)
        for step in desks:
            dossier = step()
            if dossier is not None:
                found.append(dossier)
                judged += dossier.of_contest
        assert len(found) > before, "nobody was given anything"
    return found


def _program(world: World, call: Entrance, person: int) -> Callable[[], Dossier | None]:
    """Somebody with a token, who looks at whatever the API shows them."""
    slug = world.project.slug

    def step() -> Dossier | None:
        receipts = [call(person, "home before", "GET", f"/p/{slug}/")]
        receipts.append(call(person, "next", "POST", "/api/v1/tasks/next/", {"project": slug}))
        if receipts[-1].status != 200:
            assert receipts[-1].status == 204, receipts[-1].body
            return None
        key = json.loads(receipts[-1].body)["id"]
        receipts.append(call(person, "assignment", "GET", f"/api/v1/assignments/{key}/"))
        body = {"answer": _opinion(world), "seconds": 2.0}
        sent = call(person, "submit", "POST", f"/api/v1/assignments/{key}/submit/", body, key=str(uuid4()))
        assert sent.status == 201, sent.body
        annotation = json.loads(sent.body)["annotation"]
        receipts += [
            sent,
            call(person, "annotation", "GET", f"/api/v1/annotations/{annotation}/"),
            call(person, "home after", "GET", f"/p/{slug}/"),
            call(person, "arena", "GET", f"/api/v1/arena/?project={slug}"),
            call(person, "own", "GET", f"/p/{slug}/mine/"),
        ]
        return _truth(receipts, key)

    return step


def _desk(world: World, call: Entrance, person: int) -> Callable[[], Dossier | None]:
    """Somebody at the desk, whose page holds one task and has the next one ahead."""
    slug = world.project.slug
    waiting: list[tuple[str, list[Receipt]]] = []

    def begin_work() -> None:
        page = call(person, "page", "GET", f"/p/{slug}/desk/")
        held = Assignment.objects.filter(annotator=world.annotators[person], state=Assignment.State.HELD)
        for key in held.order_by("ahead", "pk").values_list("public_id", flat=True):
            waiting.append((str(key), [page]))

    def step() -> Dossier | None:
        if not waiting:
            begin_work()
        if not waiting:
            return None
        key, receipts = waiting.pop(0)
        ahead = [one for one, _ in waiting]
        body = {"answer": _opinion(world), "seconds": 2.0, "have": ahead, "showing": ahead[0] if ahead else None}
        sent = call(person, "sent", "POST", f"/desk/{key}/submit/", body, key=str(uuid4()))
        assert sent.status == 200, sent.body
        reply = json.loads(sent.body)
        if reply["next"]:
            brought = Receipt("brought", sent.status, sent.headers, sent.body, sent.took)
            waiting.append((reply["next"]["id"], [brought]))
        after = call(person, "home after", "GET", f"/p/{slug}/")
        alone = Receipt("sent", sent.status, {}, json.dumps(reply | {"next": None}), sent.took)
        return _truth([*receipts, alone, after], key)

    return step


def _opinion(world: World) -> dict[str, Any]:
    if world.rng.random() < 0.2:
        return {"outcome": "tie"}
    return {"outcome": "prefer", "choice": world.rng.choice("ab"), "strength": world.rng.randint(0, 3)}


def _truth(receipts: list[Receipt], key: str) -> Dossier:
    held = Assignment.objects.select_related("task__prompt").get(public_id=key)
    unit = ContestUnit.objects.filter(task=held.task_id).first()
    texts = Response.objects.filter(pk__in=held.order).values_list("text", flat=True)
    return Dossier(
        receipts=receipts,
        of_contest=unit is not None,
        candidate_first=unit is not None and held.order[0] == unit.candidate_response_id,
        texts=(*texts, held.task.prompt.messages[-1]["content"]),
    )


# --- as tables for the attacker --------------------------------------------------------------------


@dataclass
class Tables:
    """Rows with the two labels: is it a task of the contest, and, for those, is the candidate shown first."""

    rows: list[Columns] = field(default_factory=list)
    of_contest: list[bool] = field(default_factory=list)
    sides: list[Columns] = field(default_factory=list)
    candidate_first: list[bool] = field(default_factory=list)


def tables(dossiers: list[Dossier], *, texts: bool) -> Tables:
    found = Tables()
    earlier: dict[bool, Columns] = {}
    for dossier in dossiers:
        at_desk = dossier.receipts[-1].name == "home after"
        row = columns(dossier, texts=texts, earlier=earlier.get(at_desk))
        earlier[at_desk] = {name: value for name, value in row.items() if not name.endswith("changed")}
        found.rows.append(row)
        found.of_contest.append(dossier.of_contest)
        if dossier.of_contest:
            found.sides.append(row)
            found.candidate_first.append(dossier.candidate_first)
    return found


def with_leak(dossier: Dossier, headers: Mapping[str, str]) -> Dossier:
    """The same receipts and one with more headers, as of a service that tells something."""
    leak = Receipt("more", 200, headers, "", 1.0)
    return Dossier([leak, *dossier.receipts], dossier.of_contest, dossier.candidate_first, dossier.texts)
