"""The shapes of a project's settings for sampling and training, checked where they come in.

What reads them later (the clock, housekeeping, workers) serves all projects in one go, so a shape it does not expect
would stop the work of everybody.
"""

import math
from collections.abc import Callable, Collection

from feedback.rules.json_types import JsonObject, is_list_of
from feedback.rules.platform.known_names import unknown_name
from feedback.rules.quality.reliability_weights import Weighing
from feedback.rules.training import stage_settings, stages

MAX_NEW_TOKENS = 8192
MAX_TEMPERATURE = 5.0
MOST_DRAWN = 64  # completions behind one response
MOST_HELD_OUT = 0.5  # of the annotators
MOST_STOPS, LONGEST_STOP = 4, 200
PipelineConfig = JsonObject  # stage -> its settings, and perhaps "preset" -> a name
SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens", "best_of", "stop")
TRAINING_POLICY = ("preset", "stages", "snapshot", "keep_open_tasks")


class InvalidPolicy(ValueError):
    """Which setting is wrong, and how."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


def check_sampling(sampling: object, kept: Collection[str] = ()) -> None:
    """Raises InvalidPolicy unless every setting is known and within its bounds.

    Args:
        kept: names that the project holds already, from before unknown ones were refused.
    """
    given = _an_object(sampling, "sampling")
    _known(given, (*SAMPLING, *kept), "sampling")
    stops = given.get("stop", [])
    fits = is_list_of(stops, str) and len(stops) <= MOST_STOPS
    fits = fits and all(0 < len(stop) <= LONGEST_STOP for stop in stops)
    _need(fits, "sampling.stop", f"A list of at most {MOST_STOPS} texts of at most {LONGEST_STOP} characters.")
    for name, low, high in (("temperature", 0.0, MAX_TEMPERATURE), ("top_p", 0.01, 1.0)):
        value = given.get(name, high)
        _need(_is_number(value) and low <= value <= high, f"sampling.{name}", f"From {low:g} to {high:g}.")
    whole = (("max_new_tokens", 1, MAX_NEW_TOKENS), ("top_k", 0, 1_000_000), ("best_of", 1, MOST_DRAWN))
    for name, least, most in whole:
        value = given.get(name, least)
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        _need(fits, f"sampling.{name}", f"A whole number from {least} to {most}.")


def check_training_policy(policy: object, snapshot_names: Collection[str], kept: Collection[str] = ()) -> None:
    """Raises InvalidPolicy when a part of it is unknown, or has another shape than its readers expect.

    Args:
        snapshot_names: what a snapshot's policy may say.
        kept: names that the project holds already, from before unknown ones were refused.
    """
    given = _an_object(policy, "training_policy")
    _known(given, (*TRAINING_POLICY, *kept), "training_policy")
    _preset(given, "training_policy")
    by_stage = given.get("stages", {})
    _need(isinstance(by_stage, dict), "training_policy.stages", "It must be an object of settings by stage.")
    _stages(by_stage, "training_policy.stages")
    snapshot = _an_object(given.get("snapshot", {}), "training_policy.snapshot")
    _known(snapshot, snapshot_names, "training_policy.snapshot")
    for name in ("unsettled", "extras", "accepted", "include_excluded"):
        _need(isinstance(snapshot.get(name, True), bool), f"training_policy.snapshot.{name}", "True or false.")
    weighing = snapshot.get("weigh_annotators", Weighing.WEIGH)
    choices = ", ".join(Weighing)
    _need(weighing in tuple(Weighing), "training_policy.snapshot.weigh_annotators", f"One of {choices}.")
    share = snapshot.get("held_out_annotators", 0)
    fits = _is_number(share) and 0 <= share <= MOST_HELD_OUT
    _need(fits, "training_policy.snapshot.held_out_annotators", f"A share from 0 to {MOST_HELD_OUT}.")
    sources = snapshot.get("prompt_sources", [])
    _need(is_list_of(sources, str), "training_policy.snapshot.prompt_sources", "It must be a list of names.")


def check_config(config: PipelineConfig) -> None:
    """The settings of a chain: an object for each stage, and perhaps a preset."""
    _preset(config, "config")
    by_stage = dict(config)
    by_stage.pop("preset", None)
    _stages(by_stage, "config")


def _an_object(given: object, where: str) -> JsonObject:
    if not isinstance(given, dict):
        raise InvalidPolicy(where, "It must be an object.")
    return given


def _known(given: JsonObject, names: Collection[str], where: str) -> None:
    for name in given:
        _need(name in names, f"{where}.{name}", unknown_name(name, names, "setting"))


def _preset(given: JsonObject, where: str) -> None:
    if "preset" in given:
        _setting(where, stage_settings.check_preset, given["preset"])


def _stages(given: JsonObject, where: str) -> None:
    for stage, values in given.items():
        _need(stage in stages.ORDER, f"{where}.{stage}", unknown_name(stage, stages.ORDER, "stage"))
        _setting(where, stage_settings.check_stage, stage, values)


def _setting(where: str, check: Callable[..., None], *values: object) -> None:
    try:
        check(*values)
    except stage_settings.InvalidSetting as error:
        raise InvalidPolicy(f"{where}.{error.field}", error.sentence) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _need(fits: bool, field: str, sentence: str) -> None:
    if not fits:
        raise InvalidPolicy(field, sentence)
