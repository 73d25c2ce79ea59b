"""Responses from a policy: a Generator that a service keeps loaded, and the stage `generate`.

The stage's `prompts` is a JSON Lines file, one prompt a line: `{"prompt": [messages], "id"?: any, "seeds"?: [int]}`.
`responses.jsonl` has one line for each response: `{"id", "prompt", "text", "tokens", "finish_reason", "seed",
"sampling", "reward"?, "reward_heads"?, "reward_spread"?}`, in the order of the prompts; rewards are there when a reward
model is given, those by head when it has several. A prompt that cannot be answered, because the template refuses it or
it fills the context, costs no other prompt its answer: `refused.jsonl` says why, `{"id", "line", "prompt", "reason"}`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict

import torch

from trainer.data.columns import decode_completion, encode_prompts, joined
from trainer.data.json_lines import write_lines
from trainer.data.snapshot import Messages, parse_messages
from trainer.errors import DataUnusable, SnapshotCorrupt, StopRequested
from trainer.json_types import Metrics
from trainer.modeling.loading import load_policy, load_tokenizer
from trainer.modeling.reward_scoring import RewardFigures, load_judge, load_terms, reward_figures
from trainer.modeling.sampling import Drawn, FinishReason, Listener, draw, ids_of, room_for
from trainer.recipes.best_of_n import draw_best, kl_of_best
from trainer.run.checkpoints import open_model
from trainer.run.context import RunContext, StageResult
from trainer.run.seeds import stable_seed

if TYPE_CHECKING:
    from trainer.configs.stages import GenerateConfig

Prompts = Sequence[Sequence[Mapping[str, str]]]
SEND_SECONDS = 0.05  # seconds between two pieces of a text: decoding every token of a large batch would slow it


class Reader(Protocol):
    """Reads responses while they are written. What it raises ends the writing."""

    def text(self, index: int, piece: str) -> None:
        """What the response to the prompt of this index goes on with. All pieces together are its text."""

    def step(self) -> None:
        """Called many times a second, between pieces."""


@dataclass(frozen=True)
class Generated:
    """One response.

    Attributes:
        text: without special tokens.
        tokens: how many were sampled, with the end token.
        finish_reason: "stop" if it ended by itself or at a stop text, "length" if it was cut.
        prompt_tokens: how many the prompt has with the chat template around it; 0 where a server does not say.
    """

    text: str
    tokens: int
    finish_reason: FinishReason
    prompt_tokens: int = 0


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
        stop: Sequence[str] = (),
        reader: Reader | None = None,
    ) -> list[Generated]:
        """One response to each prompt; for several to one prompt, repeat it with other seeds.

        Args:
            prompts: messages (`role`, `content`), the last one from the user.
            max_new_tokens: longest response, tokens; less where the model's context leaves less room.
            seeds: one for each prompt, in [0, 2**63). The response follows from prompt, settings and its seed, not
                from what else is requested in the same call.
            temperature: 0 is greedy. top_p, top_k: 1 and 0 keep every token.
            batch_size: sequences decoded together; prompts of like length share a batch.
            stop: texts at whose first occurrence a response ends, without them.
            reader: reads the responses while they are written.

        Raises:
            DataUnusable: a prompt fills the model's context.
        """
        ids = encode_prompts(self.tokenizer, list(map(as_messages, prompts)))
        lengths = list(map(len, ids))
        streamer = None
        if stop or reader:
            streamer = TextStreamer(self, lengths, stop, reader)
        drawn = self.draw(ids, seeds, max_new_tokens, temperature, top_p, top_k, batch_size, streamer)
        if streamer is not None:
            return list(starmap(streamer.whole, enumerate(drawn)))
        return list(map(self.decoded, drawn, lengths))

    def draw(
        self,
        prompt_ids: Sequence[Sequence[int]],
        seeds: Sequence[int],
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        batch_size: int = 64,
        listener: Listener | None = None,
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
            listener=listener,
        )

    def decoded(self, completion: Drawn, prompt_tokens: int = 0) -> Generated:
        text = decode_completion(self.tokenizer, completion.ids)
        return Generated(text, len(completion.ids), completion.finish_reason, prompt_tokens)


class TextStreamer:
    """Makes text of tokens as they come: tells it to a reader piece by piece, and ends a response at a stop text.

    Held back is what may still change: bytes that are no whole character yet, and what may become a stop text.
    """

    def __init__(
        self, generator: Generator, prompt_tokens: list[int], stop: Sequence[str], reader: Reader | None
    ) -> None:
        self.generator, self.prompt_tokens, self.stop, self.reader = generator, prompt_tokens, stop, reader
        self.ids: list[list[int]] = [[] for _ in prompt_tokens]
        self.sent = [""] * len(prompt_tokens)
        self.fresh: set[int] = set()
        self.last = time.monotonic()

    def token(self, index: int, token: int) -> bool:
        self.ids[index].append(token)
        self.fresh.add(index)
        return bool(self.stop) and self._cut(self._text(index))[1]

    def step(self) -> None:
        if self.reader is None:
            return
        self.reader.step()
        if time.monotonic() - self.last < SEND_SECONDS:
            return
        for index in sorted(self.fresh):
            text, ended = self._cut(self._text(index))
            if not ended:
                text = self._stable_part(text)
            self._send(index, text)
        self.fresh.clear()
        self.last = time.monotonic()

    def whole(self, index: int, completion: Drawn) -> Generated:
        """The response when it has ended, all of it reported."""
        made = self.generator.decoded(completion, self.prompt_tokens[index])
        text, ended = self._cut(made.text)
        self._send(index, text)
        if ended:
            return Generated(text, made.tokens, "stop", made.prompt_tokens)
        return Generated(text, made.tokens, made.finish_reason, made.prompt_tokens)

    def _text(self, index: int) -> str:
        return decode_completion(self.generator.tokenizer, self.ids[index])

    def _cut(self, text: str) -> tuple[str, bool]:
        places = [place for place in map(text.find, self.stop) if place >= 0]
        if not places:
            return text, False
        return text[: min(places)], True

    def _stable_part(self, text: str) -> str:
        text = text.rstrip("\ufffd")
        begun = 0  # characters at the end with which a stop text may have begun
        for stop in self.stop:
            for length in range(1, len(stop)):
                if text.endswith(stop[:length]):
                    begun = max(begun, length)
        return text[: len(text) - begun]

    def _send(self, index: int, text: str) -> None:
        sent = self.sent[index]
        if self.reader is not None and len(text) > len(sent) and text.startswith(sent):
            self.reader.text(index, text[len(sent) :])
            self.sent[index] = text


def as_messages(prompt: Sequence[Mapping[str, str]]) -> Messages:
    return tuple({"role": message["role"], "content": message["content"]} for message in prompt)


class Sampling(TypedDict):
    """The settings that a response was sampled with."""

    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    best_of: int


class ResponseRow(TypedDict):
    """A line of responses.jsonl."""

    id: object
    prompt: list[dict[str, str]]
    text: str
    tokens: int
    finish_reason: FinishReason
    seed: int
    sampling: Sampling
    reward: NotRequired[float]
    reward_heads: NotRequired[list[float]]
    reward_spread: NotRequired[float]


class RefusedRow(TypedDict):
    """A line of refused.jsonl: a prompt that cannot be answered, and why."""

    id: object
    line: int
    prompt: list[dict[str, str]]
    reason: str


@dataclass(frozen=True)
class GenerationRequest:
    """One response that is wanted: to which prompt of the file, in which line, from which seed."""

    id: object
    prompt: Messages
    seed: int
    line: int


def run(context: RunContext) -> StageResult:
    """Answer a file of prompts. Started again, it goes on after the last complete chunk.

    Raises:
        DataUnusable: none of them can be answered.
    """
    config = context.config
    wanted = list(read_prompts(context.inputs["prompts"], config.responses, context.seed))
    context.report.state("loading the base model")
    generator = Generator(context.inputs["base_model"])
    reward_path = context.inputs.get("reward_model")
    reward = None
    if reward_path:
        reward = load_judge(reward_path, generator.tokenizer)
    draw_all = drawing(context, generator)
    requests, encoded, refused = answerable(generator, wanted)
    if not requests:
        name, first = context.inputs["prompts"].name, refused[0]
        raise DataUnusable(f"No prompt of {name} can be answered. Line {first['line']}: {first['reason']}")

    chunk = 8 * config.batch_size
    starts = range(0, len(requests), chunk)
    context.report.state("generating")
    done: list[ResponseRow] = []
    for number, start in enumerate(starts):
        part = requests[start : start + chunk]
        kept = context.checkpoints / f"responses-{number}.jsonl"
        if kept.is_file():
            done += map(json.loads, kept.read_bytes().splitlines())
            continue
        if context.should_stop():
            raise StopRequested
        ids = encoded[start : start + chunk]
        drawn = draw_all(ids, [one.seed for one in part])
        figures: Sequence[RewardFigures | None] = [None] * len(part)
        if reward is not None:
            scored = reward.head_rewards(joined(ids, ids_of(drawn)), 256)
            figures = reward_figures(reward, scored)
        rows = []
        for request, completion, its_figures in zip(part, drawn, figures, strict=True):
            rows.append(response_row(request, generator.decoded(completion), config, its_figures))
        write_lines(kept, rows)
        done += rows
        context.report.metrics(number + 1, len(starts), {"responses": len(done)})
    if context.report.path is not None:
        write_lines(context.folder / "responses.jsonl", done)
        if refused:
            write_lines(context.folder / "refused.jsonl", refused)
    for path in context.checkpoints.glob("responses-*.jsonl"):
        path.unlink()
    metrics = response_figures(done)
    if refused:
        metrics["refused"] = len(refused)
    if config.best_of > 1:
        metrics["best_of_kl"] = kl_of_best(config.best_of)
    return StageResult(metrics=metrics)


def response_figures(done: Sequence[ResponseRow]) -> Metrics:
    """Figures of all responses, one at least: how many, their tokens, the share that ended, and mean rewards."""
    tokens = ended = 0
    rewards: list[float] = []
    spreads: list[float] = []
    for row in done:
        tokens += row["tokens"]
        ended += row["finish_reason"] == "stop"
        if "reward" in row:
            rewards.append(row["reward"])
        if "reward_spread" in row:
            spreads.append(row["reward_spread"])
    metrics: Metrics = {
        "responses": len(done),
        "tokens": tokens,
        "length": tokens / len(done),
        "eos_rate": ended / len(done),
    }
    if rewards:
        metrics["reward"] = sum(rewards) / len(rewards)
    if spreads:
        metrics["reward_spread"] = sum(spreads) / len(spreads)
    return metrics


def answerable(
    generator: Generator, wanted: Sequence[GenerationRequest]
) -> tuple[list[GenerationRequest], list[list[int]], list[RefusedRow]]:
    """Those of `wanted` that can be answered, token ids of their prompts, and a line of refused.jsonl for each prompt
    that cannot."""
    by_line = {one.line: one for one in wanted}  # several responses may be wanted to one prompt
    encoded: dict[int, list[int]] = {}
    refused: list[RefusedRow] = []
    for line, one in by_line.items():
        try:
            [ids] = encode_prompts(generator.tokenizer, [one.prompt])
            room_for(generator.model, [len(ids)], 1)
            encoded[line] = ids
        except DataUnusable as error:
            refused.append({"id": one.id, "line": line, "prompt": list(one.prompt), "reason": error.message})
    requests: list[GenerationRequest] = []
    prompt_ids: list[list[int]] = []
    for one in wanted:
        if one.line in encoded:
            requests.append(one)
            prompt_ids.append(encoded[one.line])
    return requests, prompt_ids, refused


def drawing(context: RunContext, generator: Generator) -> Callable[[list[list[int]], list[int]], list[Drawn]]:
    """Completions of prompts from seeds, as the config asks: one drawn for each, or the best of several.

    Raises:
        ConfigInvalid: several, and a term's input is missing.
    """
    config = context.config
    kept = (getattr(config, "top_p", 1.0), getattr(config, "top_k", 0))

    def drawn(rows: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[Drawn]:
        return generator.draw(rows, seeds, config.max_new_tokens, config.temperature, *kept, config.batch_size)

    if config.best_of == 1:
        return drawn
    judge = load_terms(context.inputs, config.terms, generator.tokenizer, context.stage)
    return lambda rows, seeds: draw_best(drawn, judge, rows, seeds, config.best_of)


def response_row(
    one: GenerationRequest, response: Generated, config: GenerateConfig, figures: RewardFigures | None = None
) -> ResponseRow:
    """A line of responses.jsonl: enough to make the response again, with its reward if it has one."""
    row: ResponseRow = {
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
            "best_of": config.best_of,
        },
    }
    if figures is not None:
        row.update(figures)
    return row


def read_prompts(path: Path, responses: int, seed: int) -> Iterator[GenerationRequest]:
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
                seeds = list(map(int, record.get("seeds") or ()))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SnapshotCorrupt(f"{where} is not a prompt: {error!r}.") from error
            found = True
            if not seeds:
                seeds = [stable_seed(seed, "generate", name, k) for k in range(responses)]
            for value in seeds:
                yield GenerationRequest(name, messages, value, number)
    if not found:
        raise DataUnusable(f"{path.name} holds no prompt.")
