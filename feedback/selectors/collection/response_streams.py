"""Responses read while they are written: pieces from the relay, and the row, which decides.

A relay that is away, a worker that dies or is not there, a response that was ready long ago: the reader is reported
what is so, from the row, and always gets an end.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from feedback import celery_app
from feedback.models import Response
from feedback.selectors.platform.home import workers
from feedback.streaming import StreamReader

LISTEN = 1.0  # seconds at most without looking at the rows
QUIET = 3.0  # seconds without a word after which the reader learns what is waited for
SILENT_WORKER = 10.0  # seconds since a worker's last beat after which that is stated
FINAL = (Response.State.READY, Response.State.FAILED, Response.State.BLOCKED)
NO_WORKER = "No worker is running. The response is generated as soon as one starts."
WAITS = "Waiting for the worker, which is busy or loading the model."


@dataclass(frozen=True)
class News:
    """An update of one response.

    Attributes:
        what: "begun" (from nothing; what was sent before is void), "piece", "ended", or "waits".
        text: the piece, or when it has ended all of it, as it stands in the row.
        state: of the row, when it has ended: ready, failed or blocked.
        sentence: why it failed, or what is waited for.
    """

    response: UUID
    what: Literal["begun", "piece", "ended", "waits"]
    text: str = ""
    state: str = ""
    sentence: str = ""
    finish_reason: str = ""


def follow(responses: list[UUID], seconds: float) -> Iterator[News]:
    """News of the responses until all have ended or so many seconds are over. Says something at least every QUIET
    seconds, so that a reader who has gone is noticed."""
    deadline = time.monotonic() + seconds
    ear, awaited, begun = StreamReader(responses), list(responses), set()
    spoken = time.monotonic()
    looked = 0.0
    look = True
    while awaited and time.monotonic() < deadline:
        if look or time.monotonic() - looked >= LISTEN:
            looked = time.monotonic()
            for news in _ended(awaited):
                awaited.remove(news.response)
                ear.forget(news.response)
                yield news
            if not awaited:
                return
        events = ear.read(min(LISTEN, max(0.01, deadline - time.monotonic())))
        if events is None:
            time.sleep(min(LISTEN, 0.5))
        look = any(one.ended for one in events or [])
        for one in events or []:
            if one.begun and one.response in begun:
                yield News(one.response, "begun")
            elif one.piece:
                begun.add(one.response)
                yield News(one.response, "piece", text=one.piece)
            spoken = time.monotonic()
        if time.monotonic() - spoken >= QUIET:
            spoken = time.monotonic()
            sentence = waits_for(awaited[0])
            for response in awaited:
                yield News(response, "waits", sentence=sentence)


def waits_for(response: UUID) -> str:
    """What a response that is queued or being written waits for, in a sentence."""
    row = Response.objects.filter(public_id=response).annotate(beat=F("job__heartbeat_at")).first()
    if row is not None and row.state == Response.State.SCREENING:
        return "Waiting for the guard model."
    if row is None or not workers().filter(queue=celery_app.GENERATE).exists():
        return NO_WORKER
    if row.state == Response.State.RUNNING and row.beat is not None:
        silent = (timezone.now() - row.beat).total_seconds()
        if silent > SILENT_WORKER:
            return (
                f"The worker has sent no heartbeat for {silent:.0f} s. If it does not recover, the "
                "response is generated again."
            )
        return "Being generated."
    return WAITS


def _ended(awaited: list[UUID]) -> list[News]:
    rows = Response.objects.filter(public_id__in=awaited, state__in=FINAL)
    found = {row.public_id: row for row in rows}
    return [_end(found[key]) for key in awaited if key in found]


def _end(row: Response) -> News:
    if row.state == Response.State.READY:
        return News(row.public_id, "ended", row.text, row.state, finish_reason=row.finish_reason)
    default = {Response.State.BLOCKED: "The guard model blocked this response."}.get(
        Response.State(row.state), "Generation failed."
    )
    return News(row.public_id, "ended", "", row.state, row.error or default)
