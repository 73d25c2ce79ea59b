"""Ada chooses stages, one way of alignment, a start and a few settings, on the Train page."""

from feedback.models import Chain, Corpus, Document, ModelVersion
from tests.factories import make_model, make_pair, make_prompt_in


def told(reply) -> str:
    return reply.content.decode()


def start(client, **form):
    return client.post("/p/desk/train/", {"config": "", **form})


def test_every_stage_is_offered_with_its_settings_and_one_way_of_alignment(project, ada, signed_in):
    page = told(signed_in(ada).get("/p/desk/train/"))
    for stage in ("tokenizer", "pretrain", "mlm", "classify", "tag", "sft", "reward", "evaluate"):
        assert f'type="checkbox" name="stages" value="{stage}"' in page
    for stage in ("dpo", "kto", "rloo", "grpo", "ppo"):
        assert f'type="radio" name="stages" value="{stage}"' in page
    assert 'name="ppo__kl_coef"' in page and "Presets: small 0.1, " in page


def test_what_is_chosen_is_what_runs(project, ada, signed_in):
    for _ in range(2):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    older, _ = make_model(project, ada, stage="sft"), make_model(project, ada, stage="sft")
    form = {"stages": ["dpo", ""], "preset": "tiny", "base_model": str(older.public_id), "seed": "3"}
    assert start(signed_in(ada), **form, dpo__beta="0.2", config='{"dpo": {"epochs": 1}}').status_code == 302
    chain = Chain.objects.get(state="active")
    assert chain.config == {"preset": "tiny", "dpo": {"epochs": 1, "beta": 0.2}}
    run = chain.runs.get()
    assert (run.base_model, run.seed, run.config) == (older, 3, {"preset": "tiny", "epochs": 1, "beta": 0.2})


def test_one_of_the_corpora_is_chosen(project, ada, signed_in):
    rows = [Corpus.objects.create(project=project, name=name) for name in ("Books", "Letters")]
    for row in rows:
        Document.objects.create(corpus=row, text="Once upon a time.", text_hash="0" * 64)
    client, chosen = signed_in(ada), str(rows[0].public_id)
    assert f'<option value="{chosen}">corpus Books</option>' in told(client.get("/p/desk/train/"))
    assert start(client, stages=["tokenizer"], texts=chosen).status_code == 302
    run = Chain.objects.get(state="active").runs.get()
    assert run.snapshot is not None and run.snapshot.corpus == rows[0]
    assert "Books</a>" in told(client.get(f"/p/desk/train/runs/{run.public_id}/"))
    make_model(project, ada, stage="pretrain")
    refused = start(client, stages=["sft"], texts=chosen)
    assert (refused.status_code, "None of these stages reads a corpus" in told(refused)) == (422, True)


def test_the_guard_is_a_term_of_the_reward(project, ada, signed_in):
    make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    for stage in ("sft", "reward"):
        make_model(project, ada, stage=stage)
    classifier = make_model(project, ada, stage="classify")
    client = signed_in(ada)
    assert "guard_label" not in told(client.get("/p/desk/train/"))
    ModelVersion.objects.filter(pk=classifier.pk).update(
        state="approved", metrics={"class_balance": {"safe": 3, "unsafe": 3}}
    )
    form = {"guard_label": "safe", "guard_weight": "0.5"}
    refused = start(client, stages=["evaluate"], **form)
    assert (refused.status_code, "Select PPO, RLOO or GRPO" in told(refused)) == (422, True)
    assert start(client, stages=["ppo"], **form).status_code == 302
    run = Chain.objects.get(state="active").runs.get()
    assert (run.config["terms"], run.guard) == ({"guard": {"label": "safe", "weight": 0.5}}, classifier)


def test_settings_that_are_no_object_are_refused_with_the_fields_beside_them(project, ada, signed_in):
    make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    for stage in ("sft", "reward"):
        make_model(project, ada, stage=stage)
    classifier = make_model(project, ada, stage="classify")
    ModelVersion.objects.filter(pk=classifier.pk).update(state="approved", metrics={"class_balance": {"safe": 3}})
    client, before = signed_in(ada), Chain.objects.count()
    reply = start(client, stages=["ppo"], config='{"ppo": 3}', ppo__kl_coef="0.2")
    assert (reply.status_code, "It must be an object of settings." in told(reply)) == (422, True)
    reply = start(client, stages=["ppo"], config='{"ppo": []}', guard_label="safe")
    assert (reply.status_code, "It must be an object of settings." in told(reply)) == (422, True)
    reply = start(client, stages=["ppo"], config='{"ppo": {"terms": 3}}', guard_label="safe")
    assert (reply.status_code, "ppo.terms: It must be an object." in told(reply)) == (422, True)
    assert Chain.objects.count() == before


def test_a_wrong_setting_is_told_at_its_place(project, ada, signed_in):
    make_model(project, ada, stage="pretrain")
    client = signed_in(ada)
    reply = start(client, stages=["sft"], sft__epochs="-1")
    assert (reply.status_code, 'name="sft__epochs"' in told(reply)) == (422, True)
    reply = start(client, stages=["sft"], config='{"sft": {"epocs": 1}}')
    assert (reply.status_code, "Did you mean &#x27;epochs&#x27;" in told(reply)) == (422, True)
    reply = start(client, stages=["sft", "dpo", "ppo"])
    assert (reply.status_code, "choose one of them" in told(reply)) == (422, True)
    assert start(client, stages=["sft"], base_model="0").status_code == 422
    assert Chain.objects.filter(state="active").count() == 0


def test_stages_are_told_to_programs(project, ada, client_for):
    stages = client_for(ada).get("/api/v1/stages/").json()["stages"]
    assert [one["stage"] for one in stages][:3] == ["tokenizer", "pretrain", "mlm"]
    (ppo,) = [one for one in stages if one["stage"] == "ppo"]
    assert (ppo["makes"], ppo["takes"], ppo["needs_reward_model"]) == ("policy", ["policy"], True)
    (kl,) = [one for one in ppo["settings"] if one["name"] == "kl_coef"]
    assert (kl["type"], kl["default"], kl["low"], kl["presets"]["small"]) == ("number", 0.1, 0, 0.1)
