"""Nobody is there to judge: what is closed, what is held, what goes on, and how it says so."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.errors import GateBlocks, ModelNotPromotable
from feedback.models import Deployment, Evaluation, Event, Job, ModelVersion, Prompt, Response
from feedback.selectors.evaluation import gate
from feedback.services.data import snapshots
from feedback.services.registry import model_versions
from feedback.services.screening import screening
from tests.factories import make_model, make_pair, make_prompt, make_response, make_run

pytestmark = pytest.mark.database

BLOCKS = {"model": "newest", "blocks": ["spam"], "threshold": 0.7}


@pytest.fixture
def classifier(project, ada) -> ModelVersion:
    version = make_model(project, ada, stage="classify")
    ModelVersion.objects.filter(pk=version.pk).update(metrics={"class_balance": {"spam": 9, "ham": 9}})
    return model_versions.decide(by=ada, model_version=version, state="approved")


def names(version: ModelVersion) -> list[str]:
    return [one.name for one in gate.of(version).blocking]


# --- the gate ------------------------------------------------------------------------------------------


def test_the_gate_is_closed_without_people(project, ada):
    serves, candidate = make_model(project, ada, stage="pretrain"), make_model(project, ada)
    sound = {
        "split": "test",
        "prompts": 20,
        "policy": {"eos_rate": 1.0, "entropy": 0.6, "repetition": 0.0, "length": 19.0},
        "incumbent": {"eos_rate": 1.0, "entropy": 0.6, "repetition": 0.0, "length": 19.0},
    }
    Evaluation.objects.create(project=project, candidate=candidate, incumbent=serves, metrics=sound)
    assert names(candidate) == ["no_human_judge"]
    with pytest.raises(GateBlocks) as refused:
        model_versions.promote(by=ada, model_version=candidate)
    assert [one["name"] for one in refused.value.extra["findings"]] == ["no_human_judge"]
    assert model_versions.serving(project) == serves
    made = model_versions.promote(by=ada, model_version=candidate, override_reason="We read all twenty.")
    assert (made.override_reason, [one["name"] for one in made.findings]) == ("We read all twenty.", ["no_human_judge"])


def test_the_gate_is_closed_without_an_evaluation_beside_what_serves(project, ada):
    first, second, third = (make_model(project, ada, stage=stage) for stage in ("pretrain", "sft", "sft"))
    assert names(third) == ["no_human_judge", "not_evaluated"]
    figures = {"eos_rate": 1.0, "entropy": 0.6, "repetition": 0.0, "length": 19.0}
    metrics = {"prompts": 20, "policy": figures, "incumbent": figures}
    Evaluation.objects.create(project=project, candidate=third, incumbent=first, metrics=metrics)
    assert names(third) == ["no_human_judge"]
    model_versions.promote(by=ada, model_version=second, override_reason="Meanwhile.")
    assert names(third) == ["no_human_judge", "other_opponent"], "what serves is another by now"
    model_versions.roll_back(by=ada, project=project)
    assert names(third) == ["no_human_judge"]


def test_the_first_policy_does_not_serve_either_where_its_weights_are_in_doubt(project, ada):
    run = make_run(project, ada, stage="sft")
    text = "The weights that were saved are not those that were chosen."
    spoilt = model_versions.register(
        run=run,
        kind="policy",
        path="models/spoilt",
        manifest={"faults": [{"name": "best_weights", "text": text}]},
        manifest_sha256="0" * 64,
        metrics={},
    )
    assert not Deployment.objects.exists()
    with pytest.raises(ModelNotPromotable, match="not those that were chosen"):
        model_versions.promote(by=ada, model_version=spoilt, override_reason="I like it.")
    assert not Deployment.objects.exists()
    assert model_versions.serving(project) is None


# --- screening -----------------------------------------------------------------------------------------


def away(project, minutes: float) -> None:
    """The guard's jobs have failed for so long."""
    jobs = Job.objects.filter(project=project, kind=Job.Kind.SCORE)
    long_ago = timezone.now() - timedelta(minutes=minutes)
    jobs.update(status=Job.Status.FAILED, created_at=long_ago, finished_at=timezone.now())


def test_texts_are_held_while_the_guard_is_away(project, ada, classifier):
    screening.set_screening(by=ada, project=project, guard=BLOCKS)
    prompt = make_prompt(project)
    away(project, 600)
    screening.pick_up()
    prompt.refresh_from_db()
    assert prompt.state == Prompt.State.RECEIVED, "for as long as it takes"
    assert not Event.objects.filter(verb="project.passed_unscreened").exists()


def test_texts_pass_unscreened_after_ten_minutes_where_the_project_says_so(project, ada, classifier):
    screening.set_screening(by=ada, project=project, guard=BLOCKS | {"when_away": "pass"})
    prompt = make_prompt(project)
    response = make_response(make_prompt(project))
    Response.objects.filter(pk=response.pk).update(state=Response.State.SCREENING)
    away(project, 9)
    screening.pick_up()
    prompt.refresh_from_db()
    assert prompt.state == Prompt.State.RECEIVED, "not yet"
    away(project, 11)
    screening.pick_up()
    prompt.refresh_from_db()
    response.refresh_from_db()
    assert (prompt.state, prompt.screening["unscreened"]) == (Prompt.State.READY, True)
    assert (response.state, response.screening["unscreened"]) == (Response.State.READY, True)
    assert Event.objects.get(verb="project.passed_unscreened").data["count"] == "3"


def test_a_guard_that_answers_is_not_away_however_much_waits(project, ada, classifier):
    screening.set_screening(by=ada, project=project, guard=BLOCKS | {"when_away": "pass"})
    prompt = make_prompt(project)
    away(project, 60)
    Job.objects.filter(project=project, kind=Job.Kind.SCORE).update(status=Job.Status.SUCCEEDED)
    screening.pick_up()
    prompt.refresh_from_db()
    assert prompt.state == Prompt.State.RECEIVED


# --- freezing ------------------------------------------------------------------------------------------


def test_a_freeze_waits_for_no_worker_and_says_what_it_does_not_know(project, ada, classifier):
    make_pair(project, ada)
    screening.set_screening(by=ada, project=project, guard=BLOCKS)
    make_pair(project, ada)
    waiting, blocked = make_pair(project, ada), make_pair(project, ada)
    Prompt.objects.filter(pk=blocked.prompt_id).update(state=Prompt.State.BLOCKED)
    waiting.prompt.refresh_from_db()
    assert waiting.prompt.state == Prompt.State.RECEIVED
    snapshot = snapshots.freeze(snapshots.request_snapshot(project=project, by=ada, job=False))
    assert snapshot.state == "frozen"
    assert snapshot.manifest["left_out"] == {"held_prompts": 1, "unscreened_prompts": 2}
