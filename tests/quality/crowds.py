"""A crowd of simulated annotators at work, as the rules of quality see it."""

import math
from collections import defaultdict
from collections.abc import Sequence
from random import Random

from feedback.rules.quality.bias import Choice, leanings, plausible_seconds
from feedback.rules.quality.findings import Finding, Seen, findings
from feedback.rules.quality.reliability import Vote, consensus_of
from workers.demo.annotators import Annotator, sample_pairs


def judged(people: Sequence[Annotator], seed: int, tasks: int = 800, each: int = 3) -> list[Finding]:
    """What stands out after so many tasks, each judged by `each` of the people, in an order drawn by chance."""
    rng = Random(seed)
    votes: list[Vote] = []
    seen: list[tuple[bool, float, bool, float]] = []
    fast: dict[int, list[bool]] = defaultdict(list)
    for task, pair in enumerate(sample_pairs(seed, tasks)):
        for who in rng.sample(range(len(people)), each):
            swapped = rng.random() < 0.5
            a, b = (pair.text_b, pair.text_a) if swapped else (pair.text_a, pair.text_b)
            said = people[who].judge(pair.prompt, a, b)
            fast[who].append(said.seconds < plausible_seconds(len(a) + len(b)))
            if said.outcome in ("a", "b"):
                first = said.outcome == "a"
                votes.append(Vote(task, who, first != swapped))
                seen.append((first, math.log((1 + len(a)) / (1 + len(b))), swapped, said.seconds))
    told = consensus_of(votes)
    choices: defaultdict[int, list[Choice]] = defaultdict(list)
    for vote, others, (first, length, swapped, seconds) in zip(votes, told.others, seen, strict=True):
        choices[vote.annotator].append(Choice(first, length, -others if swapped else others, 0.0, seconds))
    leaning = leanings({**choices})
    return findings(
        {
            who: Seen(told.annotators.get(who), leaning.get(who), len(choices[who]), paces=ones)
            for who, ones in fast.items()
        }
    )
