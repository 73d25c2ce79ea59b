"""`rules.blindness` as conditions for queries, and for rows at hand."""

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.lookups import IsNull

from feedback.models import Contest, Membership, Person, Project, Prompt, TaskResponse
from feedback.rules.collection.blindness import may_read_authors

REVIEWS = [Membership.Role.REVIEWER, Membership.Role.ADMIN]


def authors_readable(person: Any, prompt: str = "") -> Q:
    """Prompts whose authors an annotator may read. `prompt` is the path to it, such as `prompt__`."""
    return Q(**{f"{prompt}created_by": person, f"{prompt}conversation": None})


def has_a_hand_in(person: Any, task: str = "pk") -> IsNull:
    """Whether a response of the task was written by that person, or requested by them: nobody judges such.

    A value that is looked up for each task, rather than EXISTS: that one PostgreSQL turns into a join, for which it
    reads all responses there are, to give out one task.
    """
    mine = Q(response__author=person) | Q(response__requested_by=person)
    return IsNull(Subquery(TaskResponse.objects.filter(mine, task=OuterRef(task)).values("pk")[:1]), False)


def reviews(project: str, person: str) -> Exists:
    """Whether the person reviews or administers the project, for rows that name both. Site admins apart."""
    return Exists(Membership.objects.filter(project=OuterRef(project), person=OuterRef(person), role__in=REVIEWS))


def reads_authors_of(person: Person, prompt: Prompt, *, reviews: bool) -> bool:
    """For a prompt at hand."""
    own = prompt.created_by_id == person.pk
    return may_read_authors(reviews=reviews, own=own, in_conversation=prompt.conversation_id is not None)


def is_annotator_only(project: Project, person: Person) -> bool:
    """Whether they see no more of the project than annotators do."""
    if person.is_site_admin:
        return False
    return not Membership.objects.filter(project=project, person=person, role__in=REVIEWS).exists()


def shown_until(project: Project, person: Person) -> datetime | None:
    """Up to when figures of single annotations may reach, for somebody who may vote in a contest; None: up to now.

    A vote of a contest counts nowhere before the contest has ended. Whoever saw a figure rise after one annotation and
    not after another would know which of the two tasks was a contest's.
    """
    if not is_annotator_only(project, person):
        return None
    running = Contest.objects.filter(project=project, state__in=Contest.LIVE)
    return running.values_list("created_at", flat=True).first()
