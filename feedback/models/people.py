"""People: annotators, reviewers, admins, API clients, and those known only from an import."""

import hashlib
import hmac
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q

from feedback.models.base import Row


class PersonManager(BaseUserManager["Person"]):
    def create_user(self, username: str, password: str | None = None, **fields: Any) -> "Person":
        person = self.model(username=username, **fields)
        person.display_name = person.display_name or username
        person.set_password(password)
        person.save(using=self._db)
        return person

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> "Person":
        return self.create_user(username, password, is_site_admin=True, **fields)


class Person(AbstractBaseUser, Row):
    """Somebody whose judgments or prompts are kept. Without a username there is no sign-in (an imported person)."""

    class Status(models.TextChoices):
        ACTIVE = "active"  # may sign in and work
        SUSPENDED = "suspended"  # may not sign in; their annotations count
        WITHDRAWN = "withdrawn"  # may not sign in; rows stay out of future snapshots

    class PasswordOrigin(models.TextChoices):
        OWN = "own"  # nobody else has seen it
        GENERATED = "generated"  # shown to whoever created the account, so it must be changed at the first sign-in
        DEMO = "demo"  # written to a file on the first start; may stay while the service is for this machine only

    username = models.CharField(max_length=150, unique=True, null=True, blank=True)
    display_name = models.CharField(max_length=150, blank=True)
    email = models.EmailField(blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    password_origin = models.CharField(max_length=16, choices=PasswordOrigin.choices, default=PasswordOrigin.OWN)
    session_generation = models.PositiveIntegerField(default=0, help_text="Sessions of earlier generations have ended.")
    is_site_admin = models.BooleanField(default=False, help_text="May open projects, and sees all of them.")
    source = models.CharField(max_length=100, blank=True, help_text="Source of an imported person.")
    external_name = models.CharField(max_length=200, blank=True)

    objects = PersonManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "external_name"],
                condition=Q(username__isnull=True),
                name="one_imported_person_per_source_and_name",
            ),
            models.CheckConstraint(
                condition=Q(username__isnull=False) | ~Q(external_name=""), name="person_has_a_login_or_an_origin"
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.username or self.external_name

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """What Django's sign-in asks."""
        return self.status == self.Status.ACTIVE

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a session is bound to: the password, as Django does it, and the generation of sessions."""
        of_password: str = super()._get_session_auth_hash(secret)  # type: ignore[misc]
        if not self.session_generation:
            return of_password
        return hmac.new(of_password.encode(), str(self.session_generation).encode(), hashlib.sha256).hexdigest()


class ApiToken(Row):
    """A key for programs. Only its SHA-256 is stored. Effective right = role of the person ∩ scopes."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="tokens")
    project = models.ForeignKey(
        "feedback.Project", on_delete=models.CASCADE, null=True, blank=True, help_text="Empty: all of the person's."
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, help_text="First characters, to distinguish tokens.")
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
