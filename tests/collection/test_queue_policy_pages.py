"""The admin's pages about the queue: its policy, what members may do, checks, and one task; and who may see them."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback.models import Annotation, Assignment, Membership, Person, Project, Task
from feedback.services.collection import annotations, assignments
from feedback.services.platform import projects
from feedback.services.quality import gold
from tests.factories import make_annotation, make_task, take
from tests.kinds import make_kind

TIE = {"outcome": "tie"}


def form_of(**changes: Any) -> dict[str, Any]:
    given = {"gold_percent": 10, "training_tasks": 0, "training_pass": 80, "skips_to_review": 3, "review_percent": 0}
    return given | {"double_percent": 20} | changes


def test_the_policy_is_set_in_percent_and_kept_as_shares(project: Project, ada: Person, signed_in: Any) -> None:
    client = signed_in(ada)
    assert "Mix of task kinds" in client.get("/p/desk/project/queue/").content.decode()
    wrong = client.post("/p/desk/project/queue/", form_of(gold_percent=60))
    assert wrong.status_code == 422 and "From 0 to 30, or 100 for only gold tasks." in wrong.content.decode()
    saved = client.post(
        "/p/desk/project/queue/", form_of(gold_percent=25, weight_ranking=3, daily_limit=40, training_tasks=2)
    )
    assert saved.status_code == 302
    project.refresh_from_db()
    assert project.queue_policy == {
        "gold_share": 0.25,
        "review_share": 0.0,
        "double_share": 0.2,
        "kind_weights": {"ranking": 3},
        "daily_limit": 40,
        "training_tasks": 2,
        "training_pass": 80,
        "skips_to_review": 3,
    }
    page = client.get("/p/desk/project/queue/").content.decode()
    assert 'value="25"' in page and "The qualification round has no tasks" in page


def test_what_a_member_may_do(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    make_kind(project, "classification", scheme="folder")
    projects.update_project(by=ada, project=project, queue_policy={"training_tasks": 1})
    client, path = signed_in(ada), f"/p/desk/project/members/{ben.public_id}/"
    assert client.get(path).status_code == 200
    client.post(path, {"kinds": ["ranking"], "schemes": ["folder"], "daily_limit": "7"})
    client.post(path + "training/", {"training": "waived"})
    member = Membership.objects.get(project=project, person=ben)
    assert (member.qualified, member.daily_limit) == ({"kinds": ["ranking"], "schemes": ["folder"]}, 7)
    assert "</strong> of 7 today" in signed_in(ben).get("/p/desk/desk/").content.decode()
    assert member.training == "waived"
    page = " ".join(client.get("/p/desk/project/members/").content.decode().split())
    assert "ranking (folder)<span>, 7 per day" in page and "waived" in page


class TestTheTaskPage:
    def test_a_right_answer_is_given_and_taken_away(self, project: Project, ada: Person, signed_in: Any) -> None:
        task = make_kind(project, "rating")
        client, path = signed_in(ada), f"/p/desk/data/tasks/{task.public_id}/"
        assert 'data-mode="gold"' in client.get(path + "gold/").content.decode()
        wrong = client.post(path + "gold/", {"rating-truthful": "9", "tolerance": "0"})
        assert wrong.status_code == 422
        given = {"rating-truthful": "4", "tolerance": "1", "explanation": "As *written*.", "training_round": "on"}
        assert client.post(path + "gold/", given).status_code == 302
        task.refresh_from_db()
        assert task.gold is not None and task.training_round
        assert (task.gold["ratings"], task.gold["tolerance"]) == ({"truthful": 4}, 1)
        page = client.get(path).content.decode()
        assert "truthful 4" in page and "<em>written</em>" in page
        client.post(path + "gold/remove/")
        task.refresh_from_db()
        assert task.gold is None and not task.training_round

    def test_what_most_said_becomes_right(
        self, project: Project, ada: Person, ben: Person, chloe: Person, signed_in: Any
    ) -> None:
        task = make_task(project)
        for person in (ben, chloe):
            annotations.submit(assignment=take(project, person), answer=TIE)
        client, path = signed_in(ada), f"/p/desk/data/tasks/{task.public_id}/"
        assert "Use majority" in client.get(path).content.decode()
        client.post(path + "gold/settled/")
        assert Task.objects.get().gold == {"outcome": "tie"}

    def test_skips_are_counted_and_the_task_changed(
        self, project: Project, ada: Person, ben: Person, signed_in: Any
    ) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"skips_to_review": 1})
        task = make_task(project)
        assignments.skip(assignment=take(project, ben), reason="not_qualified")
        client, path = signed_in(ada), f"/p/desk/data/tasks/{task.public_id}/"
        page = client.get(path).content.decode()
        assert "not qualified</dt><dd>1" in page and "It is not assigned" in page
        assert str(task.public_id) in client.get("/p/desk/data/tasks/?state=aside").content.decode()
        client.post(path + "reopen/")
        client.post(path + "change/", {"annotations_wanted": "5", "priority": "3"})
        task.refresh_from_db()
        assert (task.state, task.annotations_wanted, task.priority) == ("open", 5, 3)


class TestReviewWithoutScript:
    def test_a_plain_form_corrects(
        self, project: Project, ada: Person, rosa: Person, ben: Person, signed_in: Any
    ) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"review_share": 1})
        annotation = make_annotation(project, ben)
        client = signed_in(rosa)
        page = client.get("/p/desk/review/").content.decode()
        assert "Random sample" in page and 'name="decision" value="accept"' in page
        concern = project.concerns.get()
        said = {"annotation": str(annotation.public_id), "decision": "correct", "choice": "5"}
        reply = client.post(f"/p/desk/review/{concern.public_id}/", said)
        assert reply.status_code == 302
        current = Assignment.objects.get().current
        assert current is not None and (current.annotator, current.payload["outcome"]) == (rosa, "tie")

        again = client.post(f"/p/desk/review/{concern.public_id}/", said, follow=True)
        assert "Rosa corrected this annotation at" in again.content.decode()

    def test_what_cannot_be_answered_any_more_can_still_be_decided_about(
        self, project: Project, ada: Person, rosa: Person, ben: Person, signed_in: Any
    ) -> None:
        make_kind(project, "classification", scheme="folder")
        held = take(project, ben)
        annotations.submit(assignment=held, answer={"labels": ["work"]})
        annotations.flag(assignment=held, by=ben, reason="odd")
        Task.objects.update(state=Task.State.SETTLED)
        projects.update_project(by=ada, project=project, label_scheme={})
        page = signed_in(rosa).get("/p/desk/review/").content.decode()
        assert "were removed from the project" in page and 'value="accept"' in page

    def test_home_tells_the_admin_and_filters_narrow(
        self, project: Project, ada: Person, ben: Person, signed_in: Any
    ) -> None:
        annotation = make_annotation(project, ben)
        annotations.flag(assignment=annotation.assignment, by=ben, reason="cut off")
        client = signed_in(ada)
        assert "Reviews pending: 1 flagged." in client.get("/p/desk/").content.decode()
        assert "cut off" in client.get(f"/p/desk/review/?annotator={ben.public_id}").content.decode()
        assert "No matching reviews" in client.get("/p/desk/review/?kind=ranking").content.decode()
        assert client.get("/p/desk/review/?annotator=nobody&week=never").status_code == 200


def test_checks_are_told_to_annotators_as_last_weeks_total(
    project: Project, ada: Person, ben: Person, signed_in: Any
) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"gold_share": 1})
    for right in (TIE, {"outcome": "both_bad"}):
        gold.mark(by=ada, task=make_task(project), answer=right)
        annotations.submit(assignment=take(project, ben), answer=TIE)
    client = signed_in(ben)
    assert "last week" not in client.get("/account/").content.decode()
    today = timezone.now()
    last = today - timedelta(days=today.weekday() + 3)
    Annotation.objects.update(created_at=last)
    assert "1 of 2" in client.get("/account/").content.decode()


def test_who_reached_their_limit_is_told_when_it_goes_on(
    project: Project, ada: Person, ben: Person, signed_in: Any
) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"daily_limit": 1})
    make_annotation(project, ben)
    make_task(project)
    page = signed_in(ben).get("/p/desk/desk/").content.decode()
    assert "You reached your daily limit of 1 annotations" in page and "00:00 UTC" in page
    assert "checks again at that time" in page and "No model serves" not in page


@pytest.mark.parametrize("path", ["project/queue/", "project/members/{}/", "data/tasks/{}/gold/", "review/"])
def test_annotators_see_none_of_it(project: Project, ben: Person, dan: Person, signed_in: Any, path: str) -> None:
    task = make_task(project)
    path = "/p/desk/" + path.format(task.public_id if "tasks" in path else ben.public_id)
    assert signed_in(ben).get(path).status_code == 403
    assert signed_in(dan).get(path).status_code == 404
