"""Fetches rows and checks permission in one step; pages and the REST API get their rows here.

A row that is absent and a row that is forbidden both raise NotFound, so that nobody learns what exists elsewhere. A
member whose role is too low gets Forbidden. A token narrows its person's rights to its project and scopes.
"""

import uuid
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery

from feedback.db.compiled_queries import CompiledSelect, Param
from feedback.errors import Forbidden, NotFound
from feedback.models import (
    Annotation,
    ApiToken,
    Assignment,
    Battle,
    Campaign,
    Chain,
    Concern,
    Contest,
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
Key = uuid.UUID | str  # a public id; of projects also the slug, of people the username


def _role(project: str) -> Subquery:
    """Subquery for the viewer's role in the project of a row."""
    seats = Membership.objects.filter(project=OuterRef(project), person=Param("person"))
    return Subquery(seats.values("role")[:1])


MEMBERSHIP = Membership.objects.filter(project=Param("project"), person=Param("person"))
select_role = CompiledSelect(lambda: MEMBERSHIP.values_list("role")[:1])
select_project = CompiledSelect(
    lambda: Project.objects.order_by().annotate(role=_role("pk")).filter(public_id=Param("key"))
)
select_project_by_slug = CompiledSelect(
    lambda: Project.objects.order_by().annotate(role=_role("pk")).filter(slug=Param("key"))
)
select_assignment = CompiledSelect(
    lambda: (
        Assignment.objects.select_related("project", "task__prompt", "current")
        .annotate(role=_role("project"))
        .filter(public_id=Param("key"), annotator=Param("person"))
    )
)


@dataclass(frozen=True)
class Viewer:
    """A person with the token they use (none in the web pages)."""

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
        found = select_role.first(project=project.pk, person=viewer.person.pk)
        viewer.roles[project.pk] = None if found is None else found[0]
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


def get_project(viewer: Viewer, key: Key, role: str = ANNOTATOR) -> Project:
    """By public id or slug."""
    given = {"person": viewer.person.pk}
    if _is_uuid(key):
        project = select_project.first(key=uuid.UUID(str(key)), **given)
    else:
        project = select_project_by_slug.first(key=str(key), **given)
    if project is None:
        raise NotFound
    viewer.roles[project.pk] = project.role
    require_role(viewer, project, role)
    return project


def get_prompt(viewer: Viewer, key: Key, role: str = ANNOTATOR) -> Prompt:
    return _get(viewer, Prompt.objects.select_related("project"), key, role)


def get_response(viewer: Viewer, key: Key, role: str = ANNOTATOR) -> Response:
    return _get(viewer, Response.objects.select_related("project", "prompt"), key, role)


def prompts_with_authors(viewer: Viewer, project: Project) -> QuerySet[Prompt]:
    """Prompts whose responses the viewer may read with their authors: all for reviewers, for others their own.

    Annotators judge blindly: of other people's prompts they see neither the authors nor the models of responses.
    """
    prompts = Prompt.objects.filter(project=project)
    if may(viewer, project, REVIEWER):
        return prompts
    return prompts.filter(authors_readable(viewer.person))


def get_prompt_with_authors(viewer: Viewer, key: Key) -> Prompt:
    prompt = get_prompt(viewer, key)
    require_authors(viewer, prompt)
    return prompt


def get_response_with_author(viewer: Viewer, key: Key) -> Response:
    response = get_response(viewer, key)
    require_authors(viewer, response.prompt)
    return response


def require_authors(viewer: Viewer, prompt: Prompt) -> None:
    """Raises NotFound unless the viewer may read who wrote the responses to it."""
    if not reads_authors_of(viewer.person, prompt, reviews=may(viewer, prompt.project, REVIEWER)):
        raise NotFound


def get_conversation(viewer: Viewer, key: Key | None) -> Conversation:
    """A conversation of the viewer; those of others raise NotFound."""
    conversations = Conversation.objects.select_related("project", "person")
    conversation = _by_public_id(conversations.filter(person=viewer.person), key)
    require_role(viewer, conversation.project, ANNOTATOR)
    return conversation


def get_battle(viewer: Viewer, key: Key) -> Battle:
    """A battle of the viewer; those of others raise NotFound."""
    battles = Battle.objects.select_related("project", "prompt", "task", "left", "right")
    battles = battles.select_related("left_version", "right_version")
    battle = _by_public_id(battles.filter(person=viewer.person), key)
    require_role(viewer, battle.project, ANNOTATOR)
    return battle


def conversation_of(assignment: Assignment) -> uuid.UUID | None:
    """Public id of the conversation that an assignment is a turn of."""
    found = Conversation.objects.filter(turns__tasks=assignment.task_id)
    return found.values_list("public_id", flat=True).first()


def get_turn(viewer: Viewer, key: Key, turn: int) -> Prompt:
    """A turn of the viewer's own conversation."""
    found = get_conversation(viewer, key).turns.select_related("project", "conversation__person")
    prompt = found.filter(turn=turn).first()
    if prompt is None:
        raise NotFound
    return prompt


def get_task(viewer: Viewer, key: Key, role: str = REVIEWER) -> Task:
    return _get(viewer, Task.objects.select_related("project", "prompt"), key, role)


def get_assignment(viewer: Viewer, key: Key) -> Assignment:
    """An assignment of the viewer; those of others raise NotFound."""
    assignment = _own_assignment(viewer, key)
    require_role(viewer, assignment.project, ANNOTATOR)
    return assignment


def get_assignment_to_submit(viewer: Viewer, key: Key) -> Assignment:
    """As `get_assignment`, but a person who was removed from the project meanwhile may still submit it, once."""
    assignment = _own_assignment(viewer, key)
    elsewhere = viewer.token is not None and viewer.token.project_id not in (None, assignment.project_id)
    if elsewhere or not (has_left(viewer, assignment) and assignment.state != Assignment.State.SUBMITTED):
        require_role(viewer, assignment.project, ANNOTATOR)
    return assignment


def has_left(viewer: Viewer, assignment: Assignment) -> bool:
    return role_in(viewer, assignment.project) is None


def _own_assignment(viewer: Viewer, key: Key) -> Assignment:
    if not _is_uuid(key):
        raise NotFound
    assignment = select_assignment.first(key=uuid.UUID(str(key)), person=viewer.person.pk)
    if assignment is None:
        raise NotFound
    viewer.roles[assignment.project_id] = assignment.role
    assignment.annotator = viewer.person
    return assignment


def get_annotation(viewer: Viewer, key: Key) -> Annotation:
    """An annotation of the viewer; reviewers get those of others too."""
    annotations = Annotation.objects.select_related("project", "task", "assignment")
    annotation = _get(viewer, annotations, key, ANNOTATOR)
    if annotation.annotator_id != viewer.person.pk and not may(viewer, annotation.project, REVIEWER):
        raise NotFound
    return annotation


def get_concern(viewer: Viewer, key: Key) -> Concern:
    return _get(viewer, Concern.objects.select_related("project", "task", "assignment__current"), key, REVIEWER)


def get_exclusion(viewer: Viewer, key: Key, role: str = ADMIN) -> Exclusion:
    return _get(viewer, Exclusion.objects.select_related("project", "person"), key, role)


def get_snapshot(viewer: Viewer, key: Key, role: str = ADMIN) -> DatasetSnapshot:
    return _get(viewer, DatasetSnapshot.objects.select_related("project"), key, role)


def get_job(viewer: Viewer, key: Key, role: str = ADMIN) -> Job:
    return _get(viewer, Job.objects.select_related("project"), key, role)


def get_run(viewer: Viewer, key: Key, role: str = ADMIN) -> TrainingRun:
    return _get(viewer, TrainingRun.objects.select_related("project", "job", "chain"), key, role)


def get_chain(viewer: Viewer, key: Key, role: str = ADMIN) -> Chain:
    return _get(viewer, Chain.objects.select_related("project"), key, role)


def get_model(viewer: Viewer, key: Key, role: str = ADMIN) -> ModelVersion:
    return _get(viewer, ModelVersion.objects.select_related("project", "run"), key, role)


def get_schedule(viewer: Viewer, key: Key, role: str = ADMIN) -> Schedule:
    return _get(viewer, Schedule.objects.select_related("project"), key, role)


def get_campaign(viewer: Viewer, key: Key, role: str = ADMIN) -> Campaign:
    return _get(viewer, Campaign.objects.select_related("project", "created_by"), key, role)


def get_corpus(viewer: Viewer, key: Key, role: str = ADMIN) -> Corpus:
    return _get(viewer, Corpus.objects.select_related("project"), key, role)


def get_document(viewer: Viewer, key: Key, role: str = ADMIN) -> Document:
    return _get(viewer, Document.objects.select_related("corpus__project", "removed_by"), key, role)


def tokens_of(viewer: Viewer) -> QuerySet[ApiToken]:
    """Tokens of the viewer. A token that is limited to a project sees those of that project only."""
    tokens = ApiToken.objects.filter(person=viewer.person).select_related("project")
    if viewer.token is not None and viewer.token.project_id is not None:
        tokens = tokens.filter(project=viewer.token.project_id)
    return tokens


def get_token(viewer: Viewer, key: Key) -> ApiToken:
    return _by_public_id(tokens_of(viewer), key)


def get_evaluation(viewer: Viewer, key: Key, role: str = ADMIN) -> Evaluation:
    return _get(viewer, Evaluation.objects.select_related("project"), key, role)


def get_contest(viewer: Viewer, key: Key, role: str = REVIEWER) -> Contest:
    """A contest. Annotators may vote in it, so they learn nothing of it: who reads it votes in none."""
    rows = Contest.objects.select_related(
        "project", "plan__project", "plan__incumbent", "plan__opened_by", "winner__model_version"
    )
    return _get(viewer, rows.prefetch_related("plan__candidates__model_version"), key, role)


def get_person(viewer: Viewer, key: Key) -> Person:
    """A person by public id or username: the viewer, a member of a project they administer, or anybody (site admin)."""
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


def _get(viewer: Viewer, rows: QuerySet[M], key: Key, role: str) -> M:
    row = _by_public_id(rows, key)
    require_role(viewer, row.project, role)  # type: ignore[attr-defined]
    return row


def _by_public_id(rows: QuerySet[M], key: Key | None) -> M:
    if _is_uuid(key) and (row := rows.filter(public_id=key).first()) is not None:
        return row
    raise NotFound


def _is_uuid(key: Key | None) -> bool:
    if isinstance(key, uuid.UUID):
        return True
    try:
        uuid.UUID(str(key))
    except ValueError:
        return False
    return True
