"""A label or dimension gets another name: whoever answered right stays right, and nothing stored is touched."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.errors import Conflict, Invalid, NotFound
from feedback.formats.annotations.items import Item
from feedback.models import Annotation, Draft, Project, Task
from feedback.rules.collection.kinds.question import Label
from feedback.rules.collection.label_renames import Names, renamed
from feedback.selectors.collection import desk
from feedback.selectors.data import training_queries, training_rows
from feedback.selectors.data.export_rows import items
from feedback.selectors.quality import quality
from feedback.services.collection import annotations, assignment_queue, label_schemes, tasks
from feedback.services.platform import projects, setting_changes
from tests.factories import make_prompt, make_response, take

pytestmark = pytest.mark.database

SCHEME = {"topic": {"kind": "classification", "labels": [{"name": "billing"}, {"name": "other"}]}}


@pytest.fixture
def gold(project, ada):
    """Nothing but gold tasks: two to be labeled billing, two whose response is rated helpful 5."""
    project = projects.update_project(
        by=ada,
        project=project,
        kinds=["classification", "rating"],
        label_scheme=SCHEME,
        dimensions=["helpful"],
        queue_policy={"gold_share": 1},
    )
    for number in range(2):
        text = make_prompt(project, f"Refund me {number}")
        tasks.create_task(
            project=project, by=ada, kind="classification", prompt=text, responses=[], ask={"scheme": "topic"},
            gold={"labels": ["billing"]},
        )  # fmt: skip
        rated = make_prompt(project, f"Rate me {number}")
        tasks.create_task(
            project=project, by=ada, kind="rating", prompt=rated, responses=[make_response(rated)],
            gold={"ratings": {"helpful": 5}},
        )  # fmt: skip
    return project


def perfect(project, person, *, label: str, dimension: str, most: int = 9) -> int:
    """Answer every gold task right, in the names of the moment."""
    answered = 0
    while answered < most:
        held = assignment_queue.next_assignment(project=project, annotator=person)
        if isinstance(held, assignment_queue.NoTask):
            break
        labels = held.task.kind == "classification"
        annotations.submit(assignment=held, answer={"labels": [label]} if labels else {"ratings": {dimension: 5}})
        answered += 1
    return answered


def gold_of(project, person) -> tuple[int, int]:
    found = quality.quality(Project.objects.get(pk=project.pk))
    habits = next(one for one in found.annotators if one.person == person)
    return habits.gold_right, habits.gold_asked


def stored():
    return [
        list(Annotation.objects.order_by("pk").values_list("payload", flat=True)),
        list(Task.objects.order_by("pk").values_list("gold", flat=True)),
        list(Draft.objects.order_by("pk").values_list("payload", flat=True)),
    ]


def test_a_perfect_annotator_stays_perfect(gold, ada, ben, chloe):
    assert perfect(gold, ben, label="billing", dimension="helpful", most=4) == 4
    before = stored()
    label_schemes.rename_label(by=ada, project=gold, scheme="topic", old="billing", new="payments")
    project = label_schemes.rename_dimension(by=ada, project=gold, old="helpful", new="useful")
    assert stored() == before
    assert perfect(project, chloe, label="payments", dimension="useful") == 4
    assert (gold_of(project, ben), gold_of(project, chloe)) == ((4, 4), (4, 4))
    assert setting_changes.unfit_gold(project) == []


def test_what_was_begun_before_is_shown_and_taken_under_the_new_name(gold, ada, ben):
    held = take(gold, ben)
    while held.task.kind != "classification":
        annotations.submit(assignment=held, answer={"ratings": {"helpful": 5}})
        held = take(gold, ben)
    annotations.save_draft(assignment=held, payload={"labels": ["billing"]})
    project = label_schemes.rename_label(by=ada, project=gold, scheme="topic", old="billing", new="payments")
    held = take(project, ben)
    seen = desk.payload(held)
    assert seen["draft"] == {"labels": ["payments"]}
    assert [label["name"] for label in seen["scheme"]["labels"]] == ["payments", "other"]
    said = annotations.submit(assignment=held, answer={"labels": ["billing"]})  # a page from before
    assert said.payload["labels"] == ["payments"]


def test_exports_and_training_speak_of_the_present_name(project, ada, ben):
    project = projects.update_project(by=ada, project=project, kinds=["classification"], label_scheme=SCHEME)
    make = {"project": project, "by": ada, "kind": "classification", "responses": [], "ask": {"scheme": "topic"}}
    tasks.create_task(prompt=make_prompt(project, "Refund me"), **make)
    annotations.submit(assignment=take(project, ben), answer={"labels": ["billing"]})
    project = label_schemes.rename_label(by=ada, project=project, scheme="topic", old="billing", new="payments")
    rows = [one.row for one in training_rows.feedback_rows(project, training_queries.Policy())]
    (row,) = [row for row in rows if row["kind"] == "classification"]
    assert (row["labels"], row["classes"]) == (["payments"], ["payments", "other"])
    (item,) = items(project)
    assert isinstance(item, Item)
    assert [said.answer["labels"] for said in item.answers] == [["payments"]]


@pytest.mark.parametrize(
    "old, new, error",
    [
        ("billing", "other", Conflict),
        ("nothing", "x", NotFound),
        ("billing", "No Name", Invalid),
        ("billing", "", Invalid),
    ],
)
def test_two_labels_are_never_merged(gold, ada, old, new, error):
    before = Project.objects.values("label_scheme", "renames").get(pk=gold.pk)
    with pytest.raises(error):
        label_schemes.rename_label(by=ada, project=gold, scheme="topic", old=old, new=new)
    assert Project.objects.values("label_scheme", "renames").get(pk=gold.pk) == before


def test_an_earlier_name_is_given_to_no_other_label(gold, ada):
    project = label_schemes.rename_label(by=ada, project=gold, scheme="topic", old="billing", new="payments")
    with pytest.raises(Conflict, match="was named"):
        label_schemes.rename_label(by=ada, project=project, scheme="topic", old="other", new="billing")
    labels = [*project.label_scheme["topic"]["labels"], {"name": "billing"}]
    with pytest.raises(Invalid, match="had this name before"):
        projects.update_project(
            by=ada, project=project, label_scheme={"topic": {"kind": "classification", "labels": labels}}
        )
    back = label_schemes.rename_label(by=ada, project=project, scheme="topic", old="payments", new="billing")
    assert back.renames["labels"] == {"topic": {"payments": "billing"}}


def test_gold_that_names_what_is_gone_measures_nobody(gold, ada, ben, chloe):
    assert perfect(gold, ben, label="billing", dimension="helpful") == 4
    labels = [{"name": "payments"}, {"name": "other"}]
    project = projects.update_project(
        by=ada, project=gold, label_scheme={"topic": {"kind": "classification", "labels": labels}}
    )
    assert [task.kind for task in setting_changes.unfit_gold(project)] == ["classification"] * 2
    assert set(Task.objects.filter(kind="classification").values_list("state", flat=True)) == {"aside"}
    assert gold_of(project, ben) == (2, 2)
    assert perfect(project, chloe, label="payments", dimension="helpful") == 2


NAMES = [f"n{number}" for number in range(6)]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(NAMES)), max_size=12), st.integers(0, 2**32))
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
def test_any_renames_keep_what_was_said_apart(moves, seed):
    """Whatever is renamed in which order: what was said of a label at any time is read as that label now."""
    present = ["a", "b", "c"]
    aliases: dict[str, str] = {}
    said = [(place, name) for place, name in enumerate(present)]  # who is who, and under which name it was said
    for place, new in moves:
        if new in present or aliases.get(new, present[place]) != present[place]:
            continue  # refused: it is or was another's
        aliases = renamed(aliases, present[place], new)
        present[place] = new
        said.append((place, new))
    random.Random(seed).shuffle(said)
    labels: list[Label] = [{"name": name} for name in present]
    names = Names({"s": aliases}, {}, {"s": {"labels": labels}})
    for place, name in said:
        read = names.read({"scheme": "s", "labels": [name]})
        assert read["labels"] == [present[place]]
        assert names.right({"scheme": "s", "labels": [name]}, {"scheme": "s", "labels": [present[place]]}) is True
        span = {"start": 0, "end": 1, "label": name}
        assert names.read({"scheme": "s", "spans": [span]})["spans"] == [span | {"label": present[place]}]
