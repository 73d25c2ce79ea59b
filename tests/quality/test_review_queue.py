"""What needs a reviewer goes to their queue: flags, disagreement, what many skip, a sample. Decisions close it; of two
reviewers at once the second one is told, and nobody decides about their own."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from feedback.errors import Conflict, Forbidden, Invalid
from feedback.models import Annotation, Assignment, Concern, Person, PreferencePair, Project, Review, Task, Verdict
from feedback.selectors.collection import desk
from feedback.selectors.data.training_queries import Policy
from feedback.selectors.data.training_rows import feedback_rows
from feedback.selectors.quality import reviews as review_selectors
from feedback.services.collection import annotations, assignment_queue, assignments, tasks
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.platform import people, projects
from feedback.services.quality import reviews
from tests.data.test_import import brought_in
from tests.factories import PREFERS_A, make_annotation, make_prompt_in, make_task, take

pytestmark = pytest.mark.database

TIE = {"outcome": "tie"}


def waiting(project: Project, reviewer: Person) -> list[str]:
    return [concern.reason for concern in review_selectors.waiting(project, reviewer)]


@pytest.fixture
def disputed(project: Project, ben: Person, chloe: Person) -> Task:
    """Ben prefers the first response of the task's own order, Chloe says that they are equal."""
    task = make_task(project, make_prompt_in(project, "train"))
    held = take(project, ben)
    first = task.placed.first()
    assert first is not None
    choice = "ab"[held.order.index(first.response_id)]
    annotations.submit(assignment=held, answer=PREFERS_A | {"choice": choice})
    annotations.submit(assignment=take(project, chloe), answer=TIE)
    return task


class TestSkips:
    def test_what_many_skip_is_set_aside_until_a_reviewer_looks(
        self, project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person
    ) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"skips_to_review": 2})
        task = make_task(project)
        assignments.skip(assignment=take(project, ben), reason="unclear", note="Which router?")
        assert (Task.objects.get().state, Concern.objects.count()) == ("open", 0)
        assignments.skip(assignment=take(project, chloe), reason="unclear")
        assert Task.objects.get().state == "aside"
        assert isinstance(assignment_queue.next_assignment(project=project, annotator=ada), NoTask)
        concern = review_selectors.waiting(project, rosa).get()
        seen = review_selectors.look(concern)
        assert seen.details == ["Ben, unclear: Which router?", "Chloe, unclear"]
        assert review_selectors.skips(task) == {"unclear": 2}
        with pytest.raises(Conflict, match="Withdraw or reopen it"):
            reviews.dismiss(concern=concern, by=rosa)

        task.refresh_from_db()
        tasks.reopen_task(by=rosa, task=task)
        assert waiting(project, rosa) == []
        assert take(project, ada).task_id == task.pk

    def test_an_answer_taken_back_is_no_skip(self, project: Project, ada: Person, ben: Person, chloe: Person) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"skips_to_review": 2})
        annotation = make_annotation(project, ben)
        annotations.withdraw(assignment=annotation.assignment, by=ben)
        assignments.skip(assignment=take(project, chloe), reason="broken")
        assert Task.objects.get().state == "open"

    def test_one_who_holds_it_may_still_send(self, project: Project, ada: Person, ben: Person, chloe: Person) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"skips_to_review": 1})
        make_task(project)
        held = take(project, ben)
        assignments.skip(assignment=take(project, chloe), reason="broken")
        annotations.submit(assignment=held, answer=TIE)
        assert held.counted

    def test_withdrawing_closes_it(self, project: Project, ada: Person, rosa: Person, ben: Person) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"skips_to_review": 1})
        task = make_task(project)
        assignments.skip(assignment=take(project, ben), reason="offensive")
        tasks.withdraw_task(by=rosa, task=task)
        assert (Task.objects.get().state, waiting(project, rosa)) == ("withdrawn", [])


class TestAnswers:
    def test_flags_come_first_and_a_decision_closes_them(
        self, project: Project, rosa: Person, ben: Person, chloe: Person, disputed: Task
    ) -> None:
        said = Annotation.objects.get(annotator=chloe)
        annotations.flag(assignment=said.assignment, by=chloe, reason="Both are wrong.")
        annotations.flag(assignment=said.assignment, by=ben, reason="Yes.")
        assert waiting(project, rosa) == ["flagged", "disagreement"]
        concern = review_selectors.waiting(project, rosa)[0]
        assert review_selectors.look(concern).details == ["Chloe: Both are wrong.", "Ben: Yes."]
        reviews.review(annotation=said, by=rosa, decision="accept")
        assert waiting(project, rosa) == ["disagreement"]

    def test_a_share_of_all_answers(self, project: Project, ada: Person, rosa: Person, ben: Person) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"review_share": 1})
        make_annotation(project, ben)
        assert waiting(project, rosa) == ["sample"]
        projects.update_project(by=ada, project=project, queue_policy={"review_share": 0})
        make_annotation(project, ben)
        assert waiting(project, rosa) == ["sample"]

    def test_nobody_sees_or_decides_about_their_own(self, project: Project, ada: Person, rosa: Person) -> None:
        projects.update_project(by=ada, project=project, queue_policy={"review_share": 1})
        annotation = make_annotation(project, rosa)
        assert (waiting(project, rosa), waiting(project, ada)) == ([], ["sample"])
        with pytest.raises(Forbidden):
            reviews.review(annotation=annotation, by=rosa, decision="accept")
        with pytest.raises(Forbidden):
            reviews.dismiss(concern=Concern.objects.get(), by=rosa)
        assert Review.objects.count() == 0

    def test_sent_back_says_why_and_may_be_done_again(self, project: Project, rosa: Person, ben: Person) -> None:
        annotation = make_annotation(project, ben)
        with pytest.raises(Invalid):
            reviews.review(annotation=annotation, by=rosa, decision="send_back")
        reviews.review(annotation=annotation, by=rosa, decision="send_back", note="Read the second one again.")
        (told,) = review_selectors.sent_back_to(ben)
        assert told["assignment"].sent_back == "Read the second one again." and told["at"] is not None

        again = assignments.renew(assignment=annotation.assignment, shown=True)
        assert again.state == "held"
        assert take(project, ben).pk == again.pk
        assert desk.payload(again)["sent_back"] == "Read the second one again."
        annotations.submit(assignment=again, answer=TIE)
        assert (again.counted, again.sent_back, review_selectors.sent_back_to(ben)) == (True, "", [])
        assert Annotation.objects.filter(annotator=ben).count() == 2

    @pytest.mark.django_db(transaction=True)
    def test_of_two_reviewers_at_once_one_is_told(
        self, project: Project, ada: Person, rosa: Person, ben: Person
    ) -> None:
        annotation = make_annotation(project, ben)
        told: list[str] = []
        start = threading.Barrier(2)

        def decide(by: Person, decision: str) -> None:
            try:
                start.wait(timeout=300)
                reviews.review(annotation=annotation, by=by, decision=decision, note="Look again.")
                told.append("done")
            except Conflict as conflict:
                told.append(conflict.sentence)
            finally:
                connection.close()

        threads = [threading.Thread(target=decide, args=one) for one in ((rosa, "accept"), (ada, "send_back"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=600)
        assert sorted(one == "done" for one in told) == [False, True]
        assert any(" this annotation at " in one for one in told)
        assert Review.objects.count() == 1


class TestTheUnreliable:
    def test_their_newest_answers_wait_for_a_reviewer(
        self, project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person
    ) -> None:
        """Chloe is wrong on every check, Ben and Ada are right."""
        projects.update_project(by=ada, project=project, queue_policy={"gold_share": 1})
        for _ in range(14):
            make_task(project, gold=TIE)
        for person, said in ((ben, TIE), (ada, TIE), (chloe, {"outcome": "both_bad"})):
            while isinstance(held := assignment_queue.next_assignment(project=project, annotator=person), Assignment):
                annotations.submit(assignment=held, answer=said)
        projects.update_project(by=ada, project=project, queue_policy={"gold_share": 0})
        project.refresh_from_db()
        for person in (ben, chloe, chloe):
            make_task(project, annotations_wanted=1)
            annotations.submit(assignment=take(project, person), answer=TIE)
        an_hour_ago = timezone.now() - timedelta(hours=1)
        assert reviews.doubt_unreliable(an_hour_ago) == 2
        open_ones = review_selectors.waiting(project, rosa)
        assert [(one.reason, one.assignment.annotator) for one in open_ones if one.assignment] == [
            ("unreliable", chloe)
        ] * 2
        reviews.dismiss(concern=open_ones[0], by=rosa)
        assert reviews.doubt_unreliable(an_hour_ago) == 0, "none comes twice"
        assert reviews.doubt_unreliable(timezone.now() + timedelta(hours=1)) == 0, "nobody has been at work since"


class TestVerdicts:
    def test_a_verdict_is_the_consensus_and_no_annotation(
        self, project: Project, rosa: Person, ben: Person, disputed: Task
    ) -> None:
        assert disputed.annotations.count() == 2
        assert consensus(project) == [] or len(consensus(project)) == 1
        second = disputed.placed.last()
        assert second is not None
        verdict = reviews.decide(task=disputed, by=rosa, answer={"outcome": "prefer", "choice": "b", "strength": 3})
        assert Annotation.objects.count() == 2 and waiting(project, rosa) == []
        assert verdict.payload["chosen"] == str(second.response.public_id)
        (row,) = consensus(project)
        assert (row["chosen"], row["strength"]) == (second.response.text, 3)
        assert PreferencePair.objects.standing().count() == 1, "the annotators' own pairs are as they were"

    def test_a_verdict_of_no_difference_makes_no_pair(self, project: Project, rosa: Person, disputed: Task) -> None:
        reviews.decide(task=disputed, by=rosa, answer=TIE)
        assert consensus(project) == []

    def test_one_verdict_a_task(self, project: Project, ada: Person, rosa: Person, disputed: Task) -> None:
        reviews.decide(task=disputed, by=rosa, answer=TIE)
        with pytest.raises(Conflict, match="Rosa decided about this task"):
            reviews.decide(task=disputed, by=ada, answer=PREFERS_A)
        assert Verdict.objects.count() == 1

    def test_not_by_who_answered_it(self, project: Project, ada: Person, ben: Person, disputed: Task) -> None:
        projects.set_member(by=ada, project=project, person=ben, role="reviewer")
        assert waiting(project, ben) == []
        with pytest.raises(Forbidden):
            reviews.decide(task=disputed, by=ben, answer=TIE)

    def test_agreeing_answers_need_none(self, project: Project, rosa: Person, ben: Person, chloe: Person) -> None:
        make_task(project)
        for person in (ben, chloe):
            annotations.submit(assignment=take(project, person), answer=TIE)
        assert waiting(project, rosa) == []


def consensus(project: Project) -> list[dict[str, Any]]:
    rows = feedback_rows(project, Policy(pairs="consensus"))
    return [row.row for row in rows if row.row["kind"] == "preference"]


def test_filters(project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"review_share": 1})
    people_met = (ben, chloe, people.create_person(by=None, username="eve", password="a-long-password-for-tests"))
    projects.set_member(by=ada, project=project, person=people_met[2], role="annotator")
    for person in people_met:
        annotations.submit(assignment=take_made(project, person), answer=TIE)
    of_ben = review_selectors.waiting(project, rosa, review_selectors.Filters(annotator=ben.public_id))
    assert [concern.assignment.annotator for concern in of_ben if concern.assignment] == [ben]
    assert (
        review_selectors.count(review_selectors.waiting(project, rosa, review_selectors.Filters(kind="ranking"))) == 0
    )
    today = Assignment.objects.latest("pk").created_at.date()
    assert review_selectors.count(review_selectors.waiting(project, rosa, review_selectors.Filters(week=today))) == 3


def take_made(project: Project, person: Person) -> Assignment:
    make_task(project, annotations_wanted=1)
    return take(project, person)


def test_disagreement_comes_in_with_a_file(project: Project, ada: Person, rosa: Person) -> None:
    def row(number: int, *outcomes: str) -> bytes:
        said = [{"annotator": f"p{place}", "answer": {"outcome": one}} for place, one in enumerate(outcomes)]
        content = {"prompt": f"Why {number}?", "responses": ["Because.", "So."], "answers": said}
        return json.dumps(content).encode() + b"\n"

    brought_in(project, ada, row(1, "tie", "both_bad") + row(2, "tie", "tie") + row(3, "tie"), source="elsewhere")
    (concern,) = review_selectors.waiting(project, rosa)
    assert (concern.reason, concern.task.prompt.text) == ("disagreement", "Why 1?")
