"""The copy of the trainer's settings that the service checks by is the trainer's own word."""

import json
from pathlib import Path

from trainer.configs.stages import parse
from trainer.describe import describe

COPY = Path(__file__).resolve().parents[2] / "feedback" / "rules" / "training" / "stage_settings.json"


def test_the_service_s_copy_is_equal():
    told = describe()
    assert json.loads(COPY.read_text(encoding="utf-8")) == told, (
        "run: python -m trainer.describe > feedback/rules/training/stage_settings.json"
    )
    ppo = told["stages"]["ppo"]
    assert ppo["clip_range"] == {"type": "number", "default": 0.2, "above": 0, "high": 1}
    assert ppo["value_learning_rate"]["null"] is True
    for stage in told["stages"]:
        for preset, stages in told["presets"].items():
            parse(stage, {"preset": preset} | stages.get(stage, {}))
