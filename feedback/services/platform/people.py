"""People: those who can sign in, and those known only from an import."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from feedback.errors import Conflict, Invalid
from feedback.models import Person
from feedback.services.platform import events


def create_person(*, by: Person | None, username: str, password: str, display_name: str = "") -> Person:
    """Create a person who can sign in.

    Raises:
        Conflict: the username is taken.
        Invalid: the password is too weak; the sentence says how.
    """
    try:
        validate_password(password, Person(username=username))
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="password") from None
    try:
        with transaction.atomic():
            person = Person.objects.create_user(username, password, display_name=display_name)
            events.record("person.created", person, actor=by)
    except IntegrityError:
        raise Conflict(f"The username {username!r} is taken.", field="username") from None
    return person


def imported_person(*, source: str, name: str) -> Person:
    """The person called `name` in `source`, created if new. They cannot sign in."""
    person, _ = Person.objects.get_or_create(
        username=None, source=source, external_name=name, defaults={"display_name": name, "password": "!"}
    )
    return person
