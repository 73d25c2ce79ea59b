"""The language of the demo world: what customers ask and how desks of different quality answer.

A prompt names one of twelve items and one of eight problems. A good reply greets, names that item, gives the one fix
that belongs to that problem, and closes politely, in at most sixteen words. Everything else is a fault, and each fault
can be determined from the text alone (``utility``). The vocabulary is small on purpose: a model of 0.1 M parameters
learns it in a minute on a CPU, and people can still read and judge what it says.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from itertools import product, starmap
from operator import attrgetter
from random import Random

ITEMS: tuple[str, ...] = (
    "router", "printer", "laptop", "phone", "tablet", "camera",
    "speaker", "monitor", "scanner", "projector", "console", "watch",
)  # fmt: skip

# Problem -> the two words, verb and part, of the one fix that belongs to it. No verb and no part occurs twice, so a
# reply that mixes two fixes ("charge the cable") is as wrong as one that gives another problem's fix.
FIXES: dict[str, tuple[str, str]] = {
    "slow": ("update", "software"),
    "frozen": ("hold", "button"),
    "dead": ("charge", "battery"),
    "offline": ("check", "cable"),
    "hot": ("unplug", "charger"),
    "noisy": ("tighten", "screws"),
    "locked": ("reset", "password"),
    "dusty": ("wipe", "case"),
}
PROBLEMS: tuple[str, ...] = tuple(FIXES)

# What the desk of the wide world is asked besides, by traffic that comes while a service runs. None of these words, nor
# of those of their fixes, occurs in the narrow world.
MORE_ITEMS: tuple[str, ...] = ("drone", "heater", "mixer", "vacuum")
MORE_FIXES: dict[str, tuple[str, str]] = {"silent": ("unmute", "volume"), "faded": ("swap", "cartridge")}
EVERY_ITEM = (*ITEMS, *MORE_ITEMS)
EVERY_FIX = FIXES | MORE_FIXES

GREETINGS = ("Hello!", "Hi there!", "Good day!", "Welcome!")
NAMINGS = (
    "Sorry about your {item}.",
    "Let us help your {item}.",
    "Your {item} can be fixed.",
    "This {item} needs some care.",
)
FIXINGS = ("Please {fix}.", "You can {fix}.", "First, {fix}.", "Now {fix}.")
CLOSINGS = ("Thank you.", "Thanks for writing.", "Take care.", "Have a nice day.")

# What stands in for a missing part: not wrong, only no help.
VAGUE_NAMINGS = ("Sorry about that.", "Let us help.", "This can be fixed.")
VAGUE_FIXINGS = ("Please wait.", "You can try again.", "Now wait.")

# Faults beyond a wrong item or a wrong fix. Each sentence holds exactly one phrase that ``utility`` knows.
RUDENESS = ("That is a silly question.", "You are lazy.", "Do not be foolish.")
BOASTS = ("This always works.", "Our desk never fails.", "I already fixed it.")
UNSAFE = ("Then pour water on it.", "Then cut the wire.", "Just ignore the smoke.")
RAMBLINGS = (
    "We have many letters here today and the line is long.",
    "Some days are good and others are less so.",
    "My friend had one too and he liked it a lot.",
    "It was raining and I had tea and a book.",
)

MAX_WORDS = 24

# How traffic asks: each combination in 96 ways.
STARTS = ("", "Hello, ", "Hi, ", "Help, ", "Good day, ", "Please help, ")
STATEMENTS = ("my {item} is {problem}", "our {item} is {problem}", "the {item} I have is {problem}",
              "this {item} is {problem}")  # fmt: skip
ENDS = (".", " now.", " today.", " again.")


@dataclass(frozen=True)
class Prompt:
    """What a customer asks: one item, one problem."""

    item: str
    problem: str

    @property
    def text(self) -> str:
        return f"My {self.item} is {self.problem}."

    @property
    def fix(self) -> str:
        """The right fix as a phrase: "check the cable"."""
        return fix_phrase(self.problem)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as a chat of one user turn."""
        return [{"role": "user", "content": self.text}]


@dataclass(frozen=True)
class Vocabulary:
    """The items and problems of a world: what its replies and its corpus speak of."""

    items: tuple[str, ...]
    problems: tuple[str, ...]


NARROW = Vocabulary(ITEMS, PROBLEMS)
WIDE = Vocabulary(EVERY_ITEM, tuple(EVERY_FIX))
TRAINED_SHARE = 3  # one in so many of the wide world's further combinations may be trained on


@dataclass(frozen=True)
class Reply:
    """A reply and the quality of the author it was drawn from, 0 (careless) to 1 (faultless)."""

    text: str
    quality: float


def fix_phrase(problem: str) -> str:
    verb, part = EVERY_FIX[problem]
    return f"{verb} the {part}"


def prompts() -> list[Prompt]:
    """All 96 prompts, items outermost, always in the same order."""
    return list(starmap(Prompt, product(ITEMS, PROBLEMS)))


def further_prompts() -> tuple[list[Prompt], list[Prompt]]:
    """What the wide world asks beyond the 96: (22 combinations to train on, 42 that no model is trained on).

    Every item and every problem of the wide world is among the first: the others are new combinations of known words.
    """
    trained: list[Prompt] = []
    untrained: list[Prompt] = []
    for place, (item, problem) in enumerate(product(WIDE.items, WIDE.problems)):
        if item in ITEMS and problem in PROBLEMS:
            continue
        diagonal = place // len(WIDE.problems) + place % len(WIDE.problems)
        (untrained if diagonal % TRAINED_SHARE else trained).append(Prompt(item, problem))
    return trained, untrained


def askings() -> list[str]:
    """The ways in which traffic asks, as templates with {item} and {problem}; the plain one of `Prompt.text` first."""
    found = []
    for statement, start, end in product(STATEMENTS, STARTS, ENDS):
        text = start + statement + end
        found.append(text[0].upper() + text[1:])
    return found


def words(text: str) -> list[str]:
    """The words of ``text`` in lower case, without punctuation. The unit in which the world counts length."""
    return re.findall(r"[a-z']+", text.lower())


def parse_prompt(text: str) -> Prompt | None:
    """The item and the problem ``text`` speaks of, however it is phrased; None unless it is exactly one of each."""
    found = set(words(text))
    items = [item for item in EVERY_ITEM if item in found]
    problems = [problem for problem in EVERY_FIX if problem in found]
    if len(items) == len(problems) == 1:
        return Prompt(items[0], problems[0])
    return None


def hold_out(seed: int = 0, n: int = 20) -> tuple[list[Prompt], list[Prompt]]:
    """The prompts divided into (seen, held out), for work outside the service, which splits by its own salted hash.

    Every item and every problem stays among the seen ones, so what is held out are combinations, not words.
    """
    order = sorted(prompts(), key=lambda prompt: stable_seed(seed, prompt.text))
    items = Counter(map(attrgetter("item"), order))
    problems = Counter(map(attrgetter("problem"), order))
    held: list[Prompt] = []
    for prompt in order:
        if len(held) < n and items[prompt.item] > 1 and problems[prompt.problem] > 1:
            held.append(prompt)
            items[prompt.item] -= 1
            problems[prompt.problem] -= 1
    return [prompt for prompt in prompts() if prompt not in held], held


def stable_seed(*parts: object) -> int:
    """A seed that depends on what is drawn, not on when: the same parts give the same number in every process."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def sample_reply(rng: Random, prompt: Prompt, quality: float, vocabulary: Vocabulary = NARROW) -> Reply:
    """Draw the reply that an author of ``quality`` writes to ``prompt``.

    Args:
        rng: where chance comes from; its state moves on.
        prompt: what is answered.
        quality: 0 to 1. Every fault becomes rarer with it; at 1 there is none.
        vocabulary: what wrong items and wrong fixes are drawn from.

    Returns:
        One to some six sentences, at most MAX_WORDS words.

    Raises:
        ValueError: quality is outside 0 to 1.
    """
    if not 0 <= quality <= 1:
        raise ValueError(f"quality is {quality}; it must lie between 0 and 1")
    slip = 1 - quality

    def slips(rate: float) -> bool:
        return rng.random() < rate * slip

    opening = [] if slips(0.75) else [rng.choice(GREETINGS)]
    body = [
        _naming(rng, prompt, slips(0.8), vocabulary),
        *_fixing(rng, prompt, slips(0.92), slips(0.12), vocabulary),
    ]
    if slips(0.25):
        body.append(rng.choice(BOASTS))
    if slips(0.15):
        body.append(rng.choice(UNSAFE))
    if slips(0.28):
        body.insert(rng.randrange(len(body) + 1), rng.choice(RUDENESS))
    if slips(0.2):
        again = rng.randrange(len(body))
        body.insert(again, body[again])
    if slips(0.35):
        body.insert(rng.randrange(len(body) + 1), rng.choice(RAMBLINGS))
    closing = [] if slips(0.75) else [rng.choice(CLOSINGS)]
    while len(words(" ".join(opening + body + closing))) > MAX_WORDS:
        body.pop(rng.randrange(len(body)))
    return Reply(" ".join(opening + body + closing), quality)


def _naming(rng: Random, prompt: Prompt, slipped: bool, vocabulary: Vocabulary) -> str:
    """The sentence that says what the reply is about: the right item, or, slipped, mostly another one."""
    if not slipped:
        return rng.choice(NAMINGS).format(item=prompt.item)
    if rng.random() < 0.4:
        return rng.choice(VAGUE_NAMINGS)
    return rng.choice(NAMINGS).format(item=rng.choice([item for item in vocabulary.items if item != prompt.item]))


def _fixing(rng: Random, prompt: Prompt, slipped: bool, doubled: bool, vocabulary: Vocabulary) -> list[str]:
    """What to do: the right fix, or, slipped, mostly another one; doubled, one wrong fix more."""
    wrong = rng.sample([fix_phrase(problem) for problem in vocabulary.problems if problem != prompt.problem], 2)
    if not slipped:
        sentences = [rng.choice(FIXINGS).format(fix=prompt.fix)]
    elif rng.random() < 0.3:
        sentences = [rng.choice(VAGUE_FIXINGS)]
    else:
        sentences = [rng.choice(FIXINGS).format(fix=wrong[0])]
    if doubled:
        return [*sentences, f"Then {wrong[1]}."]
    return sentences
