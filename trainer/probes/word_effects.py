"""Rewards of responses to one prompt, and what each word of them does to its reward."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from trainer.data.snapshot import Messages
from trainer.modeling.reward_model import finished_rows

if TYPE_CHECKING:
    from trainer.modeling.reward_model import RewardModel

MOST_WORDS = 60  # of a response that are left out one by one
WORD = re.compile(r"\S+")


class WordEffect(TypedDict):
    """A word, its characters, and by how much the reward falls without it."""

    text: str
    start: int
    end: int
    effect: float


class ScoredResponse(TypedDict):
    """A response's reward, in standard deviations of the SFT policy's, and the effect of its words."""

    reward: float
    words: list[WordEffect]


class Preference(TypedDict):
    """Responses as the reward model sees them, and the probability that people prefer the first one of two."""

    responses: list[ScoredResponse]
    first_wins: float | None


def word_effects(reward: RewardModel, prompt: Sequence[Mapping[str, str]], texts: Sequence[str]) -> Preference:
    """Rewards, with each word left out in turn: its effect is the reward of the text minus that of the rest.

    Args:
        texts: responses; of a long one the first MOST_WORDS words are left out in turn, and the whole is scored.
    """
    messages: Messages = tuple({"role": one["role"], "content": one["content"]} for one in prompt)
    variants: list[str] = []
    words: list[list[re.Match[str]]] = []
    for text in texts:
        found = list(WORD.finditer(text))[:MOST_WORDS]
        words.append(found)
        variants.append(text)
        for word in found:
            variants.append(_without(text, word))
    rows = finished_rows(reward.tokenizer, [messages] * len(variants), variants)
    scores = reward.score_ids(rows).tolist()
    responses: list[ScoredResponse] = []
    place = 0
    for found in words:
        whole = scores[place]
        effects: list[WordEffect] = []
        for number, word in enumerate(found, start=place + 1):
            effect = whole - scores[number]
            effects.append({"text": word[0], "start": word.start(), "end": word.end(), "effect": effect})
        responses.append({"reward": whole, "words": effects})
        place += len(found) + 1
    first_wins = None
    if len(responses) == 2:
        gap = (responses[0]["reward"] - responses[1]["reward"]) * reward.std
        first_wins = 1 / (1 + math.exp(-max(-60.0, min(60.0, gap))))
    return {"responses": responses, "first_wins": first_wins}


def _without(text: str, word: re.Match[str]) -> str:
    """The text without a word and without the space that followed it."""
    return (text[: word.start()] + text[word.end() :].lstrip(" ")).rstrip(" ")
