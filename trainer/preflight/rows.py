"""What preflight reads from a snapshot: rows with their line numbers, what each would teach, doubles and leaks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.data.columns import encode_completions, encode_documents, encode_prompts
from trainer.data.snapshot import (
    KINDS,
    Classification,
    Document,
    Messages,
    Preference,
    Snapshot,
    Spans,
    Unpaired,
    parse_row,
)
from trainer.data.text_folding import folded
from trainer.errors import SnapshotCorrupt
from trainer.stages import STAGES

MOST_LINES = 50_000  # of one split; beyond them preflight goes by a part and says so
SHINGLE, NEAR = 3, 0.8  # words; Jaccard similarity of two prompts' word triples from which they are near duplicates
MOST_POSTINGS = 50  # a triple that stands in more prompts than this tells nothing


@dataclass
class Line:
    """One row of a split file, by its number from 1."""

    number: int
    row: Any


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
        line: its number. sequences: (name, token ids, whether each is learnt), as the recipe feeds them.
        nothing: why it teaches nothing, a few words; empty if it does. cut: tokens that do not fit.
        note: what is learnt that is no token, such as a label.
    """

    line: Line
    sequences: list[tuple[str, list[int], list[bool]]] = field(default_factory=list)
    nothing: str = ""
    cut: int = 0
    note: str = ""

    @property
    def learnt(self) -> int:
        """Tokens that are learnt, as often as the row occurs."""
        return sum(sum(mask) for _, _, mask in self.sequences) * int(self.line.row.count)

    @property
    def longest(self) -> int:
        return max((len(ids) for _, ids, _ in self.sequences), default=0)


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


def lessons(stage: str, tokenizer: Any, config: Any, lines: Sequence[Line], context: int) -> list[Lesson]:
    """What each row teaches, in tokens; `context` is the longest sequence the model is made for."""
    if not lines:
        return []
    rows = [line.row for line in lines]
    if STAGES[stage].samples:
        room = context - config.max_new_tokens
        prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
        return [
            Lesson(
                line,
                [("prompt", ids, [False] * len(ids))],
                "" if len(ids) <= room else "no room for a response",
                note="the response is sampled and scored",
            )
            for line, ids in zip(lines, prompts, strict=True)
        ]
    if STAGES[stage].learns_completions:
        return _answers(stage, tokenizer, config, lines)
    if stage in ("tokenizer", "pretrain"):
        texts = [row if isinstance(row, Document) else Document(row.text, "", "", "") for row in rows]
        encoded = encode_documents(tokenizer, texts) if tokenizer is not None else [[0, 0] for _ in rows]
        return [
            Lesson(line, [("text", ids, [False] + [True] * (len(ids) - 1))], "" if _text(line) else "the text is empty")
            for line, ids in zip(lines, encoded, strict=True)
        ]
    from trainer.modeling.encoders import encode_texts

    found = []
    for line, one in zip(lines, encode_texts(tokenizer, [row.text for row in rows]), strict=True):
        ids = one.ids[: config.max_length] if stage == "classify" else one.ids
        special = [bool(flag) for flag in one.is_special][: len(ids)]
        mask = [stage in ("mlm", "tag") and not flag for flag in special]
        note = "some tokens are masked"
        if isinstance(line.row, Classification | Spans) and stage != "mlm":
            note = _labels(line.row) if isinstance(line.row, Classification) else _spans(line.row)
        cut = len(one.ids) - len(ids)
        nothing = "" if _text(line) else "the text is empty"
        found.append(Lesson(line, [("text", ids, mask)], nothing, cut, note))
    return found


def _answers(stage: str, tokenizer: Any, config: Any, lines: Sequence[Line]) -> list[Lesson]:
    rows = [line.row for line in lines]
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows])
    names = [_texts_of(row) for row in rows]
    flat = encode_completions(tokenizer, [text for texts in names for _, text in texts])
    found, at = [], 0
    for line, prompt, texts in zip(lines, prompts, names, strict=True):
        lesson = Lesson(line)
        for name, _ in texts:
            answer = flat[at]
            at += 1
            ids, mask = prompt + answer, [False] * len(prompt) + [True] * len(answer)
            if len(ids) > config.max_length:
                lesson.cut = max(lesson.cut, len(ids) - config.max_length)
            lesson.sequences.append((name, ids[: config.max_length], mask[: config.max_length]))
        if stage == "sft" and not any(lesson.sequences[0][2]):
            lesson.nothing = "the prompt alone fills max_length"
        elif stage != "sft" and lesson.cut:
            lesson.nothing = "longer than max_length"
        elif isinstance(line.row, Preference) and line.row.chosen == line.row.rejected:
            lesson.nothing = "chosen and rejected are the same text"
        if isinstance(line.row, Unpaired):
            lesson.note = "good" if line.row.label else "bad"
        elif isinstance(line.row, Preference):
            lesson.note = f"strength {line.row.strength}"
        found.append(lesson)
    return found


def _texts_of(row: Any) -> list[tuple[str, str]]:
    if isinstance(row, Preference):
        return [("chosen", row.chosen), ("rejected", row.rejected)]
    return [("answer", row.completion)]


def _text(line: Line) -> str:
    return str(line.row.text).strip()


def _labels(row: Classification) -> str:
    return "label: " + (", ".join(row.labels) or "none")


def _spans(row: Spans) -> str:
    return "spans: " + ("; ".join(f"{row.text[s.start : s.end]} = {s.label}" for s in row.spans) or "none")


def pieces(tokenizer: Any, ids: Sequence[int], mask: Sequence[bool]) -> list[tuple[str, bool]]:
    """Tokens as text, each with whether it is learnt; tokens that are parts of one character stand together."""
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


def prompt_text(row: Any) -> str | None:
    """A row's prompt (or its text) as it is compared across splits: case, white space and what is invisible fold."""
    prompt: Messages | None = getattr(row, "prompt", None)
    text = "\n".join(message["content"] for message in prompt) if prompt is not None else getattr(row, "text", None)
    return None if text is None else " ".join(folded(text).split())


def contradictions(lines: Sequence[Line]) -> int:
    """Pairs of rows that prefer two answers to one prompt both ways round."""
    seen: set[tuple[str | None, str, str]] = set()
    count = 0
    for line in lines:
        if isinstance(line.row, Preference):
            prompt = prompt_text(line.row)
            count += (prompt, line.row.rejected, line.row.chosen) in seen
            seen.add((prompt, line.row.chosen, line.row.rejected))
    return count


def leaks(train: Sequence[Line], held: Sequence[Line]) -> tuple[list[int], list[int]]:
    """Line numbers of held-out rows whose prompt is trained on: word for word, and nearly so."""
    known = {text for line in train if (text := prompt_text(line.row)) is not None}
    exact = [line.number for line in held if prompt_text(line.row) in known]
    postings: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    shingles = [_shingles(text) for text in sorted(known)]
    for number, some in enumerate(shingles):
        for shingle in some:
            if len(postings[shingle]) < MOST_POSTINGS:
                postings[shingle].append(number)
    near = []
    for line in held:
        text = prompt_text(line.row)
        if text is None or text in known:
            continue
        mine = _shingles(text)
        shared = Counter(number for shingle in mine for number in postings.get(shingle, ()))
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
    unlike = [
        line.row
        for line in lines
        if isinstance(line.row, Preference) and len(line.row.chosen) != len(line.row.rejected)
    ]
    return sum(len(row.chosen) > len(row.rejected) for row in unlike) / len(unlike) if unlike else None
