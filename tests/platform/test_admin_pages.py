"""Every page of the admin: who may see it, what it says when there is nothing, and that it works without script."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from feedback.models import Annotation, Person, Project, Task
from tests.furnish import Furnished, furnish

SignedIn = Callable[[Person], Client]

ADMIN_PAGES = [
    "project/",
    "project/guidelines/",
    "project/labels/",
    "project/labels/new/",
    "project/members/",
    "project/active-selection/",
    "data/",
    "data/prompts/",
    "data/prompts/new/",
    "data/tasks/",
    "train/",
    "train/compare/",
    "models/",
    "models/playground/",
    "campaigns/",
    "schedules/",
    "health/",
]
REVIEWER_PAGES = ["quality/", "quality/annotations/"]
POSTS = [
    "project/state/",
    "project/members/add/",
    "project/members/new/",
    "project/active-selection/",
    "project/active-selection/switch/",
    "project/active-selection/replay/",
    "data/freeze/",
    "train/",
    "campaigns/",
    "schedules/",
    "models/roll-back/",
    "models/playground/",
    "data/prompts/new/",
]


@pytest.fixture
def furnished(project: Project, ada: Person, ben: Person, chloe: Person) -> Furnished:
    return furnish(project, ada, [ben, chloe], answers=8)


def rows_of(furnished: Furnished, project: Project) -> list[str]:
    """Pages of single rows."""
    task = Task.objects.filter(project=project).order_by("pk").first()
    assert task is not None
    runs = [*furnished.runs.values(), furnished.failed, furnished.running]
    return [
        f"campaigns/{furnished.campaign.public_id}/",
        f"data/prompts/{furnished.prompt.public_id}/",
        f"data/prompts/{furnished.awaited.public_id}/",
        f"data/tasks/{task.public_id}/",
        f"data/snapshots/{furnished.snapshots[0].public_id}/",
        "data/compare/?one=1&other=2",
        *[f"train/runs/{run.public_id}/" for run in runs],
        f"train/runs/{furnished.runs['ppo'].public_id}/reward.json",
        f"train/compare/?run={furnished.runs['ppo'].public_id}&run={furnished.running.public_id}",
        f"train/compare/reward.json?run={furnished.runs['ppo'].public_id}&run={furnished.running.public_id}",
        f"models/{furnished.ppo.public_id}/",
        f"models/{furnished.sft.public_id}/",
        f"models/playground/{furnished.awaited.public_id}/",
    ]


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_an_empty_project_says_what_to_do(page: str, project: Project, ada: Person, signed_in: SignedIn) -> None:
    response = signed_in(ada).get(f"/p/desk/{page}")
    assert response.status_code == 200
    assert b"<h1>" in response.content


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_admin_pages_are_for_admins(
    page: str, project: Project, rosa: Person, ben: Person, dan: Person, hana: Person, signed_in: SignedIn
) -> None:
    address = f"/p/desk/{page}"
    assert signed_in(hana).get(address).status_code == 200
    assert signed_in(rosa).get(address).status_code == 403
    assert signed_in(ben).get(address).status_code == 403
    assert signed_in(dan).get(address).status_code == 404
    assert Client().get(address).status_code == 302


@pytest.mark.parametrize("page", REVIEWER_PAGES)
def test_quality_is_for_reviewers(
    page: str, project: Project, ada: Person, rosa: Person, ben: Person, dan: Person, signed_in: SignedIn
) -> None:
    address = f"/p/desk/{page}"
    assert signed_in(ada).get(address).status_code == 200
    assert signed_in(rosa).get(address).status_code == 200
    assert signed_in(ben).get(address).status_code == 403
    assert signed_in(dan).get(address).status_code == 404


@pytest.mark.parametrize("page", POSTS)
def test_a_stranger_changes_nothing(page: str, project: Project, dan: Person, ben: Person, signed_in: SignedIn) -> None:
    def counts() -> list[int]:
        rows = ("prompts", "snapshots", "chains", "campaigns", "schedules", "memberships", "deployments", "events")
        return [getattr(project, name).count() for name in rows]

    before = counts(), Person.objects.count()
    assert signed_in(dan).post(f"/p/desk/{page}", {"stages": ["sft"]}).status_code == 404
    assert signed_in(ben).post(f"/p/desk/{page}", {"stages": ["sft"]}).status_code == 403
    assert (counts(), Person.objects.count()) == before


def test_every_page_of_a_furnished_project(
    furnished: Furnished, project: Project, ada: Person, dan: Person, ben: Person, signed_in: SignedIn
) -> None:
    admin, stranger, annotator = signed_in(ada), signed_in(dan), signed_in(ben)
    for page in [*ADMIN_PAGES, *REVIEWER_PAGES, *rows_of(furnished, project)]:
        assert admin.get(f"/p/desk/{page}").status_code == 200, page
        assert stranger.get(f"/p/desk/{page}").status_code == 404, page
        assert annotator.get(f"/p/desk/{page}").status_code == 403, page


def test_a_fragment_is_the_page_without_its_frame(
    furnished: Furnished, project: Project, ada: Person, signed_in: SignedIn
) -> None:
    client = signed_in(ada)
    for page in ("train/", "health/", f"train/runs/{furnished.running.public_id}/"):
        fragment = client.get(f"/p/desk/{page}", HTTP_HX_REQUEST="true")
        assert fragment.status_code == 200, page
        assert b"<html" not in fragment.content
        assert b"hx-trigger" in fragment.content


def test_what_is_final_polls_no_more(furnished: Furnished, ada: Person, signed_in: SignedIn) -> None:
    client = signed_in(ada)
    ended = client.get(f"/p/desk/train/runs/{furnished.runs['ppo'].public_id}/").content.decode()
    assert "hx-get" not in ended
    assert "data-every" not in ended
    running = client.get(f"/p/desk/train/runs/{furnished.running.public_id}/").content.decode()
    assert "hx-get" in running
    assert "data-every" in running


def test_a_row_of_another_project_has_no_page_here(
    furnished: Furnished, project: Project, other_project: Project, hana: Person, signed_in: SignedIn
) -> None:
    """Hana may see both projects; the address still says which one a row is in."""
    client = signed_in(hana)
    for page in rows_of(furnished, project):
        if "compare" not in page:
            assert client.get(f"/p/elsewhere/{page}").status_code == 404, page
    name = "reward"
    query = f"run={furnished.runs['ppo'].public_id}"
    assert client.get(f"/p/elsewhere/train/compare/{name}.json?{query}").status_code == 404


def test_an_annotation_is_for_its_maker_and_reviewers(
    furnished: Furnished, project: Project, rosa: Person, ben: Person, chloe: Person, dan: Person, signed_in: SignedIn
) -> None:
    annotation = Annotation.objects.filter(project=project, annotator=ben).first()
    assert annotation is not None
    address = f"/p/desk/quality/annotations/{annotation.public_id}/"
    page = signed_in(rosa).get(address)
    assert page.status_code == 200
    assert b"some-model" not in page.content, "a reviewer judges too, and must not learn who wrote what"
    assert signed_in(chloe).get(address).status_code == 403
    assert signed_in(dan).get(address).status_code == 404


def test_health_of_the_house_is_for_those_who_run_something(
    project: Project, other_project: Project, hana: Person, ada: Person, ben: Person, signed_in: SignedIn
) -> None:
    assert signed_in(hana).get("/health/").status_code == 200
    assert signed_in(ada).get("/health/").status_code == 200
    assert signed_in(ben).get("/health/").status_code == 403


def test_health_names_no_project_that_is_not_mine(
    furnished: Furnished, project: Project, dan: Person, other_project: Project, signed_in: SignedIn
) -> None:
    page = signed_in(dan).get("/health/").content.decode()
    assert "Support desk" not in page
    assert str(furnished.running.public_id) not in page
    assert "running a job of another project" in page


def test_text_of_models_and_people_is_never_markup(furnished: Furnished, ada: Person, signed_in: SignedIn) -> None:
    prompt = signed_in(ada).get(f"/p/desk/data/prompts/{furnished.prompt.public_id}/").content.decode()
    assert "<script>alert" not in prompt
    run = signed_in(ada).get(f"/p/desk/train/runs/{furnished.runs['ppo'].public_id}/").content.decode()
    assert "<b>printer</b>" not in run
    assert "&lt;b&gt;printer" in run


def test_no_inline_script_or_style(
    furnished: Furnished, project: Project, ada: Person, signed_in: SignedIn, hana: Person
) -> None:
    client: Any = signed_in(ada)
    for page in [*ADMIN_PAGES, *REVIEWER_PAGES, *rows_of(furnished, project)]:
        text = client.get(f"/p/desk/{page}").content.decode()
        assert " style=" not in text, page
        assert "<script>" not in text, page
        assert "onclick" not in text, page


def test_projects_are_listed_with_ones_role(
    project: Project, other_project: Project, rosa: Person, hana: Person, signed_in: SignedIn
) -> None:
    mine = signed_in(rosa).get("/projects/").content.decode()
    assert "Support desk" in mine
    assert "reviewer" in mine
    assert "Elsewhere" not in mine
    assert "New project" not in mine
    assert "Elsewhere" in signed_in(hana).get("/projects/").content.decode()
    assert signed_in(rosa).get("/projects/new/").status_code == 403
