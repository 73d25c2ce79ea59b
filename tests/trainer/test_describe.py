"""The service's copy of the table of stages and of their settings is the trainer's own."""

import importlib
import json
from pathlib import Path

import pytest

from feedback.models import ModelVersion, Stage
from feedback.rules.training import stages as service
from trainer.configs.parsing import parse
from trainer.data.snapshot import KINDS
from trainer.describe import describe
from trainer.stages import GIVEN, STAGES

COPY = Path(__file__).resolve().parents[2] / "feedback" / "rules" / "training" / "stage_settings.json"


def test_the_service_s_copy_is_equal():
    described = json.loads(json.dumps(describe()))
    assert json.loads(COPY.read_text(encoding="utf-8")) == described, (
        "run: python -m trainer.describe > feedback/rules/training/stage_settings.json"
    )
    ppo = described["stages"]["ppo"]
    assert ppo["clip_range"] == {"type": "number", "default": 0.2, "above": 0, "high": 1}
    assert ppo["value_learning_rate"]["null"] is True
    for stage in described["stages"]:
        for preset, stages in described["presets"].items():
            parse(stage, {"preset": preset} | stages.get(stage, {}))


def test_the_database_names_the_stages_of_a_pipeline_in_their_order():
    assert list(service.STAGES) == [name for name, row in STAGES.items() if row.in_pipeline] == Stage.values


def test_a_pipeline_holds_one_stage_of_alignment_and_no_job_of_the_service():
    assert service.ordered(["evaluate", "dpo", "sft"]) == ["sft", "dpo", "evaluate"]
    for names, sentence in (
        (["kto", "ppo"], "KTO and PPO are alternatives; choose one of them."),
        (["sft", "sft"], "Name at least one stage, and each stage only once."),
        ([], "Name at least one stage, and each stage only once."),
    ):
        with pytest.raises(service.WrongStages) as caught:
            service.ordered(names)
        assert str(caught.value) == sentence
    with pytest.raises(service.WrongStages, match="Unknown stage 'generate'"):
        service.ordered(["generate"])


@pytest.mark.parametrize("name", STAGES)
def test_each_row_names_what_exists(name):
    row = STAGES[name]
    module, _, function = row.recipe.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert set(row.rows) | set(row.rows_otherwise) <= set(KINDS)
    assert {row.makes, row.given, *row.takes} - {""} <= set(ModelVersion.Kind.values)
    earlier = list(STAGES)[: list(STAGES).index(name)]
    assert set(row.after) <= {*earlier, GIVEN}, "a stage starts from what an earlier one has made"
    assert bool(row.after) == bool(row.missing)
    assert row.trains == hasattr(row.config, "learning_rate")
    assert hasattr(row.config, row.batch_setting) or name == "tokenizer"
