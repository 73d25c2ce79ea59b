"""Ada sets the guard and lets on what it blocked, over REST and on its pages; others cannot."""

import pytest

from feedback.models import Event, ModelVersion, Prompt
from feedback.selectors.screening import guard_models
from feedback.services.registry import model_versions
from feedback.services.screening import screening
from tests.factories import make_model, make_prompt, make_response

pytestmark = pytest.mark.database

URL = "/api/v1/projects/desk/screening/"
GUARD = {"model": "newest", "blocks": ["spam"], "threshold": 0.6, "when_away": "hold"}


@pytest.fixture
def classifier(project, ada) -> ModelVersion:
    version = make_model(project, ada, stage="classify")
    figures = {"class_balance": {"spam": 9, "ham": 9}, "test_macro_f1": 0.8, "test_accuracy": 0.9}
    baseline = {"baseline": {"name": "TF-IDF and logistic regression", "macro_f1": 0.85, "accuracy": 0.91}}
    ModelVersion.objects.filter(pk=version.pk).update(metrics=figures | baseline)
    version.refresh_from_db()
    return model_versions.decide(by=ada, model_version=version, state="approved")


@pytest.fixture
def blocked(project, ada, classifier) -> Prompt:
    project = screening.set_screening(by=ada, project=project, guard=GUARD)
    prompt = make_prompt(project, "Win a prize")
    guard = guard_models.of(project).guard
    screening.settle_prompt(prompt, guard=guard, version=classifier, scores={"spam": 0.9, "ham": 0.1}, spans=[])
    prompt.refresh_from_db()
    return prompt


def test_a_guard_is_set_and_taken_away(project, ada, classifier, client_for):
    client = client_for(ada)
    assert client.get(URL).json() == {"guard": None, "marker": None, "personal": "off", "waiting": 0, "trouble": ""}
    reply = client.patch(URL, {"guard": GUARD})
    assert (reply.status_code, reply.json()["guard"]) == (200, GUARD)
    make_prompt(guarding_project(project), "Hello")
    assert client.get(URL).json()["waiting"] == 1
    assert client.patch(URL, {"personal": "mask"}).json()["guard"] == GUARD, "what is not named stays"
    assert client.patch(URL, {"guard": None}).json()["guard"] is None
    wrong = client.patch(URL, {"guard": {"model": "newest", "blocks": ["rude"]}})
    assert (wrong.status_code, wrong.json()["errors"][0]["attr"]) == (400, "screening.guard.blocks")


def guarding_project(project):
    project.refresh_from_db()
    return project


def test_only_admins(project, rosa, ben, dan, client_for, blocked):
    for person, status in ((rosa, 403), (ben, 403), (dan, 404)):
        client = client_for(person)
        assert client.get(URL).status_code == status
        assert client.patch(URL, {"guard": None}).status_code == status
        assert client.post(f"/api/v1/prompts/{blocked.public_id}/unblock/", {"reason": "x"}).status_code == status
    blocked.refresh_from_db()
    assert blocked.state == "blocked"


def test_what_was_blocked_is_let_on_with_a_reason(project, ada, client_for, blocked):
    client = client_for(ada)
    told = client.get(f"/api/v1/prompts/{blocked.public_id}/").json()
    assert (told["state"], told["screening"]["blocked_by"]) == ("blocked", "spam")
    assert [one["id"] for one in client.get("/api/v1/prompts/?project=desk&state=blocked").json()["results"]] == [
        str(blocked.public_id)
    ]
    assert client.post(f"/api/v1/prompts/{blocked.public_id}/unblock/", {}).status_code == 400
    reply = client.post(f"/api/v1/prompts/{blocked.public_id}/unblock/", {"reason": "It asks about prizes."})
    assert (reply.status_code, reply.json()["state"]) == (200, "ready")
    assert client.post(f"/api/v1/prompts/{blocked.public_id}/unblock/", {"reason": "x"}).status_code == 409
    assert Event.objects.filter(verb="prompt.unblocked", actor=ada).count() == 1


def test_the_words_of_a_response_are_kept_back(project, ada, classifier, client_for):
    project = screening.set_screening(by=ada, project=project, guard=GUARD)
    response = make_response(make_prompt(project), "buy now")
    client = client_for(ada)
    url = f"/api/v1/responses/{response.public_id}/"
    assert (client.get(url).json()["state"], client.get(url).json()["text"]) == ("screening", "")
    guard = guard_models.of(project).guard
    screening.settle_response(response, guard=guard, version=classifier, scores={"spam": 0.7})
    assert (client.get(url).json()["state"], client.get(url).json()["text"]) == ("blocked", "")
    assert client.post(f"{url}unblock/", {"reason": "fine"}).json()["text"] == "buy now"


class TestPages:
    def test_the_guard_s_page(self, project, ada, classifier, signed_in):
        client = signed_in(ada)
        assert (
            "No guard model: prompts and responses pass at once."
            in client.get("/p/desk/project/guard/").content.decode()
        )
        form = {"guard": "newest", "blocks": "spam", "threshold": "0.6", "marker": "", "labels": "", "personal": "note"}
        assert client.post("/p/desk/project/guard/", form).status_code == 302
        project.refresh_from_db()
        assert project.screening == {"guard": GUARD, "marker": None, "personal": "note"}
        wrong = client.post("/p/desk/project/guard/", form | {"blocks": "rude"})
        assert (wrong.status_code, "has no class &#x27;rude&#x27;" in wrong.content.decode()) == (422, True)
        model_versions.decide(by=ada, model_version=classifier, state="revoked")
        assert "was deleted or rejected" in client.get("/p/desk/project/guard/").content.decode()

    def test_a_blocked_prompt_is_let_on_from_its_page(self, ada, blocked, signed_in):
        client = signed_in(ada)
        page = client.get(f"/p/desk/data/prompts/{blocked.public_id}/").content.decode()
        assert "Blocked: <strong>spam</strong>" in page
        assert "Win a prize" in client.get("/p/desk/project/guard/").content.decode()
        reply = client.post(f"/p/desk/data/prompts/{blocked.public_id}/unblock/", {"reason": "fine"})
        assert reply.status_code == 302
        blocked.refresh_from_db()
        assert (blocked.state, blocked.screening["unblocked"]["reason"]) == ("ready", "fine")

    def test_a_classifier_s_page_says_that_the_baseline_is_better(self, ada, classifier, signed_in):
        page = signed_in(ada).get(f"/p/desk/models/{classifier.public_id}/").content.decode()
        assert "It does not beat the baseline." in page
        assert "80.0 %" in page and "85.0 %" in page
