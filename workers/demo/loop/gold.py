"""What versions are worth, measured from outside once everything is over: the gold utility of what they write.

The versions' own files answer prompts through the trainer's command, apart from the service.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypedDict

from workers.demo import measure
from workers.demo.loop.traffic import texts
from workers.demo.measure import Gold
from workers.demo.prove import Seed
from workers.demo.trainer_files import Request, sampled
from workers.demo.world import stable_seed

EACH = 25  # responses to a prompt
UNSEEN = 20  # of customers' prompts, none of which was sent
SPARE = 3_900  # of customers' texts, of which the last ones are never reached


class Worth(TypedDict):
    """Of one version: on the held-out prompts of the 96, and on prompts of customers."""

    held_out: Gold
    customers: Gold


def measured(folder: Path, seed: int, versions: Mapping[str, Path], held_out: Sequence[str]) -> dict[str, Worth]:
    """The worth of each version.

    Args:
        folder: an empty one to work in.
        versions: model folders by name.
        held_out: texts of prompts that no version was trained on.
    """
    asked = {"held_out": list(held_out), "customers": list(islice(texts(seed), SPARE, SPARE + UNSEEN))}
    trainer = Seed(folder, seed)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Worth] = {}
    for name, model in versions.items():
        lines = [_request(seed, text) for group in asked.values() for text in group]
        written = list(map(sampled, trainer.responses(f"answers-{name}", model, lines)))
        of = {group: measure.gold([one for one in written if one.prompt in set(some)]) for group, some in asked.items()}
        found[name] = {"held_out": of["held_out"], "customers": of["customers"]}
    return found


def _request(seed: int, text: str) -> Request:
    seeds = [stable_seed("gold", seed, text, number) >> 1 for number in range(EACH)]
    return {"prompt": [{"role": "user", "content": text}], "seeds": seeds}
