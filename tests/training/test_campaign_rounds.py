"""The next step of a campaign is a function of what stands in the database, and so is what it waits for."""

from dataclasses import replace
from typing import Any

import pytest

from feedback.rules.training.campaign_rounds import Action, Facts, Step, in_words, labels_wanted, next_step

BEGUN = Facts(state="collecting", left=1000, cap=300, after_labels=400)


def step(**changes: Any) -> Step:
    return next_step(replace(BEGUN, **changes))


def test_a_paused_campaign_takes_no_step() -> None:
    for state in ("", "collecting", "training", "checking", "comparing"):
        found = step(paused=True, state=state, labels=999, pipeline="succeeded")
        assert (found.action, in_words(found)) == (Action.WAIT, "paused; resume it to go on")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": 212}, "212 of 400 labels"),
        ({"labels": 212, "left": 400}, "212 of 312 labels"),
        ({"after_labels": None, "every_seconds": 3600, "seconds": 60.0}, "59 more min of collecting"),
        ({"after_labels": None, "every_seconds": 3600, "seconds": 9000.0}, "the first label of the round"),
        ({"labels": 0, "drifted": True}, "the first label of the round"),
        ({"labels": 400, "other_pipeline": True}, "another pipeline run with the same stages to end"),
        (
            {"state": "training", "pipeline": "active", "stage": "PPO", "stages_done": 2, "stages": 4},
            "training: PPO, 2 of 4 stages done",
        ),
        ({"state": "checking", "other_contest": True}, "the project's other comparison to end"),
        ({"state": "comparing", "contest": "running", "votes": 84, "most_votes": 300}, "84 of at most 300 votes"),
        (
            {"state": "comparing", "contest": "paused", "votes": 84, "most_votes": 300},
            "the comparison, which is paused at 84 of at most 300 votes",
        ),
        (
            {"state": "comparing", "contest": "decided", "won": True, "candidate": "policy v4"},
            "the promotion of policy v4",
        ),
        (
            {
                "state": "comparing",
                "contest": "decided",
                "won": True,
                "applied": True,
                "promote": "ask",
                "candidate": "policy v4",
            },
            "an admin's decision on policy v4, which people prefer",
        ),
    ],
)
def test_it_says_what_it_waits_for(changes: dict[str, Any], words: str) -> None:
    found = step(**changes)
    assert (found.action, in_words(found)) == (Action.WAIT, words)


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"state": ""}, Action.START_ROUND),
        ({"state": "", "left": 301}, Action.START_ROUND),
        ({"state": "", "left": 300}, Action.END_CAMPAIGN),
        ({"labels": 400}, Action.START_PIPELINE),
        ({"labels": 5, "drifted": True}, Action.START_PIPELINE),
        ({"labels": 5, "left": 300}, Action.START_PIPELINE),  # what is left pays for the votes
        ({"labels": 0, "left": 300}, Action.END_CAMPAIGN),  # the budget was cut
        ({"after_labels": None, "every_seconds": 60, "seconds": 60.0, "labels": 1}, Action.START_PIPELINE),
        ({"state": "training", "pipeline": "succeeded", "made_policy": True}, Action.CHECK),
        ({"state": "training", "pipeline": "succeeded"}, Action.FAIL),
        ({"state": "training", "pipeline": "failed"}, Action.FAIL),
        ({"state": "training", "pipeline": "cancelled"}, Action.STOP),
        ({"state": "training", "pipeline": ""}, Action.STOP),
        ({"state": "checking"}, Action.OPEN_CONTEST),
        ({"state": "checking", "serves": True}, Action.PROMOTED),
        ({"state": "comparing", "contest": "running", "serves": True}, Action.PROMOTED),
        ({"state": "comparing", "contest": "decided"}, Action.KEEP),
        ({"state": "comparing", "contest": "stopped"}, Action.KEEP),
        ({"state": "comparing", "contest": ""}, Action.KEEP),
        ({"state": "comparing", "contest": "decided", "won": True, "applied": True}, Action.PROMOTED),
        ({"state": "comparing", "contest": "decided", "won": True, "applied": True, "refused": True}, Action.REFUSE),
    ],
)
def test_its_next_step(changes: dict[str, Any], action: Action) -> None:
    found = step(**changes)
    assert (found.action, in_words(found)) == (action, "")


@pytest.mark.parametrize(
    "changes", [{"rejected": True}, {"incumbent_serves": False}], ids=["rejected", "another version serves"]
)
def test_an_admin_who_was_asked_has_decided(changes: dict[str, Any]) -> None:
    asked = {"state": "comparing", "contest": "decided", "won": True, "applied": True, "promote": "ask"}
    assert step(**asked, **changes).action == Action.KEEP
    assert step(**asked, serves=True).action == Action.PROMOTED


def test_labels_wanted_stay_within_the_budget() -> None:
    assert labels_wanted(replace(BEGUN, labels=100, left=900)) == 400
    assert labels_wanted(replace(BEGUN, labels=100, left=350)) == 150
    assert labels_wanted(replace(BEGUN, labels=100, left=100)) == 1
    assert labels_wanted(replace(BEGUN, after_labels=None)) == 0
