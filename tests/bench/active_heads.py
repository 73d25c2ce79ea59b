"""How many labels active selection saves, with a head on a trained trunk.

    python -m tests.bench.active_heads WORLD:RESPONSES:TRUNK... [--repeats 6] [--crowd careful spammer]

WORLD is the seed of a demo world, RESPONSES a file of responses of its SFT policy (`pairs/responses.jsonl` of a proof),
TRUNK the folder of a reward model trained in it (`reward-2000/model`). All arms begin with the same 250 random labels;
then batches are picked as the product picks them, from a pool of each training prompt's next eight unseen responses.
After each batch a logistic head is fitted to all labels, and the share of pairs of held-out prompts in the order of
the gold utility is measured. The saving at n is the share of n labels that an arm does not need to reach the figure of
random labels at n; its interval is that of the mean over worlds and repeats, by bootstrap, 90 %.
"""

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np

from feedback.rules.evaluation import acquisition as pick
from feedback.rules.evaluation import active_selection as rules
from workers.demo import world
from workers.demo.annotators import Annotator, crowd
from workers.demo.utility import utility

HELD_OUT, TEST_PAIRS = 20, 2000
START, MOST = 250, 3600
STEP = 50
SAVINGS_AT = (1000, 2000)
CROWDS = {"careful": [], "spammer": [Annotator(spammer=True)]}
ARMS = ("random", rules.VARIANCE, rules.D_OPTIMAL)


@dataclass
class World:
    """Responses of a world with their features and gold utilities; `of_prompt` are those of each training prompt."""

    seed: int
    texts: list[tuple[str, str]]
    features: np.ndarray
    gold: np.ndarray
    of_prompt: list[list[int]]
    test: np.ndarray


def read(spec: str) -> World:
    import torch

    from trainer.modeling.reward_model import finished_rows, load_reward

    torch.set_num_threads(1)
    number, responses, trunk = spec.split(":")
    lines = list(map(json.loads, Path(responses).read_text(encoding="utf-8").split("\n")[:-1]))
    distinct = list(dict.fromkeys((line["prompt"][-1]["content"], line["text"]) for line in lines))
    reward = load_reward(Path(trunk))
    prompts = [({"role": "user", "content": prompt},) for prompt, _ in distinct]
    rows = finished_rows(reward.tokenizer, prompts, [text for _, text in distinct])
    features = pick.normalized(reward.features(rows).double().numpy())
    gold = np.array([utility(prompt, text).total for prompt, text in distinct])
    seen, held = world.hold_out(int(number), HELD_OUT)
    places: dict[str, list[int]] = defaultdict(list)
    for place, (prompt, _) in enumerate(distinct):
        places[prompt].append(place)
    chance = Random(1)
    test: list[tuple[int, int]] = []
    while len(test) < TEST_PAIRS:
        one, other = chance.sample(places[chance.choice(held).text], 2)
        if gold[one] != gold[other]:
            test.append((one, other))
    return World(int(number), distinct, features, gold, [places[p.text] for p in seen], np.array(test))


def curve(made: World, arm: str, faulty: list[Annotator], repeat: int) -> dict[int, float]:
    """Gold order by number of labels."""
    people = crowd(8, seed=made.seed, faulty=faulty)
    chance = np.random.default_rng([made.seed, repeat])
    unseen = [list(chance.permutation(responses)) for responses in made.of_prompt]
    labels: list[tuple[int, int]] = []
    found: dict[int, float] = {}
    while len(labels) < MOST:
        have = len(labels)
        is_first = have < START
        batch = START if is_first else min(rules.batch_size(have), MOST - have)
        shown = [responses[: rules.RESPONSES_PER_PROMPT] for responses in unseen]
        numbers = [response for responses in shown for response in responses]
        row = {response: place for place, response in enumerate(numbers)}
        pairs = np.array(
            [
                (prompt, row[one], row[other])
                for prompt, responses in enumerate(shown)
                for one, other in combinations(responses, 2)
            ]
        )
        own = made.features[numbers]
        heads, design = np.zeros((len(numbers), rules.HEADS)), None
        if labels:
            known = np.array(labels)
            difference = made.features[known[:, 0]] - made.features[known[:, 1]]
            fitted = pick.fitted_heads(difference, pick.bootstrapped(have, chance))
            heads = own @ fitted.T
            design = pick.Design(own, difference, pick.undecided(difference @ fitted.T))
        pool = pick.Pool(pairs[:, 0], pairs[:, 1], pairs[:, 2], heads, np.ones(len(pairs), dtype=bool), design)
        cap = rules.prompt_cap(batch, len(shown))
        random = arm == "random" or is_first
        share = 1.0 if random else rules.DEFAULT_RANDOM
        by = rules.VARIANCE if random else arm
        terms = pick.Rules(by, batch, cap, share, rules.TEMPERATURE, int(chance.integers(2**62)))
        for one in pick.choose(pool, terms).picks:
            first, second = numbers[pool.first[one.place]], numbers[pool.second[one.place]]
            unseen[pool.prompt[one.place]].remove(first)
            unseen[pool.prompt[one.place]].remove(second)
            prompt, text = made.texts[first]
            annotator = people[int(chance.integers(len(people)))]
            outcome = annotator.judge(prompt, text, made.texts[second][1], occasion=repeat).outcome
            if outcome in ("a", "b"):
                labels.append((first, second) if outcome == "a" else (second, first))
        found[len(labels)] = gold_order(made, labels)
    return found


def gold_order(made: World, labels: list[tuple[int, int]]) -> float:
    known = np.array(labels)
    difference = made.features[known[:, 0]] - made.features[known[:, 1]]
    reward = made.features @ pick.fitted_heads(difference, np.ones((1, len(labels))))[0]
    first, second = made.test[:, 0], made.test[:, 1]
    return float(((reward[first] > reward[second]) == (made.gold[first] > made.gold[second])).mean())


def on_grid(found: dict[int, float]) -> np.ndarray:
    grid = np.arange(START, MOST + 1, STEP)
    return np.interp(grid, list(found), list(found.values()))


def saving(active: np.ndarray, random: np.ndarray, at: int) -> float:
    """Share of `at` labels not needed, from mean curves; 0 at the least where more are needed."""
    grid = np.arange(START, MOST + 1, STEP)
    wanted = random[grid.tolist().index(at)]
    reached = np.maximum.accumulate(active)
    above = np.flatnonzero(reached >= wanted)
    if len(above) == 0:
        return 1 - MOST / at
    place = int(above[0])
    if place == 0:
        return 1 - START / at
    before, after = reached[place - 1], reached[place]
    needed = grid[place - 1] + STEP * (wanted - before) / (after - before)
    return float(1 - needed / at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", nargs="+")
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--crowd", nargs="+", choices=list(CROWDS), default=list(CROWDS))
    given = parser.parse_args()
    began = time.process_time()
    worlds = list(map(read, given.world))
    points = [500, 1000, 2000, 3000]
    grid = list(range(START, MOST + 1, STEP))
    print(f"| crowd | arm | {' | '.join(map(str, points))} | saved at {' / '.join(map(str, SAVINGS_AT))} |")
    print("|---|---|" + "--:|" * (len(points) + 1))
    for name in given.crowd:
        curves = {
            arm: np.array(
                [on_grid(curve(made, arm, CROWDS[name], repeat)) for made in worlds for repeat in range(given.repeats)]
            )
            for arm in ARMS
        }
        for arm, rows in curves.items():
            mean = rows.mean(axis=0)
            figures = [f"{mean[grid.index(point)]:.3f}" for point in points]
            saved = []
            for at in SAVINGS_AT if arm != "random" else ():
                draws = np.random.default_rng(0).integers(len(rows), size=(500, len(rows)))
                drawn = [saving(rows[d].mean(axis=0), curves["random"][d].mean(axis=0), at) for d in draws]
                low, high = np.quantile(drawn, [0.05, 0.95])
                value = saving(mean, curves["random"].mean(axis=0), at)
                saved.append(f"{100 * value:.0f} [{100 * low:.0f}, {100 * high:.0f}] %")
            print(f"| {name} | {arm} | {' | '.join(figures)} | {' / '.join(saved)} |", flush=True)
    print(f"({time.process_time() - began:.0f} CPU s)")


if __name__ == "__main__":
    main()
