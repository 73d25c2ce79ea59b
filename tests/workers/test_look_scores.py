"""An admin has a PPO run's saved responses scored by the project's other reward models, and reads what that proves."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from feedback.errors import Conflict, Invalid
from feedback.models import Job, LookScore, ModelVersion, Person, Project, RunPoint, TrainingRun
from feedback.rules.training import looks as rules
from feedback.services.training import look_scores
from tests.factories import make_model
from tests.workers.conftest import MakeReward
from trainer.modeling.reward_model import load_reward
from workers.execution import run_job

# Committed rows: the worker beats from a thread with a connection of its own, and would not see others.
pytestmark = pytest.mark.django_db(transaction=True)
PROMPT = [{"role": "user", "content": "My router is slow."}]
PROVES_NOTHING = "Agreement proves nothing"
STEPS = list(range(1, 31))


def texts_at(step: int) -> list[str]:
    return [f"Restart it {'and wait ' * (step % 5)}{number} times." for number in range(3)]


@pytest.fixture
def run(project: Project, ada: Person, make_reward: MakeReward, settings: Any) -> TrainingRun:
    """A PPO run that has ended: thirty looks of three responses each, against the project's first reward model."""
    made = make_model(project, ada, stage="ppo").run
    assert made is not None
    made.reward_model = make_reward()
    made.save()
    for step in STEPS:
        metrics = {"selection_kl": step / 10, "selection_score": 0.1}
        RunPoint.objects.create(run=made, step=step, at=timezone.now(), metrics=metrics)
    folder = settings.DATA_DIR / made.folder / "looks"
    folder.mkdir(parents=True)
    for step in STEPS:
        lines = [json.dumps({"prompt": PROMPT, "text": text, "kl": step / 10}) for text in texts_at(step)]
        (folder / f"step-{step}.jsonl").write_text("\n".join(lines) + "\n")
    return made


def carry_out(job: Job) -> Job:
    run_job(job.pk)
    job.refresh_from_db()
    return job


def page_of(run: TrainingRun, client: Any) -> str:
    content: str = client.get(f"/p/desk/train/runs/{run.public_id}/").content.decode()
    return content.split('id="other-rewards"')[1].split("</section>")[0]


def test_without_another_reward_model_the_page_says_what_is_missing(
    run: TrainingRun, ada: Person, signed_in: Any
) -> None:
    shown = page_of(run, signed_in(ada))
    assert "This project has no other reward model." in shown and PROVES_NOTHING in shown
    assert "<form" not in shown and "data-chart" not in shown
    with pytest.raises(Conflict, match="no other reward model"):
        look_scores.request(by=ada, run=run)
    assert not Job.objects.filter(kind=Job.Kind.LOOKS).exists()


def test_a_run_that_saved_nothing_and_one_of_another_stage(
    run: TrainingRun, project: Project, ada: Person, make_reward: MakeReward, signed_in: Any, client_for: Any
) -> None:
    make_reward()
    RunPoint.objects.filter(run=run).update(metrics={"kl": 1.0})
    assert "This run saved no responses" in page_of(run, signed_in(ada))
    with pytest.raises(Conflict, match="saved no responses"):
        look_scores.request(by=ada, run=run)
    other = make_model(project, ada, stage="sft").run
    assert other is not None
    with pytest.raises(Invalid, match="Only a PPO run"):
        look_scores.request(by=ada, run=other)
    assert 'id="other-rewards"' not in signed_in(ada).get(f"/p/desk/train/runs/{other.public_id}/").content.decode()
    assert client_for(ada).get(f"/api/v1/training-runs/{other.public_id}/looks/").status_code == 404


def test_the_other_reward_models_score_what_the_run_saved_once(
    run: TrainingRun, ada: Person, make_reward: MakeReward, settings: Any, signed_in: Any, client_for: Any
) -> None:
    other, browser, client = make_reward(), signed_in(ada), client_for(ada)
    assert "Score with other reward models" in page_of(run, browser)
    browser.post(f"/p/desk/train/runs/{run.public_id}/looks/")
    job = Job.objects.get(kind=Job.Kind.LOOKS)
    assert (job.status, job.queue, job.requested_by) == ("queued", "generate", ada)
    waiting = page_of(run, browser)
    assert "Scoring is queued" in waiting and "<form" not in waiting
    again = client.post(f"/api/v1/training-runs/{run.public_id}/looks/")
    assert again.status_code == 409 and "already queued or running" in again.content.decode()

    assert carry_out(job).status == "succeeded", job.error
    assert job.result == {"versions": 2, "looks": rules.MOST_LOOKS}
    run_job(job.pk)  # delivered twice
    scores = list(LookScore.objects.order_by("pk"))
    assert [one.reward_version for one in scores] == [run.reward_model, other]
    reward = load_reward(Path(settings.DATA_DIR) / other.path)
    for one in scores:
        assert one.steps[:2] == [1, 2] and one.steps[-1] == 30 and len(one.steps) == rules.MOST_LOOKS
        assert one.responses == 3 * rules.MOST_LOOKS
        assert one.kls == pytest.approx([step / 10 for step in one.steps])
        for step, mean in zip(one.steps, one.rewards, strict=True):
            assert mean == pytest.approx(float(reward.score([tuple(PROMPT)] * 3, texts_at(step)).mean()), abs=1e-3)

    shown = page_of(run, browser)
    assert PROVES_NOTHING in shown and "Only people's votes count for" in shown
    assert "<form" not in shown, "nothing is left to score"
    curve = browser.get(f"/p/desk/train/runs/{run.public_id}/looks/scores.json").json()
    assert [line["name"] for line in curve["series"]] == [
        "reward v1, trained against",
        "reward v2",
        "KL to the reference",
    ]
    assert [line["axis"] for line in curve["series"]] == ["left", "left", "right"]
    assert curve["final"] and curve["x"] == scores[0].steps and curve["series"][1]["values"] == scores[1].rewards
    told = client.get(f"/api/v1/training-runs/{run.public_id}/looks/").json()
    assert [one["name"] for one in told["scores"]] == ["reward v1", "reward v2"]
    assert (told["waiting"], told["missing"]) == (False, "")


def test_a_reward_model_trained_later_scores_alone(run: TrainingRun, ada: Person, make_reward: MakeReward) -> None:
    make_reward()
    carry_out(look_scores.request(by=ada, run=run))
    kept = list(LookScore.objects.values_list("pk", "rewards"))
    later = make_reward()
    job = carry_out(look_scores.request(by=ada, run=run))
    assert job.result["versions"] == 1
    assert list(LookScore.objects.exclude(reward_version=later).values_list("pk", "rewards")) == kept
    assert LookScore.objects.filter(reward_version=later).count() == 1


def test_rejected_and_old_reward_models_do_not_score(run: TrainingRun, ada: Person, make_reward: MakeReward) -> None:
    made = [make_reward() for _ in range(rules.MOST_VERSIONS + 2)]
    ModelVersion.objects.filter(pk=made[-1].pk).update(state=ModelVersion.State.REJECTED)
    carry_out(look_scores.request(by=ada, run=run))
    scored = [one.reward_version for one in LookScore.objects.order_by("reward_version__number")]
    assert scored == [run.reward_model, *made[1:-1]]


def test_responses_that_are_gone_fail_the_job_in_a_sentence(
    run: TrainingRun, ada: Person, make_reward: MakeReward, settings: Any, signed_in: Any
) -> None:
    make_reward()
    shutil.rmtree(Path(settings.DATA_DIR) / run.folder / "looks")
    job = carry_out(look_scores.request(by=ada, run=run))
    assert (job.status, job.error_kind) == ("failed", "data")
    shown = page_of(run, signed_in(ada))
    assert "The responses that the run saved are not there any more." in shown and "<form" in shown
    assert not LookScore.objects.exists()


def test_a_scoring_that_was_killed_halfway_goes_on_with_the_next_version(
    run: TrainingRun, ada: Person, make_reward: MakeReward
) -> None:
    other = make_reward()
    job = look_scores.request(by=ada, run=run)
    assert run.reward_model is not None
    look_scores.store(run, run.reward_model, [look_scores.Look(1, 0.5, 0.1, 3)])  # what the killed attempt had done
    assert carry_out(job).result["versions"] == 1
    kept = LookScore.objects.get(reward_version=run.reward_model)
    assert kept.rewards == [0.5] and LookScore.objects.filter(reward_version=other).count() == 1


def test_only_admins_see_and_ask(
    run: TrainingRun, ben: Person, rosa: Person, make_reward: MakeReward, signed_in: Any, client_for: Any
) -> None:
    make_reward()
    for person in (ben, rosa):
        assert signed_in(person).post(f"/p/desk/train/runs/{run.public_id}/looks/").status_code in (403, 404)
        assert client_for(person).post(f"/api/v1/training-runs/{run.public_id}/looks/").status_code in (403, 404)
        assert client_for(person).get(f"/api/v1/training-runs/{run.public_id}/looks/").status_code in (403, 404)
    assert not Job.objects.filter(kind=Job.Kind.LOOKS).exists()


@pytest.mark.parametrize(
    ("count", "most", "found"), [(3, 24, 3), (24, 24, 24), (25, 24, 24), (1000, 24, 24), (5, 2, 2)]
)
def test_looks_are_spread_evenly_with_both_ends(count: int, most: int, found: int) -> None:
    steps = rules.spread(list(range(count, 0, -1)), most)
    assert len(steps) == found and steps == sorted(set(steps)) and (steps[0], steps[-1]) == (1, count)
    gaps = {b - a for a, b in pairwise(steps)}
    assert max(gaps) - min(gaps) <= 1
