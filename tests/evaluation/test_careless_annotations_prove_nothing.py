"""Ben hammers keys, and the chain trains on it: a collapsed policy that its own reward model prefers in 98 %.

Nothing of that may be concluded. The annotator is flagged, the page names what speaks against the policy, and neither a
schedule nor a call of the API puts it in the place of what serves, until Ada says why.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from feedback.models import Annotation, Chain, Event, ModelVersion, Person, Prompt, Schedule, TrainingRun
from feedback.selectors.quality.quality import quality
from feedback.services.platform import jobs, projects
from feedback.services.quality import gold
from feedback.services.registry import model_versions
from feedback.services.training import pipelines, schedules
from tests.factories import make_model, make_prompt_in, make_task
from tests.furnish import finish, worker
from workers.handlers.training import outcome

pytestmark = pytest.mark.database

STAGES = ["sft", "reward", "ppo", "evaluate"]
SAYS = "We have many letters here today and the line is long."
COLLAPSED: dict[str, Any] = {
    "split": "test",
    "prompts": 2,
    "prompts_left_out": 0,
    "policy": {
        "reward": 3.1,
        "entropy": 0.05,
        "eos_rate": 0.62,
        "length": 31.0,
        "repetition": 0.24,
        "distinct": 0.02,
        "kl": 46.0,
        "kl_to": "reference",
    },
    "incumbent": {
        "reward": -0.2,
        "entropy": 1.4,
        "eos_rate": 0.93,
        "length": 18.0,
        "repetition": 0.02,
        "distinct": 1.0,
    },
    "reward_model": {"accuracy": 0.0, "accuracy_low": None, "accuracy_high": None, "pairs": 1, "prompts": 1},
    "reward_model_win_rate": {"value": 0.981, "low": None, "high": None, "prompts": 2, "judge": "reward_model"},
}
AGAINST = [
    "no_human_judge",
    "few_prompts",
    "reward_model_unmeasured",
    "kl_budget",
    "eos_rate",
    "entropy",
    "repetition",
]


@pytest.fixture
def hammered(project, ada, ben, client_for, next_task, submit):
    """Thirteen answers of a tenth of a second each: eight pairs to train on, one held out, one check, three ties."""
    projects.update_project(
        by=ada, project=project, annotations_per_task=1, training_policy={"snapshot": {"include_excluded": True}}
    )
    asked = [(make_task(project, make_prompt_in(project, split)), split) for split in ["train"] * 12 + ["test"]]
    gold.mark(by=ada, task=asked[11][0], answer={"outcome": "tie"}, explanation="Both are right.")
    ties = {task.prompt.text for task, _ in asked[8:11]}
    client = client_for(ben)
    for number in range(13):  # the check first, which is otherwise drawn by chance
        if number < 2:
            projects.update_project(by=ada, project=project, queue_policy={"gold_share": 0.0 if number else 1.0})
        given = next_task(client)
        answer = {"outcome": "tie"} if given["prompt"][-1]["content"] in ties else _PREFERS
        assert submit(client, given, answer, seconds=0.1).status_code == 201
    assert Annotation.objects.filter(project=project).count() == 13
    for name in ("default", "generate", "train"):
        worker(name)
    return make_model(project, ada, stage="pretrain")


_PREFERS = {"outcome": "prefer", "choice": "a", "strength": 3}


def train(chain: Chain) -> ModelVersion:
    """What the worker and its trainer make of the chain; the evaluation comes in as the worker reads it."""
    figures = {
        "sft": {"selection_loss": 1.2},
        "reward": {"train_accuracy": 1.0, "selection_accuracy": 0.0, "train_pairs": 8},
        "ppo": {"score": 3.1, "kl": 46.0, "entropy": 0.05},
    }
    made = [finish(chain.runs.get(stage=stage), figures[stage], steps=3) for stage in ("sft", "reward", "ppo")]
    run = TrainingRun.objects.select_related("job", "chain", "base_model").get(chain=chain, stage="evaluate")
    folder = Path(settings.DATA_DIR) / run.folder
    folder.mkdir(parents=True)
    rows = [
        {"prompt": prompt.messages, "model": model, "text": text}
        for prompt in Prompt.objects.filter(project=chain.project, split="test")
        for model, text in (("candidate", SAYS), ("incumbent", "Restart the router."))
    ]
    (folder / "responses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = jobs.claim(run.job_id, "train@host")
    assert job is not None
    brought = outcome(run, folder, {"metrics": json.loads(json.dumps(COLLAPSED)), "model": None})
    brought.record()
    jobs.succeed(job, brought.result)
    pipelines.advance_chain(chain)
    chain.refresh_from_db()
    assert chain.state == Chain.State.SUCCEEDED
    policy = made[-1]
    assert policy is not None
    return policy


def waits_for_ada(project: Any, ada: Person, policy: ModelVersion, signed_in: Any) -> None:
    """An event and a line on the home page; the version that served serves."""
    asked = Event.objects.get(verb="model.waits_for_decision", object_id=str(policy.public_id))
    assert asked.data["against"] == ", ".join(AGAINST)
    home = signed_in(ada).get("/p/desk/").content.decode()
    assert f"{str(policy).capitalize()} needs a decision. 7 blocking findings: No blind human comparison" in home
    assert f'href="/p/desk/models/{policy.public_id}/"' in home
    assert "98.1" not in home and "98 %" not in home, "what the reward model thinks is no evidence"


def test_nothing_may_be_concluded_and_only_a_reason_promotes(project, ada, ben, hammered, client_for, signed_in):
    found = {(one.person, one.check) for one in quality(project).findings}
    assert (ben, "too_fast") in found, "quality flags the annotator"
    client = client_for(ada)
    body = {"project": "desk", "stages": STAGES, "promote": True}
    started = client.post("/api/v1/chains/", body)
    assert started.status_code in (201, 202), started.content
    chain = Chain.objects.get(public_id=started.json()["id"])
    policy = train(chain)
    assert chain.runs.get(stage="evaluate").incumbent == hammered, "what serves, not the candidate's parent"
    assert policy.parent != hammered
    assert model_versions.serving(project) == hammered
    waits_for_ada(project, ada, policy, signed_in)

    page = signed_in(ada).get(f"/p/desk/models/{policy.public_id}/").content.decode()
    decide = page.split("Promotion</h2>")[1].split("</section>")[0]
    assert [name for name in AGAINST if f'data-finding="{name}"' in decide] == AGAINST
    for words in (
        "No blind human comparison with policy v1 exists",
        "too few prompts (2 of 8)",
        "Reward v1 was measured on 1 held-out comparison",
        "46.0 nats per response",
        "The EOS rate is 62 %",
        "Its entropy is 4 % of policy v1",
        "24 % of its 4-grams",
        "Human comparison",
        "policy v1, which serves, on 2 held-out prompts",
    ):
        assert words in decide, words
    assert "98.1" not in decide and "evidence says" not in page, "its own reward model's opinion is no evidence"
    told = client.get(f"/api/v1/models/{policy.public_id}/gate/").json()
    assert [one["name"] for one in told["findings"] if one["level"] == "block"] == AGAINST
    assert told["opponent"] == told["serving"] == str(hammered.public_id)

    address = f"/api/v1/models/{policy.public_id}/promote/"
    for note in ({}, {"note": "The evidence says better."}):
        refused = client.post(address, note)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "gate_blocks")
        assert [one["name"] for one in refused.json()["extra"]["findings"]] == AGAINST
    assert signed_in(ada).post(f"/p/desk/models/{policy.public_id}/promote/").status_code == 409
    assert model_versions.serving(project) == hammered

    reason = "A trial of the roll back, for an hour."
    assert client.post(address, {"override_reason": reason}).status_code == 201
    assert model_versions.serving(project) == policy
    assert reason in signed_in(ada).get("/p/desk/models/").content.decode()


def test_no_schedule_promotes_it(project, ada, hammered, signed_in):
    schedule = schedules.create_schedule(
        by=ada, project=project, name="Nightly", stages=STAGES, every_seconds=3600, promote=True
    )
    Schedule.objects.update(next_due_at=schedule.created_at)
    (chain,) = schedules.start_due()
    policy = train(chain)
    assert model_versions.serving(project) == hammered
    waits_for_ada(project, ada, policy, signed_in)
    assert policy.evaluations.get().decision == ""
    model_versions.decide(by=ada, model_version=policy, state="rejected")
    assert policy.evaluations.get().decision == "rejected"
    assert "needs a decision" not in signed_in(ada).get("/p/desk/").content.decode()
