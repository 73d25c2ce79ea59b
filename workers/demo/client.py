"""A client of the service's REST that does not give up: for simulated people and whoever drives them.

One `Service` is one caller with one connection that is kept open; give each thread its own. Lost connections, 5xx and
429 are tried again with back-off until `patience` runs out, so a caller lives through a server that is killed and
started again. A POST carries an Idempotency-Key that its repeats share, so a retry never counts twice.
"""

from __future__ import annotations

import http.client
import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

API = "/api/v1/"
TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds between tries
ONE_REPLY = 60.0  # seconds to wait for a reply


class Refused(Exception):
    """The service refused, and would refuse again."""

    def __init__(self, status: int, body: object, call: str) -> None:
        refusal = body if isinstance(body, dict) else {}  # a proxy answers with a page
        errors = refusal.get("errors")
        first = errors[0] if errors else {}
        self.status, self.code = status, str(first.get("code", ""))
        self.extra: Mapping[str, Any] = refusal.get("extra", {})
        super().__init__(f"{call} was answered {status} {self.code}: {first.get('detail', body)}")


class Unreachable(Exception):
    """No reply came for as long as patience lasted."""


@dataclass(frozen=True)
class Reply:
    """What came back. `body` is None where there is none."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Service:
    """A caller with a token.

    Args:
        url: of the service, such as http://localhost:8000.
        token: sent as a bearer token.
        patience: for how long a call is tried again, s.
        drop: share of calls whose connection is cut before the reply is read, as if the network failed, 0 to 1.
        seed: of the chance by which connections are cut.
    """

    def __init__(
        self, url: str, token: str, *, patience: float = 300.0, drop: float = 0.0, seed: int | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http(s) address")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=ONE_REPLY)
        self._token, self.patience, self._drop = token, patience, drop
        self._chance = random.Random(seed)
        self.retries = 0

    def get(self, path: str, **query: object) -> Any:
        """The body of a GET; `path` below /api/v1/."""
        return self.call("GET", path, query=query).body

    def post(self, path: str, body: Mapping[str, object] | None = None, *, keyed: bool = True) -> Reply:
        """A POST. Without a key (`keyed`) only what may be done twice: asking for what one holds already."""
        return self.call("POST", path, body={} if body is None else body, keyed=keyed)

    def pages(self, path: str, **query: object) -> Iterator[Any]:
        """All items of a list, page after page."""
        page = self.get(path, **query)
        while True:
            yield from page["results"]
            if not page.get("next"):
                return
            parts = urlsplit(page["next"])
            page = self.call("GET", parts.path.removeprefix(API) + f"?{parts.query}").body

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
        keyed: bool = True,
    ) -> Reply:
        """One call, tried again until an answer comes.

        Raises:
            Refused: a 4xx that is not about load.
            Unreachable: no answer within `patience`.
        """
        target = API + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        sent = None
        if body is not None:
            sent = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
            if keyed:
                headers["Idempotency-Key"] = str(uuid.uuid4())
        until = time.monotonic() + self.patience
        wait, tries = FIRST_WAIT, 0
        while True:
            trouble: object
            pause = wait * (0.5 + 0.5 * self._chance.random())
            try:
                reply = self._exchange(method, target, sent, headers)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                trouble = error
            else:
                if reply.status < 400:
                    return reply
                refused = Refused(reply.status, reply.body, f"{method} {target}")
                # A repeat may meet its first try, still at work in a thread that does not know we are gone.
                at_work = reply.status == 409 and refused.code == "conflict" and tries > 0
                if reply.status not in TRY_AGAIN and not at_work:
                    raise refused
                trouble = refused
                pause = max(pause, _seconds(reply.headers.get("retry-after")))
            if time.monotonic() + pause > until:
                raise Unreachable(f"{method} {target}: {trouble!r}, for {self.patience:.0f} s")
            time.sleep(pause)
            wait = min(LONGEST_WAIT, 2 * wait)
            tries += 1
            self.retries += 1

    def close(self) -> None:
        self._connection.close()

    def _exchange(self, method: str, target: str, sent: bytes | None, headers: Mapping[str, str]) -> Reply:
        self._connection.request(method, target, sent, dict(headers))
        if self._drop and self._chance.random() < self._drop:
            raise ConnectionResetError("the simulation cut this connection")
        response = self._connection.getresponse()
        data = response.read()
        reply_headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            body = json.loads(data) if data else None
        except ValueError:
            body = data.decode(errors="replace")[:500]  # a page, where JSON was requested
        return Reply(response.status, body, reply_headers)


def _seconds(given: str | None) -> float:
    """Retry-After, as far as it is a number of seconds within reason."""
    if given and given.isdigit():
        return min(30.0, float(given))
    return 0.0
