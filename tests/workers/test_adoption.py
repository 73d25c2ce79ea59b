"""Ada brings a model from elsewhere: copied, verified and registered, or refused with a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from feedback.models import Chain, ModelVersion, TrainingRun
from feedback.services.registry import external_models
from feedback.services.training import pipelines
from tests.factories import make_model, plan_for
from trainer.run.checkpoints import open_model
from workers.execution import run_job

# Committed for real: the heartbeat of a job writes from a thread of its own, and would wait for a test's transaction.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def models(settings) -> Path:
    folder = Path(settings.DATA_DIR) / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def bring(project, ada):
    def do(kind: str = "policy", **source):
        job = external_models.request_model(by=ada, project=project, kind=kind, **source)
        run_job(job.pk)
        job.refresh_from_db()
        return job

    return do


def make_policy(folder: Path) -> None:
    """A causal model as any tool would save it."""
    from trainer.configs.stages import PretrainConfig
    from trainer.modeling.loading import build_model, save_model
    from trainer.recipes.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(iter(["What colour is the sky?"]), 300, 2)
    config = PretrainConfig(hidden_size=8, layers=1, heads=1, intermediate_size=8, context_length=16, block_size=16)
    save_model(folder, build_model(config, tokenizer), tokenizer)


def test_a_folder_becomes_a_version_that_training_goes_on_from(project, ada, client_for, models, settings, bring):
    make_policy(models / "mine")
    (models / "mine" / "modeling.py").write_text("raise SystemExit")
    body = {"project": "desk", "kind": "policy", "folder": "mine"}
    reply = client_for(ada).post("/api/v1/models/given/", body)
    assert (reply.status_code, reply.json()["status"]) == (202, "queued")
    from feedback.models import Job

    run_job(Job.objects.get().pk)
    (version,) = ModelVersion.objects.all()
    assert (version.kind, version.stage, version.state, version.run) == ("policy", "given", "candidate", None)
    copied = Path(settings.DATA_DIR) / version.path
    assert open_model(copied, version.manifest_sha256)["kind"] == "policy"
    assert version.metrics["added"] == []
    assert not (copied / "modeling.py").exists(), "code is never taken"
    assert not version.deployments.exists(), "nobody has promoted it"
    own = make_model(project, ada, stage="pretrain")
    for named, start in ((version, version), (None, own)):
        pipelines.start_chain(plan_for(project, stages=["sft"], base_model=named), by=ada)
        assert TrainingRun.objects.latest("pk").base_model == start
        Chain.objects.update(state="succeeded")


def make_base(folder: Path):
    """In GPT-2's manner: one token ends and pads, there is no template; weights are in bfloat16. Its tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator([], trainers.BpeTrainer(special_tokens=["</s>"], initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="</s>")
    shape: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = LlamaConfig(vocab_size=len(tokenizer), **shape, tie_word_embeddings=False)
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def test_a_base_model_gets_what_chat_needs_and_says_what_it_said(models, settings, bring):
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.modeling.loading import load_policy, load_tokenizer

    plain = make_base(models / "base")
    before = {path.name: path.read_bytes() for path in (models / "base").iterdir()}
    job = bring(folder="base")
    assert job.status == "succeeded", job.error
    (version,) = ModelVersion.objects.all()
    marks = "<|system|>, <|user|>, <|assistant|>"
    assert version.metrics["added"] == ["pad token <|pad|>", f"chat template with {marks}"]
    copied = Path(settings.DATA_DIR) / version.path
    tokenizer = load_tokenizer(copied)
    assert (len(plain), len(tokenizer)) == (257, 261)
    talk = [{"role": "user", "content": "sky"}, {"role": "assistant", "content": "blue"}]
    assert tokenizer.apply_chat_template(talk, tokenize=False) == "<|user|>sky<|assistant|>blue</s>"
    assert AutoModelForCausalLM.from_pretrained(copied, dtype="auto").dtype == torch.bfloat16
    ids = torch.tensor([plain("What colour")["input_ids"]])
    said = load_policy(copied)(ids).logits
    assert torch.equal(said[..., :257], load_policy(models / "base", tokenizer)(ids).logits)
    assert (said[..., 257:] < said[..., :257].max()).all(), "no new token is the likeliest"
    assert {path.name: path.read_bytes() for path in (models / "base").iterdir()} == before, "theirs stays as it was"


@pytest.mark.parametrize(
    ("kind", "files", "error"),
    [
        ("policy", {"pytorch_model.bin": "x"}, "only pickled weights"),
        ("policy", {"config.json": "{}", "weights.bin": "x"}, "no weights in safetensors"),
        ("policy", {"config.json": '{"architectures": ["BertForMaskedLM"]}', "m.safetensors": ""}, "no policy"),
        (
            "reward",
            {"config.json": '{"architectures": ["LlamaForSequenceClassification"]}', "m.safetensors": ""},
            "no reward",
        ),
        ("policy", {"config.json": "not json", "m.safetensors": ""}, "no readable config.json"),
    ],
)
def test_what_cannot_be_used_is_refused(models, bring, kind, files, error):
    (models / "theirs").mkdir()
    for name, text in files.items():
        (models / "theirs" / name).write_text(text)
    job = bring(kind, folder="theirs")
    assert (job.status, error in job.error) == ("failed", True), job.error
    assert job.remedy or kind == "reward"
    assert ModelVersion.objects.count() == 0
    assert [path.name for path in models.iterdir()] == ["theirs"], "nothing is left aside"


@pytest.mark.parametrize("named", ["../../etc", "/etc", ".", "link"])
def test_only_from_where_models_may_be_taken(models, bring, tmp_path, named):
    (tmp_path / "outside").mkdir()
    (models / "link").symlink_to(tmp_path / "outside")
    job = bring(folder=named)
    assert (job.status, job.error_kind) == ("failed", "config")
    assert "outside the folders" in job.error


def test_a_named_place_beside_the_data_folder(models, bring, settings, tmp_path):
    settings.MODEL_FOLDERS = [tmp_path / "shared"]
    (tmp_path / "shared" / "theirs").mkdir(parents=True)
    (tmp_path / "shared" / "theirs" / "config.json").write_text(json.dumps({}))
    job = bring(folder=str(tmp_path / "shared" / "theirs"))
    assert "no weights in safetensors" in job.error, "it was looked into"


@pytest.mark.parametrize("body", [{}, {"folder": "a", "hub": "b/c"}, {"hub": "no-owner"}, {"hub": "a/b/../c"}])
def test_exactly_one_source(project, ada, client_for, body):
    reply = client_for(ada).post("/api/v1/models/given/", {"project": "desk", "kind": "policy", **body})
    assert reply.status_code == 400


def make_family(folder: Path, name: str, template: str | None = None) -> None:
    """A tiny model as that family publishes it, made where the trainer's tests keep the families."""
    import sys

    sys.path.append(str(Path(__file__).parents[1] / "trainer"))
    from families import save_model

    folder.mkdir()
    save_model(folder, name)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)


def test_what_is_wrong_with_a_template_is_told_and_kept(models, bring, settings, project, ada, signed_in):
    make_family(models / "gemma", "gemma2")
    job = bring(folder="gemma")
    assert job.status == "succeeded", job.error
    (version,) = ModelVersion.objects.all()
    [fault] = version.metrics["checked"]
    assert (fault["name"], fault["severity"]) == ("no_system_message", "warn")
    assert fault["sentence"] == "Its chat template does not take a system message: System role not supported."
    assert version.manifest["config"]["checked"] == version.metrics["checked"]
    assert json.loads((Path(settings.DATA_DIR) / version.path / "generation_config.json").read_text())[
        "eos_token_id"
    ] == [2, 5], "what the model itself says of its ends stays"
    page = signed_in(ada).get(f"/p/{project.slug}/models/{version.public_id}/").content.decode()
    assert fault["sentence"] in page and fault["remedy"] in page


def test_a_template_that_never_ends_is_refused_in_words(models, bring):
    template = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}hi"
    make_family(models / "theirs", "qwen2", template)
    job = bring(folder="theirs")
    assert (job.status, job.error_kind) == ("failed", "data")
    assert job.error == "Its chat template cannot render a user message and a response: it is not done after 3 seconds."
    assert job.remedy == "Mend the template, or start from another model."
    assert [path.name for path in models.iterdir()] == ["theirs"]
    assert ModelVersion.objects.count() == 0


@pytest.mark.parametrize("hub", ["../x", "-/..", "a/..", ".a/b", "a/b.", "a--b/c", "a/b/c", "a/b..c"])
def test_a_hub_id_that_the_hub_could_not_have_is_refused_at_once(project, ada, client_for, hub):
    reply = client_for(ada).post("/api/v1/models/given/", {"project": "desk", "kind": "policy", "hub": hub})
    assert (reply.status_code, reply.json()["errors"][0]["attr"]) == (400, "hub")
