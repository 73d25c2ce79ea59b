"""The arena: a leaderboard from blind comparisons, by hand, by role, and whatever the models are called."""

import math
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.models import Exclusion, ModelVersion, Person, Project
from feedback.rules.evaluation import arena_board
from feedback.rules.evaluation.arena_board import PromptTally, Share
from feedback.selectors.evaluation import arena
from feedback.selectors.platform import kept_figures
from feedback.services.collection import annotations
from feedback.services.evaluation import contests
from tests.conftest import ClientFor
from tests.evaluation.arena_story import compare
from tests.evaluation.contest_story import begin, vote, write
from tests.factories import make_model, make_prompt

pytestmark = pytest.mark.database


def names(found: arena.Arena) -> list[str]:
    return [found.names[one.entrant] for one in found.board.standings]


@pytest.fixture
def two(project: Project, ada: Person) -> tuple[ModelVersion, ModelVersion]:
    return make_model(project, ada), make_model(project, ada)


def test_a_small_matrix_by_hand(project: Project, ben: Person, chloe: Person, two: Any) -> None:
    """Three to one between two versions, and one tie with a model that is known by name only."""
    first, second = two
    for person in (ben, ben, chloe):
        compare(project, person, first, second)
    compare(project, chloe, second, first)
    compare(project, ben, first, "elsewhere-7b", tie=True, prompt=make_prompt(project, source="mail"))
    found = arena.arena(project)
    assert names(found) == ["policy v1", "elsewhere-7b", "policy v2"]
    top, middle, last = found.board.standings
    assert [one.rank for one in found.board.standings] == [1, 2, 3]
    assert top.against == (None, Share(0.5, 1), Share(3, 4)) and (top.wins, top.votes) == (3.5, 5)
    assert middle.against == (Share(0.5, 1), None, None) and last.against == (Share(1, 4), None, None)
    assert top.score == pytest.approx(1 / (1 + math.exp(-0.34)), abs=0.03)
    assert (found.votes, found.board.prompts, found.board.prompts_missing) == (5, 5, 3)
    assert top.low is None and found.board.connected
    sources = {part.group: (part.votes, part.shares) for part in found.sources}
    assert sources["mail"] == (1, (Share(0.5, 1), Share(0.5, 1), None))
    assert sources["No source"] == (4, (Share(3, 4), None, Share(1, 4)))
    people = {part.group: (part.votes, part.shares) for part in found.annotators}
    assert people[ben] == (3, (Share(2.5, 3), Share(0.5, 1), Share(0, 2)))
    assert people[chloe] == (2, (Share(1, 2), None, Share(1, 2)))


def test_what_does_not_count(project: Project, rosa: Person, ben: Person, chloe: Person, two: Any) -> None:
    """A reviewer could read the authors, Chloe was excluded, and two responses of one model say nothing."""
    first, second = two
    compare(project, ben, first, second)
    compare(project, rosa, second, first)
    compare(project, chloe, second, first)
    compare(project, ben, first, first)
    compare(project, ben, "elsewhere", "elsewhere")
    Exclusion.objects.create(project=project, person=chloe, reason="pace", hits=6, looked_at=7, since=timezone.now())
    withdrawn = compare(project, ben, second, first)
    annotations.withdraw(assignment=withdrawn.assignment, by=ben)
    found = arena.arena(project)
    assert (found.votes, found.left_out) == (1, 2)
    assert names(found) == ["policy v1", "policy v2"]
    assert [part.group for part in found.annotators] == [ben]


def test_a_revision_replaces_its_vote(project: Project, ben: Person, two: Any) -> None:
    first, second = two
    vote = compare(project, ben, first, second)
    assert names(arena.arena(project))[0] == "policy v1"
    annotations.revise(assignment=vote.assignment, answer={"outcome": "both_bad"}, by=ben)
    top, other = arena.arena(project).board.standings
    assert top.rank == other.rank == 1 and top.against[1] == Share(0.5, 1)


def test_a_running_contest_shows_no_tally(project: Project, ada: Person, ben: Person, client_for: ClientFor) -> None:
    contest = begin(project, ada)
    write(contest)
    vote(project, ben, 1)
    found = arena.arena(project)
    assert (found.votes, found.waiting, found.board.standings) == (0, 1, ())
    for person, shown in ((ada, 1), (ben, None)):  # whoever sees the number rise knows which task was a contest's
        assert client_for(person, "read").get("/api/v1/arena/?project=desk").json()["waiting"] == shown
    contests.stop(by=ada, contest=contest)
    found = arena.arena(project)
    assert (found.votes, found.waiting) == (1, 0) and found.board.standings[0].against[1] == Share(1, 1)


def test_another_project_has_an_arena_of_its_own(
    project: Project, other_project: Project, ben: Person, two: Any
) -> None:
    compare(project, ben, *two)
    assert arena.arena(other_project).votes == 0


def test_the_page_by_role(
    project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person, dan: Person, two: Any, signed_in: Any
) -> None:
    path = "/p/desk/arena/"
    assert "No votes yet" in signed_in(ben).get(path).content.decode()
    assert 'href="/p/desk/models/"' in signed_in(ada).get(path).content.decode()
    compare(project, chloe, *two)
    for person, named, linked in ((ada, True, True), (rosa, True, False), (ben, False, False)):
        page = signed_in(person).get(path).content.decode()
        main = page[page.index("<main") : page.index("</main>")]
        assert "policy v1" in main and "decides nothing" in main and "needs 7 more prompts" in main
        assert ("Chloe" in main) is named and ("Annotator 1" in main) is not named
        assert (f"/models/{two[0].public_id}/" in main) is linked
    assert signed_in(dan).get(path).status_code == 404


def test_rest_tells_the_same(
    project: Project, rosa: Person, ben: Person, chloe: Person, dan: Person, two: Any, client_for: ClientFor
) -> None:
    compare(project, chloe, *two)
    path = f"/api/v1/arena/?project={project.slug}"
    reply = client_for(rosa, "read").get(path).json()
    assert [(one["name"], one["wins"], one["votes"]) for one in reply["standings"]] == [
        ("policy v1", 1, 1),
        ("policy v2", 0, 1),
    ]
    assert reply["standings"][0]["model"] == str(two[0].public_id)
    assert reply["standings"][0]["against"] == [None, {"wins": 1, "votes": 1}]
    assert reply["annotators"][0]["person"]["name"] == "Chloe"
    assert client_for(ben, "read").get(path).json()["annotators"][0]["person"] is None
    assert client_for(dan, "read").get(path).status_code == 404


def test_with_many_votes_the_page_opens_first_and_asks_for_the_figures(
    project: Project, ben: Person, two: Any, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_figures, "LARGE", 1)
    compare(project, ben, *two)
    client = signed_in(ben)
    first = client.get("/p/desk/arena/").content.decode()
    assert 'hx-get="?fresh=1"' in first and "Computing the leaderboard" in first
    part = client.get("/p/desk/arena/?fresh=1").content.decode()
    assert part.lstrip().startswith("<div") and "policy v1" in part and "hx-get" not in part
    compare(project, ben, *two)
    assert "1 vote on" in client.get("/p/desk/arena/").content.decode(), "for a minute, what was computed stands"


@st.composite
def votes(draw: st.DrawFn) -> list[PromptTally[str]]:
    models = ["a", "b", "c", "d"]
    rows = []
    for prompt in range(draw(st.integers(1, 14))):
        first, second = draw(st.permutations(models))[:2]
        number = draw(st.integers(1, 3))
        rows.append(PromptTally(prompt, "", first, second, draw(st.integers(0, 2 * number)), number))
    return rows


@settings(max_examples=60, deadline=None)
@given(rows=votes(), order=st.permutations([0, 1, 2, 3]))
def test_what_models_are_called_changes_nothing(rows: list[PromptTally[str]], order: list[int]) -> None:
    """Other names, which sort differently, and each pair named the other way round."""
    renamed = {"abcd"[place]: f"{order[place]} model" for place in range(4)}
    swapped = [
        PromptTally(
            one.prompt, one.source, renamed[one.second], renamed[one.first], 2 * one.votes - one.halves, one.votes
        )
        for one in rows
    ]
    ours = {renamed[one.entrant]: one for one in arena_board.board(rows).standings}
    theirs = {one.entrant: one for one in arena_board.board(swapped).standings}
    assert ours.keys() == theirs.keys()
    for name, one in ours.items():
        other = theirs[name]
        assert (one.rank, one.votes, one.wins) == (other.rank, other.votes, other.wins)
        assert one.score == pytest.approx(other.score, abs=1e-6)
        assert (one.low is None) == (other.low is None)
        if one.low is not None and one.best is not None:
            assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)
            assert one.best == pytest.approx(other.best, abs=0.06), "four standard errors of 2,000 draws"
