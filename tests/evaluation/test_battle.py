"""A battle: a member's own prompt, two blind responses, a vote, then the names. It counts nowhere but apart."""

from collections import Counter
from typing import Any

import pytest

from feedback.errors import Conflict, Invalid, TooManyRequests
from feedback.models import (
    Annotation,
    Assignment,
    Battle,
    ModelVersion,
    Person,
    PreferencePair,
    Project,
    Response,
    Task,
)
from feedback.selectors.data import training_queries
from feedback.selectors.data.training_queries import Policy
from feedback.selectors.evaluation import arena, contest_prompts
from feedback.selectors.evaluation import battles as battle_selectors
from feedback.selectors.screening import guard_models
from feedback.services.collection import assignment_queue, generation
from feedback.services.evaluation import battles
from feedback.services.registry import model_versions
from feedback.services.screening import screening
from tests.factories import make_model, write_answers

pytestmark = pytest.mark.database
BEGIN = "/p/desk/arena/battle/"


@pytest.fixture
def two(project: Project, ada: Person) -> tuple[ModelVersion, ModelVersion]:
    return make_model(project, ada), make_model(project, ada)


def begin(project: Project, person: Person, text: str = "How do I clean a lamp?") -> Battle:
    battle = battles.start(project=project, person=person, text=text)
    write_answers(battle.prompt, "With a dry cloth.", "With water, switched on.")
    battle.refresh_from_db()
    return battle


def test_type_vote_and_see_the_names(project: Project, ben: Person, two: Any, signed_in: Any) -> None:
    client = signed_in(ben)
    reply = client.post(BEGIN, {"text": "How do I clean a lamp?"})
    battle = Battle.objects.get()
    page_of_battle = f"{BEGIN.replace('battle/', 'battles/')}{battle.public_id}/"
    assert reply["Location"] == page_of_battle
    page = client.get(page_of_battle).content.decode()
    assert 'hx-trigger="every 2s"' in page and "Generating two responses" in page
    write_answers(battle.prompt, "With a dry cloth.", "With water, switched on.")
    page = client.get(page_of_battle).content.decode()
    assert "With a dry cloth." in page and 'data-key="2"' in page and "hx-trigger" not in page
    for version in two:
        assert str(version) not in page and str(version.public_id) not in page
    battle.refresh_from_db()
    assert battle.left is not None
    assert str(battle.left.public_id) not in page
    client.post(f"{page_of_battle}vote/", {"choice": "2"})
    client.post(f"{page_of_battle}vote/", {"choice": "8"})  # twice: the first one stands
    page = client.get(page_of_battle).content.decode()
    assert f"You preferred {battle.left_version}." in page
    assert str(two[0]) in page and str(two[1]) in page
    annotation = Annotation.objects.get()
    assert annotation.blind and annotation.payload["chosen"] == str(battle.left.public_id)
    task = Task.objects.get()
    assert (task.arm, task.state, task.propensity, task.contest_id) == ("battle", "settled", 0.5, None)
    assert task.prompt.created_by is None


def test_a_battle_counts_apart_and_trains_only_where_it_may(
    project: Project, ben: Person, rosa: Person, two: Any
) -> None:
    for person in (ben, rosa):
        battles.vote(battle=begin(project, person), person=person, choice="8")
    found = arena.arena(project)
    assert (found.votes, found.battles.votes, found.left_out) == (0, 2, 0)
    assert PreferencePair.objects.count() == 2
    policy = Policy()
    assert not training_queries.all_pairs(project, policy).exists()
    assert not training_queries.current_annotations(project, policy, "comparison").exists()
    assert not training_queries.asked_of_models(project, policy).exists()
    assert contest_prompts.count_fresh(project, [two[0]]) == 0
    project.battles_train = True
    project.save()
    assert training_queries.all_pairs(project, policy).count() == 2
    assert training_queries.current_annotations(project, policy, "comparison").count() == 2
    assert training_queries.asked_of_models(project, policy).count() == 2
    assert contest_prompts.count_fresh(project, [two[0]]) == 0


def test_nobody_else_is_given_or_shown_it(
    project: Project, ben: Person, chloe: Person, ada: Person, two: Any, signed_in: Any
) -> None:
    battle = begin(project, ben)
    path = f"/p/desk/arena/battles/{battle.public_id}/"
    for person in (chloe, ada):
        assert signed_in(person).get(path).status_code == 404
        assert signed_in(person).post(f"{path}vote/", {"choice": "2"}).status_code == 404
    assert not Annotation.objects.exists()
    battles.vote(battle=battle, person=ben, choice="2")
    assert not isinstance(assignment_queue.next_assignment(project=project, annotator=chloe), Assignment)


def test_versions_and_sides_are_drawn_alike(project: Project, ada: Person, ben: Person, two: Any) -> None:
    third = make_model(project, ada)
    make_model(project, ada, stage="reward")
    refused = make_model(project, ada)
    ModelVersion.objects.filter(pk=refused.pk).update(state=ModelVersion.State.REJECTED)
    assert battle_selectors.entrants(project) == [third, two[1], two[0]]
    seen: Counter[tuple[int, int]] = Counter()
    for _ in range(60):
        battle = begin(project, ben)
        assert battle.propensity == pytest.approx(1 / 6) and battle.left and battle.right
        assert battle.left.model_version_id == battle.left_version_id
        assert battle.right.model_version_id == battle.right_version_id
        seen[battle.left_version_id, battle.right_version_id] += 1
    assert len(seen) == 6, "each of six ordered pairs stays out of 60 draws once in 50,000 runs"


def test_what_a_battle_refuses(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    make_model(project, ada)
    with pytest.raises(Conflict, match="two model versions"):
        battles.start(project=project, person=ben, text="Which?")
    assert "A battle needs two versions" in signed_in(ben).get(BEGIN).content.decode()
    make_model(project, ada)
    with pytest.raises(Invalid, match="Write a prompt"):
        battles.start(project=project, person=ben, text=" \n")
    battle = battles.start(project=project, person=ben, text="Which?")
    with pytest.raises(Conflict, match="not ready"):
        battles.vote(battle=battle, person=ben, choice="2")
    for _ in range(2):
        battles.start(project=project, person=ben, text="Which?")
    with pytest.raises(TooManyRequests, match="as many battles"):
        battles.start(project=project, person=ben, text="Which?")
    assert Battle.objects.count() == 3
    write_answers(battle.prompt, "This.", "This.")
    with pytest.raises(Invalid, match="same text"):
        battles.vote(battle=battle, person=ben, choice="2")
    with pytest.raises(Invalid, match="Choose A"):
        battles.vote(battle=battle, person=ben, choice="x")
    assert not Annotation.objects.exists() and not Task.objects.exists()
    battles.vote(battle=battle, person=ben, choice="5")
    assert Annotation.objects.get().payload["outcome"] == "tie"


def test_a_response_that_failed_ends_it(project: Project, ben: Person, two: Any, signed_in: Any) -> None:
    battle = battles.start(project=project, person=ben, text="Which?")
    assert battle.left is not None
    generation.fail_response(battle.left, "The model was revoked.")
    page = signed_in(ben).get(f"/p/desk/arena/battles/{battle.public_id}/").content.decode()
    assert "Write another prompt." in page and "Start another battle" in page and "every 2s" not in page
    assert Response.objects.filter(prompt=battle.prompt).count() == 2


def test_the_guard_looks_at_the_prompt_first(project: Project, ada: Person, ben: Person, two: Any) -> None:
    """No response is requested before the prompt has passed; a blocked one ends the battle."""
    classifier = make_model(project, ada, stage="classify")
    ModelVersion.objects.filter(pk=classifier.pk).update(metrics={"class_balance": {"spam": 9, "ham": 9}})
    classifier.refresh_from_db()
    model_versions.decide(by=ada, model_version=classifier, state="approved")
    screening.set_screening(by=ada, project=project, guard={"model": "newest", "blocks": ["spam"], "threshold": 0.7})
    guard = guard_models.of(project).guard
    states = []
    for spam in (0.1, 0.9):
        battle = battles.start(project=project, person=ben, text="Which?")
        assert battle.left is None and battle_selectors.view(battle).state == "writing"
        scores = {"spam": spam, "ham": 1 - spam}
        assert screening.settle_prompt(battle.prompt, guard=guard, version=classifier, scores=scores, spans=[])
        battle = Battle.objects.get(pk=battle.pk)
        states.append((battle.left is None, battle_selectors.view(battle).state))
    assert states == [(False, "writing"), (True, "failed")]
    assert Response.objects.count() == 2
