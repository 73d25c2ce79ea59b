"""The guard as pages show it: what it is set to, what waits for it, why it does not come, and what it blocked."""

from dataclasses import dataclass
from typing import Any

from feedback.models import Job, ModelVersion, Project, Prompt, Response
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
    waiting = sum(len(rows.values_list("pk")[:COUNTED]) for rows in (prompts, responses))
    last = Job.objects.filter(project=project, kind=Job.Kind.SCORE, status__in=Job.FINAL).order_by("-id").first()
    failed = last is not None and last.status == Job.Status.FAILED
    if gone := guard_models.missing(project):
        return Status(min(waiting, COUNTED), gone, "")
    return Status(min(waiting, COUNTED), last.error if last and failed else "", last.remedy if last and failed else "")


def versions(project: Project, kind: str) -> list[ModelVersion]:
    """Versions that can be named, newest first."""
    rows = ModelVersion.objects.filter(project=project, kind=kind, tainted_at=None)
    unfit = [ModelVersion.State.REJECTED, ModelVersion.State.REVOKED]
    return list(rows.exclude(state__in=unfit).order_by("-number")[:20])


def blocked(project: Project, most: int = 20) -> list[dict[str, Any]]:
    """What was blocked lately: {"row", "kind", "text", "by", "score"}, newest first."""
    found: list[dict[str, Any]] = []
    prompts: Any = Prompt.objects.filter(project=project, state=Prompt.State.BLOCKED)
    responses: Any = Response.objects.filter(project=project, state=Response.State.BLOCKED).select_related("prompt")
    for kind, rows in (("prompt", prompts), ("response", responses)):
        for row in rows.order_by("-id")[:most]:
            by = row.screening.get("blocked_by", "")
            score = row.screening.get("scores", {}).get(by)
            prompt = row if kind == "prompt" else row.prompt
            found.append(
                {"prompt": prompt, "kind": kind, "text": row.text, "by": by, "score": score, "at": row.created_at}
            )
    return sorted(found, key=lambda one: one["at"], reverse=True)[:most]


def shown(row: Prompt | Response) -> dict[str, Any] | None:
    """the guard's verdict of a row, for its page; None where none looked at it.

    {"guard", "scores": [(class, probability)], "blocked_by", "personal", "masked", "unblocked"}, likeliest class first.
    """
    screened = row.screening
    if not screened.get("guard") and not screened.get("personal"):
        return None
    scores = sorted(screened.get("scores", {}).items(), key=lambda one: -one[1])
    return {**screened, "scores": scores[:8]}


def setting(project: Project) -> screening.Screening:
    return screening.read(project.screening)
