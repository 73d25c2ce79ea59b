"""API tokens: created, recognized, revoked."""

import hashlib
import secrets
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from feedback.db.compiled_queries import CompiledSelect, Param
from feedback.errors import Invalid
from feedback.models import ApiToken, Person, Project
from feedback.rules.platform.scopes import SCOPES
from feedback.services.platform import events

select_token = CompiledSelect(
    lambda: ApiToken.objects.select_related("person").filter(digest=Param("digest"), revoked_at=None)[:1],
)


def create_token(
    *,
    person: Person,
    name: str,
    scopes: list[str],
    project: Project | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Create a token. Returns it with its secret, which is shown once and never stored.

    Raises:
        Invalid: a scope is unknown, or there is none.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Invalid(f"Unknown scopes {unknown}; choose from {sorted(SCOPES)}.", field="scopes")
    secret = "ts_" + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            person=person,
            project=project,
            name=name,
            prefix=secret[:8],
            digest=digest(secret),
            scopes=sorted(set(scopes)),
            expires_at=expires_at,
        )
        events.record("token.created", token, actor=person, project=project)
    return token, secret


def authenticate_token(secret: str) -> ApiToken | None:
    """The live token of an active person that this secret belongs to. Writes nothing."""
    token: ApiToken | None = select_token.first(digest=digest(secret))
    if token is None or not token.person.is_active:
        return None
    if token.expires_at is not None and token.expires_at <= timezone.now():
        return None
    return token


def revoke_token(*, by: Person, token: ApiToken) -> None:
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            events.record("token.revoked", token, actor=by, project=token.project)


def digest(secret: str) -> str:
    """Hash of a token. Tokens are long random strings, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()
