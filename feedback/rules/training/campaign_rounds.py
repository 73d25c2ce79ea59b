"""The next step of a campaign, as a pure function of what stands in the database.

A step is either one action, which the service takes in one transaction, or a wait with the figures that the pages show.
Nothing is remembered between two calls, so a process that is killed anywhere leaves a state that the next call reads.
"""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    WAIT = "wait"
    END_CAMPAIGN = "end_campaign"  # the budget is used up
    START_ROUND = "start_round"
    START_PIPELINE = "start_pipeline"
    FAIL = "fail"  # the round ends with its pipeline run
    STOP = "stop"  # the round ends with its canceled pipeline run
    CHECK = "check"  # the pipeline run has made a candidate
    OPEN_CONTEST = "open_contest"
    PROMOTED = "promoted"
    KEEP = "keep"
    REFUSE = "refuse"


class WaitsFor(StrEnum):
    RESUME = "resume"
    LABELS = "labels"
    FIRST_LABEL = "first_label"
    TIME = "time"
    OTHER_PIPELINE = "other_pipeline"
    PIPELINE = "pipeline"
    OTHER_CONTEST = "other_contest"
    VOTES = "votes"
    PAUSED_CONTEST = "paused_contest"
    PROMOTION = "promotion"
    ADMIN = "admin"


@dataclass(frozen=True)
class Step:
    """What comes next.

    Attributes:
        waits_for: why nothing is done; None where `action` is something to do.
        done, of: figures of the wait: labels, votes, stages or seconds; `of` is 0 where it has none.
        what: what the sentence names: a stage or a model version.
    """

    action: Action
    waits_for: WaitsFor | None = None
    done: int = 0
    of: int = 0
    what: str = ""


@dataclass(frozen=True)
class Facts:
    """A running or paused campaign and its open round.

    Attributes:
        state: of the open round; "" where there is none.
        left: labels of the budget that are not used up; may be negative.
        cap: votes that the comparison of a round may take; kept back while labels are collected.
        labels: of the round so far. seconds: since it began. drifted: labels drifted from the reward model since then,
            so the round trains at once.
        pipeline: state of its pipeline run; "" before it is started. stage, stages_done, stages: where that is.
        other_pipeline: one of the same stages, of somebody else, is at work.
        made_policy: its pipeline run has made a policy. candidate: its name. serves: whether it serves.
        rejected: an admin rejected or revoked it.
        contest: state of its comparison; "" before it is opened. votes, most_votes: cast, and at most.
        won: people prefer the candidate. applied: what follows the decision was done. refused: the winner was not
            promoted, for reasons. incumbent_serves: what the candidate was compared with still serves.
        other_contest: another comparison of the project goes on.
    """

    paused: bool = False
    state: str = ""
    left: int = 0
    cap: int = 0
    after_labels: int | None = None
    every_seconds: int | None = None
    promote: str = "automatically"
    labels: int = 0
    seconds: float = 0.0
    drifted: bool = False
    pipeline: str = ""
    stage: str = ""
    stages_done: int = 0
    stages: int = 0
    other_pipeline: bool = False
    made_policy: bool = False
    candidate: str = ""
    serves: bool = False
    rejected: bool = False
    contest: str = ""
    votes: int = 0
    most_votes: int = 0
    won: bool = False
    applied: bool = False
    refused: bool = False
    incumbent_serves: bool = True
    other_contest: bool = False


def next_step(facts: Facts) -> Step:
    """The step of a campaign that has not ended."""
    if facts.paused:
        return _wait(WaitsFor.RESUME)
    if facts.state == "":
        return Step(Action.START_ROUND if facts.left > facts.cap else Action.END_CAMPAIGN)
    if facts.state == "collecting":
        return _collecting(facts)
    if facts.state == "training":
        return _training(facts)
    if facts.state == "checking":
        return _checking(facts)
    return _comparing(facts)


def labels_wanted(facts: Facts) -> int:
    """Labels of the round at which its pipeline run starts, as far as the budget reaches; 0 for a trigger by time."""
    if facts.after_labels is None:
        return 0
    return max(1, min(facts.after_labels, facts.labels + facts.left - facts.cap))


def _collecting(facts: Facts) -> Step:
    used_up = facts.left <= facts.cap
    if used_up and facts.labels == 0:
        return Step(Action.END_CAMPAIGN)
    waits = not used_up and not facts.drifted
    if waits and facts.after_labels is not None and facts.labels < facts.after_labels:
        return _wait(WaitsFor.LABELS, facts.labels, labels_wanted(facts))
    if waits and facts.every_seconds is not None and facts.seconds < facts.every_seconds:
        return _wait(WaitsFor.TIME, int(facts.seconds), facts.every_seconds)
    if facts.labels == 0:
        return _wait(WaitsFor.FIRST_LABEL)
    if facts.other_pipeline:
        return _wait(WaitsFor.OTHER_PIPELINE)
    return Step(Action.START_PIPELINE)


def _training(facts: Facts) -> Step:
    if facts.pipeline == "active":
        return Step(Action.WAIT, WaitsFor.PIPELINE, facts.stages_done, facts.stages, facts.stage)
    if facts.pipeline == "succeeded":
        return Step(Action.CHECK if facts.made_policy else Action.FAIL)
    if facts.pipeline == "failed":
        return Step(Action.FAIL)
    return Step(Action.STOP)


def _checking(facts: Facts) -> Step:
    if facts.serves:
        return Step(Action.PROMOTED)  # the project's first policy, or an admin was quicker
    if facts.other_contest:
        return _wait(WaitsFor.OTHER_CONTEST)
    return Step(Action.OPEN_CONTEST)


def _comparing(facts: Facts) -> Step:
    if facts.serves:
        return Step(Action.PROMOTED)
    if facts.contest == "running":
        return _wait(WaitsFor.VOTES, facts.votes, facts.most_votes)
    if facts.contest == "paused":
        return _wait(WaitsFor.PAUSED_CONTEST, facts.votes, facts.most_votes)
    if not facts.won:
        return Step(Action.KEEP)
    if not facts.applied:
        return Step(Action.WAIT, WaitsFor.PROMOTION, what=facts.candidate)
    if facts.promote == "automatically":
        return Step(Action.REFUSE if facts.refused else Action.PROMOTED)  # it may have been rolled back since
    if facts.rejected or not facts.incumbent_serves:
        return Step(Action.KEEP)
    return Step(Action.WAIT, WaitsFor.ADMIN, what=facts.candidate)


def _wait(waits_for: WaitsFor, done: int = 0, of: int = 0) -> Step:
    return Step(Action.WAIT, waits_for, done, of)


def in_words(step: Step) -> str:
    """What a campaign waits for, as a sentence without a period; "" where it waits for nothing."""
    if step.waits_for is None:
        return ""
    done, of = f"{step.done:,}", f"{step.of:,}"
    words = {
        WaitsFor.RESUME: "paused; resume it to go on",
        WaitsFor.LABELS: f"{done} of {of} labels",
        WaitsFor.FIRST_LABEL: "the first label of the round",
        WaitsFor.TIME: f"{_time(step.of - step.done)} of collecting",
        WaitsFor.OTHER_PIPELINE: "another pipeline run with the same stages to end",
        WaitsFor.PIPELINE: f"training: {step.what}, {done} of {of} stages done",
        WaitsFor.OTHER_CONTEST: "the project's other comparison to end",
        WaitsFor.VOTES: f"{done} of at most {of} votes",
        WaitsFor.PAUSED_CONTEST: f"the comparison, which is paused at {done} of at most {of} votes",
        WaitsFor.PROMOTION: f"the promotion of {step.what}",
        WaitsFor.ADMIN: f"an admin's decision on {step.what}, which people prefer",
    }
    return words[step.waits_for]


def _time(seconds: int) -> str:
    """What is left, rounded up."""
    if seconds < 120:
        return f"{max(1, seconds)} more s"
    if seconds < 7200:
        return f"{-(-seconds // 60)} more min"
    return f"{-(-seconds // 3600)} more h"
