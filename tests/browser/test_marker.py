"""Ben gets a text that a marker marked beforehand: its marks stand there, he takes one away and sends the rest."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from feedback.models import Annotation, Draft, Person, Project, Task
from feedback.services.collection import tasks
from feedback.services.platform import projects
from tests.browser.test_desk import settle
from tests.factories import make_prompt

NAMES = {"kind": "spans", "labels": [{"name": "person"}, {"name": "place"}]}


def test_marks_made_beforehand_are_kept_or_taken_away(
    project: Project,
    hana: Person,
    ben: Person,
    visit: Callable[[Person, str], Page],
    accessible: Callable[[Page], None],
) -> None:
    projects.update_project(by=hana, project=project, kinds=["spans"])
    projects.set_scheme(by=hana, project=project, name="names", scheme=NAMES)
    project.refresh_from_db()
    prompt = make_prompt(project, "Ask Zoë in Graz about May")
    task, _ = tasks.create_task(
        project=project, by=None, kind="spans", prompt=prompt, responses=[], ask={"scheme": "names"}
    )
    marked = [(4, 7, "person"), (11, 15, "place"), (22, 25, "person")]
    spans = [{"start": start, "end": end, "label": label} for start, end, label in marked]
    Task.objects.filter(pk=task.pk).update(suggestion={"spans": spans, "model": "0", "name": "tagger v1"})
    page = visit(ben, "/p/desk/desk/")
    expect(page.locator("[data-suggested]")).to_contain_text("Pre-annotated by a model")
    expect(page.locator(".marked-one")).to_have_count(3)
    expect(page.locator("main")).not_to_contain_text("tagger v1")
    accessible(page)
    assert not Draft.objects.exists(), "nothing is his until he does something"
    page.get_by_role("button", name="Remove Person: May").click()
    page.keyboard.press("Enter")
    expect(page.locator("[data-suggested]")).to_have_count(0)
    settle(page)
    (said,) = Annotation.objects.all()
    assert [span["text"] for span in said.payload["spans"]] == ["Zoë", "Graz"]
