"""Ada starts training, watches it, cancels, retries, promotes and rolls back, over REST."""

import pytest

from feedback.models import Chain, Corpus, Deployment, Document, Evaluation, Job, Schedule, TrainingRun
from feedback.services.platform import jobs
from feedback.services.training import pipelines
from tests.factories import make_model, make_pair, make_prompt_in, make_run, make_snapshot

pytestmark = pytest.mark.database


def code(reply) -> str:
    return reply.json()["errors"][0]["code"]


@pytest.fixture
def ready(project, ada):
    """Everything that SFT and a reward model start from."""
    for _ in range(3):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    return make_model(project, ada, stage="pretrain")


class TestStarting:
    def test_a_chain_is_one_button(self, project, ada, client_for, ready):
        client = client_for(ada, "train", "read")
        body = {"project": "desk", "stages": ["ppo", "sft", "reward"], "config": {"ppo": {"kl_coef": 0.05}}, "seed": 7}
        reply = client.post("/api/v1/chains/", body)
        assert reply.status_code == 201
        told = reply.json()
        assert (told["stages"], told["state"], told["seed"]) == (["sft", "reward", "ppo"], "active", 7)
        assert len(told["runs"]) == 1
        run = client.get(f"/api/v1/training-runs/{told['runs'][0]}/").json()
        assert (run["stage"], run["job"]["status"], run["chain"]) == ("sft", "queued", told["id"])
        assert run["base_model"] == str(ready.public_id)
        assert "no worker serves" in run["job"]["says"]
        twice = client.post("/api/v1/chains/", body)
        assert (twice.status_code, code(twice)) == (409, "chain_running")
        assert Chain.objects.filter(state="active").count() == 1

    def test_one_stage(self, project, ada, client_for, ready):
        snapshot = make_snapshot(project, ada)
        reply = client_for(ada).post(
            "/api/v1/training-runs/",
            {
                "project": "desk",
                "stage": "sft",
                "base_model": str(ready.public_id),
                "snapshot": str(snapshot.public_id),
                "config": {"preset": "tiny", "epochs": 1},
            },
        )
        assert reply.status_code == 201, reply.content
        told = reply.json()
        assert (told["stage"], told["snapshot"]) == ("sft", str(snapshot.public_id))
        assert (told["config"]["preset"], told["config"]["epochs"]) == ("tiny", 1)

    def test_a_corpus_is_named(self, project, other_project, ada, client_for):
        rows = [Corpus.objects.create(project=project, name=name) for name in ("Books", "Letters")]
        for row in rows:
            Document.objects.create(corpus=row, text="Once upon a time.", text_hash="0" * 64)
        stranger = Corpus.objects.create(project=other_project, name="Theirs")
        client, body = client_for(ada), {"project": "desk", "stages": ["tokenizer", "pretrain"]}
        assert client.post("/api/v1/chains/", body | {"corpus": str(stranger.public_id)}).status_code in (400, 404)
        told = client.post("/api/v1/chains/", body | {"corpus": str(rows[0].public_id)}).json()
        assert told["corpus"] == str(rows[0].public_id)
        assert client.get("/api/v1/chains/?project=desk").json()["results"][0]["corpus"] == told["corpus"]

    def test_what_is_missing_is_told(self, project, ada, client_for):
        reply = client_for(ada).post("/api/v1/training-runs/", {"project": "desk", "stage": "ppo"})
        assert (reply.status_code, code(reply)) == (409, "nothing_to_train_on")
        assert "Run SFT first" in reply.json()["errors"][0]["detail"]
        assert TrainingRun.objects.count() == 0

    def test_rows_of_another_project_are_refused(self, project, other_project, hana, client_for, ready):
        elsewhere = make_model(other_project, hana)
        body = {"project": "desk", "stage": "sft", "base_model": str(elsewhere.public_id)}
        reply = client_for(hana).post("/api/v1/training-runs/", body)
        assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "base_model")

    def test_annotators_and_reviewers_do_not_train(self, project, rosa, ben, client_for, ready):
        for person in (rosa, ben):
            reply = client_for(person).post("/api/v1/chains/", {"project": "desk", "stages": ["sft"]})
            assert (reply.status_code, code(reply)) == (403, "forbidden")
        assert Chain.objects.filter(state="active").count() == 0


class TestWatching:
    def test_metrics_log_and_samples(self, project, ada, client_for):
        run = make_run(project, ada)
        pipelines.record_points(
            run,
            points=[pipelines.Point(step, 1_000.0 + step, {"loss": 1 / step}) for step in (1, 2)]
            + [pipelines.Point(3, 1_003.0, {"loss": 1 / 3}, {"loss": 0.2}, {"loss": 0.5})],
            samples=[(2, [{"prompt": "Hi", "text": "Hello"}])],
            alarms=[(3, "kl_high", "KL is high.")],
            log_tail="last words",
        )
        client = client_for(ada, "read")
        url = f"/api/v1/training-runs/{run.public_id}/"
        told = client.get(f"{url}metrics/").json()
        assert [(one["step"], one["metrics"]) for one in told["points"]] == [
            (1, {"loss": 1.0}),
            (2, {"loss": 0.5}),
            (3, {"loss": 1 / 3}),
        ]
        assert told["points"][2]["minima"] == {"loss": 0.2} and told["points"][2]["maxima"] == {"loss": 0.5}
        assert told["points"][0]["minima"] == told["points"][0]["maxima"] == {}
        assert told["alarms"] == [{"step": 3, "name": "kl_high", "text": "KL is high."}]
        assert told["more"] is False
        assert [one["step"] for one in client.get(f"{url}metrics/?after=2").json()["points"]] == [3]
        assert client.get(f"{url}metrics/?after=soon").status_code == 400
        assert client.get(f"{url}log/").json() == {"text": "last words"}
        assert client.get(f"{url}samples/").json()["results"] == [
            {"step": 2, "samples": [{"prompt": "Hi", "text": "Hello"}]}
        ]

    def test_a_failed_run_says_why_and_what_to_do(self, project, ada, client_for):
        run = make_run(project, ada)
        job = jobs.claim(run.job_id, "worker")
        assert job is not None
        jobs.fail(job, "diverged", "The loss is no number at step 140.", "Lower the learning rate.")
        told = client_for(ada).get(f"/api/v1/jobs/{job.public_id}/").json()
        assert (told["status"], told["error_kind"], told["remedy"]) == (
            "failed",
            "diverged",
            "Lower the learning rate.",
        )
        assert told["run"] == str(run.public_id)
        listed = client_for(ada).get("/api/v1/training-runs/?project=desk&status=failed").json()["results"]
        assert [one["id"] for one in listed] == [str(run.public_id)]


class TestCancelAndRetry:
    @pytest.mark.parametrize("door", ["training-runs", "jobs", "chains"])
    def test_a_queued_run_is_canceled_at_once_with_its_chain(self, project, ada, client_for, door):
        run = make_run(project, ada)
        row = {"training-runs": run, "jobs": run.job, "chains": run.chain}[door]
        reply = client_for(ada).post(f"/api/v1/{door}/{row.public_id}/cancel/")
        assert reply.status_code == 202, reply.content
        run.chain.refresh_from_db()
        assert (Job.objects.get().status, run.chain.state) == ("cancelled", "cancelled")
        again = client_for(ada).post(f"/api/v1/{door}/{row.public_id}/cancel/")
        assert (again.status_code, code(again)) == (409, "invalid_transition")

    @pytest.mark.parametrize("door", ["training-runs", "jobs"])
    def test_and_tried_again(self, project, ada, client_for, door):
        run = make_run(project, ada)
        row = {"training-runs": run, "jobs": run.job}[door]
        early = client_for(ada).post(f"/api/v1/{door}/{row.public_id}/retry/")
        assert (early.status_code, code(early)) == (409, "invalid_transition")
        client_for(ada).post(f"/api/v1/{door}/{row.public_id}/cancel/")
        assert client_for(ada).post(f"/api/v1/{door}/{row.public_id}/retry/").status_code == 202
        run.chain.refresh_from_db()
        assert (Job.objects.get().status, run.chain.state) == ("queued", "active")

    def test_a_running_one_is_asked(self, project, ada, client_for):
        run = make_run(project, ada)
        job = jobs.claim(run.job_id, "worker")
        assert job is not None
        told = client_for(ada).post(f"/api/v1/training-runs/{run.public_id}/cancel/").json()
        assert (told["job"]["status"], jobs.beat(job).cancel) == ("running", True)


class TestRegistry:
    def test_promote_and_roll_back(self, project, ada, client_for):
        first, second = make_model(project, ada), make_model(project, ada)
        client = client_for(ada)
        serving = lambda: [  # noqa: E731
            one["id"] for one in client.get("/api/v1/models/?project=desk").json()["results"] if one["serves"]
        ]
        assert serving() == [str(first.public_id)]
        address = f"/api/v1/models/{second.public_id}/promote/"
        refused = client.post(address, {"note": "better"})
        assert (refused.status_code, code(refused)) == (409, "gate_blocks")
        against = ["no_human_judge", "not_evaluated"]  # beside a warning that there is no guard model
        assert [one["name"] for one in refused.json()["extra"]["findings"]] == against
        assert serving() == [str(first.public_id)]
        told = client.get(f"/api/v1/models/{second.public_id}/gate/").json()
        assert (told["serving"], told["evaluation"], told["opponent"]) == (str(first.public_id), None, None)
        assert [(one["name"], one["level"], one["final"]) for one in told["findings"]] == [
            ("no_human_judge", "block", False),
            ("safety_no_guard", "warn", False),
            ("not_evaluated", "block", False),
        ]
        assert client.post(address, {"override_reason": "  "}).status_code == 409, "blanks are no reason"
        assert client.post(address, {"override_reason": "x" * 501}).status_code == 400
        reply = client.post(address, {"note": "better", "override_reason": "We read its responses."})
        made = reply.json()
        assert (reply.status_code, made["note"], made["override_reason"]) == (201, "better", "We read its responses.")
        assert [one["name"] for one in made["findings"]] == against
        assert serving() == [str(second.public_id)]
        stale = client.post(f"/api/v1/models/{first.public_id}/rollback/")
        assert (stale.status_code, code(stale)) == (409, "conflict")
        assert client.post(f"/api/v1/models/{second.public_id}/rollback/").status_code == 201
        assert serving() == [str(first.public_id)]
        back = client.post(f"/api/v1/models/{first.public_id}/rollback/")
        assert (back.status_code, code(back)) == (409, "nothing_to_roll_back_to")
        nothing = client.get(f"/api/v1/models/{first.public_id}/gate/").json()
        assert nothing["findings"] == [], "it serves; the first policy of a project is exempt"
        assert Deployment.objects.filter(until=None).count() == 1

    def test_what_serves_is_not_rejected_and_the_rejected_does_not_serve(self, project, ada, client_for):
        first, second = make_model(project, ada), make_model(project, ada)
        client = client_for(ada)
        assert client.post(f"/api/v1/models/{first.public_id}/decide/", {"state": "rejected"}).status_code == 409
        assert client.post(f"/api/v1/models/{second.public_id}/decide/", {"state": "candidate"}).status_code == 400
        told = client.post(f"/api/v1/models/{second.public_id}/decide/", {"state": "rejected"}).json()
        assert told["state"] == "rejected"
        reply = client.post(f"/api/v1/models/{second.public_id}/promote/", {"override_reason": "I like it."})
        assert (reply.status_code, code(reply)) == (409, "model_not_promotable")
        assert [one["name"] for one in reply.json()["extra"]["findings"]] == ["rejected"]

    def test_only_policies_serve(self, project, ada, client_for):
        reward = make_model(project, ada, stage="reward")
        assert client_for(ada).post(f"/api/v1/models/{reward.public_id}/promote/").status_code == 400
        assert client_for(ada).get(f"/api/v1/models/{reward.public_id}/gate/").status_code == 400
        assert Deployment.objects.count() == 0

    def test_lineage_and_evaluations(self, project, ada, client_for):
        make_pair(project, ada)
        snapshot = make_snapshot(project, ada)
        version = make_model(project, ada)
        TrainingRun.objects.filter(model_version=version).update(snapshot=snapshot)
        Evaluation.objects.create(
            project=project, candidate=version, metrics={"win_rate": {"rate": 0.6}}, samples=[{"prompt": "Hi"}]
        )
        client = client_for(ada)
        told = client.get(f"/api/v1/models/{version.public_id}/lineage/").json()
        (step,) = told["steps"]
        assert (step["name"], step["snapshot"]["content_hash"]) == (str(version), snapshot.content_hash)
        assert [(one["person"]["name"], one["annotations"]) for one in step["annotators"]] == [("somebody", 1)]
        (evaluation,) = client.get(f"/api/v1/models/{version.public_id}/evaluations/").json()["results"]
        assert evaluation["metrics"] == {"win_rate": {"rate": 0.6}}


class TestSchedules:
    def test_made_switched_off_and_removed(self, project, ada, client_for):
        client = client_for(ada)
        body = {"project": "desk", "name": "nightly", "stages": ["sft"], "every_seconds": 86400}
        made = client.post("/api/v1/schedules/", body)
        assert made.status_code == 201
        assert client.post("/api/v1/schedules/", body).status_code == 409
        url = f"/api/v1/schedules/{made.json()['id']}/"
        assert client.patch(url, {"enabled": False}).json()["enabled"] is False
        assert [one["name"] for one in client.get("/api/v1/schedules/?project=desk").json()["results"]] == ["nightly"]
        assert client.delete(url).status_code == 204
        assert client.get(url).status_code == 404

    @pytest.mark.parametrize(
        "when", [{}, {"every_seconds": 600, "after_pairs": 5}, {"every_seconds": 59}, {"after_pairs": 0}]
    )
    def test_exactly_one_rule(self, project, ada, client_for, when):
        body = {"project": "desk", "name": "odd", "stages": ["sft"], **when}
        assert client_for(ada).post("/api/v1/schedules/", body).status_code == 400
        assert Schedule.objects.count() == 0
