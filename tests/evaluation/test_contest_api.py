"""Contests over REST: opened, read, paused, resumed and stopped; who may, and what annotators learn."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from feedback.models import Contest, Person, Project
from tests.evaluation.contest_story import begin, crowd, fresh, run, two_policies, write
from tests.evaluation.test_open_a_contest import evaluate
from tests.factories import make_model

pytestmark = pytest.mark.database

ROOT = "/api/v1/contests/"


def code(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.json()["errors"][0]["code"]


def test_an_admin_opens_one_and_a_repeat_opens_no_second(project: Project, ada: Person, client_for: Any) -> None:
    incumbent, candidate = two_policies(project, ada)
    evaluate(candidate, incumbent)
    client: APIClient = client_for(ada)
    body = {"project": "desk", "candidates": [str(candidate.public_id)], "cap": 300, "share": 0.25, "promote": True}
    made = client.post(ROOT, body, headers={"Idempotency-Key": "once"})
    again = client.post(ROOT, body, headers={"Idempotency-Key": "once"})
    assert (made.status_code, again.json()) == (201, made.json())
    told = made.json()
    assert (told["state"], told["decision"], told["winner"]) == ("running", "", None)
    assert told["incumbent"] == str(incumbent.public_id)
    assert told["candidates"] == [{"id": str(candidate.public_id), "name": str(candidate)}]
    assert (told["cap"], told["share"], told["promote"], told["alpha"]) == (300, 0.25, True, 0.05)
    assert (told["votes_per_unit"], told["fresh_only"], told["preconditions"]) == (1, False, "block")
    assert code(client.post(ROOT, body)) == (409, "contest_running")
    assert Contest.objects.count() == 1
    [listed] = client.get(f"{ROOT}?project=desk").json()["results"]
    assert listed == told


def test_what_cannot_be_opened_names_the_reason(
    project: Project, other_project: Project, ada: Person, dan: Person, client_for: Any
) -> None:
    _, candidate = two_policies(project, ada)
    client = client_for(ada)
    body: dict[str, Any] = {"project": "desk", "candidates": [str(candidate.public_id)]}
    refused = client.post(ROOT, body)
    assert code(refused) == (409, "contest_blocked")
    assert [one["name"] for one in refused.json()["extra"]["findings"]] == ["not_evaluated"]
    elsewhere = make_model(other_project, dan)
    for changes, field in (
        ({"candidates": []}, "candidates"),
        ({"candidates": [str(elsewhere.public_id)]}, "candidates"),
        ({"cap": 0}, "cap"),
        ({"share": 1.5}, "share"),
        ({"alpha": 0.9}, "alpha"),
        ({"preconditions": "ignore"}, "preconditions"),
        ({"votes": 3}, "votes"),
    ):
        reply = client.post(ROOT, body | changes)
        assert reply.status_code in (400, 404) and reply.json()["errors"][0]["attr"].startswith(field), changes
    assert not Contest.objects.exists()


def test_it_is_paused_resumed_and_stopped(project: Project, ada: Person, client_for: Any) -> None:
    contest = begin(project, ada)
    client = client_for(ada)
    at = f"{ROOT}{contest.public_id}/"
    assert client.post(f"{at}pause/").json()["state"] == "paused"
    assert "is paused" in client.get(at).json()["waits_for"]
    assert code(client.post(f"{at}pause/")) == (409, "invalid_transition")
    assert client.post(f"{at}resume/").json()["state"] == "running"
    told = client.post(f"{at}stop/").json()
    assert (told["state"], told["decision"]) == ("stopped", "stopped")
    assert code(client.post(f"{at}stop/")) == (409, "invalid_transition")
    assert client.get(at).json()["waits_for"] == ""


def test_how_it_stands_and_its_units(
    project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person, client_for: Any
) -> None:
    contest = begin(project, ada, cap=6)
    write(contest)
    contest = run(contest, [ben, chloe, *crowd(project, ada, 1)], [1, 1, 0, 1, 0.5, 1])
    assert contest.decision == "cap"
    told = client_for(ada).get(f"{ROOT}{contest.public_id}/").json()
    figures = told["figures"]
    assert (figures["votes"], figures["prompts"], figures["voters"], figures["fresh"]) == (6, 6, 3, True)
    [standing] = figures["standings"]
    assert standing["win_rate"] == 0.75 and standing["bar"] == 20 and standing["standing"] == "open"
    assert standing["sentence"].startswith("Not shown to be better: 75 % (")
    assert standing["sentence"].endswith("after 6 of at most 6 votes on 6 prompts by 3 people.")
    assert {one["label"] for one in standing["by_annotator"]} >= {"Ben", "Chloe"}
    for_reviewer = client_for(rosa).get(f"{ROOT}{contest.public_id}/").json()["figures"]["standings"][0]
    assert [one["label"] for one in for_reviewer["by_annotator"]] == ["Annotator 1", "Annotator 2", "Annotator 3"]

    reply = client_for(rosa).get(f"{ROOT}{contest.public_id}/units/?page_size=4")
    assert "Ben" not in reply.content.decode() and reply.json()["next"]
    units = reply.json()["results"] + client_for(rosa).get(reply.json()["next"]).json()["results"]
    by_number = sorted(units, key=lambda one: one["number"])
    assert [one["number"] for one in by_number] == [1, 2, 3, 4, 5, 6]
    assert [one["x"] for one in by_number] == [1, 1, 0, 1, 0.5, 1]
    assert all(one["log_e"] is not None and one["state"] == "complete" and one["fresh"] for one in units)


def test_annotators_and_strangers_learn_nothing(
    project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person, dan: Person, client_for: Any
) -> None:
    contest = begin(project, ada, cap=2)
    write(contest)
    at = f"{ROOT}{contest.public_id}/"
    body = {"project": "desk", "candidates": [str(contest.plan.candidates.get().model_version.public_id)]}
    for ended in (False, True):
        if ended:
            contest = run(contest, [ben, chloe], [1, 0])
            assert contest.state == "decided"
        for path in (f"{ROOT}?project=desk", at, f"{at}units/"):
            assert client_for(ben).get(path).status_code == 403
            assert client_for(dan).get(path).status_code == 404
            assert client_for(rosa).get(path).status_code == 200
        for person, status in ((rosa, 403), (ben, 403), (dan, 404)):
            for verb in ("pause", "resume", "stop"):
                assert client_for(person).post(f"{at}{verb}/").status_code == status, (person, verb)
            assert client_for(person).post(ROOT, body).status_code == status
    contest.refresh_from_db()
    assert (contest.state, Contest.objects.count()) == ("decided", 1)


def test_scopes(project: Project, ada: Person, client_for: Any) -> None:
    contest = begin(project, ada)
    reads, trains = client_for(ada, "read"), client_for(ada, "train")
    assert reads.get(f"{ROOT}{contest.public_id}/").status_code == 200
    assert code(reads.post(f"{ROOT}{contest.public_id}/stop/")) == (403, "insufficient_scope")
    assert code(trains.get(f"{ROOT}{contest.public_id}/")) == (403, "insufficient_scope")
    assert trains.post(f"{ROOT}{contest.public_id}/stop/").status_code == 200


def test_the_statements_do_not_grow_with_the_votes(
    project: Project, ada: Person, ben: Person, chloe: Person, client_for: Any, django_assert_max_num_queries: Any
) -> None:
    contest = begin(project, ada, cap=12)
    fresh(project, 8)
    write(contest)
    run(contest, [ben, chloe], [1, 0] * 6)
    client = client_for(ada)
    with django_assert_max_num_queries(22):
        client.get(f"{ROOT}{contest.public_id}/")
    with django_assert_max_num_queries(10):
        client.get(f"{ROOT}{contest.public_id}/units/")
    with django_assert_max_num_queries(12):
        client.get(f"{ROOT}?project=desk")
