"""The demo's second project."""

from feedback.models import Kind, Person, Project, Task
from feedback.rules import schemes
from feedback.selectors import work
from tests.factories import take
from workers import inbox


def test_the_inbox_has_every_kind_it_offers_and_is_made_once(hana: Person, ben: Person) -> None:
    project = inbox.seed(hana, [(ben, "annotator")])
    kinds = set(Task.objects.filter(project=project).values_list("kind", flat=True))
    assert kinds == set(project.kinds) == {kind.value for kind in inbox.KINDS}
    before = Task.objects.count()
    assert inbox.seed(hana, [(ben, "annotator")]) == project
    assert Task.objects.count() == before and Project.objects.count() == 1
    schemes.check_all(project.label_scheme)
    assert {task.ask["scheme"] for task in Task.objects.filter(kind=Kind.CLASSIFICATION)} == {"folder", "tone", "topic"}
    seen = work.payload(take(project, ben))
    assert seen["kind"] in project.kinds
