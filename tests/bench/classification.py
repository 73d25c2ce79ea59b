"""Encoders on real labels: classes of texts and spans, with and without masked pretraining, beside baselines.

    OMP_NUM_THREADS=1 python tests/bench/classification.py DATA FOLDER [sms|banking|restaurant|wikigold …] [--seed 0]

DATA holds sms_spam/, banking77/, restaurant8k_spans/ and wikigold/. A tenth of each train file is the selection split;
its test file is the test split. FOLDER keeps every run folder: a second call goes on where the first was; delete one to
do its stage again. A measurement, not a timed test.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chain import run_stage, write_snapshot

Rows = list[dict[str, Any]]

SHAPE = {"hidden_size": 96, "layers": 2, "heads": 4, "intermediate_size": 192}
VOCABULARY = {"sms": 2048, "banking": 2048, "restaurant": 1024, "wikigold": 4096}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "sms": {"mlm": {"steps": 600}, "label": {"epochs": 5}},
    "banking": {"mlm": {"steps": 1000}, "label": {"epochs": 12}},
    "restaurant": {"mlm": {"steps": 1000}, "label": {}},
    "wikigold": {"mlm": {"steps": 800}, "label": {}},
}


def sms(data: Path) -> tuple[Rows, Rows]:
    """SMS messages: ham or spam."""
    return csv_rows(data / "sms_spam", "label", "sms")


def banking(data: Path) -> tuple[Rows, Rows]:
    """Customers' questions to a bank: one of 77 topics."""
    return csv_rows(data / "banking77", "category", "banking77")


def csv_rows(folder: Path, column: str, scheme: str) -> tuple[Rows, Rows]:
    made = []
    for name in ("train", "test"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            made.append([(row["text"], row[column]) for row in csv.DictReader(file)])
    classes = sorted({label for rows in made for _, label in rows})
    more = {"kind": "classification", "scheme": scheme, "classes": classes, "many": False}
    train, test = ([{**more, "text": text, "labels": [label]} for text, label in rows] for rows in made)
    return train, test


def restaurant(data: Path) -> tuple[Rows, Rows]:
    """What people say to a booking line: dates, times, people, names."""
    made = []
    for name in ("train", "test"):
        lines = (data / "restaurant8k_spans" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        made.append([json.loads(line) for line in lines])
    classes = sorted({span["label"] for rows in made for row in rows for span in row["spans"]})
    train, test = ([span_row(row["text"], row["spans"], "restaurant", classes) for row in rows] for rows in made)
    return train, test


def wikigold(data: Path) -> tuple[Rows, Rows]:
    """Sentences of Wikipedia: persons, places, organizations, others. Words are joined by one space."""
    made = [bio_rows(data / "wikigold" / f"{name}.bio") for name in ("train", "test")]
    classes = sorted({span["label"] for rows in made for _, spans in rows for span in spans})
    train, test = ([span_row(text, spans, "wikigold", classes) for text, spans in rows] for rows in made)
    return train, test


def bio_rows(path: Path) -> list[tuple[str, Rows]]:
    rows = []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        text = ""
        spans: Rows = []
        for line in block.splitlines():
            word, _, label = line.partition("\t")
            start = len(text) + bool(text)
            text = f"{text} {word}" if text else word
            if label.startswith("B-") or (label.startswith("I-") and not spans):
                spans.append({"start": start, "end": len(text), "label": label[2:]})
            elif label.startswith("I-"):
                spans[-1]["end"] = len(text)
        rows.append((text, spans))
    return rows


def span_row(text: str, spans: Rows, scheme: str, classes: list[str]) -> dict[str, Any]:
    kept = [{name: span[name] for name in ("start", "end", "label")} for span in spans]
    return {"kind": "spans", "text": text, "spans": kept, "scheme": scheme, "classes": classes}


READERS = {"sms": sms, "banking": banking, "restaurant": restaurant, "wikigold": wikigold}


def cpu_seconds() -> float:
    """CPU time of ended child processes, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", choices=[*READERS, []], default=[])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.sets or list(READERS):
        measure(name, options.data, options.folder / name, options.seed)


def measure(name: str, data: Path, folder: Path, seed: int) -> None:
    """One data set: tokenizer, labels from scratch, masked pretraining, labels after it."""
    train, test = READERS[name](data)
    random.Random(seed).shuffle(train)
    cut = len(train) // 10
    if not (folder / "snapshot").is_dir():
        write_snapshot(folder / "snapshot", {"train": train[cut:], "selection": train[:cut], "test": test}, "feedback")
    stage = "classify" if train[0]["kind"] == "classification" else "tag"
    labels = {**SHAPE, **SETTINGS[name]["label"]}
    snapshot = {"snapshot": folder / "snapshot"}
    once(folder / "tokenizer", "tokenizer", seed, {"vocab_size": VOCABULARY[name]}, snapshot)
    tokenizer = {"tokenizer": folder / "tokenizer" / "model"}
    told(name, stage, "from scratch", once(folder / "scratch", stage, seed, labels, snapshot | tokenizer))
    made = once(folder / "mlm", "mlm", seed, {**SHAPE, **SETTINGS[name]["mlm"]}, snapshot | tokenizer)
    print(f"{name}: masked loss {made['selection_masked_loss']:.3f}, accuracy {made['selection_masked_accuracy']:.3f}")
    base = {"base_model": folder / "mlm" / "model"}
    told(name, stage, "pretrained", once(folder / "pretrained", stage, seed, labels, snapshot | base))


def once(folder: Path, stage: str, seed: int, config: dict[str, Any], inputs: dict[str, Path]) -> dict[str, Any]:
    """Metrics of a run, with the CPU seconds it took, start included; a run that ended is not done again."""
    kept = folder / "metrics.json"
    if not kept.is_file():
        before = cpu_seconds()
        result, _ = run_stage(folder, stage, seed, config, inputs)
        kept.write_text(json.dumps({**result["metrics"], "cpu": cpu_seconds() - before}), encoding="utf-8")
    metrics: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return metrics


def told(name: str, stage: str, how: str, metrics: dict[str, Any]) -> None:
    """One line for the model and one for what stands beside it."""
    baseline = metrics.get("baseline") or {}
    figures = ("accuracy", "macro_f1") if stage == "classify" else ("f1", "precision", "recall")
    line = ", ".join(f"{key} {metrics[f'test_{key}']:.3f}" for key in figures)
    beside = ", ".join(f"{key} {baseline[key]:.3f}" for key in figures if key in baseline)
    loss = metrics.get("selection_loss", float("nan"))
    if name == "sms":
        line += f", spam F1 {metrics['test_per_class']['spam']['f1']:.3f}"
        beside += f", spam F1 {baseline['per_class']['spam']['f1']:.3f}" if baseline else ""
    print(
        f"{name} {how}: {line}; selection loss {loss:.3f}; {metrics['cpu']:.0f} CPU s, {metrics['parameters']} weights"
    )
    if baseline:
        print(f"{name} beside it, {baseline['name']}: {beside}")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
