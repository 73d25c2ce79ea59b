"""An attacker who learns from everything that annotators receive, to guess what they must not know.

Receipts become columns without any knowledge of what is in them: numbers, lengths, ids, times, words, and how long each
reply took. Two classifiers learn a label from these columns, and their AUC on tasks that they have not seen says how
much the receipts tell: 0.5 is nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zlib import crc32

import numpy as np

FOLDS = 5
BUCKETS = 32  # of the words of a text or page
MOST_NUMBERS = 40  # of a page
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
SECRET = re.compile(r"csrfmiddlewaretoken\" value=\"\w+|nonce=\"[^\"]+|nonce-[^']+'")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
WORD = re.compile(r"[\w-]+")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT")
TEXT_FIELDS = ("text", "content")


@dataclass(frozen=True)
class Receipt:
    """One reply to an annotator: what was requested, and all that came, with the milliseconds that it took."""

    name: str
    status: int
    headers: Mapping[str, str]
    body: str
    took: float


@dataclass
class Dossier:
    """What an annotator received about one task, and, hidden from the attacker, the truth."""

    receipts: list[Receipt] = field(default_factory=list)
    of_contest: bool = False
    candidate_first: bool = False
    texts: tuple[str, ...] = ()


Columns = dict[str, float]


def columns(dossier: Dossier, *, texts: bool, earlier: Columns | None = None) -> Columns:
    """Everything in the receipts of a task as numbers.

    Args:
        texts: False takes the responses and the prompt out, and what follows from their length.
        earlier: the columns of the same person's task before, for what changes from one to the next.
    """
    found: Columns = {}
    for receipt in dossier.receipts:
        body = receipt.body
        cut = 0
        if not texts:
            body, cut = _without(body, dossier.texts)
        name = receipt.name
        found[f"{name} took"] = receipt.took
        found[f"{name} status"] = receipt.status
        for header, value in receipt.headers.items():
            if header.lower() == "content-length":
                value = str(int(value) - cut)
            if header.lower() not in ("set-cookie", "date", "content-security-policy"):
                _of_text(found, f"{name} {header}", value)
        if body[:1] in ("{", "["):
            _of_json(found, name, json.loads(body), texts=texts)
        else:
            _of_page(found, name, body)
    if earlier is not None:
        changes = {f"{name} changed": value - earlier[name] for name, value in found.items() if name in earlier}
        found |= changes
    return found


def auc_of(
    rows: Sequence[Columns], labels: Sequence[bool], names: Sequence[str] = ("linear", "trees")
) -> dict[str, float]:
    """AUC by classifier of labels guessed for tasks that it was not trained on."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table, _ = matrix(rows)
    truth = np.array(labels, dtype=int)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    models = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)),
        "trees": HistGradientBoostingClassifier(max_iter=80, max_leaf_nodes=8, learning_rate=0.08, random_state=0),
    }
    found = {}
    for name in names:
        guesses = cross_val_predict(models[name], table, truth, cv=folds, method="predict_proba")[:, 1]
        found[name] = float(roc_auc_score(truth, guesses))
    return found


def most_telling(rows: Sequence[Columns], labels: Sequence[bool], number: int = 8) -> list[tuple[str, float]]:
    """The columns with the largest AUC of their own: where to look for a leak."""
    from scipy.stats import rankdata

    table, names = matrix(rows)
    truth = np.array(labels, dtype=bool)
    ours, others = int(truth.sum()), int((~truth).sum())
    ranks = rankdata(table, axis=0)[truth].sum(axis=0)
    aucs = (ranks - ours * (ours + 1) / 2) / (ours * others)
    scored = [(name, float(auc)) for name, auc in zip(names, aucs, strict=True)]
    return sorted(scored, key=lambda one: -abs(one[1] - 0.5))[:number]


def matrix(rows: Sequence[Columns]) -> tuple[Any, list[str]]:
    """Columns that are not the same everywhere, with −1 where a receipt has none."""
    names = sorted({name for row in rows for name in row})
    table = np.array([[row.get(name, -1.0) for name in names] for row in rows], dtype=float)
    varying = np.flatnonzero(table.std(axis=0) > 0)
    return table[:, varying], [names[place] for place in varying]


# --- receipts as columns ---------------------------------------------------------------------------


def _without(body: str, texts: Iterable[str]) -> tuple[str, int]:
    """The body without the texts of the task, and how many bytes shorter it is."""
    before = len(body.encode())
    for text in sorted(texts, key=len, reverse=True):
        body = body.replace(text, "")
    return body, before - len(body.encode())


def _of_json(found: Columns, name: str, value: Any, *, texts: bool) -> None:
    if isinstance(value, dict):
        for key, one in value.items():
            if texts or key not in TEXT_FIELDS:
                _of_json(found, f"{name}.{key}", one, texts=texts)
    elif isinstance(value, list):
        found[f"{name}#"] = len(value)
        for place, one in enumerate(value[:10]):
            _of_json(found, f"{name}.{place}", one, texts=texts)
    elif isinstance(value, str):
        if "<" in value and ">" in value:
            _of_page(found, name, value)
        else:
            _of_text(found, name, value)
    elif isinstance(value, int | float):
        found[name] = float(value)
    found[f"{name} null"] = float(value is None)


def _of_text(found: Columns, name: str, value: str) -> None:
    """An id as two numbers, a moment as seconds and their fraction, any other text as its length, hash and words."""
    if UUID.fullmatch(value):
        bits = value.replace("-", "")
        found[f"{name} head"], found[f"{name} tail"] = int(bits[:8], 16) / 2**32, int(bits[-8:], 16) / 2**32
        return
    if MOMENT.match(value):
        moment = datetime.fromisoformat(value)
        found[f"{name} second"], found[f"{name} fraction"] = moment.timestamp() % 86400, moment.microsecond / 1e6
        return
    if NUMBER.fullmatch(value):
        found[name] = float(value)
        return
    found[f"{name} length"], found[f"{name} hash"] = len(value), crc32(value.encode()) % 1009
    _of_words(found, name, value)


def _of_page(found: Columns, name: str, body: str) -> None:
    """A page: its length, its first numbers, its words by bucket, and its ids by what they begin with."""
    body = SECRET.sub("", body)
    found[f"{name} length"] = len(body)
    for place, key in enumerate(dict.fromkeys(UUID.findall(body))):
        if place < 4:
            _of_text(found, f"{name} id{place}", key)
    body = UUID.sub("", body)
    for place, number in enumerate(NUMBER.findall(body)[:MOST_NUMBERS]):
        found[f"{name} number{place}"] = float(number)
    _of_words(found, name, body)


def _of_words(found: Columns, name: str, text: str) -> None:
    for word in WORD.findall(text):
        bucket = f"{name} words{crc32(word.encode()) % BUCKETS}"
        found[bucket] = found.get(bucket, 0.0) + 1
