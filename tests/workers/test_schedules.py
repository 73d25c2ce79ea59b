"""Schedules start their chain exactly once per due time, whoever asks and however often."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from feedback.models import Chain, Job, Person, Project, Schedule
from feedback.rules.training.stages import STAGES
from feedback.services.training import schedules
from tests import factories
from workers import housekeeping

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def every_two_minutes(project: Project, ada: Person) -> Schedule:
    """Due since a second ago; an SFT policy to evaluate is there."""
    factories.make_model(project, ada)
    factories.make_prompt(project)
    schedule = schedules.create_schedule(by=ada, project=project, name="often", stages=["evaluate"], every_seconds=120)
    Schedule.objects.filter(pk=schedule.pk).update(next_due_at=timezone.now() - timedelta(seconds=1))
    return schedule


def at_once(act: Callable[[], Any], times: int = 2) -> list[Exception]:
    """Do the same in several threads that start together; what they raised."""
    gate, errors = threading.Barrier(times), list[Exception]()

    def one() -> None:
        try:
            gate.wait()
            act()
        except Exception as error:  # noqa: BLE001 - told to the test, whatever it is
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def end_chains(project: Project) -> None:
    Job.objects.filter(project=project).update(status=Job.Status.SUCCEEDED)
    Chain.objects.filter(project=project).update(state=Chain.State.SUCCEEDED)


def test_two_beats_at_once_start_one_chain(every_two_minutes: Schedule) -> None:
    assert at_once(housekeeping.tick, 4) == []
    assert every_two_minutes.chains.count() == 1


def test_a_due_time_is_not_made_up_for_while_its_chain_works(every_two_minutes: Schedule, project: Project) -> None:
    housekeeping.tick()
    for _ in range(3):
        Schedule.objects.update(next_due_at=timezone.now() - timedelta(seconds=1))
        housekeeping.tick()
    assert every_two_minutes.chains.count() == 1
    end_chains(project)
    housekeeping.tick()
    housekeeping.tick()
    assert every_two_minutes.chains.count() == 2


def test_times_that_passed_while_the_machine_slept_start_one_chain(every_two_minutes: Schedule) -> None:
    Schedule.objects.update(next_due_at=timezone.now() - timedelta(hours=3))
    housekeeping.tick()
    every_two_minutes.refresh_from_db()
    assert every_two_minutes.chains.count() == 1
    assert every_two_minutes.next_due_at is not None
    assert timezone.now() < every_two_minutes.next_due_at <= timezone.now() + timedelta(seconds=120)


def test_a_schedule_by_pairs_starts_once_per_so_many(project: Project, ada: Person) -> None:
    factories.make_model(project, ada)
    schedule = schedules.create_schedule(by=ada, project=project, name="fresh", stages=["evaluate"], after_pairs=3)
    for _ in range(2):
        factories.make_pair(project, ada)
    housekeeping.tick()
    assert schedule.chains.count() == 0
    factories.make_pair(project, ada)
    assert at_once(housekeeping.tick, 3) == []
    assert schedule.chains.count() == 1
    end_chains(project)
    for _ in range(2):
        factories.make_pair(project, ada)
    housekeeping.tick()
    assert schedule.chains.count() == 1
    factories.make_pair(project, ada)
    assert at_once(housekeeping.tick, 3) == []
    assert schedule.chains.count() == 2


def test_a_schedule_that_is_off_starts_nothing(every_two_minutes: Schedule, ada: Person) -> None:
    schedules.set_enabled(by=ada, schedule=every_two_minutes, enabled=False)
    housekeeping.tick()
    assert every_two_minutes.chains.count() == 0


def test_what_kept_it_from_starting_is_told_until_it_starts(project: Project, ada: Person) -> None:
    schedule = schedules.create_schedule(by=ada, project=project, name="often", stages=["evaluate"], every_seconds=120)

    def due() -> str:
        Schedule.objects.update(next_due_at=timezone.now() - timedelta(seconds=1))
        housekeeping.tick()
        schedule.refresh_from_db()
        return schedule.trouble

    assert due() == STAGES["evaluate"].missing
    assert schedule.next_due_at is not None and schedule.next_due_at > timezone.now()
    factories.make_model(project, ada)
    factories.make_prompt(project)
    assert due() == ""
    assert schedule.chains.count() == 1
