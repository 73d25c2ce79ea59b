"""What is compiled once gives what the ORM gives, on both databases; a setting sends everything through the ORM."""

import importlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from rest_framework.test import APIClient

from feedback.db.compiled_queries import CompiledDelete, CompiledSelect, CompiledUpdate, Param, insert
from feedback.models import ApiToken, Assignment, Draft, IdempotencyRecord, Person, Project, Task
from tests.evaluation.contest_story import begin, write
from tests.factories import PREFERS_A, make_task, take
from tests.test_architecture import COMPILED_QUERIES

pytestmark = pytest.mark.database

some = effort(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PLAIN_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ODD_TEXTS = st.sampled_from(["%s", "%%", "%(name)s", "'", "''; --", "\\", "\\'", "?", "$1", '"', "\n", ""])
TEXTS = PLAIN_TEXTS | ODD_TEXTS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
RELATED = ["project", "prompt", "prompt__conversation", "prompt__created_by", "created_by"]
DEFERRED = ["prompt__metadata", "prompt__messages", "gold", "ask", "project__queue_policy"]

by_columns = CompiledSelect(
    lambda: (
        Person.objects.filter(
            display_name=Param("name"),
            is_site_admin=Param("admin"),
            created_at__gte=Param("since"),
            pk__gt=Param("after"),
        )
        .order_by("pk")
        .values_list("pk", "display_name", "created_at", "public_id")
    )
)
by_public_id = CompiledSelect(lambda: Person.objects.filter(public_id=Param("key")).values_list("pk"))
rename = CompiledUpdate(lambda: Person.objects.filter(pk=Param("person")), display_name=Param("name"))
reply_with = CompiledUpdate(lambda: IdempotencyRecord.objects.filter(pk=Param("record")), reply=Param("reply"))
delete_named = CompiledDelete(lambda: Person.objects.filter(display_name=Param("name")))

OWN = ("id", "public_id", "created_at", "username")  # columns in which any two people differ


def make_person(name: str, admin: bool = False) -> Person:
    return Person.objects.create(username=uuid.uuid4().hex, display_name=name, is_site_admin=admin)


def attributes(row: Any, of: models.Model | None = None) -> Any:
    """All that a row has: its columns, annotations, and the rows that it is related to, but the one it was reached from
    (`of`)."""
    if not isinstance(row, models.Model):
        return tuple(row)
    own = {name: value for name, value in vars(row).items() if name != "_state"}
    related = {name: value for name, value in row._state.fields_cache.items() if value is not None and value is not of}
    return own | {name: attributes(value, row) for name, value in related.items()}


def columns(person: Person) -> dict[str, Any]:
    return {**Person.objects.filter(pk=person.pk).values().get()}


@pytest.fixture(params=[True, False], ids=["compiled", "through the ORM"])
def either_way(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.COMPILED_QUERIES = request.param


# --- equality with the ORM ---------------------------------------------------------------------------


@some
@given(name=TEXTS, admin=st.booleans(), after=st.integers(-(2**31), 2**31 - 1))
def test_constants_are_written_into_the_statement_as_the_orm_means_them(
    db: None, name: str, admin: bool, after: int
) -> None:
    make_person(name, admin)
    wanted = Person.objects.filter(display_name=name, is_site_admin=admin, last_login=None, pk__gt=after)
    rows = wanted.order_by("pk").values_list("pk", "display_name", "public_id")
    assert CompiledSelect(lambda: rows).all() == list(rows)
    assert after > 0 or rows.exists()


@some
@given(name=TEXTS, admin=st.booleans(), since=st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_parameters_reach_the_statement_as_the_orm_passes_them(
    either_way: None, db: None, name: str, admin: bool, since: datetime
) -> None:
    made = make_person(name, admin)
    moment = since.replace(tzinfo=UTC)
    wanted = Person.objects.filter(display_name=name, is_site_admin=admin, created_at__gte=moment, pk__gt=0)
    rows = wanted.order_by("pk").values_list("pk", "display_name", "created_at", "public_id")
    assert by_columns.all(name=name, admin=admin, since=moment, after=0) == list(rows)
    assert by_public_id.first(key=made.public_id) == (made.pk,)
    assert by_public_id.first(key=uuid.uuid4()) is None


@some
@given(related=st.sets(st.sampled_from(RELATED)), deferred=st.sets(st.sampled_from(DEFERRED)), twice=st.booleans())
def test_rows_are_those_of_the_orm(project: Project, related: set[str], deferred: set[str], twice: bool) -> None:
    """Objects, what they are related to, what was left out, and annotations."""
    make_task(project)
    rows = Task.objects.order_by("pk").defer(*deferred)
    if related:
        rows = rows.select_related(*related)
    if twice:
        rows = rows.annotate(twice=F("free_slots") * 2)
    found = CompiledSelect(lambda: rows.filter(project=Param("project"))).all(project=project.pk)
    with CaptureQueriesContext(connection) as seen:
        compiled = [attributes(row) for row in found]
    assert compiled == [attributes(row) for row in rows.filter(project=project)]
    assert len(seen) == 0
    assert not any(row._state.adding for row in found)


@some
@given(name=TEXTS, reply=st.dictionaries(TEXTS, JSON, max_size=3) | st.lists(JSON, max_size=3))
def test_changes_are_those_of_the_orm(either_way: None, db: None, name: str, reply: Any) -> None:
    person, other = make_person("before"), make_person("untouched")
    assert rename(person=person.pk, name=name) == 1
    assert rename.key(person=person.pk, name=name) == person.pk
    assert (rename(person=0, name=name), rename.key(person=0, name=name)) == (0, None)
    person.refresh_from_db()
    other.refresh_from_db()
    assert (person.display_name, other.display_name) == (name, "untouched")

    compiled, plain = (
        IdempotencyRecord.objects.create(person=person, route="POST /", key=key, body_hash="") for key in ("a", "b")
    )
    assert reply_with(record=compiled.pk, reply=reply) == 1
    IdempotencyRecord.objects.filter(pk=plain.pk).update(reply=reply)
    compiled.refresh_from_db()
    plain.refresh_from_db()
    assert compiled.reply == plain.reply

    named = Person.objects.filter(display_name=name).count()
    IdempotencyRecord.objects.all().delete()
    assert delete_named(name=name) == named
    assert not Person.objects.filter(display_name=name).exists()


@some
@given(name=TEXTS, admin=st.booleans(), email=TEXTS)
def test_a_row_is_inserted_as_the_orm_does_it(either_way: None, db: None, name: str, admin: bool, email: str) -> None:
    plain = Person(username=uuid.uuid4().hex, display_name=name, is_site_admin=admin, email=email)
    plain.save()
    row = Person(username=uuid.uuid4().hex, display_name=name, is_site_admin=admin, email=email)
    assert insert(row)
    first, second = columns(plain), columns(row)
    assert first | {name: second[name] for name in OWN} == second
    assert (second["public_id"], second["username"]) == (row.public_id, row.username)
    assert not row._state.adding


def test_what_is_there_already_is_no_error_where_it_is_allowed(either_way: None, db: None) -> None:
    make_person("x")
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(Person(username=Person.objects.get().username))
    with transaction.atomic():
        assert not insert(Person(username=Person.objects.get().username), unless_there=True)
    with pytest.raises(IntegrityError), transaction.atomic():  # a check, not a unique constraint
        insert(Person(username=None, external_name=""), unless_there=True)
    assert Person.objects.count() == 1


def test_a_deferred_column_is_read_when_it_is_used(project: Project) -> None:
    task = make_task(project)
    rows = Task.objects.select_related("project", "prompt__conversation").defer("prompt__metadata")
    (found,) = CompiledSelect(lambda: rows.filter(pk=Param("task"))).all(task=task.pk)
    with CaptureQueriesContext(connection) as seen:
        assert found.prompt.conversation is None and found.project.slug == project.slug
        assert len(seen) == 0
        assert found.prompt.metadata == task.prompt.metadata
        assert len(seen) == 1
    found.free_slots = 0
    found.save(update_fields=["free_slots"])
    assert Task.objects.get(pk=task.pk).free_slots == 0


# --- the service's own statements ----------------------------------------------------------------------


def selects() -> dict[str, CompiledSelect]:
    """Every compiled SELECT of the modules that may have one, by module and name."""
    found = {}
    for path in sorted(COMPILED_QUERIES):
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        for name, value in vars(module).items():
            if isinstance(value, CompiledSelect):
                found[f"{path.rsplit('/', 1)[-1]}::{name}"] = value
    return found


@pytest.fixture
def values(
    project: Project, ada: Person, ben: Person, chloe: Person, client_for: Callable[..., APIClient]
) -> dict[str, Any]:
    """A value for every parameter: Ben has drafted one task and holds it, another is free. A contest runs."""
    client_for(ben)
    contest = begin(project, ada)
    write(contest)
    Project.objects.update(queue_policy={"gold_share": 0})
    project.refresh_from_db()
    for person in (ben, chloe):
        make_task(project, annotations_wanted=2)
        held = take(project, person)
    held = Assignment.objects.filter(annotator=ben).get()
    Draft.objects.create(assignment=held, payload={"outcome": "tie"})
    return {
        "project": project.pk, "annotator": ben.pk, "person": ben.pk, "blind": ben.pk, "after": -1, "upto": 2**63 - 1,
        "kind": "comparison", "task": held.task_id, "assignment": held.pk, "now": timezone.now(),
        "digest": ApiToken.objects.get().digest, "key": held.public_id, "since": held.created_at,
        "contest": contest.pk, "candidate": contest.plan.candidates.get().pk, "folded": 0,
    }  # fmt: skip


def keys_of(name: str, values: dict[str, Any], project: Project) -> dict[str, Any]:
    """A `key` is an assignment's, unless the statement is about projects."""
    if name.endswith("::select_project_by_slug"):
        return values | {"key": project.slug}
    return values | {"key": project.public_id} if name.endswith("::select_project") else values


def test_every_select_of_the_service_gives_the_same_through_the_orm(
    project: Project, values: dict[str, Any], settings: Any
) -> None:
    empty = []
    for name, select in selects().items():
        of_this = keys_of(name, values, project)
        given_values = {key: of_this[key] for key in select.of(connection)[1]}
        settings.COMPILED_QUERIES = True
        compiled = [attributes(row) for row in select.all(**given_values)]
        settings.COMPILED_QUERIES = False
        assert compiled == [attributes(row) for row in select.all(**given_values)], name
        if not compiled:
            empty.append(name.split("::")[1])
    assert len(empty) < len(selects()) / 3, empty


def test_the_orm_compiles_nothing_when_it_is_chosen(db: None, settings: Any) -> None:
    settings.COMPILED_QUERIES = False
    statement = CompiledSelect(lambda: Person.objects.filter(display_name=Param("name")).values_list("pk"))
    person = make_person("x")
    assert statement.all(name="x") == [(person.pk,)]
    assert statement.compiled == {}


def test_tasks_are_taken_and_submitted_either_way(
    either_way: None, project: Project, ben: Person, client_for: Any, next_task: Any, submit: Any
) -> None:
    for _ in range(3):
        make_task(project, annotations_wanted=2)
    client = client_for(ben)
    first = next_task(client)
    reply = submit(client, first, PREFERS_A, next=True)
    assert (reply.status_code, reply.json()["counted"]) == (201, True)
    again = submit(client, first, PREFERS_A, next=True)
    assert again.json() == reply.json()
    second = submit(client, reply.json()["next"], PREFERS_A, next=True).json()
    assert submit(client, second["next"], PREFERS_A, next=True).json()["no_next"]["reason"] == "all_seen"
    assert Assignment.objects.filter(annotator=ben, state="submitted", counted=True).count() == 3
    assert sorted(Task.objects.values_list("free_slots", flat=True)) == [1, 1, 1]
