"""An admin asks people from a model's page, follows the votes, and decides; reviewers read, annotators see nothing."""

from typing import Any

from django.test import Client

from feedback.models import Contest, ContestPlan, Evaluation, Event, Person, Project
from feedback.selectors.platform import home
from feedback.services.evaluation import contest_outcomes, contests
from feedback.services.registry import model_versions
from tests.evaluation.contest_story import begin, crowd, run, two_policies, write
from tests.evaluation.test_open_a_contest import SOUND, evaluate
from tests.factories import make_annotation

FORM = {"cap": 300, "votes_per_unit": 1, "share": 40, "promote": "on"}


def text(client: Client, path: str) -> str:
    reply = client.get(path)
    assert reply.status_code == 200, (path, reply.status_code)
    return reply.content.decode()


def page_of(contest: Contest) -> str:
    return f"/p/desk/contests/{contest.public_id}/"


def test_a_models_page_says_what_asking_people_takes(
    project: Project, ada: Person, ben: Person, signed_in: Any
) -> None:
    for _ in range(7):
        make_annotation(project, ben)
    incumbent, candidate = two_policies(project, ada)
    evaluate(candidate, incumbent, reward_model_win_rate={"value": 0.84})
    page = text(signed_in(ada), f"/p/desk/models/{candidate.public_id}/")
    section = page.split(f"Is it better than what serves, {incumbent}?")[1].split("</section>")[0]
    assert "Compare with people" in section and "Not asked yet. Expected: 138–315 votes" in section, section
    assert "at this week's rate" in section
    for check in ("Ends 95 % of its responses", "Entropy 62 % of", "Responses 12 % longer than"):
        assert check in section, check
    assert "prefers" in section and "84 %" in section and "no evidence" in section
    serves = text(signed_in(ada), f"/p/desk/models/{incumbent.public_id}/")
    assert "Is it better" not in serves and "Compare with people" not in serves


def test_the_outlook_follows_the_form(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    for _ in range(14):
        make_annotation(project, ben)
    incumbent, candidate = two_policies(project, ada)
    evaluate(candidate, incumbent)
    client = signed_in(ada)
    at = f"/p/desk/models/{candidate.public_id}/contest/"
    whole = text(client, at)
    assert "<html" in whole and "2,000 at most" in whole and "14 annotations" in whole
    part = client.get(at, {"cap": 100, "votes_per_unit": 2, "share": 100}, headers={"HX-Request": "true"})
    told = part.content.decode()
    assert "<html" not in told and "100 at most" in told and "50 days" in told and "Responses to generate" in told
    odd = client.get(at, {"cap": "many", "share": "-1"}, headers={"HX-Request": "true"}).content.decode()
    assert "2,000 at most" in odd, "what cannot be read is as it was at first"
    assert not Contest.objects.exists()


def test_the_form_opens_one(project: Project, ada: Person, signed_in: Any) -> None:
    incumbent, candidate = two_policies(project, ada)
    client = signed_in(ada)
    at = f"/p/desk/models/{candidate.public_id}/contest/"
    refused = client.post(at, FORM)
    assert refused.status_code == 422 and "was not evaluated against" in refused.content.decode()
    assert client.post(at, FORM | {"cap": 0}).status_code == 422
    assert not Contest.objects.exists()
    made = client.post(at, FORM | {"report": "on"})
    contest = Contest.objects.get()
    assert (made.status_code, made["Location"]) == (302, page_of(contest))
    plan = ContestPlan.objects.get()
    assert (plan.cap, plan.share, plan.promote, plan.preconditions) == (300, 0.4, True, "report")
    assert (plan.incumbent, plan.opened_by) == (incumbent, ada)
    again = client.post(at, FORM | {"report": "on"})
    assert again.status_code == 422 and "Another comparison of this project is running" in again.content.decode()
    assert client.get(f"/p/desk/models/{incumbent.public_id}/contest/").status_code == 404
    assert "Compare with people" not in text(client, f"/p/desk/models/{candidate.public_id}/")


def test_the_page_of_one_that_runs_and_is_decided(
    project: Project, ada: Person, rosa: Person, ben: Person, chloe: Person, signed_in: Any
) -> None:
    contest = begin(project, ada)
    client = signed_in(ada)
    assert "Not decided yet: no vote has counted yet." in text(client, page_of(contest))
    write(contest)
    contest = run(contest, [ben, chloe, *crowd(project, ada, 1)], [1, 1, 0])
    running = text(client, page_of(contest))
    assert "Not decided yet: 67 % (" in running and "of 20, after 3 of at most 2,000 votes on 3 prompts" in running
    assert "It waits for annotators" in running and "hx-trigger" in running and 'data-every="10"' in running
    assert "Pause</button>" in running and "Stop this comparison for good?" in running
    contest = run(contest, [ben, chloe, *Person.objects.filter(username="annotator0")], [1] * 40)
    assert contest.decision == "promote"
    contest_outcomes.apply_decisions()
    decided = text(client, page_of(contest))
    assert "Better: " in decided and "decided after" in decided and "by 3 people" in decided
    assert "It waits for your decision" in decided and "hx-trigger" not in decided and "data-every" not in decided
    assert "Ben</a>" in decided and "Pause</button>" not in decided
    for_reviewer = text(signed_in(rosa), page_of(contest))
    assert "Annotator 1" in for_reviewer and "Ben" not in for_reviewer and "/p/desk/models/" not in for_reviewer
    curve = client.get(f"{page_of(contest)}evidence.json").json()
    assert curve["final"] and [one["name"] for one in curve["series"]] == [
        "log E", "promotes at", "log E against it", "gives up at",
    ]  # fmt: skip
    log_e, bar, against, _ = (one["values"] for one in curve["series"])
    assert log_e[-1] >= bar[-1] > log_e[-2] and len(log_e) == len(against) == len(curve["x"])
    listed = text(client, "/p/desk/contests/")
    assert "candidate preferred" in listed and f'href="{page_of(contest)}"' in listed


def test_it_is_paused_resumed_and_stopped_with_buttons(project: Project, ada: Person, signed_in: Any) -> None:
    contest = begin(project, ada)
    client = signed_in(ada)
    for verb, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        assert client.post(f"{page_of(contest)}{verb}/").status_code == 302
        contest.refresh_from_db()
        assert contest.state == state
        page = text(client, page_of(contest))
        assert ("Resume</button>" in page) == (state == "paused")
    assert client.post(f"{page_of(contest)}stop/").status_code == 409
    assert "Stopped without a decision" in page
    assert client.get(f"{page_of(contest)}stop/").status_code == 405


def test_home_says_that_people_are_asked_and_that_they_decided(
    project: Project, ada: Person, ben: Person, chloe: Person, signed_in: Any
) -> None:
    contest = begin(project, ada)
    candidate = contest.plan.candidates.get().model_version
    client = signed_in(ada)
    page = text(client, "/p/desk/")
    assert f"People compare {candidate} with {contest.plan.incumbent}: 0 of at most 2,000 votes." in page
    assert "being compared by people" in page and "not evaluated" not in page
    assert f'href="{page_of(contest)}"' in page
    write(contest)
    contest = run(contest, [ben, chloe], [1] * 40)
    contest_outcomes.apply_decisions()
    [need] = [one for one in home.needs_a_person(project) if one.kind in ("contest", "gate")]
    assert need.sentence.startswith(f"People prefer {candidate} to") and need.row == candidate
    model = text(client, f"/p/desk/models/{candidate.public_id}/")
    assert "candidate preferred" in model and f"People prefer {candidate}" in model
    model_versions.promote(by=ada, model_version=candidate, override_reason="It was never evaluated.")
    assert "contest" not in [one.kind for one in home.needs_a_person(project)]
    assert "It waits for" not in text(client, page_of(contest))
    assert Event.objects.filter(verb="contest.opened").count() == 1


def test_annotators_reviewers_and_strangers(
    project: Project, other_project: Project, ada: Person, rosa: Person, ben: Person, dan: Person, hana: Person,
    signed_in: Any,
) -> None:  # fmt: skip
    contest = begin(project, ada)
    candidate = contest.plan.candidates.get().model_version
    reads = [page_of(contest), f"{page_of(contest)}evidence.json", "/p/desk/contests/"]
    opens = f"/p/desk/models/{candidate.public_id}/contest/"
    acts = [f"{page_of(contest)}{verb}/" for verb in ("pause", "resume", "stop")] + [opens]
    for path in reads:
        found = [signed_in(one).get(path).status_code for one in (ada, rosa, ben, dan)]
        assert found == [200, 200, 403, 404], path
    assert [signed_in(one).get(opens).status_code for one in (ada, rosa, ben, dan)] == [200, 403, 403, 404]
    for path in acts:
        assert [signed_in(one).post(path, FORM).status_code for one in (rosa, ben, dan)] == [403, 403, 404], path
    assert Client().get(page_of(contest)).status_code == 302
    assert signed_in(hana).get(page_of(contest).replace("/p/desk/", "/p/elsewhere/")).status_code == 404
    assert "Pause" not in text(signed_in(rosa), page_of(contest))
    for who in (ben, rosa):
        assert "contests/" not in text(signed_in(who), "/p/desk/"), "home of those who judge"
    contest.refresh_from_db()
    assert contest.state == "running"


def test_the_statements_of_a_page_do_not_grow_with_the_votes(
    project: Project, ada: Person, ben: Person, chloe: Person, signed_in: Any, django_assert_max_num_queries: Any
) -> None:
    contest = begin(project, ada, cap=12)
    write(contest)
    contest = run(contest, [ben, chloe], [1, 0] * 6)
    contests_before = contest.plan.candidates.get().model_version
    client = signed_in(ada)
    for path, most in (
        (page_of(contest), 22),
        (f"{page_of(contest)}evidence.json", 10),
        ("/p/desk/contests/", 12),
        (f"/p/desk/models/{contests_before.public_id}/", 40),
    ):
        with django_assert_max_num_queries(most):
            assert client.get(path).status_code == 200


def test_findings_are_shown_before_people_are_asked(project: Project, ada: Person, signed_in: Any) -> None:
    incumbent, candidate = two_policies(project, ada)
    evaluate(candidate, incumbent, policy=SOUND["policy"] | {"eos_rate": 0.5})
    page = text(signed_in(ada), f"/p/desk/models/{candidate.public_id}/contest/")
    assert 'data-finding="eos_rate"' in page and 'data-check="eos_rate"' not in page
    assert 'data-check="entropy"' in page
    Evaluation.objects.update(metrics={})
    page = text(signed_in(ada), f"/p/desk/models/{candidate.public_id}/contest/")
    assert 'data-check="' not in page, "nothing that was not measured has passed"


def test_a_promotion_by_the_contest_itself_is_told(
    project: Project, ada: Person, ben: Person, chloe: Person, signed_in: Any
) -> None:
    contest = begin(project, ada, promote=True)
    write(contest)
    contest = run(contest, [ben, chloe, *crowd(project, ada, 2)], [1] * 40)
    contest_outcomes.apply_decisions()
    page = text(signed_in(ada), page_of(contest))
    assert "promoted after" in page and "by 4 people" in page and "It waits for" not in page
    assert contests.DEFAULT_SHARE == 0.5
