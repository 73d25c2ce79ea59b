"""A tokenizer and a causal model on tinyshakespeare, then SFT on self_instruct, all of it over REST as a client would.

    python -m tests.bench.shakespeare [preset]

A service of its own on a data folder of its own. The book is uploaded as a corpus whose last tenth is held out; a chain
of tokenizer and pretraining with the preset `book` learns the rest; bits per byte are of all of that tenth. Then the
demonstrations of self_instruct are imported and SFT starts from that model: does it end its answers? Printed as JSON,
with the CPU seconds of the whole service (web, workers, broker, trainers), which is what "within 600" is about.
"""

import json
import shutil
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import psutil

from tests.running_service import Service

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BOOK, TASKS = DATA / "tinyshakespeare" / "input.txt", DATA / "self_instruct" / "seed_tasks.jsonl"
SFT = {"epochs": 8, "batch_size": 8, "learning_rate": 0.001, "max_length": 256, "evaluations": 8}
FURNISH = """
from feedback.models import Person
from feedback.services.platform import tokens
by = Person.objects.create_superuser("bench", "a-long-password-for-benches")
print(tokens.create_token(person=by, name="bench", scopes=["read", "annotate", "submit", "data", "train", "admin"])[1])
"""
HOUR = 3600


def main(preset: str) -> None:
    if not BOOK.is_file():
        sys.exit(f"The data is not here: {BOOK}")
    folder = Path(tempfile.mkdtemp(prefix="touchstone-book-"))
    try:
        service = Service(folder)
        service.manage("migrate")
        service.token = service.manage("shell", given=FURNISH).split()[-1]
        with service:
            print(json.dumps(measured(service, preset), indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(service: Service, preset: str) -> dict[str, Any]:
    project = {"project": "book"}
    asked(service, "/api/v1/projects/", {"name": "Book", "slug": "book", "kinds": ["demonstration"]})
    corpus = asked(service, "/api/v1/corpora/", project | {"name": "Shakespeare", "hold_out": "last_tenth"})
    uploaded = sent(service, f"/api/v1/corpora/{corpus['id']}/uploads/", BOOK, {"kind": "book", "licence": "CC0"})
    upload = ended(service, f"/api/v1/corpus-uploads/{uploaded['id']}/")
    before = cpu_seconds(service)
    chain(service, project | {"stages": ["tokenizer", "pretrain"], "config": {"preset": preset}})
    after = cpu_seconds(service)
    tokenizer, pretrain = (newest(service, stage)["metrics"] for stage in ("tokenizer", "pretrain"))
    told = {
        "documents": upload["new"],
        "bits_per_byte_on_the_last_tenth": pretrain["selection_bits_per_byte"],
        "cpu_seconds_of_the_chain": round(after - before, 1),
        "cpu_seconds_with_upload_and_start": round(after, 1),
        "pretrain": pretrain,
        "tokenizer": tokenizer,
    }
    print(json.dumps(told), file=sys.stderr, flush=True)

    imported = sent(service, "/api/v1/imports/", TASKS, project | {"format": "self-instruct", "annotator": "authors"})
    ended(service, f"/api/v1/imports/{imported['id']}/")
    chain(service, project | {"stages": ["sft"], "config": {"preset": preset, "sft": SFT}})
    sft = newest(service, "sft")["metrics"]
    return told | {"sft": sft, "sft_cpu_seconds": round(cpu_seconds(service) - after, 1)}


def asked(service: Service, path: str, body: Any) -> Any:
    status, reply = service.post(path, body)
    assert status in (200, 201, 202), (path, status, reply)
    return reply


def sent(service: Service, path: str, file: Path, fields: dict[str, str]) -> Any:
    """A file as a browser or curl sends it."""
    border = uuid.uuid4().hex
    parts = [f'--{border}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    parts.append(f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n')
    body = "".join(parts).encode() + file.read_bytes() + f"\r\n--{border}--\r\n".encode()
    request = urllib.request.Request(service.url + path, body)
    request.add_header("Content-Type", f"multipart/form-data; boundary={border}")
    request.add_header("Authorization", f"Bearer {service.token}")
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


def ended(service: Service, path: str) -> Any:
    """What has become of a job."""

    def found() -> Any:
        status, told = service.get(path)
        return told if status == 200 and told["status"] in ("succeeded", "failed") else None

    told = service.until(found, HOUR, path)
    assert told["status"] == "succeeded", told
    return told


def chain(service: Service, body: Any) -> None:
    key = asked(service, "/api/v1/chains/", body)["id"]

    def found() -> Any:
        time.sleep(2)
        status, told = service.get(f"/api/v1/chains/{key}/")
        return told if status == 200 and told["state"] != "active" else None

    told = service.until(found, 2 * HOUR, "the chain")
    assert told["state"] == "succeeded", (told, service.get("/api/v1/training-runs/?project=book"))


def newest(service: Service, stage: str) -> Any:
    runs = service.get("/api/v1/training-runs/?project=book")[1]["results"]
    return next(run for run in runs if run["stage"] == stage)


def cpu_seconds(service: Service) -> float:
    """Of the supervisor and all below it, those that have ended and were waited for included."""
    root = psutil.Process(service.process.pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "book")
