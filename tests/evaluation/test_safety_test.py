"""The guard model beside people's votes: a candidate serves by itself only where it violates no more often."""

from itertools import cycle
from typing import Any

import pytest

from feedback.errors import Conflict
from feedback.models import Contest, Deployment, Event, Job, ModelVersion, Person, Project, Prompt, SafetyTest
from feedback.rules.evaluation.noninferiority import FEWEST_PROMPTS
from feedback.selectors.evaluation import gate, safety
from feedback.services.evaluation import contest_outcomes, contest_supply, contests, safety_tests
from feedback.services.evaluation.contests import Rules
from feedback.services.registry import model_versions
from feedback.services.screening import screening
from tests.evaluation.contest_story import crowd, two_policies, vote, write
from tests.evaluation.test_open_a_contest import evaluate
from tests.factories import make_model, make_prompt
from trainer.errors import PromptTooLong
from workers.execution import run_job
from workers.handlers import generation
from workers.handlers import screening as scoring

pytestmark = pytest.mark.database


def classifier(project: Project, by: Person) -> ModelVersion:
    version = make_model(project, by, stage="classify")
    ModelVersion.objects.filter(pk=version.pk).update(metrics={"class_balance": {"safe": 5, "unsafe": 5}})
    version.refresh_from_db()
    return model_versions.decide(by=by, model_version=version, state="approved")


@pytest.fixture
def guard(project: Project, ada: Person) -> ModelVersion:
    """A classifier that blocks what it calls unsafe."""
    version = classifier(project, ada)
    screens(project, ada, version)
    return version


def screens(project: Project, by: Person, version: ModelVersion) -> None:
    chosen = {"model": str(version.public_id), "blocks": ["unsafe"], "threshold": 0.5}
    screening.set_screening(by=by, project=project, guard=chosen)


def many_prompts(project: Project, number: int = FEWEST_PROMPTS) -> None:
    """New prompts that have passed the guard."""
    like = make_prompt(project)
    Prompt.objects.filter(pk=like.pk).update(state=Prompt.State.SCREENED)
    fields = {name: getattr(like, name) for name in ("project_id", "messages", "split", "source")}
    Prompt.objects.bulk_create(
        Prompt(**fields, state=Prompt.State.SCREENED, family=f"family {n}") for n in range(number - 1)
    )


def ask(project: Project, ada: Person, **rules: Any) -> Contest:
    project.refresh_from_db()
    incumbent, candidate = two_policies(project, ada)
    many_prompts(project)
    evaluate(candidate, incumbent)
    chosen = Rules(**{"share": 1.0, "promote": True, "preconditions": "report", **rules})
    contest = contests.open_contest(by=ada, project=project, candidates=[candidate], rules=chosen)
    contest_supply.supply(contest.pk)
    return contest


def findings(candidate: ModelVersion) -> list[str]:
    return [one.name for one in gate.of(candidate).findings if one.name.startswith("safety")]


def win(contest: Contest, project: Project, ada: Person) -> None:
    voters = cycle(crowd(project, ada, 4))
    while contest.state == Contest.State.RUNNING:
        contest_supply.supply(contest.pk)
        write(contest)
        for response in screening.waiting_responses(project):
            response.project = project
            screening.settle_response(response, guard=None, version=None, scores={})
        assert contest.units.filter(state="ready").exists()
        while contest.state == Contest.State.RUNNING and contest.units.filter(state="ready").exists():
            vote(project, next(voters), 1)
            contest.refresh_from_db()
    contest_outcomes.apply_decisions()


def judge(contest: Contest, verdicts: str) -> SafetyTest:
    test = SafetyTest.objects.get()
    for start in range(0, len(verdicts), 250):
        safety_tests.add(test=test, since=start, verdicts=verdicts[start : start + 250])
    test.refresh_from_db()
    contest_outcomes.apply_decisions()
    return test


def test_without_a_guard_a_warning_says_so(project: Project, ada: Person) -> None:
    incumbent, candidate = two_policies(project, ada)
    evaluate(candidate, incumbent)
    (found,) = [one for one in gate.of(candidate).findings if one.name == "safety_no_guard"]
    assert found.level == "warn" and "no guard model" in found.sentence
    with pytest.raises(Conflict, match="no guard model"):
        safety_tests.request(by=ada, candidate=candidate)
    assert not SafetyTest.objects.exists() and not Job.objects.filter(kind=Job.Kind.SAFETY).exists()


def test_too_few_prompts_leave_it_to_an_admin(project: Project, ada: Person, guard: ModelVersion) -> None:
    _, candidate = two_policies(project, ada)
    many_prompts(project, 30)
    assert findings(candidate) == ["safety_too_few_prompts"]
    with pytest.raises(Conflict, match=r"30 prompts .* needs 1,000"):
        safety_tests.request(by=ada, candidate=candidate)
    assert not SafetyTest.objects.exists()


def test_a_winner_waits_for_its_safety_test(project: Project, ada: Person, guard: ModelVersion) -> None:
    contest = ask(project, ada)
    candidate = contest.plan.candidates.get().model_version
    test = SafetyTest.objects.get()
    assert (test.candidate, test.incumbent, test.guard, len(test.prompts)) == (
        candidate,
        contest.plan.incumbent,
        guard,
        FEWEST_PROMPTS,
    )
    win(contest, project, ada)
    contest.refresh_from_db()
    assert (contest.decision, contest.applied_at) == ("promote", None)
    assert findings(candidate) == ["safety_running"]
    assert Deployment.objects.get(project=project, until=None).model_version == contest.plan.incumbent
    test = judge(contest, "0" * FEWEST_PROMPTS)
    assert safety.outcome(test).code == "passed" and test.state == "done"
    assert Deployment.objects.get(project=project, until=None).model_version == candidate
    contest.refresh_from_db()
    assert contest.refusal == []
    (event,) = Event.objects.filter(verb="model.safety_tested")
    assert event.data["outcome"] == "passed"


def test_a_winner_that_violates_more_often_waits_for_an_admin(
    project: Project, ada: Person, guard: ModelVersion
) -> None:
    contest = ask(project, ada)
    win(contest, project, ada)
    test = judge(contest, ("0" * 9 + "1") * (FEWEST_PROMPTS // 10))
    assert safety.outcome(test).code == "worse"
    contest.refresh_from_db()
    (refusal,) = contest.refusal
    assert refusal["name"] == "safety_worse"
    assert "100 against 0 violations in 1,000 prompts" in refusal["sentence"]
    assert Deployment.objects.get(project=project, until=None).model_version == contest.plan.incumbent
    assert contest.applied_at is not None, "an admin decides; nothing waits for the test"


def test_a_batch_counts_once(project: Project, ada: Person, guard: ModelVersion) -> None:
    contest = ask(project, ada)
    test = SafetyTest.objects.get()
    assert safety_tests.add(test=test, since=0, verdicts="0103")
    assert safety_tests.add(test=test, since=0, verdicts="1111"), "a job carried out twice"
    test.refresh_from_db()
    assert test.verdicts == "0103"
    assert safety_tests.request(by=ada, candidate=contest.plan.candidates.get().model_version) == test
    assert SafetyTest.objects.count() == 1


def test_another_guard_asks_again(project: Project, ada: Person, guard: ModelVersion) -> None:
    contest = ask(project, ada)
    candidate = contest.plan.candidates.get().model_version
    judge(contest, "0" * FEWEST_PROMPTS)
    assert findings(candidate) == []
    project.refresh_from_db()
    screens(project, ada, classifier(project, ada))
    candidate = ModelVersion.objects.get(pk=candidate.pk)
    assert findings(candidate) == ["safety_untested"]
    assert safety_tests.request(by=ada, candidate=candidate) is not None
    assert findings(candidate) == ["safety_running"]


class Answers:
    """A policy that answers every prompt alike, and cannot answer one that is too long."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, 0

    def generate(self, prompts: Any, *, seeds: Any, **_: Any) -> list[Any]:
        if len(prompts) > 1 and any("long" in prompt[-1]["content"] for prompt in prompts):
            raise PromptTooLong("The prompt leaves no room.")
        if "long" in prompts[0][-1]["content"]:
            raise PromptTooLong("The prompt leaves no room.")
        self.asked += len(prompts)
        return [type("Made", (), {"text": self.text}) for _ in prompts]


class CallsUnsafe:
    def scores(self, texts: list[str]) -> list[dict[str, float]]:
        return [{"unsafe": float("harm" in text)} for text in texts]


def test_a_worker_judges_both(project: Project, ada: Person, guard: ModelVersion, monkeypatch: Any) -> None:
    contest = ask(project, ada)
    candidate = contest.plan.candidates.get().model_version
    test = SafetyTest.objects.get()
    Prompt.objects.filter(pk=test.prompts[40]).update(messages=[{"role": "user", "content": "long"}])
    Prompt.objects.filter(pk=test.prompts[41]).delete()
    ours, theirs = Answers("This will harm you."), Answers("No.")
    monkeypatch.setattr(generation, "local_generator", lambda _, version: ours if version == candidate else theirs)
    monkeypatch.setattr(scoring, "classifier", lambda *_: CallsUnsafe())
    assert test.job_id is not None
    run_job(test.job_id)
    test.refresh_from_db()
    assert test.state == "done" and test.verdicts[38:43] == "11001"
    assert safety.outcome(test).code == "worse"
    assert Job.objects.get(pk=test.job_id).status == "succeeded"
    asked = ours.asked
    safety_tests.start(by=ada, candidate=candidate, incumbent=contest.plan.incumbent)
    assert ours.asked == asked and Job.objects.filter(kind=Job.Kind.SAFETY).count() == 1


def test_pages_and_rest_say_the_same(
    project: Project, ada: Person, guard: ModelVersion, client_for: Any, signed_in: Any
) -> None:
    contest = ask(project, ada)
    candidate = contest.plan.candidates.get().model_version
    path = f"/api/v1/models/{candidate.public_id}/safety-test/"
    judge(contest, ("0" * 99 + "1") * 5)
    told = client_for(ada).get(path).json()
    assert (told["state"], told["outcome"]["prompts"], told["outcome"]["candidate"]) == ("running", 500, 5)
    sentence = "The safety test is running: 500 prompts judged. Wait for its end."
    assert told["sentence"] == sentence
    page = signed_in(ada).get(f"/p/desk/contests/{contest.public_id}/").content.decode()
    assert sentence in " ".join(page.split())
    assert client_for(ada).post(path).json()["id"] == told["id"]
