"""The recorded runs of the course: complete, and over-optimization shows in them."""

from typing import Any

from feedback.models import Person, Project, RunPoint, RunSamples
from feedback.rules.platform.learn.recorded_runs import RecordedLook, recording
from tests.factories import make_run


def quality(look: RecordedLook) -> float:
    return look["helpful"] + look["truthful"] + look["harmless"]


def test_without_the_penalty_reward_rises_and_quality_falls() -> None:
    found = recording()
    held, free = found["runs"]["ppo"]["looks"], found["runs"]["hacked"]["looks"]
    assert [look["step"] for look in held] == [look["step"] for look in free]
    assert all(len(look["responses"]) == len(found["prompts"]) for look in held + free)
    assert max(look["kl"] for look in held) < 4 < 15 < free[-1]["kl"]
    assert free[-1]["reward"] >= max(look["reward"] for look in held)
    assert quality(held[-1]) > max(map(quality, held)) - 0.2
    assert quality(free[-1]) < max(map(quality, free)) - 0.8, "what the reward model likes is worth less"
    assert not found["runs"]["ppo"]["alarms"] and found["runs"]["hacked"]["alarms"]


def test_dimensions_come_apart_in_the_examples() -> None:
    best, untrue, harmful, polite = recording()["examples"]
    assert (best["helpful"], best["truthful"], best["harmless"]) == (3.5, 0, 0)
    assert untrue["truthful"] < 0 == untrue["harmless"] and harmful["harmless"] < 0 == harmful["truthful"]
    assert polite["helpful"] < best["helpful"] and polite["truthful"] == polite["harmless"] == 0


def test_a_run_of_the_project_comes_beside_them(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    run = make_run(project, ada, stage="ppo", config={"kl_coef": 0.1})
    for step, text in ((1, "router router"), (30, "Check the cable.")):
        RunSamples.objects.create(run=run, step=step, samples=[{"prompt": "My router is slow.", "text": text}])
        RunPoint.objects.create(
            run=run, step=step, at=run.created_at, metrics={"selection_score": step / 10, "kl": 1.5}
        )
    told = signed_in(ada).get("/learn/runs/?project=desk").json()
    assert told["own"] == {
        "number": run.number,
        "kl_coef": 0.1,
        "prompts": ["My router is slow."],
        "looks": [
            {"step": 1, "reward": 0.1, "kl": 1.5, "responses": ["router router"]},
            {"step": 30, "reward": 3.0, "kl": 1.5, "responses": ["Check the cable."]},
        ],
    }
    assert told["recorded"]["prompts"] == recording()["prompts"]
    assert signed_in(ben).get("/learn/runs/?project=desk").json()["own"] is None, "he votes on what it made"
