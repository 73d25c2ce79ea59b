"""The demo world keeps its figures: what the whole proof rests on."""

from random import Random
from statistics import mean

import pytest

from workers.demo.annotators import label_ceiling
from workers.demo.utility import utility
from workers.demo.world import prompts, sample_reply


def test_every_prompt_is_there_once():
    assert len({prompt.text for prompt in prompts()}) == 96


@pytest.mark.parametrize("prompt", prompts(), ids=lambda prompt: prompt.text)
def test_a_faultless_author_earns_the_most(prompt):
    rng = Random(0)
    assert {utility(prompt.text, sample_reply(rng, prompt, 1.0).text).total for _ in range(50)} == {3.5}


def test_label_ceiling_is_measured_where_it_is_promised():
    assert mean(label_ceiling(seed=seed) for seed in range(3)) == pytest.approx(0.83, abs=0.01)
