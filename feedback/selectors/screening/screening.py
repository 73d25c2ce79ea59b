"""Figures of content screening for pages: the setting, what waits for the guard model, its failure, what it blocked."""

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from feedback.models import Job, ModelVersion, Project, Prompt, Response
from feedback.rules.json_types import JsonObject
from feedback.rules.screening import screening
from feedback.selectors.screening import guard_models

COUNTED = 1000


@dataclass(frozen=True)
class Status:
    """What waits for the guard, counted to 1,000, and the sentence of its last failure, if that was its last word."""

    waiting: int
    trouble: str
    remedy: str

    @property
    def more(self) -> bool:
        return self.waiting >= COUNTED


def status(project: Project) -> Status:
    if not project.screening:
        return Status(0, "", "")
    prompts = Prompt.objects.filter(project=project, state=Prompt.State.RECEIVED)
    responses = Response.objects.filter(project=project, state=Response.State.SCREENING)
    waiting = len(prompts.values_list("pk")[:COUNTED]) + len(responses.values_list("pk")[:COUNTED])
    last = Job.objects.filter(project=project, kind=Job.Kind.SCORE, status__in=Job.FINAL).order_by("-id").first()
    if gone := guard_models.missing(project):
        return Status(min(waiting, COUNTED), gone, "")
    if last is None or last.status != Job.Status.FAILED:
        return Status(min(waiting, COUNTED), "", "")
    return Status(min(waiting, COUNTED), last.error, last.remedy)


def versions(project: Project, kind: str) -> list[ModelVersion]:
    """Versions that can be named, newest first."""
    rows = ModelVersion.objects.filter(project=project, kind=kind, tainted_at=None)
    unfit = [ModelVersion.State.REJECTED, ModelVersion.State.REVOKED]
    return list(rows.exclude(state__in=unfit).order_by("-number")[:20])


@dataclass(frozen=True)
class Blocked:
    """A prompt or response that was blocked, with the class it was blocked for and its probability if known."""

    prompt: Prompt
    kind: str  # prompt, response
    text: str
    by: str
    score: float | None
    at: datetime


def blocked(project: Project, most: int = 20) -> list[Blocked]:
    """The prompts and responses that were blocked last, newest first."""
    prompts = Prompt.objects.filter(project=project, state=Prompt.State.BLOCKED).order_by("-id")[:most]
    responses = Response.objects.filter(project=project, state=Response.State.BLOCKED).select_related("prompt")
    found = []
    for prompt in prompts:
        found.append(_blocked(prompt, prompt, "prompt"))
    for response in responses.order_by("-id")[:most]:
        found.append(_blocked(response, response.prompt, "response"))
    return sorted(found, key=attrgetter("at"), reverse=True)[:most]


def _blocked(row: Prompt | Response, prompt: Prompt, kind: str) -> Blocked:
    by = row.screening.get("blocked_by", "")
    return Blocked(prompt, kind, row.text, by, row.screening.get("scores", {}).get(by), row.created_at)


def shown(row: Prompt | Response) -> JsonObject | None:
    """The result of screening a row, for its page; None if nothing screened it.

    Keys as in `Screened`, but `scores` is a list of classes with their probabilities, likeliest first.
    """
    screened = row.screening
    if not screened.get("guard") and not screened.get("personal"):
        return None
    scores = sorted(screened.get("scores", {}).items(), key=lambda one: -one[1])
    return {**screened, "scores": scores[:8]}


def setting(project: Project) -> screening.Screening:
    return screening.read(project.screening)
