"""Send HH transcripts to a running service, over HTTP as any client would.

    manage.py send_hh train.jsonl --url http://localhost:8000 --token ts_… --project desk

Sending a file again adds nothing: each row carries an external_id made of its content.
"""

import hashlib
import http.client
import json
import sys
import time
import uuid
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from feedback.formats.annotations import hh

TRY_AGAIN = frozenset({429, 502, 503, 504})
PATIENCE = 120.0  # seconds without an answer before giving up
AT_ONCE = 100
OUTCOMES = {201: "new", 200: "there before"}


class Command(BaseCommand):
    help = "Send preferences in HH's format (JSON Lines of chosen and rejected transcripts) to a running service."
    requires_system_checks: list[str] = []  # a client needs no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--url", default="http://localhost:8000", help="of the service")
        parser.add_argument(
            "--token", required=True, help="with the scope data, of an admin of the project; @FILE reads it"
        )
        parser.add_argument("--project", required=True, help="public id or short name")
        parser.add_argument("--source", default="hh", help="where the rows come from")
        parser.add_argument("--annotator", default="hh", help="who preferred it there")
        parser.add_argument("--at-once", type=int, default=AT_ONCE, help="rows a request, at most 200")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        token: str = options["token"]
        if token.startswith("@"):
            token = Path(token[1:]).read_text().strip()
        if not 1 <= options["at_once"] <= 200:
            raise CommandError("--at-once lies between 1 and 200.")
        try:
            lines = path.open(encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}.") from None
        door = RestClient(options["url"], token)
        tally: Counter[str] = Counter()
        began = time.monotonic()
        with lines:
            rows = hh.read(lines)
            try:
                while chunk := list(islice(rows, options["at_once"])):
                    items = list(preferences(chunk, options))
                    for (number, _), outcome in zip(chunk, door.give(items), strict=True):
                        tally[OUTCOMES.get(outcome["status"], "refused")] += 1
                        if outcome["status"] not in OUTCOMES:
                            self.stderr.write(f"line {number}: {outcome['errors'][0]['detail']}")
                    self._progress(tally, began)
            except hh.InvalidTranscript as error:
                raise CommandError(f"{path}: {error} Rows before it were sent.") from None
            except Refused as error:
                raise CommandError(str(error)) from None
        seconds = time.monotonic() - began
        self.stdout.write(f"{_told(tally)} in {seconds:.1f} s ({sum(tally.values()) / max(seconds, 1e-9):.0f} rows/s)")
        if tally["refused"]:
            raise CommandError(f"{tally['refused']} rows were refused; the lines above say why.")

    def _progress(self, tally: Counter[str], began: float) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r{_told(tally)}, {time.monotonic() - began:.0f} s", ending="")


def preferences(rows: list[tuple[int, hh.Comparison]], options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows as the service takes them."""
    for _, row in rows:
        content = json.dumps([row.prompt, row.chosen, row.rejected], ensure_ascii=False)
        yield {
            "project": options["project"],
            "prompt": row.prompt,
            "chosen": row.chosen,
            "rejected": row.rejected,
            "source": options["source"],
            "annotator": options["annotator"],
            "external_id": "hh-" + hashlib.sha256(content.encode()).hexdigest(),
        }


class Refused(Exception):
    """The service refused, or did not answer for too long."""


class RestClient:
    """POST preferences/ over one kept connection. What is lost on the way is sent again under the same key."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url if "//" in url else f"//{url}")
        if parts.scheme not in ("", "http", "https") or not parts.hostname:
            raise CommandError(f"{url!r} is no address of a service, such as http://localhost:8000.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=60)
        self._path = parts.path.rstrip("/") + "/api/v1/preferences/"
        self._token = token

    def give(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What became of each item.

        Raises:
            Refused: the list as a whole was refused, or no answer came within `PATIENCE`.
        """
        body = json.dumps(items).encode()
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": str(uuid.uuid4()),  # shared by the repeats of this request alone
        }
        until = time.monotonic() + PATIENCE
        wait = 0.2
        while True:
            try:
                status, reply = self._send(body, headers)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                trouble = f"No answer from the service: {error!r}."
            else:
                if status == 207:
                    return list(reply)
                trouble = f"The service answered {status}: {_detail(reply)}"
                if status not in TRY_AGAIN and not _still_at_work(status, reply):
                    raise Refused(trouble)
            if time.monotonic() + wait > until:
                raise Refused(trouble)
            time.sleep(wait)
            wait = min(5.0, 2 * wait)

    def _send(self, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        data = response.read()
        try:
            return response.status, json.loads(data)
        except ValueError:
            return response.status, None


def _detail(reply: Any) -> str:
    try:
        return str(reply["errors"][0]["detail"])
    except (TypeError, KeyError, IndexError):
        return "no JSON; is this the address of the service?"


def _still_at_work(status: int, reply: Any) -> bool:
    """A repeat met its first try, whose answer was lost on the way."""
    return status == 409 and isinstance(reply, dict) and reply.get("errors", [{}])[0].get("code") == "conflict"


def _told(tally: Counter[str]) -> str:
    return ", ".join(f"{tally[name]:,} {name}" for name in ("new", "there before", "refused"))
