"""What preflight reads from a snapshot: rows with their line numbers, what each would teach, doubles and leaks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trainer.data.columns import encode_completions, encode_documents, encode_prompts
from trainer.data.snapshot import (
    KINDS,
    AnyRow,
    Classification,
    Demonstration,
    Document,
    Preference,
    Snapshot,
    Spans,
    Unpaired,
    parse_row,
)
from trainer.data.text_folding import folded
from trainer.errors import SnapshotCorrupt
from trainer.stages import STAGES, TrainingStage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_LINES = 50_000  # of one split; beyond them preflight goes by a part and says so
SHINGLE, NEAR = 3, 0.8  # words; Jaccard similarity of two prompts' word triples from which they are near duplicates
MOST_POSTINGS = 50  # a triple that stands in more prompts than this tells nothing


@dataclass
class Line:
    """One row of a split file, by its number from 1."""

    number: int
    row: Any  # one of the kinds in `trainer.data.snapshot`


@dataclass
class Lines:
    """A split file as read: rows by line, sentences about lines that cannot be read, and whether all was read."""

    lines: list[Line] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    whole: bool = True


@dataclass
class Lesson:
    """What one row teaches.

    Attributes:
        line: its number. sequences: (name, token ids, whether each is learned), as the recipe feeds them.
        nothing: why it teaches nothing, a few words; empty if it does. cut: tokens that do not fit.
        note: what is learned that is no token, such as a label.
    """

    line: Line
    sequences: list[tuple[str, list[int], list[bool]]] = field(default_factory=list)
    nothing: str = ""
    cut: int = 0
    note: str = ""

    @property
    def count(self) -> int:
        """How often the row occurs."""
        return int(self.line.row.count)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        return [len(ids) for _, ids, _ in self.sequences]

    @property
    def tokens(self) -> int:
        """Tokens of all sequences, as often as the row occurs."""
        return sum(self.lengths) * self.count

    @property
    def learned(self) -> int:
        """Tokens that are learned, as often as the row occurs."""
        return sum(sum(mask) for _, _, mask in self.sequences) * self.count

    @property
    def longest(self) -> int:
        return max(self.lengths, default=0)


def read_lines(snapshot: Snapshot, split: str) -> Lines:
    """Every row of a split that this trainer reads, none of the broken ones hidden."""
    read = Lines()
    file = snapshot.path / f"{split}.jsonl"
    if not file.is_file():
        return read
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if number > MOST_LINES:
                read.whole = False
                break
            try:
                row = parse_row(line, f"{file.name} line {number}")
            except SnapshotCorrupt as error:
                read.broken.append(error.message)
                continue
            if row is not None:
                read.lines.append(Line(number, row))
    return read


def trained_on(stage: str, lines: Sequence[Line]) -> list[Line]:
    """Those that the stage learns from."""
    row = STAGES[stage]
    return _of_kinds(lines, row.rows) or _of_kinds(lines, row.rows_otherwise)


def _of_kinds(lines: Sequence[Line], kinds: Sequence[str]) -> list[Line]:
    types = tuple(KINDS[kind] for kind in kinds)
    return [line for line in lines if isinstance(line.row, types)]


def lessons(
    stage: str, tokenizer: PreTrainedTokenizerBase | None, config: Any, lines: Sequence[Line], context: int
) -> list[Lesson]:
    """What each row teaches, in tokens; `context` is the longest sequence the model is made for."""
    if not lines:
        return []
    row = STAGES[stage]
    if row.reads_documents:
        return _documents(tokenizer, lines)
    assert tokenizer is not None  # every other stage begins from one
    if row.samples:
        return _prompts(tokenizer, lines, context - config.max_new_tokens)
    if row.learns_completions:
        return _answers(row, tokenizer, config.max_length, lines)
    return _encoded_texts(row, tokenizer, config.max_length, lines)


def _documents(tokenizer: PreTrainedTokenizerBase | None, lines: Sequence[Line]) -> list[Lesson]:
    encoded = [[0, 0]] * len(lines)  # without a tokenizer: something is learned of each text
    if tokenizer is not None:
        encoded = encode_documents(tokenizer, [as_document(line.row) for line in lines])
    found = []
    for line, ids in zip(lines, encoded, strict=True):
        mask = [False] + [True] * (len(ids) - 1)
        found.append(Lesson(line, [("text", ids, mask)], _empty_text(line)))
    return found


def as_document(row: Document | Classification | Spans) -> Document:
    """A row as a document: what language is learned from of a labeled text."""
    return row if isinstance(row, Document) else Document(row.text, "", "", "")


def _prompts(tokenizer: PreTrainedTokenizerBase, lines: Sequence[Line], room: int) -> list[Lesson]:
    found = []
    for line, ids in zip(lines, encode_prompts(tokenizer, [line.row.prompt for line in lines]), strict=True):
        lesson = Lesson(line, [("prompt", ids, [False] * len(ids))])
        lesson.note = "the response is sampled and scored"
        if len(ids) > room:
            lesson.nothing = "no room for a response"
        found.append(lesson)
    return found


def _encoded_texts(
    stage: TrainingStage, tokenizer: PreTrainedTokenizerBase, max_length: int, lines: Sequence[Line]
) -> list[Lesson]:
    from trainer.modeling.encoders import encode_texts

    found = []
    for line, one in zip(lines, encode_texts(tokenizer, [line.row.text for line in lines]), strict=True):
        if stage.answers_by_token:
            ids = one.ids
            mask = [not flag for flag in one.is_special]
        else:
            ids = one.ids[:max_length]
            mask = [False] * len(ids)
        note = "some tokens are masked"
        if not stage.reads_texts and isinstance(line.row, Classification):
            note = _labels(line.row)
        elif not stage.reads_texts and isinstance(line.row, Spans):
            note = _spans(line.row)
        cut = len(one.ids) - len(ids)
        found.append(Lesson(line, [("text", ids, mask)], _empty_text(line), cut, note))
    return found


def _answers(
    stage: TrainingStage, tokenizer: PreTrainedTokenizerBase, max_length: int, lines: Sequence[Line]
) -> list[Lesson]:
    texts: list[str] = []
    for line in lines:
        texts += _texts_of(line.row).values()
    answers = iter(encode_completions(tokenizer, texts))
    found: list[Lesson] = []
    for line, prompt in zip(lines, encode_prompts(tokenizer, [line.row.prompt for line in lines]), strict=True):
        lesson = Lesson(line)
        for name in _texts_of(line.row):
            answer = next(answers)
            ids, mask = prompt + answer, [False] * len(prompt) + [True] * len(answer)
            lesson.cut = max(lesson.cut, len(ids) - max_length)
            lesson.sequences.append((name, ids[:max_length], mask[:max_length]))
        if stage.imitates and not any(lesson.sequences[0][2]):
            lesson.nothing = "the prompt alone fills max_length"
        elif not stage.imitates and lesson.cut:
            lesson.nothing = "longer than max_length"
        elif isinstance(line.row, Preference) and line.row.chosen == line.row.rejected:
            lesson.nothing = "chosen and rejected are the same text"
        if isinstance(line.row, Unpaired):
            lesson.note = "good" if line.row.label else "bad"
        elif isinstance(line.row, Preference):
            lesson.note = f"strength {line.row.strength}"
        found.append(lesson)
    return found


def _texts_of(row: Preference | Demonstration | Unpaired) -> dict[str, str]:
    """The responses of a row by what they are."""
    if isinstance(row, Preference):
        return {"chosen": row.chosen, "rejected": row.rejected}
    return {"answer": row.completion}


def _empty_text(line: Line) -> str:
    """Why a text teaches nothing, where it does not."""
    return "" if str(line.row.text).strip() else "the text is empty"


def _labels(row: Classification) -> str:
    return "label: " + (", ".join(row.labels) or "none")


def _spans(row: Spans) -> str:
    return "spans: " + ("; ".join(f"{row.text[s.start : s.end]} = {s.label}" for s in row.spans) or "none")


def pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], mask: Sequence[bool]) -> list[tuple[str, bool]]:
    """Tokens as text, each with whether it is learned; tokens that are parts of one character stand together."""
    shown: list[tuple[str, bool]] = []
    held: list[int] = []
    for place, token in enumerate(ids):
        held.append(token)
        text = str(tokenizer.decode(held))
        if "\ufffd" in text and len(held) < 4 and place + 1 < len(ids) and mask[place + 1] == mask[place]:
            continue
        shown.append((text, bool(mask[place])))
        held = []
    return shown


# --- doubles, leaks, balance -----------------------------------------------------------------------------


def prompt_text(row: AnyRow) -> str:
    """A row's prompt (or its text) as it is compared across splits: case, white space and what is invisible fold."""
    if isinstance(row, Document | Classification | Spans):
        text = row.text
    else:
        text = "\n".join(message["content"] for message in row.prompt)
    return " ".join(folded(text).split())


def contradictions(lines: Sequence[Line]) -> int:
    """Pairs of rows that prefer two answers to one prompt both ways round."""
    seen: set[tuple[str, str, str]] = set()
    count = 0
    for line in lines:
        if isinstance(line.row, Preference):
            prompt = prompt_text(line.row)
            count += (prompt, line.row.rejected, line.row.chosen) in seen
            seen.add((prompt, line.row.chosen, line.row.rejected))
    return count


def leaks(train: Sequence[Line], held: Sequence[Line]) -> tuple[list[int], list[int]]:
    """Line numbers of held-out rows whose prompt is trained on: word for word, and nearly so."""
    known = {prompt_text(line.row) for line in train}
    postings: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    shingles = list(map(_shingles, sorted(known)))
    for number, some in enumerate(shingles):
        for shingle in some:
            if len(postings[shingle]) < MOST_POSTINGS:
                postings[shingle].append(number)
    exact: list[int] = []
    near: list[int] = []
    for line in held:
        text = prompt_text(line.row)
        if text in known:
            exact.append(line.number)
            continue
        mine = _shingles(text)
        shared: Counter[int] = Counter()
        for shingle in mine:
            shared.update(postings.get(shingle, ()))
        if any(count / len(mine | shingles[number]) >= NEAR for number, count in shared.most_common(5)):
            near.append(line.number)
    return exact, near


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return {tuple(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))}


def balance(stage: str, lines: Sequence[Line]) -> dict[str, int]:
    """How often each class, label, verdict or strength occurs among the rows; empty where there are none."""
    counts: Counter[str] = Counter()
    for line in lines:
        row = line.row
        if isinstance(row, Classification | Spans):
            counts.update(dict.fromkeys(row.classes, 0))
        if isinstance(row, Classification):
            counts.update(dict.fromkeys(row.labels, row.count))
        elif isinstance(row, Spans):
            for span in row.spans:
                counts[span.label] += row.count
        elif isinstance(row, Unpaired):
            counts["good" if row.label else "bad"] += row.count
        elif isinstance(row, Preference):
            counts[f"strength {row.strength}"] += row.count
    return dict(sorted(counts.items()))


def longer_preferred(lines: Sequence[Line]) -> float | None:
    """Share of pairs of unlike length in which the longer answer was preferred; None without any."""
    longer = unlike = 0
    for line in lines:
        if isinstance(line.row, Preference) and len(line.row.chosen) != len(line.row.rejected):
            unlike += 1
            longer += len(line.row.chosen) > len(line.row.rejected)
    return longer / unlike if unlike else None
