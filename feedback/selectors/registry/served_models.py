"""Models as clients of /v1 name them: "name" is what serves that project, "name:3" its policy version 3; or an id."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from feedback.errors import NoServingModel, NotFound
from feedback.models import Deployment, ModelVersion, Project
from feedback.selectors.platform import access
from feedback.selectors.platform.access import REVIEWER, Viewer

POLICY = ModelVersion.Kind.POLICY
MOST_LISTED = 12  # names in a sentence


@dataclass(frozen=True)
class Named:
    """A model under one of its names. Without a version, a server elsewhere answers."""

    name: str
    project: Project
    version: ModelVersion | None
    since: datetime


def names(viewer: Viewer) -> list[Named]:
    """What serves each of the viewer's projects, and for reviewers every policy that may still be requested."""
    found = []
    for project in access.projects_for(viewer).order_by("slug"):
        deployment = Deployment.objects.filter(project=project, until=None).select_related("model_version").first()
        if deployment is not None:
            found.append(Named(project.slug, project, deployment.model_version, deployment.since))
        elif settings.GENERATION_URL:
            found.append(Named(project.slug, project, None, project.created_at))
        if access.may(viewer, project, REVIEWER):
            found += [_named(version, project) for version in _askable(project).order_by("-number")]
    return found


def find(viewer: Viewer, name: str) -> Named:
    """
    Raises:
        NotFound: no such model, or not the viewer's to ask; the sentence names those that are.
        NoServingModel: the project is theirs, and nothing serves it.
    """
    try:
        return _found(viewer, name)
    except NotFound:
        there = [named.name for named in names(viewer)]
        more = ", …" if len(there) > MOST_LISTED else ""
        known = f"Available: {', '.join(there[:MOST_LISTED])}{more}." if there else "No model is available to you."
        raise NotFound(
            f"The model {name[:80]!r} does not exist, or you have no access to it. {known}", field="model"
        ) from None


def _found(viewer: Viewer, name: str) -> Named:
    if _is_uuid(name):
        version = ModelVersion.objects.filter(public_id=name, kind=POLICY).select_related("project").first()
        if version is None:
            raise NotFound
        return _version(viewer, version.project, version.number)
    slug, _, number = name.partition(":")
    project = access.get_project(viewer, slug)
    if number:
        number = number.removeprefix("v")
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise NotFound
        return _version(viewer, project, int(number))
    deployment = Deployment.objects.filter(project=project, until=None).select_related("model_version").first()
    if deployment is None and not settings.GENERATION_URL:
        raise NoServingModel(field="model")
    since = deployment.since if deployment else project.created_at
    return Named(project.slug, project, deployment.model_version if deployment else None, since)


def _version(viewer: Viewer, project: Project, number: int) -> Named:
    """Who judges blindly asks what serves, and knows of no other version."""
    version = _askable(project).filter(number=number).first() if access.may(viewer, project, REVIEWER) else None
    if version is None:
        raise NotFound
    return _named(version, project)


def _named(version: ModelVersion, project: Project) -> Named:
    return Named(f"{project.slug}:{version.number}", project, version, version.created_at)


def _askable(project: Project) -> QuerySet[ModelVersion]:
    return ModelVersion.objects.filter(project=project, kind=POLICY).exclude(state=ModelVersion.State.REVOKED)


def _is_uuid(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
