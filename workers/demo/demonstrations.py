"""Demonstrations: what a fair but imperfect writer (quality 0.6) answers, for supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from workers.demo.world import NARROW, Prompt, Vocabulary, prompts, sample_reply, stable_seed

QUALITY = 0.6


@dataclass(frozen=True)
class Demonstration:
    """A prompt and a response written to be imitated."""

    prompt: Prompt
    reply: str


def demonstrations(
    seed: int,
    n: int = 608,
    prompts_given: Sequence[Prompt] | None = None,
    quality: float = QUALITY,
    vocabulary: Vocabulary = NARROW,
) -> list[Demonstration]:
    """``n`` demonstrations, no two alike, spread evenly over ``prompts_given`` (all 96 prompts unless specified
    otherwise).

    The same arguments give the same list in every process.

    Raises:
        ValueError: there is nothing to answer, or so little variety that ``n`` different replies cannot be found.
    """
    chosen = list(prompts() if prompts_given is None else prompts_given)
    if not chosen:
        raise ValueError("no prompts to answer")
    rng = Random(stable_seed("demonstrations", seed))
    found: dict[Demonstration, None] = {}
    for attempt in range(100 * n):
        if len(found) == n:
            break
        # Round by round, so that every prompt has as many as any other, give or take one.
        prompt = chosen[len(found) % len(chosen)]
        found[Demonstration(prompt, sample_reply(rng, prompt, quality, vocabulary).text)] = None
        if attempt == 100 * n - 1:
            raise ValueError(f"found only {len(found)} different demonstrations of the {n} requested")
    return list(found)
