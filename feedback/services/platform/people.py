"""People: those who can sign in, and those known only from an import."""

import re

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from feedback.errors import Conflict, Invalid
from feedback.models import Person
from feedback.services.platform import events

USERNAME = re.compile(r"[\w.@+-]+")
OWN, GENERATED = Person.PasswordOrigin.OWN, Person.PasswordOrigin.GENERATED


def create_person(
    *, by: Person | None, username: str, password: str, display_name: str = "", generated: bool = False
) -> Person:
    """Create a person who can sign in.

    Args:
        generated: the password was made by a program and shown to `by`, so its owner must change it first.

    Raises:
        Conflict: the username is taken.
        Invalid: the username or the password cannot be used; the sentence says why.
    """
    check_username(username)
    try:
        validate_password(password, Person(username=username))
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="password") from None
    try:
        with transaction.atomic():
            person = Person.objects.create_user(
                username, password, display_name=display_name, password_origin=GENERATED if generated else OWN
            )
            events.record("person.created", person, actor=by)
    except IntegrityError:
        raise Conflict(f"The username {username!r} is taken.", field="username") from None
    return person


def check_username(username: str) -> None:
    """Raises Invalid unless the username can be typed and written in an address."""
    if not USERNAME.fullmatch(username) or len(username) > 150:
        raise Invalid("A username has letters, digits and . @ + - _ only, and at most 150 of them.", field="username")


def imported_person(*, source: str, name: str) -> Person:
    """The person called `name` in `source`, created if new. They cannot sign in."""
    person, _ = Person.objects.get_or_create(
        username=None, source=source, external_name=name, defaults={"display_name": name, "password": "!"}
    )
    return person
