"""The OpenAI-compatible API at /v1: chat completions and models, with the tokens, scopes and ids of this service.

The short name of a project is a model. A request is stored like every prompt. Each choice names its response in
`touchstone.response`, and a thumb may be given on that id or on the id of the completion.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from drf_standardized_errors.types import ExceptionHandlerContext
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response as Reply

from feedback.api.collection import response_streams
from feedback.api.errors import Handler
from feedback.api.views import ServiceView
from feedback.errors import DomainError, NotFound, SignedOut
from feedback.formats.json_lines import json_line
from feedback.models import Prompt, Response
from feedback.rules.collection.chat_completions import ChatRequest, InvalidRequest, parse
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection.response_streams import NO_WORKER, News, follow
from feedback.selectors.registry import served_models
from feedback.services.collection import chat_completions

LONGEST = 120.0  # seconds
WITHOUT_WORKER = 10.0  # seconds without a worker after which the request is refused
PREFIX = "chatcmpl-"
KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
KINDS |= {409: "conflict_error", 413: "invalid_request_error", 429: "rate_limit_error"}


class OpenAIHandler(Handler):
    """The same errors in the shape of OpenAI. `x-should-retry` stops its clients from repeating what cannot succeed."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, InvalidRequest):
            wrong = exceptions.APIException(exc.sentence, code=exc.code)
            wrong.status_code, wrong.param = 400, exc.param  # type: ignore[attr-defined]
            return wrong
        return super().convert_known_exceptions(exc)

    def format_exception(self, exc: exceptions.APIException) -> JsonObject:
        [first, *_] = super().format_exception(exc)["errors"]
        code = first["code"]
        if isinstance(self.exc, NotFound):
            code = "model_not_found"
        return error(exc.status_code, first["detail"], code, getattr(exc, "param", None) or first["attr"])

    def get_headers(self, exc: exceptions.APIException) -> dict[str, str]:
        headers = super().get_headers(exc)
        if exc.status_code < 500 and exc.status_code != 429:
            headers["x-should-retry"] = "false"
        return headers


def error(status: int, message: str, code: str, param: str | None = None) -> JsonObject:
    return {"error": {"message": message, "type": KINDS.get(status, "server_error"), "param": param, "code": code}}


class OpenAIView(ServiceView):
    renderer_classes = [JSONRenderer]
    content_negotiation_class = response_streams.AlwaysJSON

    def get_exception_handler(self) -> Callable[[Exception, ExceptionHandlerContext], Reply | None]:
        return lambda exc, context: OpenAIHandler(exc, context).run()


class NotWritten(DomainError):
    code = "not_written"
    status = 503
    sentence = "The response is not generated yet. Repeat the request to get it."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence, retry_after=5)


class Unanswerable(DomainError):
    """The request cannot be answered, so repeating it does not help. The code is that of the response."""

    def __init__(self, row: Response) -> None:
        super().__init__(row.error, field="messages")
        self.code = row.error_code


def why_failed(row: Response) -> DomainError:
    if row.error_code:
        return Unanswerable(row)
    return NotWritten(row.error or "The model failed to respond.")


@extend_schema(exclude=True)
class ChatCompletions(OpenAIView):
    scopes = {"POST": "submit"}

    def post(self, request: Request) -> Reply | StreamingHttpResponse:
        wanted = parse(request.data)
        named = served_models.find(self.viewer, wanted.model)
        key = request.headers.get("Idempotency-Key", "")
        again = request.headers.get("X-Stainless-Retry-Count", "0").strip() not in ("", "0")
        prompt = chat_completions.ask(
            project=named.project, by=self.person, request=wanted, key=key[:100], repeated=again
        )
        prompt = screened(prompt)
        responses = chat_completions.answer(prompt=prompt, version=named.version, request=wanted)
        completion = Completion(wanted, prompt, responses)
        if wanted.stream:
            return response_streams.streamed(completion.chunks(), self.person.pk)
        # While it waits, the request holds one of the places for streams.
        held = response_streams.HeldStream(heartbeats(completion.wait()), self.person.pk)
        for _ in held:
            pass
        if held.barred:
            raise SignedOut
        return Reply(completion.whole())


@extend_schema(exclude=True)
class Models(OpenAIView):
    scopes = {"GET": "read"}

    def get(self, request: Request) -> Reply:
        return Reply({"object": "list", "data": list(map(model, served_models.names(self.viewer)))})


@extend_schema(exclude=True)
class OneModel(OpenAIView):
    scopes = {"GET": "read"}

    def get(self, request: Request, name: str) -> Reply:
        return Reply(model(served_models.find(self.viewer, name)))


@extend_schema(exclude=True)
class UnknownPath(OpenAIView):
    """A path that OpenAI has and this service has not. Its clients get an error that they can read."""

    permission_classes = ()

    def refuse(self, request: Request, **_: object) -> Reply:
        message = f"{request.method} {request.path} does not exist; only chat completions and models are supported."
        return Reply(error(404, message, "unknown_url"), status=404, headers={"x-should-retry": "false"})

    get = post = delete = refuse


def model(named: served_models.Named) -> JsonObject:
    version_id = None
    if named.version is not None:
        version_id = str(named.version.public_id)
    return {
        "id": named.name,
        "object": "model",
        "created": int(named.since.timestamp()),
        "owned_by": "touchstone",
        "touchstone": {"project": named.project.slug, "model_version": version_id},
    }


def screened(prompt: Prompt) -> Prompt:
    """The prompt, once the guard model has screened it.

    Raises:
        InvalidRequest: the guard model blocks it.
        NotWritten: it was not screened in time.
    """
    deadline = time.monotonic() + WITHOUT_WORKER
    while prompt.state == Prompt.State.RECEIVED:
        if time.monotonic() > deadline:
            raise NotWritten("The guard model has not screened this prompt yet. Repeat the request in a moment.")
        time.sleep(0.1)
        prompt.refresh_from_db(fields=["state"])
    if prompt.state == Prompt.State.BLOCKED:
        raise InvalidRequest("messages", "The guard model blocked this prompt.", "content_filter")
    return prompt


def heartbeats(news: Iterator[News]) -> Iterator[str]:
    for _ in news:
        yield ""


@dataclass
class Completion:
    """One request with its responses, until it is answered."""

    request: ChatRequest
    prompt: Prompt
    responses: list[Response]
    rows: dict[UUID, Response] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{PREFIX}{self.responses[0].public_id.hex}"

    def places(self) -> dict[UUID, int]:
        return {response.public_id: place for place, response in enumerate(self.responses)}

    def wait(self) -> Iterator[News]:
        """News until every response has ended.

        Raises:
            NotWritten: there is no worker, or it takes too long. The responses are still written later.
        """
        begun, open_ = time.monotonic(), set(self.places())
        for news in follow(list(open_), LONGEST):
            if news.what == "waits" and news.sentence == NO_WORKER and time.monotonic() - begun > WITHOUT_WORKER:
                raise NotWritten(f"{NO_WORKER} Repeat the request later to get it.")
            if news.what == "ended":
                open_.discard(news.response)
            yield news
        if open_:
            raise NotWritten
        self.rows = {row.public_id: row for row in Response.objects.filter(public_id__in=self.places())}

    def whole(self) -> JsonObject:
        """The completion. A choice that failed or was blocked is empty; its finish_reason says which.

        Raises:
            NotWritten, Unanswerable: every choice has failed. The sentence is that of the first.
        """
        rows = [self.rows[key] for key in self.places()]
        if all(row.state == Response.State.FAILED for row in rows):
            raise why_failed(rows[0])
        choices = []
        for place, row in enumerate(rows):
            choice = {
                "index": place,
                "message": {"role": "assistant", "content": row.text, "refusal": None},
                "logprobs": None,
                "finish_reason": finish(row),
                "touchstone": {"response": str(row.public_id)},
            }
            choices.append(choice)
        return self._head("chat.completion") | {"choices": choices, "usage": self.usage()}

    def chunks(self) -> Iterator[str]:
        """The completion as chunks. Sent text cannot be taken back, so a restarted text must begin with it."""
        places = self.places()
        sent, text = dict.fromkeys(places, ""), dict.fromkeys(places, "")
        opening = {"role": "assistant", "content": ""}
        yield "".join(self._chunk(place, opening, key) for key, place in places.items())
        try:
            for news in self.wait():
                key = news.response
                if news.what == "waits":
                    yield f": {news.sentence}\n\n"
                    continue
                text[key] = {"begun": "", "piece": text[key] + news.text, "ended": news.text}[news.what]
                if not (text[key].startswith(sent[key]) or sent[key].startswith(text[key])):
                    yield _data(
                        error(
                            500,
                            "The response was regenerated with different text. Repeat the request.",
                            "written_again",
                        )
                    )
                    return
                if fresh := text[key][len(sent[key]) :]:
                    sent[key] = text[key]
                    yield self._chunk(places[key], {"content": fresh}, key)
                if news.what == "ended":
                    if news.state == Response.State.FAILED:
                        why = why_failed(Response.objects.get(public_id=key))
                        status = 500
                        if why.status == 400:
                            status = 400
                        yield _data(error(status, why.sentence, why.code, why.field))
                        return
                    row = Response.objects.get(public_id=key)
                    yield self._chunk(places[key], {}, key, finish(row))
            if self.request.include_usage:
                yield _data(self._head("chat.completion.chunk") | {"choices": [], "usage": self.usage()})
            yield "data: [DONE]\n\n"
        except NotWritten as not_written:
            yield _data(error(503, not_written.sentence, not_written.code))

    def usage(self) -> dict[str, int]:
        prompt = written = 0
        for row in self.rows.values():
            prompt = max(prompt, row.prompt_tokens or 0)
            written += row.tokens or 0
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}

    def _head(self, kind: str) -> JsonObject:
        return {
            "id": self.id,
            "object": kind,
            "created": int(self.prompt.created_at.timestamp()),
            "model": self.request.model,
            "touchstone": {"prompt": str(self.prompt.public_id), "project": self.prompt.project.slug},
        }

    def _chunk(self, place: int, delta: dict[str, str], key: UUID, finish_reason: str | None = None) -> str:
        choice: JsonObject = {"index": place, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        choice["touchstone"] = {"response": str(key)}
        chunk = self._head("chat.completion.chunk") | {"choices": [choice]}
        if self.request.include_usage:
            chunk["usage"] = None
        return _data(chunk)


def finish(row: Response) -> str:
    if row.state == Response.State.BLOCKED:
        return "content_filter"
    return "length" if row.finish_reason == "length" else "stop"


def _data(value: JsonObject) -> str:
    return f"data: {json_line(value)}\n\n"
