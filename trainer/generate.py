"""Responses from a policy: a Generator that a service keeps loaded, the same through an OpenAI-compatible server, and
the stage `generate`.

The stage's `prompts` is a JSON Lines file, one prompt a line: `{"prompt": [messages], "id"?: any, "seeds"?: [int]}`.
`responses.jsonl` has one line for each response: `{"id", "prompt", "text", "tokens", "finish_reason", "seed",
"sampling", "reward"?}`, in the order of the prompts; rewards are there when a reward model is given.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.checkpoints import open_model
from trainer.columns import decode_completion, encode_prompts
from trainer.context import RunContext, StageResult
from trainer.errors import DataUnusable, SnapshotCorrupt, StopRequested, TrainerError
from trainer.models import load_policy, load_tokenizer
from trainer.sampling import Drawn, FinishReason, draw
from trainer.scoring import load_judge, scorer
from trainer.seeds import stable_seed
from trainer.snapshot import Messages, parse_messages

Prompts = Sequence[Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class Generated:
    """One response.

    Attributes:
        text: without special tokens.
        tokens: how many were sampled, with the end token.
        finish_reason: "stop" if it ended by itself, "length" if it was cut.
    """

    text: str
    tokens: int
    finish_reason: FinishReason


class Generator:
    """A policy held in memory.

    Args:
        model_folder: a policy; verified before it is loaded.
        manifest_sha256: what its manifest must hash to; None for a folder from elsewhere.

    Raises:
        ModelCorrupt: the folder is not what it should be.
    """

    def __init__(self, model_folder: Path | str, manifest_sha256: str | None = None) -> None:
        self.folder = Path(model_folder)
        open_model(self.folder, manifest_sha256)
        self.tokenizer = load_tokenizer(self.folder)
        model = load_policy(self.folder, self.tokenizer).eval()
        self.model = model.to("cuda") if torch.cuda.is_available() else model

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
    ) -> list[Generated]:
        """One response to each prompt; for several to one prompt, repeat it with other seeds.

        Args:
            prompts: messages (`role`, `content`), the last one from the user.
            max_new_tokens: longest response, tokens; less where the model's context leaves less room.
            seeds: one for each prompt, in [0, 2**63). The response follows from prompt, settings and its seed, not
                from what else is asked for in the same call.
            temperature: 0 is greedy. top_p, top_k: 1 and 0 keep every token.
            batch_size: sequences decoded together; prompts of like length share a batch.

        Raises:
            DataUnusable: a prompt fills the model's context.
        """
        ids = encode_prompts(self.tokenizer, [as_messages(prompt) for prompt in prompts])
        drawn = self.draw(ids, seeds, max_new_tokens, temperature, top_p, top_k, batch_size)
        return [self.decoded(completion) for completion in drawn]

    def draw(
        self,
        prompt_ids: Sequence[Sequence[int]],
        seeds: Sequence[int],
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        batch_size: int = 64,
    ) -> list[Drawn]:
        """The same on token ids."""
        return draw(
            self.model,
            prompt_ids,
            seeds,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            batch_size=batch_size,
        )

    def decoded(self, completion: Drawn) -> Generated:
        text = decode_completion(self.tokenizer, completion.ids)
        return Generated(text, len(completion.ids), completion.finish_reason)


class RemoteGenerator:
    """The same through an OpenAI-compatible server (`POST url/chat/completions`), such as vLLM.

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
    ) -> list[Generated]:
        """As `Generator.generate`. How well a seed reproduces a response is up to the server.

        Raises:
            TrainerError: the server refuses, fails, or answers something else than a completion.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts, but {len(seeds)} seeds")
        settings: dict[str, Any] = {
            "model": self.model,
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
        }
        if top_k:
            settings["top_k"] = top_k  # not OpenAI's; vLLM and its kin know it
        bodies = [
            {**settings, "messages": [dict(m) for m in prompt], "seed": seed}
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        with ThreadPoolExecutor(max_workers=min(self.connections, batch_size)) as pool:
            return list(pool.map(self.complete, bodies))

    def complete(self, body: dict[str, Any]) -> Generated:
        """One request."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                answer = json.load(reply)
            choice = answer["choices"][0]
            return Generated(
                text=choice["message"]["content"] or "",
                tokens=int((answer.get("usage") or {}).get("completion_tokens") or 0),
                finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
            )
        except urllib.error.HTTPError as error:
            detail = error.read(500).decode(errors="replace")
            raise TrainerError(f"{self.url} answered {error.code}: {detail}", remedy="See the server's log.") from error
        except OSError as error:
            raise TrainerError(
                f"{self.url} cannot be reached: {error}", remedy="Check the address, and that the server runs."
            ) from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise TrainerError(f"{self.url} answered something else than a completion: {error!r}") from error


def as_messages(prompt: Sequence[Mapping[str, str]]) -> Messages:
    return tuple({"role": message["role"], "content": message["content"]} for message in prompt)


@dataclass(frozen=True)
class Asked:
    """One response that is wanted: to which prompt of the file, from which seed."""

    id: Any
    prompt: Messages
    seed: int


def run(context: RunContext) -> StageResult:
    """Answer a file of prompts. Started again, it goes on after the last complete chunk."""
    config = context.config
    asked = list(read_prompts(context.inputs["prompts"], config.responses, context.seed))
    context.report.state("loading the base model")
    generator = Generator(context.inputs["base_model"])
    reward_path = context.inputs.get("reward_model")
    score = scorer(load_judge(reward_path, generator.tokenizer)) if reward_path else None

    chunk = 8 * config.batch_size
    parts = [asked[start : start + chunk] for start in range(0, len(asked), chunk)]
    context.report.state("generating")
    done: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        kept = context.checkpoints / f"responses-{number}.jsonl"
        if kept.is_file():
            done += [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
            continue
        if context.should_stop():
            raise StopRequested
        ids = encode_prompts(generator.tokenizer, [one.prompt for one in part])
        drawn = generator.draw(
            ids,
            [one.seed for one in part],
            config.max_new_tokens,
            config.temperature,
            config.top_p,
            config.top_k,
            config.batch_size,
        )
        rewards = score(ids, [completion.ids for completion in drawn]).tolist() if score else [None] * len(part)
        rows = [
            response_row(one, generator.decoded(completion), value, config)
            for one, completion, value in zip(part, drawn, rewards, strict=True)
        ]
        write_lines(kept, rows)
        done += rows
        context.report.metrics(number + 1, len(parts), {"responses": len(done)})
    if context.report.path is not None:
        write_lines(context.folder / "responses.jsonl", done)
    for path in context.checkpoints.glob("responses-*.jsonl"):
        path.unlink()
    tokens = [row["tokens"] for row in done]
    metrics: dict[str, Any] = {
        "responses": len(done),
        "tokens": sum(tokens),
        "length": sum(tokens) / len(done),
        "eos_rate": sum(row["finish_reason"] == "stop" for row in done) / len(done),
    }
    if score:
        metrics["reward"] = sum(row["reward"] for row in done) / len(done)
    return StageResult(metrics=metrics)


def response_row(one: Asked, response: Generated, reward: float | None, config: Any) -> dict[str, Any]:
    """A line of responses.jsonl: enough to make the response again."""
    row = {
        "id": one.id,
        "prompt": list(one.prompt),
        "text": response.text,
        "tokens": response.tokens,
        "finish_reason": response.finish_reason,
        "seed": one.seed,
        "sampling": {
            "temperature": config.temperature,
            "top_p": config.top_p,
            "top_k": config.top_k,
            "max_new_tokens": config.max_new_tokens,
        },
    }
    return row if reward is None else {**row, "reward": reward}


def read_prompts(path: Path, responses: int, seed: int) -> Iterator[Asked]:
    """What a file of prompts asks for. A line without seeds gets `responses` of them, from the run's seed and its id.

    Raises:
        SnapshotCorrupt: a line cannot be read; named by number.
        DataUnusable: there is none.
    """
    found = False
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                record = json.loads(line)
                messages = parse_messages(list(record["prompt"]), where)
                name = record.get("id", number)
                seeds = [int(value) for value in record.get("seeds") or ()]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SnapshotCorrupt(f"{where} is not a prompt: {error!r}.") from error
            found = True
            for value in seeds or [stable_seed(seed, "generate", name, k) for k in range(responses)]:
                yield Asked(name, messages, value)
    if not found:
        raise DataUnusable(f"{path.name} holds no prompt.")


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """JSON Lines, written aside and renamed, so that a file with its final name is complete."""
    aside = path.with_name(f".{path.name}.aside")
    with aside.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")
    aside.replace(path)
