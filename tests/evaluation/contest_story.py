"""What tests of contests begin with: two policies, a contest, its responses written, and people who vote."""

from typing import Any

from feedback.models import (
    Assignment,
    Contest,
    ContestUnit,
    ModelVersion,
    Person,
    Project,
    Prompt,
    Response,
)
from feedback.services.collection import annotations, assignment_queue, generation
from feedback.services.evaluation import contest_supply, contests
from feedback.services.evaluation.contests import Rules
from feedback.services.platform import people, projects
from tests.factories import make_model, make_prompt

TEXT_OF_CANDIDATE, TEXT_OF_INCUMBENT = "Restart the router.", "Buy a new router."
REPORT = "report"


def two_policies(project: Project, by: Person) -> tuple[ModelVersion, ModelVersion]:
    """The policy that serves, and one that could take its place."""
    return make_model(project, by, serve=True), make_model(project, by)


def begin(project: Project, by: Person, prompts: int = 4, **rules: Any) -> Contest:
    """A contest of a new policy with what serves, fresh prompts waiting, and its first responses requested."""
    project.refresh_from_db()
    _, candidate = two_policies(project, by)
    fresh(project, prompts)
    chosen: dict[str, Any] = {"preconditions": REPORT, "share": 1.0, **rules}
    contest = contests.open_contest(by=by, project=project, candidates=[candidate], rules=Rules(**chosen))
    contest_supply.supply(contest.pk)
    return contest


def fresh(project: Project, number: int) -> list[Prompt]:
    return [make_prompt(project) for _ in range(number)]


def write(contest: Contest, ours: str | None = TEXT_OF_CANDIDATE, theirs: str | None = TEXT_OF_INCUMBENT) -> None:
    """What the worker does: every awaited response of the contest gets its text, or fails where there is None."""
    waiting = ContestUnit.objects.filter(contest=contest, state=ContestUnit.State.PREPARING).order_by("pk")
    for unit in waiting.select_related("candidate_response__prompt", "incumbent_response__prompt"):
        _write(unit.candidate_response, ours)
        _write(unit.incumbent_response, theirs)


def _write(response: Response, text: str | None) -> None:
    if text is None:
        generation.fail_response(response, "The model was revoked.")
        return
    Response.objects.filter(pk=response.pk, state=Response.State.QUEUED).update(state=Response.State.RUNNING)
    generation.finish_response(response, text=text, finish_reason="stop", tokens=len(text), prompt_tokens=7)


def crowd(project: Project, by: Person, number: int) -> list[Person]:
    """More annotators of the project."""
    names = [f"annotator{one}" for one in range(number)]
    found = [people.create_person(by=None, username=name, password="a-long-password-for-tests") for name in names]
    for person in found:
        projects.set_member(by=by, project=project, person=person, role="annotator")
    return found


def take(project: Project, person: Person) -> Assignment:
    found = assignment_queue.next_assignment(project=project, annotator=person)
    assert isinstance(found, Assignment), found
    return found


def answer(assignment: Assignment, x: float) -> dict[str, Any]:
    """The answer that counts `x` (1, ½ or 0) for the candidate, in the letters that this person sees."""
    if x == 0.5:
        return {"outcome": "tie"}
    unit = ContestUnit.objects.get(task=assignment.task_id)
    wanted = unit.candidate_response_id if x == 1 else unit.incumbent_response_id
    return {"outcome": "prefer", "choice": "ab"[assignment.order.index(wanted)], "strength": 2}


def vote(project: Project, person: Person, x: float) -> ContestUnit:
    """`person` takes the next task, which is one of the contest, and votes."""
    assignment = take(project, person)
    annotations.submit(assignment=assignment, answer=answer(assignment, x))
    return ContestUnit.objects.get(task=assignment.task_id)


def run(contest: Contest, voters: list[Person], xs: list[float]) -> Contest:
    """Votes until all are cast or the contest has ended; prompts and responses come as they are needed."""
    project = contest.project
    for number, x in enumerate(xs):
        contest.refresh_from_db()
        if contest.state != Contest.State.RUNNING:
            break
        if not ContestUnit.objects.filter(contest=contest, state=ContestUnit.State.READY).exists():
            fresh(project, 4)
            contest_supply.supply(contest.pk)
            write(contest)
        vote(project, voters[number % len(voters)], x)
    contest.refresh_from_db()
    return contest
