"""The directory of people, for site admins."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from feedback.models import AccountLink, ApiToken, Assignment, Event, Membership, Person

STATUSES = dict(Person.Status.choices)


@dataclass(frozen=True)
class AccountFacts:
    """What a site admin sees of an account.

    Attributes:
        live_tokens: API tokens that still work.
        held: tasks assigned right now, in all projects.
        link: the newest link that still works.
    """

    memberships: list[Membership]
    live_tokens: int
    held: int
    link: AccountLink | None
    events: list[Event]


def working_links() -> QuerySet[AccountLink]:
    return AccountLink.objects.filter(used_at=None, revoked_at=None, expires_at__gt=timezone.now())


def directory(search: str = "", status: str = "") -> QuerySet[Person]:
    """People who can have an account, with `invited`: whether a link waits to be used."""
    rows = Person.objects.filter(username__isnull=False)
    rows = rows.annotate(invited=Exists(working_links().filter(person=OuterRef("pk"))))
    if search:
        rows = rows.filter(
            Q(username__icontains=search) | Q(display_name__icontains=search) | Q(email__icontains=search)
        )
    if status in STATUSES:
        rows = rows.filter(status=status)
    return rows.prefetch_related("memberships__project")


def facts(person: Person) -> AccountFacts:
    now = timezone.now()
    live = ApiToken.objects.filter(person=person, revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))
    held = Assignment.objects.filter(annotator=person, state=Assignment.State.HELD)
    events = Event.objects.filter(object_type="Person", object_id=str(person.public_id)).select_related(
        "actor", "project"
    )
    return AccountFacts(
        memberships=list(Membership.objects.filter(person=person).select_related("project").order_by("project__name")),
        live_tokens=live.count(),
        held=held.count(),
        link=working_links().filter(person=person).order_by("-pk").first(),
        events=list(events.order_by("-pk")[:12]),
    )
