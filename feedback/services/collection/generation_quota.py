"""How much one person may have waiting for a model: others wait behind it."""

from feedback.errors import TooManyRequests
from feedback.models import Job, Membership, Person, Project, Response
from feedback.models.prompts import TO_COME

LIVE_AT_ONCE = 6  # requested by somebody who sits and waits
QUEUED = 200  # responses to prompts of one person who is no admin; admins fill the queue on purpose
WAITING = "You reached the limit of concurrent responses."
LONG_QUEUE = "You reached the limit of pending responses per annotator."


def check(project: Project, by: Person | None, *, live: bool, count: int) -> None:
    """Raises TooManyRequests when `by` has their share already."""
    if by is None:
        return
    if live:
        active = Job.objects.filter(status__in=Job.ACTIVE, kind=Job.Kind.GENERATION, requested_by=by)
        if active.filter(payload__live=True).count() >= LIVE_AT_ONCE:
            raise TooManyRequests(5, WAITING)
        return
    waiting = Response.objects.filter(TO_COME, state=Response.State.QUEUED, prompt__created_by=by)
    if waiting[: QUEUED + 1].count() + count > QUEUED and not _is_admin(by, project):
        raise TooManyRequests(30, LONG_QUEUE)


def _is_admin(by: Person, project: Project) -> bool:
    return by.is_site_admin or Membership.objects.filter(person=by, project=project, role="admin").exists()
