"""The demo's second project."""

from collections import Counter

from feedback.models import Kind, Person, Project, Prompt, Task
from feedback.rules.collection import label_schemes
from feedback.selectors.collection import desk
from tests.factories import take
from workers.demo_commands import inbox


def test_the_inbox_has_every_kind_it_offers_and_is_made_once(hana: Person, ben: Person) -> None:
    project = inbox.seed(hana, [(ben, "annotator")])
    kinds = set(Task.objects.filter(project=project).values_list("kind", flat=True))
    assert kinds == set(project.kinds) == {kind.value for kind in inbox.KINDS}
    before = Task.objects.count()
    assert inbox.seed(hana, [(ben, "annotator")]) == project
    assert Task.objects.count() == before and Project.objects.count() == 1
    label_schemes.check_all(project.label_scheme)
    assert {task.ask["scheme"] for task in Task.objects.filter(kind=Kind.CLASSIFICATION)} == {"folder", "tone", "topic"}
    splits = Counter(Prompt.objects.filter(project=project).values_list("split", flat=True))
    assert splits == {"train": 29, "selection": 9, "test": 8}
    groups = Prompt.objects.filter(project=project).exclude(group="").values_list("group", "split")
    assert len(groups) == 13 and len(set(groups)) == len({group for group, _ in groups}) == 5
    seen = desk.payload(take(project, ben))
    assert seen["kind"] in project.kinds
