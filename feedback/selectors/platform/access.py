"""Fetching is asking permission: every door gets its rows here.

Absent and forbidden both raise NotFound, so that nobody learns what exists elsewhere. A member whose role is too low
for what is requested gets Forbidden. A token narrows its person's rights to its project and scopes.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery

from feedback.db.compiled_queries import CompiledSelect, Param
from feedback.errors import Forbidden, NotFound
from feedback.models import (
    Annotation,
    ApiToken,
    Assignment,
    Chain,
    Concern,
    Conversation,
    Corpus,
    DatasetSnapshot,
    Document,
    Evaluation,
    Exclusion,
    Job,
    Membership,
    ModelVersion,
    Person,
    Project,
    Prompt,
    Response,
    Schedule,
    Task,
    TrainingRun,
)
from feedback.selectors.collection.blindness import authors_readable, reads_authors_of

ANNOTATOR, REVIEWER, ADMIN = Membership.Role.ANNOTATOR, Membership.Role.REVIEWER, Membership.Role.ADMIN

M = TypeVar("M", bound=models.Model)


def _role(project: str) -> Subquery:
    """The asking person's role, to come along with a row of the project."""
    seats = Membership.objects.filter(project=OuterRef(project), person=Param("person"))
    return Subquery(seats.values("role")[:1])


MEMBERSHIP = Membership.objects.filter(project=Param("project"), person=Param("person"))
ROLE = CompiledSelect(lambda: MEMBERSHIP.values_list("role")[:1])
PROJECT = CompiledSelect(lambda: Project.objects.order_by().annotate(role=_role("pk")).filter(public_id=Param("key")))
PROJECT_BY_NAME = CompiledSelect(
    lambda: Project.objects.order_by().annotate(role=_role("pk")).filter(slug=Param("key"))
)
ASSIGNMENT = CompiledSelect(
    lambda: (
        Assignment.objects.select_related("project", "task__prompt", "current")
        .annotate(role=_role("project"))
        .filter(public_id=Param("key"), annotator=Param("person"))
    )
)


@dataclass(frozen=True)
class Viewer:
    """Who asks: a person, and the token used (none in the web pages)."""

    person: Person
    token: ApiToken | None = None
    roles: dict[int, str | None] = field(default_factory=dict, compare=False, repr=False)  # read so far, by project


def projects_for(viewer: Viewer) -> QuerySet[Project]:
    """Projects that the viewer is a member of (all, for a site admin), narrowed to the token's."""
    projects = Project.objects.all()
    if not viewer.person.is_site_admin:
        projects = projects.filter(memberships__person=viewer.person)
    if viewer.token is not None and viewer.token.project_id is not None:
        projects = projects.filter(pk=viewer.token.project_id)
    return projects


def role_in(viewer: Viewer, project: Project) -> str | None:
    """The viewer's role in `project`, or None. A site admin is admin everywhere."""
    if viewer.token is not None and viewer.token.project_id not in (None, project.pk):
        return None
    if viewer.person.is_site_admin:
        return ADMIN
    if project.pk not in viewer.roles:
        found = ROLE.first(project=project.pk, person=viewer.person.pk)
        viewer.roles[project.pk] = found[0] if found else None
    return viewer.roles[project.pk]


def may(viewer: Viewer, project: Project, role: str) -> bool:
    has = role_in(viewer, project)
    return has is not None and Membership.RANK[has] >= Membership.RANK[role]  # type: ignore[index]


def require_role(viewer: Viewer, project: Project, role: str) -> None:
    """Raises NotFound for strangers, Forbidden for members whose role is too low."""
    has = role_in(viewer, project)
    if has is None:
        raise NotFound
    if Membership.RANK[has] < Membership.RANK[role]:  # type: ignore[index]
        raise Forbidden(f"This needs the role {role}; you are {has} in {project.name}. Ask an admin of the project.")


def get_project(viewer: Viewer, key: Any, role: str = ANNOTATOR) -> Project:
    """By public id or slug."""
    given = {"person": viewer.person.pk}
    if _is_uuid(key):
        project = PROJECT.first(key=uuid.UUID(str(key)), **given)
    else:
        project = PROJECT_BY_NAME.first(key=str(key), **given)
    if project is None:
        raise NotFound
    viewer.roles[project.pk] = project.role
    require_role(viewer, project, role)
    return project


def get_prompt(viewer: Viewer, key: Any, role: str = ANNOTATOR) -> Prompt:
    return _get(viewer, Prompt.objects.select_related("project"), key, role)


def get_response(viewer: Viewer, key: Any, role: str = ANNOTATOR) -> Response:
    return _get(viewer, Response.objects.select_related("project", "prompt"), key, role)


def prompts_with_authors(viewer: Viewer, project: Project) -> QuerySet[Prompt]:
    """Prompts whose responses the viewer may read with their authors: all for reviewers, for others their own.

    Annotators judge blindly: who wrote what, and with which model, is not theirs to see of others' prompts.
    """
    prompts = Prompt.objects.filter(project=project)
    return prompts if may(viewer, project, REVIEWER) else prompts.filter(authors_readable(viewer.person))


def get_prompt_with_authors(viewer: Viewer, key: Any) -> Prompt:
    prompt = get_prompt(viewer, key)
    require_authors(viewer, prompt)
    return prompt


def get_response_with_author(viewer: Viewer, key: Any) -> Response:
    response = get_response(viewer, key)
    require_authors(viewer, response.prompt)
    return response


def require_authors(viewer: Viewer, prompt: Prompt) -> None:
    """Raises NotFound unless the viewer may read who wrote the responses to it."""
    if not reads_authors_of(viewer.person, prompt, reviews=may(viewer, prompt.project, REVIEWER)):
        raise NotFound


def get_conversation(viewer: Viewer, key: Any) -> Conversation:
    """The viewer's own, and nobody else's."""
    conversations = Conversation.objects.select_related("project", "person")
    conversation = conversations.filter(public_id=key, person=viewer.person).first() if _is_uuid(key) else None
    if conversation is None:
        raise NotFound
    require_role(viewer, conversation.project, ANNOTATOR)
    return conversation


def conversation_of(assignment: Assignment) -> uuid.UUID | None:
    """Public id of the conversation that an assignment is a turn of."""
    found = Conversation.objects.filter(turns__tasks=assignment.task_id)
    return found.values_list("public_id", flat=True).first()


def get_turn(viewer: Viewer, key: Any, turn: int) -> Prompt:
    """A turn of the viewer's own conversation."""
    found = get_conversation(viewer, key).turns.select_related("project", "conversation__person")
    prompt = found.filter(turn=turn).first()
    if prompt is None:
        raise NotFound
    return prompt


def get_task(viewer: Viewer, key: Any, role: str = REVIEWER) -> Task:
    return _get(viewer, Task.objects.select_related("project", "prompt"), key, role)


def get_assignment(viewer: Viewer, key: Any) -> Assignment:
    """The viewer's own assignment, and nobody else's."""
    assignment = _own_assignment(viewer, key)
    require_role(viewer, assignment.project, ANNOTATOR)
    return assignment


def get_assignment_to_submit(viewer: Viewer, key: Any) -> Assignment:
    """As `get_assignment`, and also for somebody who was taken out of the project while they worked on it: what they
    were given to do before may still be sent, once."""
    assignment = _own_assignment(viewer, key)
    elsewhere = viewer.token is not None and viewer.token.project_id not in (None, assignment.project_id)
    if elsewhere or not (has_left(viewer, assignment) and assignment.state != Assignment.State.SUBMITTED):
        require_role(viewer, assignment.project, ANNOTATOR)
    return assignment


def has_left(viewer: Viewer, assignment: Assignment) -> bool:
    return role_in(viewer, assignment.project) is None


def _own_assignment(viewer: Viewer, key: Any) -> Assignment:
    known = uuid.UUID(str(key)) if _is_uuid(key) else None
    assignment: Any = ASSIGNMENT.first(key=known, person=viewer.person.pk) if known else None
    if assignment is None:
        raise NotFound
    viewer.roles[assignment.project_id] = assignment.role
    assignment.annotator = viewer.person
    return cast(Assignment, assignment)


def get_annotation(viewer: Viewer, key: Any) -> Annotation:
    """The viewer's own, or anybody's for reviewers."""
    annotations = Annotation.objects.select_related("project", "task", "assignment")
    annotation = _get(viewer, annotations, key, ANNOTATOR)
    if annotation.annotator_id != viewer.person.pk and not may(viewer, annotation.project, REVIEWER):
        raise NotFound
    return annotation


def get_concern(viewer: Viewer, key: Any) -> Concern:
    return _get(viewer, Concern.objects.select_related("project", "task", "assignment__current"), key, REVIEWER)


def get_exclusion(viewer: Viewer, key: Any, role: str = ADMIN) -> Exclusion:
    return _get(viewer, Exclusion.objects.select_related("project", "person"), key, role)


def get_snapshot(viewer: Viewer, key: Any, role: str = ADMIN) -> DatasetSnapshot:
    return _get(viewer, DatasetSnapshot.objects.select_related("project"), key, role)


def get_job(viewer: Viewer, key: Any, role: str = ADMIN) -> Job:
    return _get(viewer, Job.objects.select_related("project"), key, role)


def get_run(viewer: Viewer, key: Any, role: str = ADMIN) -> TrainingRun:
    return _get(viewer, TrainingRun.objects.select_related("project", "job", "chain"), key, role)


def get_chain(viewer: Viewer, key: Any, role: str = ADMIN) -> Chain:
    return _get(viewer, Chain.objects.select_related("project"), key, role)


def get_model(viewer: Viewer, key: Any, role: str = ADMIN) -> ModelVersion:
    return _get(viewer, ModelVersion.objects.select_related("project", "run"), key, role)


def get_schedule(viewer: Viewer, key: Any, role: str = ADMIN) -> Schedule:
    return _get(viewer, Schedule.objects.select_related("project"), key, role)


def get_corpus(viewer: Viewer, key: Any, role: str = ADMIN) -> Corpus:
    return _get(viewer, Corpus.objects.select_related("project"), key, role)


def get_document(viewer: Viewer, key: Any, role: str = ADMIN) -> Document:
    return _get(viewer, Document.objects.select_related("corpus__project", "removed_by"), key, role)


def tokens_of(viewer: Viewer) -> QuerySet[ApiToken]:
    """One's own tokens, and nobody else's. A token narrowed to a project knows of that project's only."""
    tokens = ApiToken.objects.filter(person=viewer.person).select_related("project")
    if viewer.token is not None and viewer.token.project_id is not None:
        tokens = tokens.filter(project=viewer.token.project_id)
    return tokens


def get_token(viewer: Viewer, key: Any) -> ApiToken:
    token = tokens_of(viewer).filter(public_id=key).first() if _is_uuid(key) else None
    if token is None:
        raise NotFound
    return token


def get_evaluation(viewer: Viewer, key: Any, role: str = ADMIN) -> Evaluation:
    return _get(viewer, Evaluation.objects.select_related("project"), key, role)


def get_person(viewer: Viewer, key: Any) -> Person:
    """Oneself, somebody in a project one administers, or anybody for a site admin. By public id or username."""
    lookup = {"public_id": key} if _is_uuid(key) else {"username": str(key)}
    person = Person.objects.filter(**lookup).first()
    if person is None:
        raise NotFound
    if person.pk == viewer.person.pk or viewer.person.is_site_admin:
        return person
    administered = Membership.objects.filter(person=viewer.person, role=ADMIN).values("project")
    if Membership.objects.filter(person=person, project__in=administered).exists():
        return person
    raise NotFound


def _get(viewer: Viewer, rows: QuerySet[M], key: Any, role: str) -> M:
    row = rows.filter(public_id=key).first() if _is_uuid(key) else None
    if row is None:
        raise NotFound
    require_role(viewer, row.project, role)  # type: ignore[attr-defined]
    return row


def _is_uuid(key: Any) -> bool:
    if isinstance(key, uuid.UUID):
        return True
    try:
        uuid.UUID(str(key))
    except ValueError:
        return False
    return True
