"""When people's labels stop agreeing with the reward model: the alarm, whom it names, and what follows from it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import Annotation, Concern, DriftAlarm, Event, ModelVersion, Person, Project, Schedule
from feedback.rules.evaluation import active_selection as rules
from feedback.rules.evaluation.drift_alarm import BASELINE_LABELS
from feedback.selectors.evaluation import active_selection as selection
from feedback.selectors.evaluation import live_accuracy as figures
from feedback.selectors.platform import home
from feedback.services.evaluation import live_accuracy
from feedback.services.platform import people as person_services
from feedback.services.platform import projects
from feedback.services.training import schedules
from tests.evaluation.live_labels import crowd, make_labels, reward_model, scores_of
from tests.factories import make_model

pytestmark = pytest.mark.database
CROWD = 8


@pytest.fixture
def version(project: Project, ada: Person) -> ModelVersion:
    return reward_model(project, ada)


@pytest.fixture
def annotators(project: Project, hana: Person) -> list[Person]:
    """Eight annotators."""
    found = []
    for number in range(CROWD):
        person = person_services.create_person(
            by=None, username=f"worker{number}", password="a-long-password-for-tests", display_name=f"Worker {number}"
        )
        projects.set_member(by=hana, project=project, person=person, role="annotator")
        found.append(person)
    return found


def label_all(
    version: ModelVersion, people: list[Person], count: int, gap: Any, *, arm: str = "random"
) -> list[Annotation]:
    """People judge and a worker scores, in batches of 100."""
    labels = make_labels(version.project, people, count, arm=arm)
    for start in range(0, count, 100):
        live_accuracy.store(version=version, scores=scores_of(labels[start : start + 100], gap))
    return labels


def test_inverters_are_named_and_nobody_else(
    version: ModelVersion, project: Project, annotators: list[Person], ada: Person, ben: Person, signed_in: Any
) -> None:
    """Two of eight turn round after ten labels of their own beyond the baseline."""
    label_all(version, annotators, BASELINE_LABELS + 80, crowd(3))
    assert not DriftAlarm.objects.exists()
    inverters = {annotators[2], annotators[5]}
    label_all(version, annotators, 120 * CROWD, crowd(4, [person.pk for person in inverters]))
    alarms = list(DriftAlarm.objects.exclude(annotator=None))
    assert {alarm.annotator for alarm in alarms} == inverters
    for alarm in alarms:
        assert 10 < alarm.labels <= 10 + 120
        assert alarm.accuracy_since < 0.5 < alarm.accuracy_before
    doubted = Concern.objects.filter(project=project, reason=Concern.Reason.UNRELIABLE)
    assert {concern.assignment.annotator for concern in doubted if concern.assignment} == inverters
    assert doubted.count() == 20
    assert Event.objects.filter(verb="model.annotator_drift_found").count() == 2
    page = signed_in(ada).get("/p/desk/").content.decode()
    assert "Labels of Worker 2 drifted from reward v" in page
    address = f"/p/desk/models/{version.public_id}/live-accuracy/"
    assert address in page
    for_ada, for_ben = (signed_in(who).get(address).content.decode() for who in (ada, ben))
    assert "Labels of Worker 2 drifted" in for_ada and "Labels of Worker 5 drifted" in for_ada
    assert "Labels of one annotator drifted" in for_ben and "Worker" not in for_ben


def test_drift_of_all_sets_back_to_random_and_says_so(
    version: ModelVersion, project: Project, annotators: list[Person], ada: Person
) -> None:
    on = rules.Settings(on=True)
    Project.objects.filter(pk=project.pk).update(active_selection=on.stored())
    label_all(version, annotators, BASELINE_LABELS, crowd(1))
    assert not figures.drifting(project)
    project.refresh_from_db()
    assert project.active_selection == on.stored()
    label_all(version, annotators, 300, crowd(2, [person.pk for person in annotators]))
    alarm = DriftAlarm.objects.get(annotator=None)
    assert alarm.labels < 100, "everybody chooses the opposite"
    assert alarm.accuracy_since < 0.5
    assert figures.drifting(project)
    assert Event.objects.get(verb="model.drift_found").data == {"labels": str(alarm.labels)}
    needs = [need.sentence for need in home.needs_a_person(project) if need.kind == "drift"]
    assert any(sentence.startswith(f"Labels drifted from {version}: it agreed with ") for sentence in needs)
    project.refresh_from_db()
    assert project.active_selection == {**on.stored(), "on": False, "off_because": "drift_alarm"}
    assert "drift" in [one.name for one in rules.against_switching_on(selection.situation(project))]
    label_all(version, annotators, 100, crowd(5))
    assert DriftAlarm.objects.filter(annotator=None).count() == 1, "it sounds once"
    reward_model(project, ada)
    assert not figures.drifting(project), "it begins anew with each version"
    assert [need for need in home.needs_a_person(project) if need.kind == "drift"] == []


def test_what_a_model_chose_is_no_drift(version: ModelVersion, project: Project, annotators: list[Person]) -> None:
    label_all(version, annotators, BASELINE_LABELS, crowd(1))
    label_all(version, annotators, 400, lambda _: -3.0, arm="active")
    state = version.drift_states.get(annotator=None)
    assert (state.baseline_labels, state.labels) == (BASELINE_LABELS, 0)
    assert not DriftAlarm.objects.exists()


def test_batches_and_one_by_one_fold_the_same(
    version: ModelVersion, project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    labels = make_labels(project, [ben, chloe], 360)
    scores = scores_of(labels, crowd(9))
    live_accuracy.store(version=version, scores=scores[:200])
    live_accuracy.store(version=version, scores=list(reversed(scores[200:])))
    whole = version.drift_states.get(annotator=None)
    other = reward_model(project, ada)
    for score in scores:
        live_accuracy.store(version=other, scores=[score])
    single = other.drift_states.get(annotator=None)
    assert (single.baseline_total, single.bets, single.labels) == (whole.baseline_total, whole.bets, 60)


def test_a_kill_after_the_alarm_is_made_good_by_housekeeping(version: ModelVersion, project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(active_selection=rules.Settings(on=True).stored())
    _drift(version)
    live_accuracy.pick_up()
    live_accuracy.pick_up()
    project.refresh_from_db()
    assert project.active_selection["on"] is False
    assert Event.objects.filter(verb="active_selection.set_back").count() == 1


def _drift(version: ModelVersion) -> DriftAlarm:
    return DriftAlarm.objects.create(
        project=version.project, reward_version=version, labels=50, accuracy_before=0.7, accuracy_since=0.4
    )


def _schedule(project: Project, by: Person, *stages: str, **rule: Any) -> Schedule:
    return schedules.create_schedule(by=by, project=project, name="+".join(stages), stages=list(stages), **rule)


@pytest.mark.parametrize("rule", [{"every_seconds": 86_400}, {"after_pairs": 100_000}])
def test_schedules_that_train_a_reward_model_start_at_once(
    version: ModelVersion, project: Project, ada: Person, ben: Person, rule: dict[str, int]
) -> None:
    make_model(project, ada)
    make_labels(project, [ben], 30)
    trains = _schedule(project, ada, "reward", **rule)
    other = _schedule(project, ada, "evaluate", **rule)
    assert schedules.start_due() == []
    alarm = _drift(version)
    [chain] = schedules.start_due()
    assert (chain.schedule, chain.due_key) == (trains, figures.due_key(alarm))
    assert schedules.start_due() == []
    type(chain).objects.update(state="succeeded")
    assert schedules.start_due() == [], "once for each alarm"
    assert not other.chains.exists()
    trains.refresh_from_db()
    if trains.next_due_at is not None:
        assert trains.next_due_at > timezone.now() + timedelta(hours=23)
