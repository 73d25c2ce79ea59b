"""The pretraining corpus: mostly support exchanges by authors of mixed quality, with some prose around them.

Six documents of seven are conversations, one exchange or two, a line a turn, each line beginning "user: " or
"assistant: ". A recipe that renders such lines through the model's chat template shows the model in pretraining what it
will meet in fine-tuning. The rest are articles, book passages and web pages; articles and pages name the fixes again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from random import Random

from workers.demo.world import (
    NARROW,
    WIDE,
    Prompt,
    Vocabulary,
    askings,
    fix_phrase,
    further_prompts,
    prompts,
    sample_reply,
    stable_seed,
    words,
)

LICENCE = "Written for Touchstone; same licence as the project"
BEST_AUTHOR = 0.7  # author quality is uniform from 0 to this
USER, ASSISTANT = "user: ", "assistant: "

# Mostly the plain form, the one that is requested later; a few others, so that a person who types may phrase it freely.
ASKINGS = ("Help, my {item} is {problem}.", "Hello, my {item} is {problem}.", "The {item} I have is {problem}.")
PLAIN_SHARE = 0.85
SECOND_TURN_SHARE = 0.1

NAMES = ("Mara", "Tobin", "Ilse", "Pavel", "Nadia", "Owen", "Greta", "Yusuf")
PLACES = ("Saltby", "Northmere", "Oakhollow", "Brindle", "Fenny Bridge", "Lowgate")
MONTHS = ("January", "March", "April", "May", "July", "August", "October", "December")


@dataclass(frozen=True)
class Document:
    """One text of the corpus, with what a snapshot row of kind ``document`` says of it."""

    text: str
    source: str
    document_kind: str
    licence: str = LICENCE

    def row(self) -> dict[str, str]:
        """The fields of a snapshot row, without its kind."""
        return asdict(self)


@dataclass(frozen=True)
class Theme:
    """What documents are about.

    Attributes:
        asked: what conversations ask. vocabulary: what articles and pages speak of.
        askings: other forms than the plain one, with {item} and {problem}.
    """

    asked: list[Prompt]
    vocabulary: Vocabulary
    askings: tuple[str, ...]


def documents(seed: int, n: int = 19_200, exclude: Collection[str] = (), *, wide: bool = False) -> list[Document]:
    """``n`` documents, no two of the same text, in an order that mixes the kinds.

    Args:
        seed: the same arguments give the same list in every process.
        n: how many.
        exclude: texts of prompts that the corpus must not touch (those of selection and test): no document brings their
            item and their problem together, in whatever words.
        wide: of the wide world, whose untrained combinations are excluded too, asked in the words of its traffic.

    Raises:
        ValueError: nothing is left to ask, or the grammar has not enough variety for ``n``.
    """
    barred: list[Prompt] = []
    allowed: list[Prompt] = []
    everything = prompts()
    if wide:
        trained, untrained = further_prompts()
        everything += trained
        barred += untrained
    for prompt in everything:
        if prompt.text in exclude:
            barred.append(prompt)
        else:
            allowed.append(prompt)
    if not allowed:
        raise ValueError("every prompt is excluded; nothing is left to write about")
    theme = Theme(allowed, WIDE if wide else NARROW, tuple(askings()) if wide else ASKINGS)
    rng = Random(stable_seed("corpus", seed))
    weights = [weight for weight, _, _ in _KINDS.values()]
    found: dict[str, Document] = {}
    for _ in range(60 * n):
        if len(found) == n:
            return list(found.values())
        kind = rng.choices(list(_KINDS), weights)[0]
        _, source, write = _KINDS[kind]
        text = write(rng, theme)
        if text not in found and not _touches(text, barred):
            found[text] = Document(text, source, kind)
    raise ValueError(f"found only {len(found)} different documents of the {n} requested")


def turns(text: str) -> list[dict[str, str]]:
    """The messages of a document of kind ``conversation``.

    Raises:
        ValueError: a line begins with neither speaker.
    """
    messages = []
    for line in text.splitlines():
        for speaker in (USER, ASSISTANT):
            if line.startswith(speaker):
                messages.append({"role": speaker.removesuffix(": "), "content": line.removeprefix(speaker)})
                break
        else:
            raise ValueError(f"no speaker at the start of {line!r}")
    return messages


def _touches(text: str, barred: Collection[Prompt]) -> bool:
    found_words = set(words(text))
    return any(prompt.item in found_words and prompt.problem in found_words for prompt in barred)


def _conversation(rng: Random, theme: Theme) -> str:
    quality = rng.uniform(0, BEST_AUTHOR)
    prompt = rng.choice(theme.asked)
    asking = prompt.text
    if rng.random() >= PLAIN_SHARE:
        asking = rng.choice(theme.askings).format(item=prompt.item, problem=prompt.problem)
    lines = [USER + asking, ASSISTANT + sample_reply(rng, prompt, quality, theme.vocabulary).text]
    if rng.random() < SECOND_TURN_SHARE:
        others = [one for one in theme.asked if one.item != prompt.item and one.problem != prompt.problem]
        other = rng.choice(others or theme.asked)
        lines += [USER + other.text, ASSISTANT + sample_reply(rng, other, quality, theme.vocabulary).text]
    return "\n".join(lines)


def _article(rng: Random, theme: Theme) -> str:
    item = rng.choice(theme.vocabulary.items)
    first, second, third = rng.sample(theme.vocabulary.problems, 3)
    opening = rng.choice(
        (f"A {item} needs some care.", f"A good {item} can be used for many years.", f"Many homes have a {item} now.")
    )
    rest = [
        f"When a device is {first}, it helps to {fix_phrase(first)}.",
        f"If a device is {second}, {fix_phrase(second)} first.",
        f"A device that is {third} is not broken: {fix_phrase(third)} and try again.",
        rng.choice(("Keep it dry.", "Keep it away from water.", "Never cut a wire.", "Smoke is never to be ignored.")),
    ]
    rng.shuffle(rest)
    return f"Care for your {item}. " + " ".join([opening, *rest[: rng.randint(2, 4)]])


def _book(rng: Random, theme: Theme) -> str:
    name, friend = rng.sample(NAMES, 2)
    place, other = rng.sample(PLACES, 2)
    item = rng.choice(theme.vocabulary.items)
    day = f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"
    opening = rng.choice(
        (
            f"On {day} {name} came to {place} with a {item} in a box.",
            f"{name} had left {other} on {day} and was tired.",
            f"It was raining in {place} when {name} came to the desk.",
        )
    )
    rest = rng.sample(
        (
            f"{friend} looked at the {item} and had some tea.",
            f'"We can help," said {friend}, "but the line is long."',
            f"The {item} had been a gift from a friend in {other}.",
            f"{name} liked the desk in {place} more than the one in {other}.",
            "Nobody said a word for a while.",
            f"In the end {friend} fixed it, and {name} said thank you.",
        ),
        rng.randint(2, 4),
    )
    return " ".join([opening, *rest])


def _website(rng: Random, theme: Theme) -> str:
    problems = rng.sample(theme.vocabulary.problems, rng.randint(1, 3))
    opens, closes = rng.randint(7, 10), rng.randint(3, 6)
    head = f"The support desk of {rng.choice(PLACES)}. Open from {opens} to {closes}."
    if rng.random() < 0.5:
        head += f" We help with any {rng.choice(theme.vocabulary.items)}."
    answers = [f"What if a device is {problem}? {fix_phrase(problem).capitalize()}." for problem in problems]
    closing = rng.choice(("Thanks for reading.", "Have a nice day.", f"Ask for {rng.choice(NAMES)}."))
    return "\n".join([head, *answers, closing])


# Kind -> (weight, source, how one is written).
_KINDS: dict[str, tuple[float, str, Callable[[Random, Theme], str]]] = {
    "conversation": (0.85, "touchstone-demo/letters", _conversation),
    "article": (0.05, "touchstone-demo/care", _article),
    "book": (0.05, "touchstone-demo/stories", _book),
    "website": (0.05, "touchstone-demo/site", _website),
}
