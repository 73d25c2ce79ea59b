"""Send HH transcripts to a running service over its REST API.

    manage.py send_hh train.jsonl --url http://localhost:8000 --token ts_… --project desk

Sending a file again adds nothing, because each row has an external_id that is the hash of its content.
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
from typing import Any, NotRequired, TypedDict
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from feedback.formats.annotations import hh
from feedback.rules.json_types import JsonObject

RETRY_STATUSES = frozenset({429, 502, 503, 504})
GIVE_UP_SECONDS = 120.0  # without a reply
AT_ONCE = 100
OUTCOMES = {201: "new", 200: "there before"}


class Options(TypedDict):
    """The options of the command that rows need."""

    project: str
    source: str
    annotator: str


class ItemResult(TypedDict):
    """What the service returns for one item."""

    status: int
    errors: NotRequired[list[dict[str, str]]]


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
            raise CommandError("--at-once must be between 1 and 200.")
        try:
            lines = path.open(encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}.") from None
        client = RestClient(options["url"], token)
        rows_options: Options = {
            "project": options["project"],
            "source": options["source"],
            "annotator": options["annotator"],
        }
        tally: Counter[str] = Counter()
        started = time.monotonic()
        with lines:
            rows = hh.read(lines)
            try:
                while chunk := list(islice(rows, options["at_once"])):
                    items = list(preferences(chunk, rows_options))
                    for (number, _), outcome in zip(chunk, client.send(items), strict=True):
                        tally[OUTCOMES.get(outcome["status"], "refused")] += 1
                        if outcome["status"] not in OUTCOMES:
                            self.stderr.write(f"line {number}: {outcome['errors'][0]['detail']}")
                    self._progress(tally, started)
            except hh.InvalidTranscript as error:
                raise CommandError(f"{path}: {error} Rows before it were sent.") from None
            except Refused as error:
                raise CommandError(str(error)) from None
        seconds = time.monotonic() - started
        self.stdout.write(
            f"{_summary(tally)} in {seconds:.1f} s ({sum(tally.values()) / max(seconds, 1e-9):.0f} rows/s)"
        )
        if tally["refused"]:
            raise CommandError(f"{tally['refused']} rows were refused; the lines above say why.")

    def _progress(self, tally: Counter[str], started: float) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r{_summary(tally)}, {time.monotonic() - started:.0f} s", ending="")


def preferences(rows: list[tuple[int, hh.Comparison]], options: Options) -> Iterator[JsonObject]:
    """Rows in the form of the REST API."""
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
    """The service refused the request, or did not reply for too long."""


class RestClient:
    """POST preferences/ over one connection. A lost request is sent again with the same Idempotency-Key."""

    def __init__(self, url: str, token: str) -> None:
        if "//" not in url:
            url = f"//{url}"
        parts = urlsplit(url)
        if parts.scheme not in ("", "http", "https") or not parts.hostname:
            raise CommandError(f"{url!r} is not the address of a service, such as http://localhost:8000.")
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=60)
        self._path = parts.path.rstrip("/") + "/api/v1/preferences/"
        self._token = token

    def send(self, items: list[JsonObject]) -> list[ItemResult]:
        """Send the items and return the result of each.

        Raises:
            Refused: the whole list was refused, or no reply came within GIVE_UP_SECONDS.
        """
        body = json.dumps(items).encode()
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": str(uuid.uuid4()),  # the same for all repeats of this request
        }
        until = time.monotonic() + GIVE_UP_SECONDS
        wait = 0.2
        while True:
            try:
                status, reply = self._post(body, headers)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                trouble = f"No reply from the service: {error!r}."
            else:
                if status == 207:
                    return list(reply)
                trouble = f"The service answered {status}: {_detail(reply)}"
                if status not in RETRY_STATUSES and not _first_in_progress(status, reply):
                    raise Refused(trouble)
            if time.monotonic() + wait > until:
                raise Refused(trouble)
            time.sleep(wait)
            wait = min(5.0, 2 * wait)

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
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
        return "no JSON. Is this the address of the service?"


def _first_in_progress(status: int, reply: object) -> bool:
    """Whether the first try, whose reply was lost, is still in progress."""
    return status == 409 and isinstance(reply, dict) and reply.get("errors", [{}])[0].get("code") == "conflict"


def _summary(tally: Counter[str]) -> str:
    return ", ".join(f"{tally[name]:,} {name}" for name in ("new", "there before", "refused"))
