"""The desk's rules, one by one: leases, late answers, extras, skips, revision, taking back, review."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.errors import AlreadySubmitted, Conflict, Invalid, NotHeld
from feedback.models import Annotation, Assignment, Draft, Person, PreferencePair, Project, Task
from feedback.services.collection import annotations, assignment_queue, assignments
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.platform import projects
from feedback.services.quality import reviews
from tests.factories import PREFERS_A, make_model, make_prompt, make_task, take

pytestmark = pytest.mark.database

PREFERS_B = {"outcome": "prefer", "choice": "b", "strength": 1}


def expire(assignment: Assignment) -> None:
    Assignment.objects.filter(pk=assignment.pk).update(held_until=timezone.now() - timedelta(seconds=1))
    assert assignments.release_expired() == 1


def test_what_is_held_comes_again_and_one_ahead_comes_with_it(project: Project, ben: Person) -> None:
    for _ in range(3):
        make_task(project)
    shown = take(project, ben)
    assert take(project, ben) == shown
    ahead = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True)
    assert isinstance(ahead, Assignment) and ahead.ahead and ahead != shown
    assert ahead.held_until - timezone.now() < timedelta(minutes=3, seconds=1)
    assert shown.held_until - timezone.now() > timedelta(minutes=9)
    assert assignment_queue.next_assignment(project=project, annotator=ben, ahead=True) == ahead

    annotations.submit(assignment=shown, answer=PREFERS_A)
    now_shown = take(project, ben)
    assert now_shown == ahead and not now_shown.ahead


def test_three_are_held_ahead_for_whoever_says_what_they_have(project: Project, ben: Person) -> None:
    for _ in range(6):
        make_task(project)
    have = [str(take(project, ben).public_id)]
    for _ in range(3):
        found = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True, have=have)
        assert isinstance(found, Assignment) and found.ahead and str(found.public_id) not in have
        have.append(str(found.public_id))
    full = assignment_queue.next_assignment(project=project, annotator=ben, ahead=True, have=have)
    assert isinstance(full, Assignment) and str(full.public_id) in have
    assert Assignment.objects.filter(annotator=ben, state="held").count() == len(have) == 4


def test_an_expired_answer_counts_while_its_place_is_free(project: Project, ben: Person) -> None:
    task = make_task(project, annotations_wanted=1)
    assignment = take(project, ben)
    expire(assignment)
    annotation = annotations.submit(assignment=assignment, answer=PREFERS_A)
    assert annotation.late and assignment.counted
    task.refresh_from_db()
    assert (task.state, task.free_slots) == ("settled", 0)


def test_an_expired_answer_is_kept_as_an_extra_when_its_place_is_taken(
    project: Project, ben: Person, chloe: Person
) -> None:
    task = make_task(project, annotations_wanted=1)
    late = take(project, ben)
    expire(late)
    annotations.submit(assignment=take(project, chloe), answer=PREFERS_A)
    annotations.submit(assignment=late, answer=PREFERS_B)
    assert not late.counted and late.slot is None
    assert PreferencePair.objects.standing().count() == 2
    assert Assignment.objects.filter(task=task, counted=True).count() == 1

    # When the counted answer is taken back, the extra takes its place: the task stays settled.
    counted = Assignment.objects.get(task=task, annotator=chloe)
    annotations.withdraw(assignment=counted, by=chloe)
    late.refresh_from_db()
    task.refresh_from_db()
    assert late.counted and late.slot == 1
    assert task.state == "settled"


def test_an_extra_that_fills_the_last_place_settles_the_task(
    project: Project, ben: Person, chloe: Person, rosa: Person
) -> None:
    task = make_task(project, annotations_wanted=2)
    late = take(project, ben)
    expire(late)
    annotations.submit(assignment=take(project, chloe), answer=PREFERS_A)
    held = take(project, rosa)
    annotations.submit(assignment=late, answer=PREFERS_B)
    assert not late.counted
    assignments.release(assignment=held)
    late.refresh_from_db()
    task.refresh_from_db()
    assert late.counted and task.state == "settled"


def test_a_second_answer_is_refused_and_the_first_stands(project: Project, ben: Person) -> None:
    make_task(project)
    assignment = take(project, ben)
    annotations.submit(assignment=assignment, answer=PREFERS_A)
    with pytest.raises(AlreadySubmitted):
        annotations.submit(assignment=assignment, answer=PREFERS_B)
    assert Annotation.objects.count() == 1


def test_a_wrong_answer_changes_nothing(project: Project, ben: Person) -> None:
    task = make_task(project)
    assignment = take(project, ben)
    with pytest.raises(Invalid) as caught:
        annotations.submit(assignment=assignment, answer={"outcome": "prefer", "choice": "c", "strength": 1})
    assert caught.value.field == "choice"
    assignment.refresh_from_db()
    task.refresh_from_db()
    assert assignment.state == "held" and task.free_slots == 1
    assert not Annotation.objects.exists() and not PreferencePair.objects.exists()


def test_a_skip_frees_the_slot_and_excludes_the_person(project: Project, ben: Person, chloe: Person) -> None:
    make_task(project, annotations_wanted=1)
    assignments.skip(assignment=take(project, ben), reason="unclear", note="which router?")
    nothing = assignment_queue.next_assignment(project=project, annotator=ben)
    assert isinstance(nothing, NoTask) and nothing.reason == "all_seen"
    assert take(project, chloe)


def test_what_is_given_back_comes_again(project: Project, ben: Person) -> None:
    make_task(project)
    first = take(project, ben)
    assignments.release(assignment=first)
    assignments.release(assignment=first)
    assert Task.objects.get().free_slots == 2
    again = take(project, ben)
    assert again.pk == first.pk and again.public_id == first.public_id


def test_a_revision_closes_the_old_pair_and_keeps_its_history(project: Project, ben: Person) -> None:
    make_task(project)
    assignment = take(project, ben)
    first = annotations.submit(assignment=assignment, answer=PREFERS_A)
    second = annotations.revise(assignment=assignment, answer=PREFERS_B, by=ben)
    assert second.revision == 2 and assignment.current == second
    standing = PreferencePair.objects.standing().get()
    assert standing.annotation == second
    old = PreferencePair.objects.get(annotation=first)
    assert old.closed_at is not None
    assert (old.chosen_id, old.rejected_id) == (standing.rejected_id, standing.chosen_id)
    first.refresh_from_db()
    assert first.payload["strength"] == 2


def test_taking_back_reopens_the_task(project: Project, ben: Person, chloe: Person) -> None:
    task = make_task(project, annotations_wanted=1)
    assignment = take(project, ben)
    annotations.submit(assignment=assignment, answer=PREFERS_A)
    annotations.withdraw(assignment=assignment, by=ben)
    task.refresh_from_db()
    assert (task.state, task.free_slots) == ("open", 1)
    assert not PreferencePair.objects.standing().exists()
    assert Annotation.objects.filter(assignment=assignment).count() == 2
    assert isinstance(assignment_queue.next_assignment(project=project, annotator=ben), NoTask)
    assert take(project, chloe).task_id == task.pk


def test_send_back_uncounts_and_offers_the_task_again(project: Project, ben: Person, rosa: Person) -> None:
    task = make_task(project, annotations_wanted=1)
    assignment = take(project, ben)
    annotation = annotations.submit(assignment=assignment, answer=PREFERS_A)
    reviews.review(annotation=annotation, by=rosa, decision="send_back", note="read it again")
    task.refresh_from_db()
    assert task.state == "open"
    again = take(project, ben)
    assert again.pk == assignment.pk
    second = annotations.submit(assignment=again, answer=PREFERS_B)
    assert second.revision == 2


def test_a_correction_is_the_reviewers_answer(project: Project, ben: Person, rosa: Person) -> None:
    make_task(project, annotations_wanted=1)
    assignment = take(project, ben)
    annotation = annotations.submit(assignment=assignment, answer=PREFERS_A)
    reviews.review(annotation=annotation, by=rosa, decision="correct", answer=PREFERS_B)
    assignment.refresh_from_db()
    assert assignment.current is not None and assignment.current.annotator == rosa and assignment.counted
    assert PreferencePair.objects.standing().get().annotation.annotator == rosa
    with pytest.raises(Conflict):
        reviews.review(annotation=annotation, by=rosa, decision="accept")


def test_renewing_what_was_lost_is_refused(project: Project, ben: Person, chloe: Person) -> None:
    make_task(project, annotations_wanted=1)
    assignment = take(project, ben)
    expire(assignment)
    take(project, chloe)
    with pytest.raises(NotHeld):
        assignments.renew(assignment=assignment)


def test_drafts_are_kept_past_expiry_and_gone_when_sent(project: Project, ben: Person) -> None:
    make_task(project)
    assignment = take(project, ben)
    annotations.save_draft(assignment=assignment, payload={"reason": "because"})
    expire(assignment)
    annotations.save_draft(assignment=assignment, payload={"reason": "because of"})
    assert Draft.objects.get().payload == {"reason": "because of"}
    annotations.submit(assignment=assignment, answer=PREFERS_A)
    assert not Draft.objects.exists()


def test_gold_may_be_answered_by_everybody_once(
    project: Project, ada: Person, ben: Person, chloe: Person, rosa: Person
) -> None:
    projects.update_project(by=ada, project=project, queue_policy={"gold_share": 1})
    check = make_task(project, gold={"outcome": "prefer", "choice": "a"})
    for person in (ben, chloe, rosa):
        annotations.submit(assignment=take(project, person), answer=PREFERS_A)
        assert isinstance(assignment_queue.next_assignment(project=project, annotator=person), NoTask)
    check.refresh_from_db()
    assert check.state == "open"


def test_priority_comes_first_even_behind_the_cursor(project: Project, ben: Person) -> None:
    for _ in range(5):
        make_task(project)
    annotations.submit(assignment=take(project, ben), answer=PREFERS_A)
    urgent = make_task(project, priority=9)
    project.refresh_from_db()
    assert take(project, ben).task_id == urgent.pk


def test_a_paused_project_gives_nothing_out_but_takes_what_is_held(project: Project, ada: Person, ben: Person) -> None:
    make_task(project)
    held = take(project, ben)
    projects.set_state(by=ada, project=project, state="paused")
    nothing = assignment_queue.next_assignment(project=project, annotator=ben)
    assert isinstance(nothing, NoTask) and nothing.reason == "project_paused"
    annotations.submit(assignment=held, answer=PREFERS_A)
    assert Annotation.objects.count() == 1


def test_seconds_are_never_more_than_the_time_since_it_was_shown(project: Project, ben: Person) -> None:
    make_task(project)
    annotation = annotations.submit(assignment=take(project, ben), answer=PREFERS_A, seconds=5000)
    assert 0 <= annotation.seconds < 60


def test_nobody_judges_what_models_answered_to_their_own_prompt(
    project: Project, ada: Person, ben: Person, chloe: Person
) -> None:
    """They may read which model it was."""
    make_model(project, ada, serve=True)
    task = make_task(project, make_prompt(project, by=ben, responses_wanted=2))
    assert isinstance(assignment_queue.next_assignment(project=project, annotator=ben), NoTask)
    assert take(project, chloe).task_id == task.pk
