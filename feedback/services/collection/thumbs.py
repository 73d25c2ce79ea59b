"""Clients' thumbs on responses they were given."""

from django.db import transaction

from feedback.errors import Conflict, Forbidden, Invalid
from feedback.models import ApiToken, Person, Response, Thumb
from feedback.services.platform.closed_projects import refuse_when_closed

MAX_COMMENT = 5000


def give_thumb(*, response: Response, person: Person, token: ApiToken | None, up: bool, comment: str = "") -> Thumb:
    """Append a thumb. The last one of a token and response counts; the same one again is not appended twice.

    Raises:
        Conflict: the response is not ready, so nobody can have read it.
        ProjectClosed: the project takes nothing any more.
        Forbidden: the response is the person's own.
        Invalid: the comment is too long.
    """
    refuse_when_closed(response.project, "thumbs")
    if response.author_id == person.pk:
        raise Forbidden("You wrote this response, so another person must rate it.")
    if response.state != Response.State.READY:
        raise Conflict(f"The response is {response.state}; only a ready response can be rated.")
    if len(comment) > MAX_COMMENT:
        raise Invalid(f"A comment may have {MAX_COMMENT} characters.", field="comment")
    with transaction.atomic():
        last = Thumb.objects.filter(response=response, token=token, person=person).order_by("-id").first()
        if last is not None and (last.up, last.comment) == (up, comment):
            return last
        return Thumb.objects.create(response=response, person=person, token=token, up=up, comment=comment)
