"""The cards of the stages, which pages and forms show, say what the table of stages says."""

import pytest

from feedback.rules.training import stage_settings
from feedback.rules.training.stages import ALIGNMENT
from feedback.rules.training.stages import STAGES as RULES
from feedback.selectors.training.stages import ALIGNING, GROUPS, NAMES, STAGES, TITLES, StageCard

MAKES = {"reward": "scores responses", "": "report"}  # other kinds are named as they are
ROWS = {
    "document": "corpus",
    "classification": "labeled texts",
    "spans": "marked spans",
    "demonstration": "demonstrations",
    "preference": "preference pairs",
    "unpaired": "thumbs",
    "prompt": "prompts",
}


def test_every_stage_has_one_card_in_the_order_of_the_table():
    assert [card.stage.value for card in STAGES] == list(RULES) == list(NAMES) == list(TITLES)
    assert len(set(NAMES.values())) == len(set(TITLES.values())) == len(RULES)
    assert tuple(card.stage.value for card in STAGES if card.group == ALIGNING) == ALIGNMENT


@pytest.mark.parametrize("card", STAGES, ids=lambda card: card.stage.value)
def test_a_card_says_what_its_stage_takes_reads_and_makes(card: StageCard):
    rule = RULES[card.stage.value]
    assert card.group in GROUPS
    assert MAKES.get(rule.makes, rule.makes) in card.makes
    needs = card.needs.replace("candidate", "policy")
    for kind in rule.takes:
        assert kind in needs, f"it starts from a {kind}"
    for kind in rule.rows[:1]:
        assert ROWS[kind] in needs
    assert ("corpus" in needs) == rule.reads_texts
    assert ("reward model" in needs) == rule.needs_reward_model


@pytest.mark.parametrize("card", STAGES, ids=lambda card: card.stage.value)
def test_a_form_asks_for_settings_that_the_trainer_knows(card: StageCard):
    known = stage_settings.of_stage(card.stage.value)
    for key, label, meaning in card.settings:
        assert known[key]["type"] in ("number", "integer") or key == "scheme"
        assert label and meaning.endswith(".")
