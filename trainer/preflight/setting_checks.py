"""What preflight asks of settings: whether the model's size bears them, and whether anything is learned with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.configs import learning_rates
from trainer.configs.online import OnlineTraining, PPOConfig
from trainer.data.columns import encode_completions
from trainer.data.snapshot import Demonstration, Preference
from trainer.preflight.report import Preflight
from trainer.preflight.rows import Line
from trainer.stages import REWARD, STAGES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


MOST_ANSWERS = 2000  # that are measured
HALF, MOST = 0.5, 0.9  # quantiles of their lengths


def check_learning_rate(found: Preflight, config: object, paths: Mapping[str, Path]) -> None:
    """A rate that small models need ruins a large one in its first steps."""
    rate = getattr(config, "learning_rate", None)
    if rate is None:
        return
    lora = getattr(config, "lora", None) is not None
    size = learning_rates.parameters_of_start(config, paths)
    usual = learning_rates.usual_rate(found.stage, size, lora)
    if usual is None or rate < learning_rates.TOO_HIGH * usual:
        return
    trained = f"{count_of(size)} parameters"
    if lora:
        trained += " with adapters"
    sentence = (
        f"The learning rate {rate:g} is {rate / usual:,.0f} times the typical value for {trained}, about {usual:.1g}."
    )
    remedy = f"Set learning_rate to {usual:.1g}, or to null for the typical value, or choose the preset pretrained."
    if rate >= learning_rates.FAR_TOO_HIGH * usual:
        found.block("learning_rate", sentence, remedy, kind="config")
    else:
        found.warn("learning_rate", sentence, remedy, kind="config")


def check_answer_length(
    found: Preflight, config: object, tokenizer: PreTrainedTokenizerBase | None, lines: Sequence[Line]
) -> None:
    """Answers as long as people's must fit into max_new_tokens, or all that is sampled is cut and gets one reward."""
    if not isinstance(config, PPOConfig | OnlineTraining) or tokenizer is None:
        return
    texts = [line.row.completion for line in lines if isinstance(line.row, Demonstration)]
    of = "demonstrations"
    if not texts:
        texts = [line.row.chosen for line in lines if isinstance(line.row, Preference)]
        of = "chosen responses"
    if not texts:
        return
    lengths = sorted(map(len, encode_completions(tokenizer, texts[:MOST_ANSWERS])))
    half, most = lengths[int(HALF * (len(lengths) - 1))], lengths[int(MOST * (len(lengths) - 1))]
    remedy = f"Set max_new_tokens to {most} or more."
    if half > config.max_new_tokens:
        sentence = (
            f"Half of the {of} are longer than max_new_tokens ({config.max_new_tokens}); they have {half} tokens."
        )
        found.block("answer_length", sentence, remedy, kind="config")
    elif most > config.max_new_tokens:
        sentence = f"A tenth of the {of} have {most} tokens or more, and max_new_tokens is {config.max_new_tokens}."
        found.warn("answer_length", sentence, remedy, kind="config")


def check_reward_head(found: Preflight, paths: Mapping[str, Path]) -> None:
    """A reward model is made from the policy's family: better known before the policy is trained."""
    if not STAGES[found.stage].leads_to_reward or "base_model" not in paths:
        return
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(str(paths["base_model"]), local_files_only=True)
    if type(config) in AutoModelForSequenceClassification._model_mapping:
        return
    sentence = (
        f"A {config.model_type} model cannot become a reward model: the architecture has no sequence "
        "classification head."
    )
    remedy = "Choose a base model of another family, or train the policy by DPO or KTO, which need no reward model."
    if STAGES[found.stage].makes == REWARD:
        found.block("reward_head", sentence, remedy, kind="config")
    else:
        found.warn("reward_head", sentence, remedy, kind="config")


def count_of(parameters: int) -> str:
    """A number of parameters for people."""
    for unit, size in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if parameters >= size:
            return f"{parameters / size:.3g} {unit}"
    return str(parameters)
