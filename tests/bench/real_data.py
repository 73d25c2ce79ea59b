"""Real labels, demonstrations and preferences through the REST API of a running service, as a client would bring them.

    python tests/bench/real_data.py URL DATA [sms|banking|restaurant|wikigold|selfinstruct|pandalm|hh …] [--seed 0]

TOKEN in the environment is a site admin's with every scope. Each set becomes a project: its label scheme is put in,
its rows are imported as answered tasks, a chain trains tokenizer, classifier (or tagger) from scratch, pretraining on
the masked texts themselves, and the classifier again after it. Preferences: tokenizer and base model on the set's own
texts, then SFT or the reward model. What is printed is what the registry keeps: the figures on the project's own test
split (a tenth, by each text's family), the baseline beside them, and the CPU time is the service's to tell. A
measurement, not a timed test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from classification import READERS, SETTINGS, SHAPE, VOCABULARY

DOCUMENTS = 500  # in one request
SOURCE = "real data"
PREFERENCES = {
    "selfinstruct": ("self-instruct", "self_instruct/seed_tasks.jsonl", ["sft"]),
    "pandalm": ("pandalm", "pandalm_3annotators/pairs.jsonl", ["reward", "evaluate"]),
    "hh": ("hh", "hh_helpful_base/train.jsonl", ["reward", "evaluate"]),
}
BASE = {
    "tokenizer": {"vocab_size": 4096},
    "pretrain": {"steps": 400, "hidden_size": 96, "intermediate_size": 256, "context_length": 512, "block_size": 256},
}
LEARNING = {
    "sft": {"epochs": 6, "max_length": 512, "learning_rate": 1e-3},
    "reward": {"epochs": 2, "max_length": 512, "batch_size": 16, "normalise_samples": 64},
    "evaluate": {"max_new_tokens": 64, "responses": 2, "max_prompts": 50},
}


class Service:
    """The REST API with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/") + "/api/v1/", token

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The parsed reply; a refusal ends the run with what the service said."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        headers["Idempotency-Key"] = uuid.uuid4().hex
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from error

    def upload(self, project: str, form: str, name: str, content: bytes) -> dict[str, Any]:
        """Import a file and wait for the end of its job."""
        edge = uuid.uuid4().hex
        parts = {"project": project, "format": form, "source": SOURCE, "annotator": "annotator"}
        lines = [f'--{edge}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{parts[key]}\r\n' for key in parts]
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = "".join(lines).encode() + head.encode() + content + f"\r\n--{edge}--\r\n".encode()
        job = self.call("POST", "imports/", body, f"multipart/form-data; boundary={edge}")
        return self.ended(f"imports/{job['id']}/", "status")

    def ended(self, path: str, key: str) -> dict[str, Any]:
        while True:
            told: dict[str, Any] = self.call("GET", path)
            if told[key] not in ("queued", "running", "active", "draft"):
                return told
            time.sleep(1)

    def chain(self, project: str, stages: list[str], config: dict[str, Any], **more: Any) -> dict[str, dict[str, Any]]:
        """Run stages to their end; stage -> its run."""
        body = {"project": project, "stages": stages, "config": {key: config[key] for key in stages if key in config}}
        chain = self.ended(f"chains/{self.call('POST', 'chains/', body | more)['id']}/", "state")
        runs = {run["stage"]: run for run in (self.call("GET", f"training-runs/{one}/") for one in chain["runs"])}
        for run in runs.values():
            if run["job"]["status"] != "succeeded":
                raise SystemExit(f"{project}: {run['stage']} {run['job']['status']}: {run['job']['error']}")
        return runs


def name_of(label: str) -> str:
    """A label as a scheme may name it: small letters, digits, - and _, at most 40."""
    return re.sub(r"[^a-z0-9_-]", "_", label.lower()).strip("_")[:40].strip("_")


def labels(service: Service, name: str, data: Path, seed: int) -> None:
    """One labeled set: in, and learned with and without masked pretraining."""
    train, test = READERS[name](data)
    rows = [*train, *test]
    kind, stage = rows[0]["kind"], "classify" if rows[0]["kind"] == "classification" else "tag"
    project = opened(service, name, [kind])
    # Real sets mark "in an hour" as a time and as a date.
    scheme = {
        "kind": kind,
        "many": kind == "spans",
        "labels": [{"name": name_of(one), "title": one[:60]} for one in rows[0]["classes"]],
    }
    service.call("PATCH", f"projects/{project}/", {"label_scheme": {"said": scheme}})
    begun = time.monotonic()
    told = service.upload(project, "touchstone", f"{name}.jsonl", "\n".join(map(as_task, rows)).encode())
    print(f"{name}: {told['new']} of {len(rows)} rows in, {told['rejected']} refused, {time.monotonic() - begun:.0f} s")
    learning = {**SHAPE, **SETTINGS[name]["label"]}
    config = {"tokenizer": {"vocab_size": VOCABULARY[name]}, "mlm": {**SHAPE, **SETTINGS[name]["mlm"]}, stage: learning}
    first = service.chain(project, ["tokenizer", stage], config, texts="labelled", seed=seed)
    say(name, "from scratch", first[stage]["metrics"])
    snapshot = first[stage]["snapshot"]
    second = service.chain(project, ["mlm", stage], config, texts="labelled", snapshot=snapshot, seed=seed)
    masked = second["mlm"]["metrics"]
    print(f"{name}: hidden words, loss {masked['selection_masked_loss']:.3f} nats")
    say(name, "after mlm", second[stage]["metrics"])


def as_task(row: dict[str, Any]) -> str:
    """A labeled text as an answered task of our own format."""
    answer: dict[str, Any] = {"labels": [name_of(one) for one in row.get("labels", [])]}
    if row["kind"] == "spans":
        answer = {"spans": [{**span, "label": name_of(span["label"])} for span in row["spans"]]}
    said = {"annotator": "annotator", "answer": answer, "source": SOURCE}
    task = {"kind": row["kind"], "prompt": row["text"], "ask": {"scheme": "said"}, "answers": [said]}
    return json.dumps(task, ensure_ascii=False)


def say(name: str, how: str, metrics: dict[str, Any]) -> None:
    baseline = metrics.get("baseline") or {}
    keys = [key for key in ("accuracy", "macro_f1", "f1", "precision", "recall") if f"test_{key}" in metrics]
    told = ", ".join(
        f"{key} {metrics[f'test_{key}']:.3f} (baseline {baseline.get(key, float('nan')):.3f})" for key in keys
    )
    if name == "sms":
        spam = [one["per_class"]["spam"]["f1"] for one in ({"per_class": metrics["test_per_class"]}, baseline)]
        told += f", F1 of spam {spam[0]:.3f} (baseline {spam[1]:.3f})"
    print(
        f"{name} {how}: {told}; selection loss {metrics['selection_loss']:.3f}; {metrics['train_texts']} texts",
        flush=True,
    )


def preferences(service: Service, name: str, data: Path, seed: int) -> None:
    """One set of demonstrations or preferences: in, a base model on its own texts, and what is learned from it."""
    form, path, stages = PREFERENCES[name]
    project = opened(service, name, ["comparison", "demonstration"])
    content = (data / path).read_bytes()
    told = service.upload(project, form, Path(path).name, content)
    print(f"{name}: {told['new']} tasks in, {told['rejected']} refused")
    rows = [json.loads(line) for line in content.decode().splitlines()]
    corpus = service.call("POST", "corpora/", {"project": project, "name": f"Texts of {name}"})["id"]
    documents = [{"text": text, "kind": "conversation"} for row in rows if (text := "\n".join(strings(row))).strip()]
    for start in range(0, len(documents), DOCUMENTS):
        body = {"corpus": corpus, "documents": documents[start : start + DOCUMENTS]}
        service.ended(f"corpus-uploads/{service.call('POST', 'documents/', body)['id']}/", "status")
    base = service.chain(project, ["tokenizer", "pretrain"], BASE, seed=seed)["pretrain"]["model_version"]
    runs = service.chain(project, stages, LEARNING, base_model=base, seed=seed)
    for stage, run in runs.items():
        figures = {key: value for key, value in run["metrics"].items() if isinstance(value, int | float | dict)}
        print(f"{name} {stage}: {json.dumps(figures, default=str)[:1500]}", flush=True)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for one in inner for text in strings(one)]


def opened(service: Service, name: str, kinds: list[str]) -> str:
    slug = f"{name}-{uuid.uuid4().hex[:6]}"
    service.call("POST", "projects/", {"name": f"Real data: {name}", "slug": slug, "kinds": kinds})
    return slug


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", choices=[*READERS, *PREFERENCES, []], default=[])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    service = Service(options.url, os.environ["TOKEN"])
    for name in options.sets or [*READERS, *PREFERENCES]:
        (labels if name in READERS else preferences)(service, name, options.data, options.seed)


if __name__ == "__main__":
    main()
