"""The shapes of a project's settings for sampling and training, checked where they come in.

What reads them later (the clock, housekeeping, workers) serves all projects in one go, so a shape it does not expect
would stop the work of everybody.
"""

import math
from collections.abc import Callable, Collection
from typing import Any

from feedback.rules.platform.known_names import unknown_name
from feedback.rules.training import stage_settings, stages

MAX_NEW_TOKENS = 8192
MAX_TEMPERATURE = 5.0
MOST_DRAWN = 64  # completions behind one response
MOST_HELD_OUT = 0.5  # of the annotators
MOST_STOPS, LONGEST_STOP = 4, 200
PipelineConfig = dict[str, Any]  # stage -> its settings, and perhaps "preset" -> a name
SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens", "best_of", "stop")
TRAINING_POLICY = ("preset", "stages", "snapshot", "keep_open_tasks")


class InvalidPolicy(ValueError):
    """Which setting is wrong, and how."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


def check_sampling(sampling: Any, kept: Collection[str] = ()) -> None:
    """Raises InvalidPolicy unless every setting is known and within its bounds.

    Args:
        kept: names that the project holds already, from before unknown ones were refused.
    """
    _need(isinstance(sampling, dict), "sampling", "It must be an object.")
    _known(sampling, (*SAMPLING, *kept), "sampling")
    stops = sampling.get("stop", [])
    fits = isinstance(stops, list) and len(stops) <= MOST_STOPS
    fits = fits and all(isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in stops)
    _need(fits, "sampling.stop", f"A list of at most {MOST_STOPS} texts of at most {LONGEST_STOP} characters.")
    for name, low, high in (("temperature", 0.0, MAX_TEMPERATURE), ("top_p", 0.01, 1.0)):
        value = sampling.get(name, high)
        _need(_is_number(value) and low <= value <= high, f"sampling.{name}", f"From {low:g} to {high:g}.")
    whole = (("max_new_tokens", 1, MAX_NEW_TOKENS), ("top_k", 0, 1_000_000), ("best_of", 1, MOST_DRAWN))
    for name, least, most in whole:
        value = sampling.get(name, least)
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        _need(fits, f"sampling.{name}", f"A whole number from {least} to {most}.")


def check_training_policy(policy: Any, snapshot_names: Collection[str], kept: Collection[str] = ()) -> None:
    """Raises InvalidPolicy when a part of it is unknown, or has another shape than its readers expect.

    Args:
        snapshot_names: what a snapshot's policy may say.
        kept: names that the project holds already, from before unknown ones were refused.
    """
    _need(isinstance(policy, dict), "training_policy", "It must be an object.")
    _known(policy, (*TRAINING_POLICY, *kept), "training_policy")
    _preset(policy, "training_policy")
    by_stage = policy.get("stages", {})
    _need(isinstance(by_stage, dict), "training_policy.stages", "It must be an object of settings by stage.")
    _stages(by_stage, "training_policy.stages")
    snapshot = policy.get("snapshot", {})
    _need(isinstance(snapshot, dict), "training_policy.snapshot", "It must be an object.")
    _known(snapshot, snapshot_names, "training_policy.snapshot")
    for name in ("unsettled", "extras", "accepted", "include_excluded"):
        _need(isinstance(snapshot.get(name, True), bool), f"training_policy.snapshot.{name}", "True or false.")
    share = snapshot.get("held_out_annotators", 0)
    fits = _is_number(share) and 0 <= share <= MOST_HELD_OUT
    _need(fits, "training_policy.snapshot.held_out_annotators", f"A share from 0 to {MOST_HELD_OUT}.")
    sources = snapshot.get("prompt_sources", [])
    fits = isinstance(sources, list) and all(isinstance(source, str) for source in sources)
    _need(fits, "training_policy.snapshot.prompt_sources", "It must be a list of names.")


def check_config(config: PipelineConfig) -> None:
    """The settings of a chain: an object for each stage, and perhaps a preset."""
    _preset(config, "config")
    _stages({stage: settings for stage, settings in config.items() if stage != "preset"}, "config")


def _known(given: dict[str, Any], names: Collection[str], where: str) -> None:
    for name in given:
        _need(name in names, f"{where}.{name}", unknown_name(name, names, "setting"))


def _preset(given: dict[str, Any], where: str) -> None:
    if "preset" in given:
        _setting(where, stage_settings.check_preset, given["preset"])


def _stages(given: dict[str, Any], where: str) -> None:
    for stage, values in given.items():
        _need(stage in stages.ORDER, f"{where}.{stage}", unknown_name(stage, stages.ORDER, "stage"))
        _setting(where, stage_settings.check_stage, stage, values)


def _setting(where: str, check: Callable[..., None], *values: Any) -> None:
    try:
        check(*values)
    except stage_settings.InvalidSetting as error:
        raise InvalidPolicy(f"{where}.{error.field}", error.sentence) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _need(fits: bool, field: str, sentence: str) -> None:
    if not fits:
        raise InvalidPolicy(field, sentence)
