"""Every page of the service, as every role sees it: WCAG 2.2 AA in light and dark, a silent console, a phone's width.

The pages are found among the paths of the service, so that a new one cannot be forgotten. A path with a name in it that
`known` does not know fails here until it does.
"""

import re
from itertools import product
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern
from django.utils import timezone
from playwright.sync_api import Page

from feedback.models import (
    Annotation,
    Assignment,
    Concern,
    Contest,
    Document,
    Evaluation,
    Exclusion,
    ImportDraft,
    ModelVersion,
    Person,
    Project,
    Response,
    Task,
)
from feedback.rules.platform.learn.course import COURSE
from feedback.services.collection import conversations
from feedback.services.data import corpora, exports, import_drafts, imports
from feedback.services.evaluation import battles, contest_supply, contests
from feedback.services.evaluation.contests import Rules
from feedback.services.platform import account_links
from feedback.services.quality import concerns
from feedback.services.training import preflight
from feedback.web.urls import urlpatterns
from tests.browser.conftest import faults
from tests.evaluation.arena_story import compare
from tests.evaluation.contest_story import fresh, run, write
from tests.factories import make_task, plan_for, write_answers
from tests.furnish import furnish
from tests.kinds import make_kind
from workers.execution import run_job

pytestmark = pytest.mark.django_db(transaction=True)

FILE = b'{"prompt": "Which?", "responses": ["this", "that"]}\n{"prompt": "<script>alert(1)</script>", "kind": "x"}\n'
DOCUMENTS = b"".join(
    b'{"text": "In year %d the ferry was older than the mill. %s", "source": "gazette"}\n'
    % (1900 + n, b"So it was. " * n)
    for n in range(12)
)
ALSO = ["/p/desk/data/compare/?one=1&other=2", "/p/desk/train/compare/?run={runs[0]}&run={runs[1]}", "/no/such/page/"]
SPACED = re.compile(r"\w+ [,.;:](?=\s)")  # what a formatter of templates may do, unseen by anything else
DRAWN = """() => [...document.querySelectorAll('[data-chart]')].every(
    one => one.querySelector('path, .chart-empty:not([hidden])'))"""


@pytest.fixture
def known(project: Project, ada: Person, ben: Person, chloe: Person) -> dict[str, list[Any]]:
    """For each name in a path what it may stand for, in a project where everything has happened."""
    for _ in range(8):
        compare(project, ben, "elsewhere-13b", "elsewhere-7b")
    furnished = furnish(project, ada, [ben, chloe], answers=6)
    brought = imports.request_import(
        project=project, by=ada, format="touchstone", name="rows.jsonl", chunks=iter([FILE])
    )
    written = exports.request_export(project=project, by=ada, format="hh")
    for job in (brought, written):
        run_job(job.pk)
    make_kind(project, "spans", scheme="names")
    project.kinds = [*project.kinds, "conversation"]
    project.save(update_fields=["kinds"])
    talk = conversations.start(project=project, person=ben, text="My lamp is broken.").conversation
    assert talk is not None
    corpus = corpora.open_corpus(project=project, by=ada, name="Valley", description="Notes on a valley.")
    upload = corpora.request_upload(corpus=corpus, by=ada, name="rows.jsonl", chunks=iter([DOCUMENTS]))
    run_job(upload.pk)
    run_job(corpora.request_report(corpus=corpus, by=ada).pk)
    hasty = Exclusion.objects.create(
        project=project, person=chloe, reason="pace", hits=6, looked_at=7, since=timezone.now()
    )
    fought = [battles.start(project=project, person=ben, text=f"Which lamp is best, number {n}?") for n in range(3)]
    for battle in fought[1:]:
        write_answers(battle.prompt, "The first one.", "The **second** one.")
    battles.vote(battle=fought[2], person=ben, choice="2")
    looked = preflight.request_preflight(plan_for(project, stages=["sft"]), by=ada)
    asked = make_task(project)
    concerns.raise_concern("flagged", asked)
    runs = [furnished.runs["ppo"], furnished.running, furnished.failed, furnished.runs["evaluate"]]
    return {
        "slug": [project.slug],
        "stage": [stage.key for stage in COURSE],
        "name": ["names"],
        "plot": ["reward"],
        "form": ["csv"],
        "job_id": [brought.public_id, written.public_id, upload.public_id, looked.public_id],
        "contest_id": [contest_of(project, ada, furnished.ppo, [ben]).public_id],
        "evaluation_id": [Evaluation.objects.latest("pk").public_id],
        "conversation_id": [talk.public_id],
        "corpus_id": [corpus.public_id],
        "draft_id": [checked_draft(project, ada).public_id],
        "format_name": ["csv", "touchstone"],
        "document_id": [Document.objects.latest("pk").public_id],
        "concern_id": [Concern.objects.latest("pk").public_id],
        "battle_id": [one.public_id for one in fought],
        "response_id": [Response.objects.latest("pk").public_id],
        "run_id": [run.public_id for run in runs],
        "model_id": [furnished.ppo.public_id],
        "snapshot_id": [furnished.snapshots[0].public_id],
        "prompt_id": [furnished.prompt.public_id, furnished.awaited.public_id],
        "schedule_id": [furnished.schedule.public_id],
        "campaign_id": [furnished.campaign.public_id],
        "person_id": [ben.public_id],
        "kind": ["labels"],
        "probe_id": [furnished.prompt.public_id],
        "key": [hasty.public_id],
        "secret": [account_links.create_link(by=Person.objects.get(username="hana"), person=chloe)[1], "no-such-link"],
        "token_id": [furnished.prompt.public_id],
        "task_id": [Task.objects.filter(kind=kind).latest("pk").public_id for kind in ("comparison", "spans")],
        "annotation_id": [Annotation.objects.latest("pk").public_id],
        "assignment_id": [Assignment.objects.latest("pk").public_id],
    }


def checked_draft(project: Project, admin: Person) -> ImportDraft:
    """A file in the import wizard whose dry run rejects one row."""
    content = b"question,gpt_output,llama_output,winner\nWhy?,So.,Thus.,gpt_output\nWhen?,Now.,Then.,someone\n"
    draft = import_drafts.begin(project=project, by=admin, name="pairs.csv", chunks=[content])
    trial = import_drafts.save(draft, by=admin, format=draft.format, mapping=draft.mapping)
    run_job(trial.pk)
    return draft


def contest_of(project: Project, admin: Person, candidate: ModelVersion, voters: list[Person]) -> Contest:
    """One that runs, with a few votes."""
    fresh(project, 8)
    rules = Rules(preconditions="report", share=1.0)
    contest = contests.open_contest(by=admin, project=project, candidates=[candidate], rules=rules)
    contest_supply.supply(contest.pk)
    write(contest)
    return run(contest, voters, [1, 0.5, 0, 1])


def addresses(known: dict[str, list[Any]]) -> list[str]:
    """Every path with every combination of what its names may stand for."""
    found = [one.format(runs=known["run_id"]) for one in ALSO]
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        route = str(pattern.pattern)
        names = re.findall(r"<\w+:(\w+)>", route)
        missing = set(names) - set(known)
        assert not missing, f"tests/browser/test_every_page.py does not know what {missing} of {route} may stand for"
        for values in product(*(known[name] for name in names)):
            by_name = dict(zip(names, values, strict=True))
            found.append("/" + re.sub(r"<\w+:(\w+)>", lambda one: str(by_name[one[1]]), route))  # noqa: B023
    return found


def shown(client: Client, address: str) -> str | None:
    """The page at `address`; None when there is none for this person, or none that is meant to be looked at."""
    reply = client.get(address)
    page = reply.headers.get("Content-Type", "").startswith("text/html") and reply.status_code in (200, 404)
    return reply.content.decode() if page else None


def alike(html: str) -> str:
    """What is between the header and the footer, without what differs from one time to the next."""
    main = html[html.index("<main") : html.index("</main>")]
    return re.sub(r'(csrfmiddlewaretoken" value="|tip-|clip-)\w+|<time.*?</time>|nonce="[^"]*"', "", main)


def test_every_page_is_accessible_quiet_and_fits_a_phone(
    known: dict[str, list[Any]], page: Page, live_server: Any, complaints: list[str], request: Any
) -> None:
    seen: set[str] = set()
    looked: dict[str, int] = {}
    wrong: list[str] = []
    for who in ("hana", "ada", "rosa", "ben", "dan", ""):
        client = Client()
        page.context.clear_cookies()
        if who:
            client.force_login(request.getfixturevalue(who))
            cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
            page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        first = True
        for address in addresses(known):
            if who == "hana" and not address.startswith("/people/"):
                continue  # a site admin has these alone, and sees the others as an admin does
            html = shown(client, address)
            if html is None or (not first and (alike(html) in seen or "page-error" in html)):
                continue  # what another role saw alike was looked at then; but its header is looked at once for each
            first = False
            seen.add(alike(html))
            looked[who] = looked.get(who, 0) + 1
            wrong += [f"{who or 'nobody'}: {one}" for one in look(page, live_server.url + address)]
            wrong += [f"{who or 'nobody'} {address}: {one}" for one in complaints if "status of 404" not in one]
            complaints.clear()
    assert wrong == [], "\n".join(wrong)
    assert looked["ada"] > 30 and looked["ben"] >= 4 and looked[""] >= 1, looked


def look(page: Page, url: str) -> list[str]:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(url)
    page.wait_for_function(DRAWN)
    wrong = [*faults(page, "light"), *faults(page, "dark")]
    wrong += [f"{url} has a space before {one!r}" for one in SPACED.findall(page.inner_text("main"))]
    page.set_viewport_size({"width": 360, "height": 780})
    width = page.evaluate("document.documentElement.scrollWidth")
    return [*wrong, f"{url} is {width} pixels wide on a phone of 360"] if width > 360 else wrong
