"""Members of projects, and the guidelines that they have read."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from feedback.errors import NotFound
from feedback.models import Annotation, GuidelineVersion, Membership, Person, Project
from feedback.selectors.platform.access import ADMIN, Viewer


@dataclass(frozen=True)
class ProjectSeat:
    """A project and the viewer's role in it."""

    project: Project
    role: str

    @property
    def is_admin(self) -> bool:
        return self.role == ADMIN


def seats(viewer: Viewer, projects: QuerySet[Project]) -> list[ProjectSeat]:
    """The viewer's role in each of these projects; a site admin is admin everywhere."""
    roles = dict(Membership.objects.filter(person=viewer.person).values_list("project", "role"))
    found = []
    for project in projects.order_by("name").distinct():
        role = roles.get(project.pk, "")
        if viewer.person.is_site_admin:
            role = ADMIN
        found.append(ProjectSeat(project, str(role)))
    return found


def members(project: Project) -> list[Membership]:
    """Members by role, highest first, then by name."""
    rows = Membership.objects.filter(project=project).select_related("person", "guidelines_read")
    return sorted(rows, key=lambda row: (-Membership.RANK[Membership.Role(row.role)], str(row.person).lower()))


def membership(project: Project, person_id: UUID) -> Membership | None:
    return Membership.objects.select_related("person").filter(project=project, person__public_id=person_id).first()


def by_username(username: str) -> Person | None:
    """Somebody who can sign in, by exactly this name. For admins who add people to a project."""
    return Person.objects.filter(username=username, status=Person.Status.ACTIVE).first()


def readers(project: Project, newest: GuidelineVersion | None) -> dict[str, list[Membership]]:
    """Members by what they have read: the newest version, an older one, none."""
    found: dict[str, list[Membership]] = {"newest": [], "older": [], "none": []}
    for row in members(project):
        if row.guidelines_read is None:
            found["none"].append(row)
        elif newest is not None and row.guidelines_read_id == newest.pk:
            found["newest"].append(row)
        else:
            found["older"].append(row)
    return found


def who_annotated(project: Project, person_id: UUID | str | None) -> Person:
    """A person with an annotation in this project, member or not.

    Raises:
        NotFound: nobody like that.
    """
    if not person_id:
        raise NotFound
    found = Person.objects.filter(public_id=person_id).first()
    if found is None or not Annotation.objects.filter(project=project, annotator=found).exists():
        raise NotFound
    return found


def administers_any(person: Person) -> bool:
    return Membership.objects.filter(person=person, role=ADMIN).exists()
