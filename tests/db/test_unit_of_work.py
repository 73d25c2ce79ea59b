"""A unit of work is kept as a whole or not at all, and costs one transaction however many services join it."""

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from feedback.db.unit_of_work import in_unit_of_work, unit_of_work
from feedback.models import Person

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def join(username: str) -> None:
    with unit_of_work():
        Person.objects.create(username=username)


def test_who_joins_takes_no_savepoint() -> None:
    with CaptureQueriesContext(connection) as seen, unit_of_work(), unit_of_work(), unit_of_work():
        pass
    assert len(seen) == 2, "begin and commit; in tests they are a savepoint's"


def test_an_error_undoes_what_every_service_did() -> None:
    with pytest.raises(ZeroDivisionError), unit_of_work():
        join("ben")
        join("chloe")
        raise ZeroDivisionError
    assert not Person.objects.exists()
    assert not in_unit_of_work()
    join("dan")
    assert Person.objects.get().username == "dan"


def test_an_error_of_a_service_leaves_nothing_of_the_others() -> None:
    with pytest.raises(ZeroDivisionError), unit_of_work():
        join("ben")
        with unit_of_work():
            Person.objects.create(username="chloe")
            raise ZeroDivisionError
    assert not Person.objects.exists()


def test_another_thread_is_in_no_unit_of_this_one() -> None:
    found: list[bool] = []
    with unit_of_work():
        other = threading.Thread(target=lambda: found.append(in_unit_of_work()))
        other.start()
        other.join()
        assert in_unit_of_work()
    assert found == [False]
