"""What somebody does who means harm, or whose program is broken: each is answered with a sentence, and harms nobody."""

import base64
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from feedback.formats import markdown
from feedback.models import Annotation, Corpus, Draft, Flag, Person, Project, Prompt
from feedback.selectors.training.plans import PipelinePlan
from feedback.services.collection import assignment_queue, task_supply
from feedback.services.data import import_drafts, imports
from feedback.services.platform import projects
from feedback.services.training import pipelines, schedules
from tests.conftest import PASSWORD
from tests.factories import make_task
from tests.whole_service import ROOT

# --- the desk's own doors ------------------------------------------------------------------------

UNSTORABLE = [
    '{"x": NaN}',
    '{"x": 1e400}',
    '{"x": "\\ud800"}',
    '{"x": "\\u0000"}',
    '{"\\u0000": 1}',
    "[" * 100_000,
    "9" * 5000,
    "\xff",
]


@pytest.fixture
def held(project: Project, ben: Person) -> Any:
    make_task(project)
    return assignment_queue.next_assignment(project=project, annotator=ben)


@pytest.fixture
def desk(ben: Person, client: Client) -> Client:
    client.force_login(ben)
    return client


@pytest.mark.parametrize("value", UNSTORABLE)
@pytest.mark.parametrize("verb", ["draft", "flag", "submit", "skip"])
def test_what_no_table_can_hold_is_refused_at_the_desk(desk: Client, held: Any, verb: str, value: str) -> None:
    body = f'{{"payload": {value}, "answer": {value}, "reason": "other", "note": {value}}}'
    reply = desk.post(f"/desk/{held.public_id}/{verb}/", body, "application/json", headers={"Idempotency-Key": "k"})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid")
    assert not (Draft.objects.exists() or Flag.objects.exists() or Annotation.objects.exists())


def test_nor_does_the_desk_without_script(desk: Client, held: Any) -> None:
    said = {"choice": "1", "dimension-truthful": "a\0b", "reason": "a\0b"}
    assert desk.post(f"/desk/{held.public_id}/submit/", said).status_code == 400
    assert not (Draft.objects.exists() or Annotation.objects.exists())


@pytest.mark.parametrize("path", ["data/corpora/", "data/prompts/new/", "schedules/"])
def test_a_page_s_form_takes_no_nul_either(project: Project, ada: Person, client: Client, path: str) -> None:
    client.force_login(ada)
    assert client.post(f"/p/desk/{path}", {"name": "a\0b", "text": "a\0b"}).status_code == 400
    assert not (Corpus.objects.exists() or Prompt.objects.exists())


def test_an_escape_that_was_only_written_down_is_text(desk: Client, held: Any) -> None:
    body = {"payload": {"reason": "it prints \\u0000, and \\ud800, and NaN"}}
    assert desk.post(f"/desk/{held.public_id}/draft/", body, "application/json").status_code == 200
    assert Draft.objects.get().payload == body["payload"]


# --- who calls -------------------------------------------------------------------------------------


def test_an_invented_address_does_not_make_guessing_tokens_quicker(db: None, settings: Any) -> None:
    """By default nothing stands in front, so X-Forwarded-For is whatever the caller wrote."""
    guesser = APIClient()
    replies = [
        guesser.get("/api/v1/projects/", HTTP_AUTHORIZATION="Bearer x", HTTP_X_FORWARDED_FOR=f"10.0.0.{turn}")
        for turn in range(70)
    ]
    assert replies[0].status_code == 401 and replies[-1].status_code == 429


def test_behind_a_proxy_people_do_not_share_their_attempts(ben: Person, client: Client, settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_PER_MINUTE, settings.TRUSTED_PROXIES = 3, 1

    def attempt(forwarded: str, username: str, password: str = "wrong") -> int:
        said = {"username": username, "password": password}
        return client.post("/sign-in/", said, headers={"X-Forwarded-For": forwarded}).status_code

    # The proxy appends the guesser's address to whatever they invented.
    statuses = [attempt(f"192.0.2.{turn}, 10.0.0.9", f"name{turn}") for turn in range(10)]
    assert statuses == [422] * 9 + [429]  # three times as many for all names as for one
    assert attempt("10.0.0.8", "ben", PASSWORD) == 302


def test_a_token_for_one_project_knows_of_no_other(
    project: Project, ada: Person, hana: Person, client_for: Callable[..., APIClient]
) -> None:
    other = projects.open_project(by=hana, name="Other", slug="other", kinds=["comparison"])
    projects.set_member(by=hana, project=other, person=ada, role="admin")
    narrow, wide = client_for(ada, project=project), client_for(ada)
    made = wide.post("/api/v1/tokens/", {"name": "elsewhere", "scopes": ["read"], "project": "other"}).json()
    seen = {token["project"] for token in narrow.get("/api/v1/tokens/").json()["results"]}
    assert seen == {project.slug}
    assert narrow.delete(f"/api/v1/tokens/{made['id']}/").status_code == 404
    assert wide.delete(f"/api/v1/tokens/{made['id']}/").status_code == 204


@pytest.mark.parametrize("position", ["p=a", "p=%00", "p=-1", "p=" + "9" * 19, "p=" + "9" * 30, "p=", "o=-1", "r=x"])
def test_an_invented_cursor_is_refused(project: Project, client_for: Callable[..., APIClient], position: str) -> None:
    cursor = base64.b64encode(position.encode()).decode()
    reply = client_for(project.created_by).get("/api/v1/projects/", {"cursor": cursor})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/prompts/", "/api/v1/tasks/next/", "/v1/chat/completions"])
def test_methods_that_no_door_has_are_refused_in_its_shape(
    project: Project, ben: Person, client_for: Callable[..., APIClient], path: str
) -> None:
    for method in ("options", "put", "trace"):
        reply = getattr(client_for(ben), method)(path)
        told = reply.json()
        assert reply.status_code == 405
        assert (told["error"] if "error" in told else told["errors"][0])["code"] == "method_not_allowed"


def test_who_may_read_may_ask_for_the_head_alone(
    project: Project, ben: Person, client_for: Callable[..., APIClient]
) -> None:
    assert client_for(ben, "read").head("/api/v1/projects/").status_code == 200
    assert client_for(ben, "annotate").head("/api/v1/projects/").status_code == 403


# --- settings that would stop everybody's work ------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("training_policy", {"stages": [1]}),
        ("training_policy", {"stages": {"sft": 5}}),
        ("training_policy", {"preset": {}}),
        ("training_policy", {"snapshot": 7}),
        ("training_policy", {"snapshot": {"prompt_sources": 5}}),
        ("training_policy", {"snapshot": {"extras": "yes"}}),
        ("sampling", {"max_new_tokens": 10**9}),
        ("sampling", {"max_new_tokens": "all"}),
        ("sampling", {"temperature": -1}),
        ("sampling", {"top_p": 0}),
    ],
)
def test_settings_of_another_shape_are_refused(project: Project, ada: Person, setting: str, value: Any) -> None:
    """Housekeeping and the clock serve all projects in one go: what breaks on one project would stop the others."""
    client = APIClient()
    client.force_login(ada)
    reply = client.patch(f"/api/v1/projects/{project.slug}/", {setting: value}, format="json")
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["attr"].startswith(setting)
    assert task_supply.top_up() == 0 and schedules.start_due() == []


@pytest.mark.parametrize("config", [{"sft": [1]}, {"sft": {}, "preset": {}}])
def test_settings_of_a_chain_are_objects(project: Project, ada: Person, config: Any) -> None:
    client = APIClient()
    client.force_login(ada)
    start = {"project": project.slug, "stages": ["sft"], "config": config}
    for path, more in (("chains", {}), ("schedules", {"name": "nightly", "every_seconds": 3600})):
        reply = client.post(f"/api/v1/{path}/", start | more, format="json")
        assert (reply.status_code, reply.json()["errors"][0]["attr"].split(".")[0]) == (400, "config")


def test_a_schedule_that_breaks_leaves_the_others_their_time(
    project: Project, ada: Person, hana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = projects.open_project(by=hana, name="Other", slug="other", kinds=["comparison"])
    for home, by in ((project, ada), (other, hana)):
        schedules.create_schedule(by=by, project=home, name="nightly", stages=["sft"], every_seconds=3600)
    asked: list[Project] = []

    def start_chain(plan: PipelinePlan, **options: Any) -> None:
        asked.append(plan.request.project)
        raise TypeError("a shape that nobody thought of")

    monkeypatch.setattr(pipelines, "start_chain", start_chain)
    assert schedules.start_due(timezone.now() + timedelta(hours=2)) == []
    assert asked == [project, other]
    # Whose schedule it is reads it on the schedule, rather than in a log that they cannot see.
    client = APIClient()
    client.force_login(ada)
    [told] = client.get(f"/api/v1/schedules/?project={project.slug}").json()["results"]
    assert told["trouble"] == schedules.OUR_FAULT and told["enabled"]


def test_only_its_owner_reads_the_data_folder(tmp_path: Path) -> None:
    """It holds password hashes, sessions and everybody's words."""
    folder = tmp_path / "new"
    environment = {name: value for name, value in os.environ.items() if name not in ("SECRET_KEY", "TOUCHSTONE_ENV")}
    subprocess.run(
        [sys.executable, "-c", "import feedback.settings"],
        check=True,
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(folder)},
    )
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "secret_key").stat().st_mode & 0o077 == 0


DOORS = [("/api/v1/imports/", imports, "request_import"), ("/p/desk/data/imports/new/", import_drafts, "begin")]


@pytest.mark.parametrize(("door", "module", "verb"), DOORS, ids=["rest", "page"])
def test_a_full_disk_is_told_as_one(
    project: Project, ada: Person, client: Client, monkeypatch: pytest.MonkeyPatch, door: str, module: Any, verb: str
) -> None:
    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, verb, full)
    client.force_login(ada)
    file = SimpleUploadedFile("rows.jsonl", b"{}")
    reply = client.post(door, {"project": "desk", "format": "touchstone", "file": file})
    assert reply.status_code == 507
    assert "disk_full" in reply.content.decode() and "free space" in reply.content.decode()


# --- text that costs time -----------------------------------------------------------------------------

BOMBS = ["[", "![", "[a](", "*a **a ", "`", ">", "- ", "1. a\n", "|", "~~a ", "<", "&#", "\\"]


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("size", [40_000, 1_000_000])
def test_no_text_holds_the_server_up(bomb: str, size: int) -> None:
    _told_within(bomb * (size // len(bomb)), seconds=5)


@pytest.mark.parametrize("language", ["c", "cpp", "java", "basemake", "autoit", "html+ng2", "apacheconf", "amdgpu"])
def test_no_code_holds_the_server_up(language: str) -> None:
    """Some lexers need minutes for this."""
    for filling in ("(", "a", "\n ", " a\n"):
        _told_within(f"```{language}\n{filling * (20_000 // len(filling))}\n```\n", seconds=2)


def test_many_blocks_cost_no_more_than_one() -> None:
    block = "```typescript\n" + "a." * 1000 + "\n```\n"
    html = _told_within(block * 15, seconds=5)
    assert "hl-" in html and html.count("<pre ") == 15


@pytest.mark.parametrize(
    "text",
    [
        "$" * 40_000,
        r"\(" * 20_000,
        "$$\n" * 13_000,
        "$a$ " * 10_000,
        (r"$" + r"\sqrt" * 390 + "x$ ") * 20,
        "$" + "{" * 1_990 + "}" * 9 + "$",
        r"$\newcommand{\a}{\a\a}\a$ " * 300,
    ],
)
def test_formulas_cost_no_more_than_their_length(text: str) -> None:
    _told_within(text, seconds=3)


def test_a_text_too_long_to_be_laid_out_is_shown_as_it_was_written() -> None:
    html = markdown.to_html("<b>**x**</b>" * 5000)
    assert html.startswith('<pre tabindex="0">&lt;b&gt;**x**') and "<b>" not in html


def _told_within(text: str, seconds: float) -> str:
    begun = time.process_time()
    html = markdown.to_html(text)
    assert time.process_time() - begun < seconds
    return html
