"""Ada starts each stage: what it starts from, what it refuses, and the sentence that says what to do."""

import pytest
from django.utils.timezone import now

from feedback.errors import Invalid, NothingToTrainOn, SnapshotTooSmall
from feedback.models import Chain, Corpus, DatasetSnapshot, Document, Job, ModelVersion, TrainingRun
from feedback.selectors.training import stage_models
from feedback.services.collection import tasks, thumbs
from feedback.services.platform import projects
from feedback.services.registry import model_versions
from feedback.services.training import pipelines, preflight
from tests.factories import make_annotation, make_model, make_pair, make_prompt_in, make_response, plan_for
from workers.handlers.training import inputs_of

pytestmark = pytest.mark.database

TOPIC = {"kind": "classification", "labels": [{"name": "work"}, {"name": "play"}]}


@pytest.fixture
def corpus(project):
    row = Corpus.objects.create(project=project, name="Books")
    Document.objects.create(corpus=row, text="Once upon a time.", text_hash="0" * 64)
    return row


@pytest.fixture
def pairs(project, ada):
    return [make_pair(project, ada, prompt=make_prompt_in(project, "train").text) for _ in range(2)]


def label(project, person, count=2, scheme="topic"):
    for number in range(count):
        prompt = make_prompt_in(project, "train")
        task, _ = tasks.create_task(
            project=project, by=None, kind="classification", prompt=prompt, responses=[], ask={"scheme": scheme}
        )
        make_annotation(project, person, task, {"labels": [["work", "play"][number % 2]]})


def start(project, by, *stages, **options) -> TrainingRun:
    chain = pipelines.start_chain(plan_for(project, stages=list(stages), **options), by=by)
    return chain.runs.get(position=0)


def read_by(run: TrainingRun) -> DatasetSnapshot:
    assert run.snapshot is not None
    return run.snapshot


def sentence(project, by, *stages, **options) -> str:
    with pytest.raises((NothingToTrainOn, SnapshotTooSmall, Invalid)) as refused:
        pipelines.start_chain(plan_for(project, stages=list(stages), **options), by=by)
    assert Chain.objects.filter(state="active").count() == 0
    return refused.value.sentence


class TestBase:
    def test_masked_pretraining_reads_the_corpus_from_a_tokenizer(self, project, ada, corpus):
        assert "needs a tokenizer" in sentence(project, ada, "mlm")
        tokenizer = make_model(project, ada, stage="tokenizer")
        run = start(project, ada, "mlm")
        assert (run.base_model, read_by(run).purpose) == (tokenizer, "corpus")

    def test_it_goes_on_from_an_encoder_only_when_told(self, project, ada, corpus):
        tokenizer, encoder = make_model(project, ada, stage="tokenizer"), make_model(project, ada, stage="mlm")
        assert start(project, ada, "mlm").base_model == tokenizer
        Chain.objects.update(state="succeeded")
        assert start(project, ada, "mlm", base_model=encoder).base_model == encoder

    def test_without_a_corpus_texts_under_labels_are_read(self, project, ada, hana):
        assert "no labeled texts" in sentence(project, ada, "tokenizer")
        projects.set_scheme(by=hana, project=project, name="topic", scheme=TOPIC)
        label(project, ada)
        run = start(project, ada, "tokenizer", "mlm", "classify")
        assert (run.stage, read_by(run).purpose) == ("tokenizer", "feedback")
        assert run.chain.corpus_snapshot == run.chain.snapshot

    def test_labeled_texts_are_read_when_asked_for(self, project, ada, hana, corpus):
        projects.set_scheme(by=hana, project=project, name="topic", scheme=TOPIC)
        label(project, ada)
        assert read_by(start(project, ada, "tokenizer", texts="labelled")).purpose == "feedback"

    def test_of_several_corpora_the_named_one_is_read_else_the_newest_that_holds_documents(self, project, ada, corpus):
        newer = Corpus.objects.create(project=project, name="Letters")
        assert "has no documents" in sentence(project, ada, "tokenizer", corpus=newer)
        assert read_by(start(project, ada, "tokenizer")).corpus == corpus
        Chain.objects.update(state="succeeded")
        letter = Document.objects.create(corpus=newer, text="Dear Ada,", text_hash="1" * 64)
        assert read_by(start(project, ada, "tokenizer")).corpus == newer
        Chain.objects.update(state="succeeded")
        assert read_by(start(project, ada, "tokenizer", corpus=corpus)).corpus == corpus
        Chain.objects.update(state="succeeded")
        Document.objects.filter(pk=letter.pk).update(removed_at=now())
        assert read_by(start(project, ada, "tokenizer")).corpus == corpus

    def test_what_was_looked_at_is_what_is_read(self, project, ada, corpus):
        job = preflight.request_preflight(plan_for(project, stages=["tokenizer"], corpus=corpus), by=ada)
        newer = Corpus.objects.create(project=project, name="Letters")
        Document.objects.create(corpus=newer, text="Dear Ada,", text_hash="1" * 64)
        Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED)
        run = preflight.start(by=ada, job=Job.objects.get(pk=job.pk)).runs.get()
        assert (read_by(run).corpus, str(read_by(run).public_id)) == (corpus, job.payload["read"])

    def test_a_corpus_that_nothing_would_read_is_refused(self, project, ada, corpus, pairs):
        make_model(project, ada, stage="sft")
        assert "None of these stages reads a corpus" in sentence(project, ada, "reward", corpus=corpus)
        assert "name one of the two" in sentence(project, ada, "tokenizer", corpus=corpus, texts="labelled")


class TestGuardAndMarker:
    def test_a_classifier_starts_from_the_encoder_else_from_scratch(self, project, ada, hana):
        projects.set_scheme(by=hana, project=project, name="topic", scheme=TOPIC)
        assert "needs an encoder" in sentence(project, ada, "classify")
        tokenizer = make_model(project, ada, stage="tokenizer")
        assert "fewer than two" in sentence(project, ada, "classify")
        label(project, ada)
        assert start(project, ada, "classify").base_model == tokenizer
        Chain.objects.update(state="succeeded")
        encoder = make_model(project, ada, stage="mlm")
        assert start(project, ada, "classify").base_model == encoder

    def test_of_several_schemes_one_is_named(self, project, ada, hana):
        for name in ("topic", "tone"):
            projects.set_scheme(by=hana, project=project, name=name, scheme=TOPIC)
            label(project, ada, scheme=name)
        make_model(project, ada, stage="tokenizer")
        assert "Name the one to learn" in sentence(project, ada, "classify")
        assert "no label scheme 'mood'" in sentence(project, ada, "classify", config={"classify": {"scheme": "mood"}})
        run = start(project, ada, "classify", config={"classify": {"scheme": "tone"}})
        assert run.config["scheme"] == "tone"

    def test_a_look_before_training_knows_the_guard_that_is_a_term(self, project, ada, pairs):
        for stage in ("sft", "reward"):
            make_model(project, ada, stage=stage)
        guard = make_model(project, ada, stage="classify")
        known = {"state": "approved", "metrics": {"class_balance": {"safe": 3, "unsafe": 3}}}
        ModelVersion.objects.filter(pk=guard.pk).update(**known)
        config = {"ppo": {"terms": {"guard": {"label": "safe", "weight": 1.0}}}}
        job = preflight.request_preflight(plan_for(project, stages=["reward", "ppo"], config=config), by=ada)
        assert [planned.models.guard for planned in preflight.planned(job)] == [None, guard]

    def test_a_tagger_needs_marked_spans(self, project, ada, hana):
        make_model(project, ada, stage="tokenizer")
        projects.set_scheme(by=hana, project=project, name="topic", scheme=TOPIC)
        label(project, ada)
        assert "texts with marked spans" in sentence(project, ada, "tag")


class TestAlignment:
    @pytest.mark.parametrize("stage", ["dpo", "kto", "ppo", "rloo", "grpo"])
    def test_all_start_from_the_sft_policy(self, project, ada, pairs, stage):
        make_model(project, ada, stage="pretrain")
        assert "starts from an SFT policy" in sentence(project, ada, stage)
        sft, reward = make_model(project, ada, stage="sft"), make_model(project, ada, stage="reward")
        run = start(project, ada, stage)
        sampled = stage in ("ppo", "rloo", "grpo")
        assert (run.base_model, run.reward_model) == (sft, reward if sampled else None)

    @pytest.mark.parametrize("stage", ["ppo", "rloo", "grpo"])
    def test_what_samples_needs_a_reward_model(self, project, ada, pairs, stage):
        make_model(project, ada, stage="sft")
        assert "needs a reward model" in sentence(project, ada, stage)

    def test_kto_learns_from_thumbs_alone(self, project, ada):
        make_model(project, ada, stage="sft")
        assert "rated good or bad" in sentence(project, ada, "kto")
        response = make_response(make_prompt_in(project, "train"))
        thumbs.give_thumb(response=response, person=ada, token=None, up=True)
        assert start(project, ada, "kto").stage == "kto"

    def test_one_way_in_a_chain(self, project, ada, pairs):
        assert "choose one" in sentence(project, ada, "sft", "dpo", "ppo")

    def test_a_named_policy_is_the_start_of_every_stage_that_it_fits(self, project, ada, pairs):
        named, _ = make_model(project, ada, stage="sft"), make_model(project, ada, stage="sft")
        chain = pipelines.start_chain(plan_for(project, stages=["reward", "dpo"], base_model=named), by=ada)
        run = chain.runs.get(position=0)
        _finish(run)
        pipelines.advance_chain(chain)
        assert [row.base_model for row in chain.runs.order_by("position")] == [named, named]

    def test_what_fits_no_stage_is_refused(self, project, ada, pairs):
        reward = make_model(project, ada, stage="reward")
        assert "does not fit these stages" in sentence(project, ada, "sft", base_model=reward)

    def test_evaluation_compares_the_policy_made_last_with_what_serves_not_with_its_parent(self, project, ada, pairs):
        serving, sft = make_model(project, ada, stage="pretrain"), make_model(project, ada, stage="sft")
        chain = pipelines.start_chain(plan_for(project, stages=["dpo", "evaluate"]), by=ada)
        _finish(chain.runs.get())
        pipelines.advance_chain(chain)
        run = chain.runs.get(position=1)
        assert run.base_model is not None
        assert (run.base_model.stage, run.incumbent, run.reward_model) == ("dpo", serving, None)
        assert run.base_model.parent == sft


class TestGuardAsATermOfTheReward:
    TERM = {"ppo": {"terms": {"model": {"weight": 1.0}, "guard": {"weight": 0.5, "label": "ham"}}}}

    def test_it_needs_an_approved_classifier_that_knows_the_label(self, project, ada, pairs):
        sft, reward = make_model(project, ada, stage="sft"), make_model(project, ada, stage="reward")
        classifier = make_model(project, ada, stage="classify")
        assert "needs a classifier" in sentence(project, ada, "ppo", config=self.TERM)
        ModelVersion.objects.filter(pk=classifier.pk).update(metrics={"class_balance": {"spam": 5}}, state="approved")
        assert "has no class 'ham'" in sentence(project, ada, "ppo", config=self.TERM)
        ModelVersion.objects.filter(pk=classifier.pk).update(metrics={"class_balance": {"spam": 5, "ham": 5}})
        run = start(project, ada, "ppo", config=self.TERM)
        run.snapshot = None  # what a worker freezes first
        assert (run.base_model, run.reward_model, run.guard) == (sft, reward, classifier)
        assert set(inputs_of(run)) == {"base_model", "reward_model", "guard"}
        Chain.objects.update(state="succeeded")
        assert start(project, ada, "ppo").guard is None


class TestSettings:
    @pytest.mark.parametrize(
        ("config", "field"),
        [
            ({"sft": {"epocs": 1}}, "config.sft.epocs"),
            ({"sft": {"epochs": -1}}, "config.sft.epochs"),
            ({"sft": {"epochs": "many"}}, "config.sft.epochs"),
            ({"sft": {"batch_size": 1.5}}, "config.sft.batch_size"),
            ({"sft": {}, "preset": "huge"}, "config.preset"),
        ],
    )
    def test_wrong_ones_are_refused_by_name(self, project, ada, config, field):
        make_model(project, ada, stage="pretrain")
        with pytest.raises(Invalid) as refused:
            pipelines.start_chain(plan_for(project, stages=["sft"], config=config), by=ada)
        assert refused.value.field == field


class TestPreset:
    """A model that came pretrained would be ruined by the rates that small models need."""

    @pytest.fixture
    def given(self, project, ada) -> ModelVersion:
        version = make_model(project, ada, stage="sft")
        ModelVersion.objects.filter(pk=version.pk).update(stage="given", metrics={})
        version.refresh_from_db()
        return version

    def test_a_model_from_elsewhere_gets_the_preset_for_pretrained_ones(self, project, ada, given):
        assert stage_models.settings_of_run(project, "dpo", {}, given)["preset"] == "pretrained"

    def test_so_does_what_was_trained_from_it_and_what_is_large(self, project, ada, given):
        later, large, small = (make_model(project, ada) for _ in range(3))
        ModelVersion.objects.filter(pk=later.pk).update(parent=given)
        ModelVersion.objects.filter(pk=large.pk).update(metrics={"parameters": 20_000_001})
        ModelVersion.objects.filter(pk=small.pk).update(metrics={"parameters": 20_000_000})
        for version, preset in ((later, "pretrained"), (large, "pretrained"), (small, "small")):
            version.refresh_from_db()
            assert stage_models.settings_of_run(project, "dpo", {}, version)["preset"] == preset

    def test_what_chain_or_project_name_stands(self, project, ada, given):
        assert stage_models.settings_of_run(project, "dpo", {"preset": "small"}, given)["preset"] == "small"
        project.training_policy = {"preset": "pretrained-lora"}
        assert stage_models.settings_of_run(project, "dpo", {}, given)["preset"] == "pretrained-lora"

    def test_from_scratch_and_from_a_tokenizer_it_is_the_usual_one(self, project, ada):
        tokenizer = make_model(project, ada, stage="tokenizer")
        ModelVersion.objects.filter(pk=tokenizer.pk).update(stage="given")
        tokenizer.refresh_from_db()
        for base in (None, tokenizer):
            assert stage_models.settings_of_run(project, "pretrain", {}, base)["preset"] == "small"


def _finish(run: TrainingRun) -> ModelVersion:
    """The run ended well and made its model."""
    from feedback.models import Job
    from feedback.rules.training.stages import KIND_OF_STAGE

    Job.objects.filter(pk=run.job_id).update(status="succeeded")
    return model_versions.register(
        run=run, kind=KIND_OF_STAGE[run.stage], path="models/x", manifest={}, manifest_sha256="0" * 64, metrics={}
    )
