"""The stage `score`: rewards of responses that exist, whoever wrote them, by each head of the reward model.

`responses` is a JSON Lines file, one response a line: `{"prompt": [messages], "text": "…", "id"?: any}`. `scores.jsonl`
has one line for each, in its order: `{"id", "reward", "reward_heads"?, "reward_spread"?, "features"?}`. Heads and
spread are there with several heads, features (what the heads read of the trunk, numbers) where the config asks for
them. Where the heads disagree about which of two responses is better, a comparison of the two teaches most.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from trainer.data.json_lines import write_lines
from trainer.data.snapshot import Messages, parse_messages
from trainer.errors import DataUnusable, SnapshotCorrupt
from trainer.json_types import JsonObject
from trainer.modeling.heads import spread
from trainer.modeling.reward_model import finished_rows, load_reward
from trainer.modeling.reward_scoring import reward_figures
from trainer.run.context import RunContext, StageResult


def run(context: RunContext) -> StageResult:
    """Score a file of responses."""
    context.report.state("reading the responses")
    names, prompts, texts = read_responses(context.inputs["responses"])
    context.report.state("loading the reward model")
    reward = load_reward(context.inputs["reward_model"]).to("cuda" if torch.cuda.is_available() else "cpu")
    context.report.state("scoring")
    rows = finished_rows(reward.tokenizer, prompts, texts)
    heads = reward.head_rewards(rows, context.config.batch_size)
    lines: list[JsonObject] = []
    for name, figures in zip(names, reward_figures(reward, heads), strict=True):
        lines.append({"id": name, **figures})
    if context.config.features:
        for line, features in zip(lines, reward.features(rows, context.config.batch_size).tolist(), strict=True):
            line["features"] = features
    if context.report.path is not None:
        write_lines(context.folder / "scores.jsonl", lines)
    metrics = {"responses": len(lines), "reward": float(reward.combined(heads).mean())}
    if heads.size(1) > 1:
        metrics |= {"reward_spread": float(spread(heads).mean()), "usual_spread": reward.usual_spread}
    return StageResult(metrics=metrics)


def read_responses(path: Path) -> tuple[list[object], list[Messages], list[str]]:
    """Ids (the line's number where there is none), prompts and texts.

    Raises:
        SnapshotCorrupt: a line cannot be read; named by number.
        DataUnusable: there is none.
    """
    names: list[object] = []
    prompts: list[Messages] = []
    texts: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                record = json.loads(line)
                prompts.append(parse_messages(list(record["prompt"]), where))
                text = record["text"]
                names.append(record.get("id", number))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SnapshotCorrupt(f"{where} is not a response: {error!r}.") from error
            if not isinstance(text, str):
                raise SnapshotCorrupt(f"{where} is not a response: its text is no string.")
            texts.append(text)
    if not texts:
        raise DataUnusable(f"{path.name} holds no response.")
    return names, prompts, texts
