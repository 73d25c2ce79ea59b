"""Ada wants the reward model to select what is asked next: she reads why it may not, and switches it on once it may."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from feedback.errors import Conflict
from feedback.models import Choice, Event, Job, ModelVersion, Person, Project, SelectionReplay, Task
from feedback.rules.evaluation import active_selection as rules
from feedback.selectors.evaluation import active_selection as selectors
from feedback.selectors.training import stage_models
from feedback.services.evaluation import active_selection
from feedback.services.evaluation.active_selection import ReplayOutcome
from feedback.services.platform import projects
from tests.factories import make_model, make_pair, make_prompt_in, make_task

pytestmark = pytest.mark.database
SignedIn = Callable[[Person], Client]
ADDRESS = "/p/desk/project/active-selection/"
ENDPOINT = "/api/v1/projects/desk/active-selection/"
BETTER = ([0.72, 0.74, 0.73, 0.75, 0.73], [0.70, 0.71, 0.71, 0.72, 0.71])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six labels are many here."""
    monkeypatch.setattr(rules, "FEWEST_LABELS", 6)
    monkeypatch.setattr(rules, "REPLAY_LABELS", 6)


@pytest.fixture
def labeled(project: Project, ada: Person) -> ModelVersion:
    """Six labels of training prompts, and a reward model that has learned from them."""
    for _ in range(6):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    return reward_model(project, ada)


def reward_model(project: Project, ada: Person, accuracy: float = 0.7, **metrics: object) -> ModelVersion:
    version = make_model(project, ada, stage="reward")
    version.metrics = {"selection_accuracy": accuracy, "selection_pairs": 200, "heads": 4, **metrics}
    version.save()
    return version


def replay(project: Project, ada: Person, version: ModelVersion, figures: Any = BETTER) -> SelectionReplay:
    """A replay that ended with these accuracies."""
    job = active_selection.request_replay(by=ada, project=project)
    Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED)
    outcome = ReplayOutcome(version, selectors.labels(project), 6, 200, *figures)
    return active_selection.record_replay(job, outcome)


def told(project: Project) -> list[str]:
    return [one.name for one in selectors.status(project).obstacles]


def page(client: Client) -> str:
    return client.get(ADDRESS).content.decode()


def test_from_nothing_to_on_and_off(project: Project, ada: Person, signed_in: SignedIn) -> None:
    client = signed_in(ada)
    empty = page(client)
    assert "Off. Tasks are random pairs." in empty
    assert "6 more preference pairs are needed: 0 of 6." in empty
    assert "There is no reward model yet." in empty
    assert "Switch on" not in empty and "Run replay" not in empty
    for _ in range(6):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    version = reward_model(project, ada)
    ready = page(client)
    assert "No replay has shown yet that it saves labels here." in ready
    assert "Run replay" in ready and "Switch on" not in ready
    assert client.post(f"{ADDRESS}switch/", {"on": "yes"}, follow=True).content.decode().count("Run one.") >= 1
    assert not selectors.settings_of(Project.objects.get()).on, "a button that is not there switches nothing"
    client.post(f"{ADDRESS}replay/")
    job = Job.objects.get(kind=Job.Kind.REPLAY)
    assert (job.queue, job.payload) == ("train", {"acquisition": "variance", "random_share": 0.3})
    waiting = page(client)
    assert "Run replay" not in waiting and "no worker serves the queue" in waiting
    Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED)
    active_selection.record_replay(job, ReplayOutcome(version, 6, 6, 200, *BETTER))
    shown = page(client)
    assert "+2.4 points (+1.7 to +3.1)" in shown
    assert "Switch on" in shown
    client.post(f"{ADDRESS}switch/", {"on": "yes"})
    project.refresh_from_db()
    assert selectors.chooses(project)
    assert "On. The reward model selects part of each batch." in page(client)
    client.post(f"{ADDRESS}switch/", {"on": "no"})
    project.refresh_from_db()
    assert not selectors.chooses(project)
    verbs = list(
        Event.objects.filter(verb__startswith="active_selection").order_by("pk").values_list("verb", flat=True)
    )
    assert verbs == [f"active_selection.{verb}" for verb in ("replay_requested", "replayed", "on", "off")]


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (BETTER[::-1], "did not show that it is better"),
        (([0.72] * 5, [0.72] * 5), "did not show that it is better"),
        (([0.56, 0.57, 0.56, 0.57, 0.56], [0.51, 0.51, 0.50, 0.51, 0.50]), "not better than chance"),
    ],
)
def test_a_replay_that_shows_nothing_keeps_it_off(
    labeled: ModelVersion, project: Project, ada: Person, signed_in: SignedIn, figures: Any, sentence: str
) -> None:
    replay(project, ada, labeled, figures)
    assert told(project) == ["replay_refused"]
    with pytest.raises(Conflict, match=sentence):
        active_selection.change(by=ada, project=project, on=True)
    assert "Switch on" not in page(signed_in(ada))


def test_another_acquisition_needs_its_own_replay(labeled: ModelVersion, project: Project, ada: Person) -> None:
    replay(project, ada, labeled)
    active_selection.change(by=ada, project=project, acquisition="d_optimal")
    assert told(project) == ["no_replay"]
    active_selection.change(by=ada, project=project, acquisition="variance")
    assert told(project) == []


def test_on_but_random_while_something_stands_against_it(
    labeled: ModelVersion, project: Project, ada: Person, signed_in: SignedIn
) -> None:
    replay(project, ada, labeled)
    active_selection.change(by=ada, project=project, on=True)
    reward_model(project, ada, accuracy=0.56)
    assert not selectors.chooses(project), "the newest reward model may be at chance"
    assert "On, but the next tasks are random pairs." in page(signed_in(ada))
    reward_model(project, ada)
    assert selectors.chooses(project)
    for _ in range(3):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    assert told(project) == ["replay_outdated"]


def test_a_drift_alarm_sets_it_back_to_random(
    labeled: ModelVersion, project: Project, ada: Person, signed_in: SignedIn
) -> None:
    assert not active_selection.set_back_to_random(project=project, because="drift_alarm"), "it was off"
    replay(project, ada, labeled)
    active_selection.change(by=ada, project=project, on=True)
    assert active_selection.set_back_to_random(project=project, because="drift_alarm")
    project.refresh_from_db()
    assert not selectors.chooses(project)
    assert "A drift alarm of the reward model switched it off." in page(signed_in(ada))
    assert "Active selection was switched off: drift alarm." in signed_in(ada).get("/p/desk/").content.decode()
    active_selection.change(by=ada, project=project, on=True)
    assert selectors.settings_of(project).off_because == ""


def test_a_later_replay_that_refuses_switches_it_off(labeled: ModelVersion, project: Project, ada: Person) -> None:
    replay(project, ada, labeled)
    active_selection.change(by=ada, project=project, on=True)
    replay(project, ada, labeled, BETTER[::-1])
    project.refresh_from_db()
    assert project.active_selection["off_because"] == "replay_refused"
    assert not selectors.chooses(project)


def test_labels_that_a_model_chose_are_no_pool_for_a_replay(
    labeled: ModelVersion, project: Project, ada: Person
) -> None:
    Task.objects.filter(project=project).update(arm="active")
    with pytest.raises(Conflict, match="there are 0"):
        active_selection.request_replay(by=ada, project=project)
    assert selectors.labels(project) == 6, "they are labels all the same"


def test_a_second_replay_waits_for_the_first(labeled: ModelVersion, project: Project, ada: Person) -> None:
    active_selection.request_replay(by=ada, project=project)
    with pytest.raises(Conflict, match="already queued"):
        active_selection.request_replay(by=ada, project=project)
    assert Job.objects.filter(kind=Job.Kind.REPLAY).count() == 1


def test_the_next_reward_model_gets_the_heads_that_it_needs(
    labeled: ModelVersion, project: Project, ada: Person
) -> None:
    heads = lambda: stage_models.settings_of_run(project, "reward", {}, None).get("heads")  # noqa: E731
    assert heads() is None
    replay(project, ada, labeled)
    active_selection.change(by=ada, project=project, on=True)
    assert heads() == 4
    assert "heads" not in stage_models.settings_of_run(project, "dpo", {}, None)
    projects.update_project(by=ada, project=project, training_policy={"stages": {"reward": {"heads": 6}}})
    assert heads() == 6


class TestREST:
    def test_state_settings_and_replay(
        self, labeled: ModelVersion, project: Project, ada: Person, client_for: Any
    ) -> None:
        client = client_for(ada, "read", "train")
        state = client.get(ENDPOINT).json()
        assert (state["on"], state["acquisition"], state["random_share"], state["labels"]) == (
            False,
            "variance",
            0.3,
            6,
        )
        assert [one["name"] for one in state["obstacles"]] == ["no_replay"]
        refused = client.patch(ENDPOINT, {"on": True})
        assert (refused.status_code, refused.json()["errors"][0]["attr"]) == (409, "on")
        for share in (0.1, 1.5):
            assert client.patch(ENDPOINT, {"random_share": share}).status_code == 400
        assert client.patch(ENDPOINT, {"acquisition": "nearest_half"}).status_code == 400
        assert client.patch(ENDPOINT, {"random_share": 0.5}).json()["random_share"] == 0.5
        reply = client.post(f"{ENDPOINT}replay/")
        assert (reply.status_code, reply.json()["kind"]) == (202, "replay")
        assert client.post(f"{ENDPOINT}replay/").status_code == 409
        assert client.get(f"{ENDPOINT}choices/").json()["results"] == []

    def test_only_admins(self, project: Project, rosa: Person, ben: Person, dan: Person, client_for: Any) -> None:
        for person, status in ((rosa, 403), (ben, 403), (dan, 404)):
            client = client_for(person)
            assert client.get(ENDPOINT).status_code == status
            assert client.patch(ENDPOINT, {"random_share": 0.5}).status_code == status
            assert client.post(f"{ENDPOINT}replay/").status_code == status
            assert client.get(f"{ENDPOINT}choices/").status_code == status


def test_annotators_see_neither_arm_nor_propensity(
    labeled: ModelVersion, project: Project, ada: Person, ben: Person, client_for: Any, signed_in: SignedIn
) -> None:
    """A task that was chosen looks like one that was not, in every key of every reply."""
    Task.objects.filter(project=project).update(state=Task.State.WITHDRAWN)
    job = Job.objects.create(kind=Job.Kind.CHOICE, queue="generate", project=project, status=Job.Status.SUCCEEDED)
    choice = Choice.objects.create(
        project=project, number=1, job=job, reward_version=labeled, acquisition="variance", random_share=0.3,
        temperature=0.1, batch=50, cap=2, labels=6, pool_pairs=9, pool_prompts=3, pool_hash="0" * 64, seed=1,
    )  # fmt: skip
    task = make_task(project, arm="active", propensity=0.123456)
    Task.objects.filter(pk=task.pk).update(choice=choice)
    client = client_for(ben)
    given = client.post("/api/v1/tasks/next/", {"project": "desk"})
    assert given.status_code == 200
    assignment = given.json()["id"]
    replies = [given.content.decode(), client.get(f"/api/v1/assignments/{assignment}/").content.decode()]
    replies.append(signed_in(ben).get("/p/desk/desk/").content.decode())
    for reply in replies:
        assert task.prompt.text in reply, "it is the chosen task that is looked at"
        for secret in ("0.123", "propensity", '"arm"', str(choice.public_id)):
            assert secret not in reply
    assert client.get(f"/api/v1/tasks/{task.public_id}/").status_code == 403
