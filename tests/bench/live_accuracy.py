"""Live accuracy of a trained reward model on the demo crowd's labels, and the drift alarm on the same labels.

    python -m tests.bench.live_accuracy [FOLDER] [--worlds 0 1 2] [--seeds 10]

FOLDER (data/over_optimization) holds the demo worlds that `tests.bench.over_optimization` made: the reward model of
6,000 careful labels, its 1,000 test labels, and fresh responses of SFT to the same test prompts. A label is what one
of eight annotators says of two fresh responses to a prompt; the model trained on none of them. Each seed draws its own
labels and crowd, the worlds in turn. Two tables:

accuracy   live accuracy of batches of 500 careful labels beside the accuracy on the test labels
drift      alarms on 6,000 careful labels, and on crowds of which two turn into inverters after 2,000 labels
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import NamedTuple

from feedback.rules.evaluation import drift_alarm
from feedback.rules.evaluation.intervals import Interval, wilson
from feedback.rules.evaluation.live_accuracy import Outcome, outcome
from workers.demo.annotators import crowd
from workers.demo.trainer_files import prompt_of, read_lines
from workers.demo.world import stable_seed

PEOPLE = 8
LABELS, BATCH = 6000, 500
TURN_AFTER = 2000  # labels of the crowd before two annotators become inverters
INVERTERS = (6, 7)
INVERTER_SEEDS = 3
WITHIN = 120  # labels of their own by which inverters must be named
Z99 = 2.5758


class Label(NamedTuple):
    """What one annotator said, as the reward model scored it."""

    annotator: int
    outcome: Outcome

    @property
    def surprise(self) -> float:
        return drift_alarm.surprise(self.outcome.favored, self.outcome.correct)


@dataclass(frozen=True)
class World:
    """A trained reward model's rewards, log-odds: of responses by prompt, and gaps of the test labels."""

    number: int
    rewards: dict[str, list[tuple[str, float]]]
    held_out: list[float]


@dataclass(frozen=True)
class Heard:
    """Labels at which alarms sounded, counted after the baseline; of annotators, their own since they turned."""

    version: int | None
    annotators: dict[int, int]


def read(folder: Path, number: int) -> World:
    import torch

    from trainer.modeling.reward_model import load_reward

    torch.set_num_threads(1)
    model = load_reward(folder / "reward" / "model")

    def rewards_of(prompts: Sequence[str], texts: Sequence[str]) -> list[float]:
        asked = [({"role": "user", "content": prompt},) for prompt in prompts]
        rewards: list[float] = model.combined(model.score_by_head(asked, texts)).tolist()
        return rewards

    rows = [line["row"] for line in read_lines(folder / "labels-6000" / "test.jsonl")]
    tested = [row for row in rows if row["kind"] == "preference"]
    prompts = [row["prompt"][-1]["content"] for row in tested]
    chosen = rewards_of(prompts, [row["chosen"] for row in tested])
    rejected = rewards_of(prompts, [row["rejected"] for row in tested])
    of_test = set(prompts)
    fresh = [line for line in read_lines(folder / "pool-sft" / "responses.jsonl") if prompt_of(line) in of_test]
    given = rewards_of(list(map(prompt_of, fresh)), [line["text"] for line in fresh])
    rewards: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for line, reward in zip(fresh, given, strict=True):
        rewards[prompt_of(line)].append((line["text"], reward))
    return World(number, dict(rewards), [a - b for a, b in zip(chosen, rejected, strict=True)])


def labels_of(world: World, seed: int, turn_after: int | None = None) -> Iterator[Label]:
    """Labels of random pairs by random annotators, without end; ties and pairs that are both bad are no labels.

    Args:
        turn_after: labels after which `INVERTERS` say the opposite of what they think; None for never.
    """
    rng = Random(stable_seed("live labels", world.number, seed))
    people = crowd(PEOPLE, seed=stable_seed("live crowd", seed))
    prompts = sorted(world.rewards)
    made = 0
    while True:
        prompt = rng.choice(prompts)
        (a, reward_a), (b, reward_b) = rng.sample(world.rewards[prompt], 2)
        number = rng.randrange(PEOPLE)
        said = people[number].judge(prompt, a, b, occasion=rng.randrange(2**31)).outcome
        if said not in ("a", "b") or reward_a == reward_b:
            continue
        found = outcome([reward_a - reward_b if said == "a" else reward_b - reward_a])
        assert found is not None
        yield Label(number, found)
        made += 1
        if made == turn_after:
            people = [replace(one, inverter=place in INVERTERS) for place, one in enumerate(people)]


def first(labels: Iterator[Label], count: int) -> list[Label]:
    return [label for _, label in zip(range(count), labels, strict=False)]


def listen(labels: Sequence[Label], count_from: int = 0) -> Heard:
    """The alarms of the version and of its annotators, folded as the service does.

    Args:
        count_from: labels of the crowd before which an annotator's own are not counted in what is returned.
    """
    baseline, version = drift_alarm.Baseline(), drift_alarm.Alarm()
    people: dict[int, drift_alarm.Alarm] = defaultdict(drift_alarm.Alarm)
    own: dict[int, int] = defaultdict(int)
    named: dict[int, int] = {}
    for place, label in enumerate(labels):
        own[label.annotator] += place >= count_from
        if not baseline.complete:
            baseline = drift_alarm.fold_baseline(baseline, label.surprise)
            continue
        version = drift_alarm.fold(version, label.surprise, baseline)
        alarm = drift_alarm.fold(people[label.annotator], label.surprise, baseline, drift_alarm.ANNOTATOR_BAR)
        people[label.annotator] = alarm
        if alarm.alarm_at is not None:
            named.setdefault(label.annotator, own[label.annotator])
    return Heard(version.alarm_at, named)


# --- tables ----------------------------------------------------------------------------------------------


def beside_held_out(worlds: Sequence[World], careful: Sequence[tuple[World, list[Label]]]) -> None:
    heads = ("world", "test labels (99 %)", "batches", "live: least to most", "mean difference", "outside")
    print(f"| {' | '.join(heads)} | outside with the batch's error |\n|{'--:|' * (len(heads) + 1)}")
    for world in worlds:
        right = [share_right(gap) for gap in world.held_out]
        held, own = fmean(right), wilson(sum(right), len(right), Z99)
        both = wilson(held * effective(len(right)), effective(len(right)), Z99)
        live = []
        for of, labels in careful:
            if of is world:
                corrects = [label.outcome.correct for label in labels]
                live += [fmean(corrects[start : start + BATCH]) for start in range(0, LABELS, BATCH)]
        if not live:
            continue
        outside = [sum(not within(share, interval) for share in live) for interval in (own, both)]
        apart = fmean(abs(share - held) for share in live)
        print(
            f"| {world.number} | {held:.3f} ({own[0]:.3f} to {own[1]:.3f}) | {len(live)} "
            f"| {min(live):.3f} to {max(live):.3f} | {apart:.3f} | {outside[0]} | {outside[1]} |",
            flush=True,
        )


def effective(held_out: int) -> float:
    """Labels whose error is that of the difference between the test labels and a batch."""
    return 1 / (1 / held_out + 1 / BATCH)


def share_right(gap: float) -> float:
    return 0.5 if gap == 0 else float(gap > 0)


def within(share: float, interval: Interval) -> bool:
    return interval[0] <= share <= interval[1]


def drift(worlds: Sequence[World], careful: Sequence[tuple[World, list[Label]]]) -> None:
    print("\n| crowd | seed | world | version's alarm after | named, after labels of their own | as wanted |")
    print("|---|--:|--:|--:|---|---|")
    alarms = 0
    for seed, (world, labels) in enumerate(careful):
        heard = listen(labels)
        alarms += (heard.version is not None) + len(heard.annotators)
        _tell("careful", seed, world, heard, heard.version is None and not heard.annotators)
    for seed in range(INVERTER_SEEDS):
        world = worlds[seed % len(worlds)]
        heard = listen(first(labels_of(world, seed, TURN_AFTER), LABELS), TURN_AFTER)
        found = heard.annotators
        wanted = set(found) == set(INVERTERS) and all(0 < after <= WITHIN for after in found.values())
        _tell("two turn", seed, world, heard, wanted)
    print(f"\n{alarms} alarms in {len(careful)} seeds of {LABELS} careful labels", flush=True)


def _tell(name: str, seed: int, world: World, heard: Heard, wanted: bool) -> None:
    named = ", ".join(f"{number + 1}: {after}" for number, after in sorted(heard.annotators.items())) or "nobody"
    after = "-" if heard.version is None else f"{heard.version}"
    print(f"| {name} | {seed} | {world.number} | {after} | {named} | {'yes' if wanted else 'no'} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/over_optimization"))
    parser.add_argument("--worlds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    worlds = [read(options.folder / f"seed-{number}", number) for number in options.worlds]
    careful = []
    for seed in range(options.seeds):
        world = worlds[seed % len(worlds)]
        careful.append((world, first(labels_of(world, seed), LABELS)))
    beside_held_out(worlds, careful)
    drift(worlds, careful)


if __name__ == "__main__":
    main()
