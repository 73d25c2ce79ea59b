"""Responses through an OpenAI-compatible server, such as vLLM: what `generate.Generator` does, elsewhere."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from trainer.errors import TrainerError
from trainer.json_types import JsonObject
from trainer.recipes.generate import Generated, Prompts, Reader

LOOK_EVERY = 0.2  # seconds between two looks at requests under way


class RemoteGenerator:
    """Asks `POST url/chat/completions`.

    Args:
        url: the base, ending in /v1.
        model: the name the server knows it by.
        api_key: sent as a bearer token; empty sends none.
        timeout: of one request, s.
        connections: requests under way at once.
    """

    def __init__(self, url: str, model: str, api_key: str = "", timeout: float = 120.0, connections: int = 8) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no http(s) address")
        self.url = url.rstrip("/") + "/chat/completions"
        self.model, self.api_key, self.timeout, self.connections = model, api_key, timeout, connections

    def generate(
        self,
        prompts: Prompts,
        *,
        max_new_tokens: int,
        seeds: Sequence[int],
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        batch_size: int = 64,
        stop: Sequence[str] = (),
        reader: Reader | None = None,
    ) -> list[Generated]:
        """As `Generator.generate`. How well a seed reproduces a response is up to the server.

        Raises:
            TrainerError: the server refuses, fails, or answers something else than a completion.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts, but {len(seeds)} seeds")
        settings: JsonObject = {
            "model": self.model,
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
        }
        if top_k:
            settings["top_k"] = top_k  # not OpenAI's; vLLM and its kin know it
        if stop:
            settings["stop"] = list(stop)
        if reader is not None:
            settings |= {"stream": True, "stream_options": {"include_usage": True}}
        bodies: list[JsonObject] = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            bodies.append({**settings, "messages": list(map(dict, prompt)), "seed": seed})
        one_at_a_time = threading.Lock()

        def hear(index: int, piece: str) -> None:
            if reader is not None and piece:
                with one_at_a_time:
                    reader.text(index, piece)

        with ThreadPoolExecutor(max_workers=min(self.connections, batch_size)) as pool:
            pending: list[Future[Generated]] = []
            for index, body in enumerate(bodies):
                pending.append(pool.submit(self.complete, body, partial(hear, index)))
            try:
                while reader is not None and wait(pending, LOOK_EVERY).not_done:
                    with one_at_a_time:
                        reader.step()
                return [one.result() for one in pending]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def complete(self, body: JsonObject, heard: Callable[[str], None]) -> Generated:
        """One request; `heard` is reported each piece if the body asks for a stream."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if body.get("stream"):
            headers["Accept"] = "text/event-stream, application/json"
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                if reply.headers.get_content_type() == "text/event-stream":
                    return _from_events(reply, heard)
                answer = json.load(reply)
            choice = answer["choices"][0]
            text = choice["message"]["content"] or ""
            heard(text)
            return _generated(text, answer.get("usage"), choice.get("finish_reason"))
        except urllib.error.HTTPError as error:
            detail = error.read(500).decode(errors="replace")
            raise TrainerError(f"{self.url} answered {error.code}: {detail}", remedy="See the server's log.") from error
        except OSError as error:
            raise TrainerError(
                f"{self.url} cannot be reached: {error}", remedy="Check the address, and that the server runs."
            ) from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise TrainerError(f"{self.url} answered something else than a completion: {error!r}") from error


def _from_events(reply: Iterable[bytes], heard: Callable[[str], None]) -> Generated:
    """A completion that comes as server-sent events.

    Raises:
        TrainerError: the server says in the middle of it that it failed, or breaks off.
    """
    pieces: list[str] = []
    usage = finish = None
    for line in reply:
        if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
            continue
        event = json.loads(line[5:])
        if "error" in event:
            raise TrainerError(f"The server broke off: {str(event['error'])[:300]}", remedy="See the server's log.")
        usage = event.get("usage") or usage
        for choice in event["choices"][:1]:
            pieces.append(choice["delta"].get("content") or "")
            heard(pieces[-1])
            finish = choice.get("finish_reason") or finish
    if finish is None:
        raise TrainerError("The server ended before the completion did.", remedy="See the server's log.")
    return _generated("".join(pieces), usage, finish)


def _generated(text: str, usage: dict[str, int] | None, finish: str | None) -> Generated:
    usage = usage or {}
    tokens = int(usage.get("completion_tokens") or 0)
    prompt_tokens = int(usage.get("prompt_tokens") or 0)
    return Generated(text, tokens, "length" if finish == "length" else "stop", prompt_tokens)
