"""The cast, and what every test of the service stands on.

Hana keeps the house (she opens projects). Ada leads a project, Rosa reviews in it, Ben and Chloe annotate. Dan is a
stranger: he has an account and a token with every scope, and must see nothing of it.
"""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from feedback import celery_app
from feedback.api.collection import response_streams
from feedback.models import Person, Project
from feedback.rules.platform.scopes import SCOPES
from feedback.runtime.download_places import DownloadPlaces
from feedback.services.platform import people, projects, tokens
from feedback.services.platform.allowance import ledger
from feedback.web import middleware

PASSWORD = "a-long-password-for-tests"
SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

MANY_PROCESSES = {"test_crowd_over_http.py", "test_kill_everything.py", "test_deployment.py", "test_supervisor.py"}

ClientFor = Callable[..., APIClient]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests, and only these (`make test-long`)")


def pytest_configure() -> None:
    from django.conf import settings

    # Signing in costs a quarter of a second with the real hasher, by design; tests sign in often.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What speaks SQL has the marker `database` and runs again on PostgreSQL (`make test` selects it). Long tests have
    a run of their own.

    A test that waits for browsers or for other processes is tried twice before it counts as failed. The summary names
    it as RERUN, and that is looked into.
    """
    for item in items:
        if "browser" in item.path.parts or item.path.name in MANY_PROCESSES:
            item.add_marker(pytest.mark.flaky(reruns=1))
    wanted = bool(config.getoption("--long"))
    left_out = [item for item in items if bool(item.get_closest_marker("long")) != wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if bool(item.get_closest_marker("long")) == wanted]


def pytest_collection_finish() -> None:
    """Take what imports have left out of the garbage collector's rounds. It stays to the end, and is a lot."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def apart(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has its own folder for files, no throttle counts of another test, and no broker to wait for.

    Nor does it stand behind downloads and streams of another test, whose client closes nothing that it has not read to
    its end.
    """
    settings.DATA_DIR = tmp_path / "data"
    settings.SECURE_SSL_REDIRECT = False
    cache.clear()
    ledger.forget()
    monkeypatch.setattr(middleware, "downloads", DownloadPlaces(middleware.downloads.total))
    monkeypatch.setattr(response_streams, "places", DownloadPlaces(response_streams.places.total))
    monkeypatch.setattr(celery_app.app, "send_task", lambda *args, **options: None)
    yield
    cache.clear()


@pytest.fixture
def knocks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...], str]]:
    """What was sent to workers: (job name, arguments, queue)."""
    sent: list[tuple[str, tuple[int, ...], str]] = []

    def send_task(name: str, args: tuple[int, ...] = (), queue: str = "", **options: Any) -> None:
        sent.append((name, tuple(args), queue))

    monkeypatch.setattr(celery_app.app, "send_task", send_task)
    return sent


@pytest.fixture
def hana(db: None) -> Person:
    return Person.objects.create_superuser("hana", PASSWORD, display_name="Hana")


def _person(username: str) -> Person:
    return people.create_person(by=None, username=username, password=PASSWORD, display_name=username.title())


@pytest.fixture
def ada(db: None) -> Person:
    return _person("ada")


@pytest.fixture
def rosa(db: None) -> Person:
    return _person("rosa")


@pytest.fixture
def ben(db: None) -> Person:
    return _person("ben")


@pytest.fixture
def chloe(db: None) -> Person:
    return _person("chloe")


@pytest.fixture
def dan(db: None) -> Person:
    return _person("dan")


@pytest.fixture
def project(hana: Person, ada: Person, rosa: Person, ben: Person, chloe: Person) -> Project:
    """Two annotations a task; comparisons, asked about truthfulness as well."""
    project = projects.open_project(
        by=hana, name="Support desk", slug="desk", annotations_per_task=2, dimensions=["truthful"]
    )
    for person, role in ((ada, "admin"), (rosa, "reviewer"), (ben, "annotator"), (chloe, "annotator")):
        projects.set_member(by=hana, project=project, person=person, role=role)
    projects.publish_guidelines(by=ada, project=project, text="Prefer what helps.")
    return project


@pytest.fixture
def other_project(hana: Person, dan: Person) -> Project:
    """A project that only Dan (as admin) and the house see."""
    project = projects.open_project(by=hana, name="Elsewhere", slug="elsewhere")
    projects.set_member(by=hana, project=project, person=dan, role="admin")
    return project


@pytest.fixture
def client_for(db: None) -> ClientFor:
    """`client_for(person, *scopes, project=None)`: a REST client with a real token, of all scopes if none is named."""

    def make(person: Person, *scopes: str, project: Project | None = None) -> APIClient:
        _, secret = tokens.create_token(person=person, name="tests", scopes=list(scopes or SCOPES), project=project)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return make


@pytest.fixture
def signed_in() -> Callable[[Person], Any]:
    """`signed_in(person)`: a browser's client that has signed in."""
    from tests.pages import PageClient

    def make(person: Person) -> PageClient:
        client = PageClient()
        client.force_login(person)
        return client

    return make


@pytest.fixture(scope="session")
def hh_file() -> Path:
    """The real HH file, which is not part of the project."""
    path = SHARED_DATA / "hh_helpful_base" / "train.jsonl"
    if not path.exists():
        pytest.skip(f"the real data set is not here: {path.relative_to(SHARED_DATA.parent)}")
    return path


@pytest.fixture
def next_task(project: Project) -> Callable[..., Any]:
    """`next_task(client)`: the assignment given, or the 204 reply."""

    def ask(client: APIClient, **body: Any) -> Any:
        reply = client.post("/api/v1/tasks/next/", {"project": project.slug, **body})
        assert reply.status_code in (200, 204), reply.content
        return reply.json() if reply.status_code == 200 else reply

    return ask


@pytest.fixture
def submit() -> Callable[..., Any]:
    """`submit(client, assignment, answer, key=…)`: the reply."""

    def send(client: APIClient, assignment: dict[str, Any], answer: dict[str, Any], key: str = "", **more: Any) -> Any:
        return client.post(
            f"/api/v1/assignments/{assignment['id']}/submit/",
            {"answer": answer, **more},
            HTTP_IDEMPOTENCY_KEY=key or f"key-{assignment['id']}",
        )

    return send


@pytest.fixture(autouse=True)
def no_beats(request: pytest.FixtureRequest, settings: Any) -> None:
    """A job's beats come by another connection, which on PostgreSQL cannot see the row that a test has not committed:
    a machine slow enough for one to come would take the job for lost."""
    if request.node.get_closest_marker("database") and "workers" not in request.path.parts:
        settings.BEAT_SECONDS = 3600
