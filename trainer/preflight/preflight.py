"""What a run would meet, looked at before it starts: its rows, what of them is learned, and what it will cost.

`python -m trainer RUN_FOLDER --preflight` writes preflight.json and trains nothing. Findings of severity "block" would
waste the run or make its outcome worthless; a run that is instructed to (`"preflight": true` in run.json) fails by the
first of them before anything is loaded for training. Inputs that an earlier stage has yet to make may be missing: what
depends on them is left for the run's own check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.configs import learning_rates, parsing
from trainer.data.snapshot import SPLITS, Messages, Preference, Snapshot, open_snapshot
from trainer.errors import ConfigInvalid, DataUnusable, TrainerError
from trainer.json_types import RunRequest
from trainer.modeling.template_check import refused_rows, template_faults
from trainer.preflight import rows as reading
from trainer.preflight import setting_checks as checks
from trainer.preflight.cost import check_cost
from trainer.preflight.memory_estimate import shape_of
from trainer.preflight.report import Example, Kind, Preflight, Severity, ShownSequence
from trainer.preflight.rows import Lesson, Line
from trainer.run.microbatching import rows_at
from trainer.run.run_folder import open_inputs
from trainer.stages import POLICY, STAGES, TAGGER, TOKENIZER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN_ROWS, SHOWN_TOKENS = 3, 300
FEW_OF_A_CLASS = 8
CUT_SHARE = 0.05
LONGER_SHARE = 0.7
REPEATED_SHARE = 0.05  # of held-out labeled texts that are trained on, too
ENOUGH_PAIRS = 20  # selection pairs below which a reward model's accuracy says nothing
REFUSING = ("no_system_message", "one_question_only")  # determined by the rows that are refused, where there are any


def run_preflight(folder: Path, run: RunRequest) -> Preflight:
    """Check a run folder. A wrong config or a broken input is a finding, too."""
    found = Preflight(str(run["stage"]))
    try:
        config = parsing.parse(run["stage"], run.get("config") or {})
        entries = run.get("inputs") or {}
        if unknown := sorted(set(entries) - STAGES[run["stage"]].inputs):
            raise ConfigInvalid(f"Unknown input for {run['stage']}: {', '.join(unknown)}.")
        paths = open_inputs(folder, entries)
        if "base_model" in paths or "tokenizer" in paths or getattr(config, "learning_rate", 0.0) is not None:
            config = learning_rates.resolved(str(run["stage"]), config, paths)
        check(found, config, paths, int(run.get("seed", 0)))
    except TrainerError as error:
        kind: Kind = "config" if error.kind == "config" else "data"
        found.block("unusable", error.message, error.remedy or "Correct it, and run the check again.", kind=kind)
    return found


def refuse(found: Preflight, ignored: Sequence[str] = ()) -> None:
    """Fail by the first blocking finding that is not to be ignored, by its name.

    Raises:
        DataUnusable, ConfigInvalid: with its sentence and remedy.
    """
    for finding in found.blocking:
        if finding.name in ignored:
            continue
        if finding.kind == "config":
            raise ConfigInvalid(finding.sentence, remedy=finding.remedy)
        raise DataUnusable(finding.sentence, remedy=finding.remedy)


def check(found: Preflight, config: object, paths: Mapping[str, Path], seed: int) -> None:
    """Everything that can be known of a run from its config and inputs.

    Raises:
        TrainerError: an input cannot be read at all.
    """
    stage, row = found.stage, STAGES[found.stage]
    if not row.rows or "snapshot" not in paths:
        found.notes.append("This stage trains nothing, so there is nothing to check.")
        return
    snapshot = open_snapshot(paths["snapshot"])
    splits: dict[str, list[Line]] = {}
    found.snapshot = {"hash": snapshot.hash, "rows": snapshot.manifest.get("counts", {})}
    for split in SPLITS:
        read = reading.read_lines(snapshot, split)
        splits[split] = read.lines
        if read.broken:
            sentence = f"{len(read.broken)} lines of {split}.jsonl cannot be read; the first: {read.broken[0]}"
            found.block("schema", sentence, "Freeze the snapshot again from rows that have what their kind needs.")
        if not read.whole:
            found.notes.append(f"Only the first {reading.MOST_LINES:,} lines of {split}.jsonl were checked.")
    lines = reading.trained_on(stage, splits["train"])
    if not lines:
        found.block("no_rows", f"The snapshot has no rows that {stage} learns from.", "Collect or import some.")
        return
    check_splits(found, splits, stage)
    check_rows(found, lines)
    tokenizer = load_any_tokenizer(stage, paths)
    if tokenizer is None and row.makes != TOKENIZER:
        found.notes.append(
            "An earlier stage produces its base model; tokens and cost are checked when this stage starts."
        )
        return
    if tokenizer is not None and (row.learns_completions or row.samples):
        lines = check_template(found, tokenizer, lines, reading.trained_on(stage, splits["selection"]))
        if not lines:
            return
    context = context_of(config, paths)
    lessons = reading.lessons(stage, tokenizer, config, lines, context)
    check_lessons(found, lessons, config)
    if tokenizer is not None:
        found.examples = examples(first_batch(stage, lessons, config, seed), tokenizer)
    checks.check_learning_rate(found, config, paths)
    checks.check_answer_length(found, config, tokenizer, splits["train"])
    checks.check_reward_head(found, paths)
    if "reward_model" in paths:
        check_reward_model(found, config, paths["reward_model"], snapshot)
    elif "reward_model" in row.needs:
        found.notes.append("An earlier stage produces the reward model; its accuracy is checked then.")
    check_cost(found, config, paths, lessons)


def check_template(
    found: Preflight, tokenizer: PreTrainedTokenizerBase, lines: Sequence[Line], held: Sequence[Line]
) -> list[Line]:
    """What the model's chat template makes of the rows, held-out ones too; returns those of `lines` that it takes."""
    for fault in template_faults(tokenizer):
        if fault.severity == "block":
            found.block("chat_template", fault.sentence, fault.remedy, kind="config")
            return []
        if fault.name not in REFUSING:
            found.warn(fault.name, fault.sentence, fault.remedy, kind="config")
    taken: list[Line] = []
    for split, rows in (("train", lines), ("selection", held)):
        refused = refused_rows(tokenizer, [line.row.prompt for line in rows])
        for reason in dict.fromkeys(refused.values()):
            numbers = [rows[place].number for place, why in refused.items() if why == reason]
            sentence = f"The chat template of the model rejects {len(numbers)} of {len(rows)} rows: {reason}."
            remedy = "Exclude these rows from the snapshot, or use another base model."
            if split != "train":
                remedy += f" Lines of {split}.jsonl are named."
            found.block("chat_template", sentence, remedy, numbers)
        if split == "train":
            taken = [line for place, line in enumerate(rows) if place not in refused]
    return taken


def load_any_tokenizer(stage: str, paths: Mapping[str, Path]) -> PreTrainedTokenizerBase | None:
    """The tokenizer that the stage would use; None when there is none yet.

    Raises:
        ConfigInvalid: it is of no use for the stage.
    """
    path = paths.get("base_model") or paths.get("tokenizer")
    if path is None:
        return None
    if STAGES[stage].encodes:
        from trainer.modeling.encoders import load_encoder_tokenizer

        return load_encoder_tokenizer(path)
    from trainer.modeling.loading import load_tokenizer

    return load_tokenizer(path)


def context_of(config: object, paths: Mapping[str, Path]) -> int:
    """Longest sequence that the model is made for, tokens."""
    if "base_model" in paths:
        return shape_of(paths["base_model"]).context
    return int(getattr(config, "context_length", 2**31))


# --- rows ------------------------------------------------------------------------------------------------


def check_splits(found: Preflight, splits: Mapping[str, Sequence[Line]], stage: str) -> None:
    """Evaluation is never trained on."""
    reads_texts = STAGES[stage].reads_texts
    for split in ("selection", "test"):
        exact, near = reading.leaks(splits["train"], splits[split])
        if exact:
            sentence = f"{len(exact)} prompts of {split}.jsonl also occur in train.jsonl (contamination)."
            remedy = f"Freeze the snapshot again: a prompt belongs in one split. Lines of {split}.jsonl are named."
            # Documents repeat one another in part; so may labeled texts, such as a reply given to several prompts.
            numbers = {line.number for line in splits[split] if hasattr(line.row, "prompt")}
            worthless = bool(numbers & set(exact)) or len(exact) > REPEATED_SHARE * len(splits[split])
            severity: Severity = "block" if worthless and not reads_texts else "warn"
            found.add("contamination", severity, "data", sentence, remedy, exact)
        if near and not reads_texts:
            found.warn(
                "near_contamination",
                f"{len(near)} prompts of {split}.jsonl nearly match train.jsonl (80 % of word trigrams).",
                f"Check them: metrics on {split} may be too optimistic. Lines of {split}.jsonl are named.",
                near,
            )
    if not any(reading.trained_on(stage, splits["selection"])):
        sentence = "There are no validation rows of this kind, so the last checkpoint is kept."
        found.warn("no_selection", sentence, "Collect annotations of prompts in the selection split.")


def check_rows(found: Preflight, lines: Sequence[Line]) -> None:
    """Doubles, contradictions, balance."""
    stage = found.stage
    doubled: list[int] = []
    occurring = 0
    for line in lines:
        occurring += line.row.count
        if line.row.count > 1:
            doubled.append(line.number)
    many = occurring - len(lines)
    if doubled and many > 0.2 * occurring:
        sentence = f"{many} of the rows are exact duplicates and count once per occurrence."
        found.warn(
            "duplicates",
            sentence,
            "This is expected for annotations by several people; otherwise check the imports.",
            doubled,
        )
    if (both := reading.contradictions(lines)) > 0.1 * len(lines):
        sentence = f"{both} pairs occur with both preferences; annotators disagree on them."
        found.warn("contradictions", sentence, "Freeze a consensus snapshot, or expect a lower accuracy.")
    found.balance = reading.balance(stage, lines)
    classes = {name: count for name, count in found.balance.items() if not name.startswith("strength ")}
    there = [name for name, count in classes.items() if count]
    needed = 1 if STAGES[stage].makes == TAGGER else 2
    if classes and len(there) < needed:
        only = "".join(there) or "none"
        sentence = f"All rows are of one class ({only}), so there is nothing to learn."
        found.block("one_class", sentence, "Collect rows of another class.")
    elif rare := [name for name, count in classes.items() if count < FEW_OF_A_CLASS]:
        listed = ", ".join(rare[:5])
        if len(rare) > 5:
            listed += " and others"
        sentence = f"Fewer than {FEW_OF_A_CLASS} rows of {listed}."
        found.warn("class_balance", sentence, "Collect more rows, or remove the class.")
    longer = reading.longer_preferred(lines)
    if longer is not None and len(lines) >= ENOUGH_PAIRS and longer > LONGER_SHARE:
        sentence = f"The longer response is preferred in {longer:.0%} of the pairs; the model may learn a length bias."
        found.warn(
            "length", sentence, ("Use the length-controlled metrics of the evaluation, or add good short responses.")
        )


def check_lessons(found: Preflight, lessons: Sequence[Lesson], config: Any) -> None:
    """Rows that would train on nothing, silently, and what is cut."""
    rows = useless = learned = longest = 0
    empty: list[int] = []  # lines
    cut: list[int] = []
    reasons: set[str] = set()
    for lesson in lessons:
        rows += lesson.count
        longest = max(longest, lesson.longest)
        if lesson.nothing:
            useless += lesson.count
            empty.append(lesson.line.number)
            reasons.add(lesson.nothing)
            continue
        learned += lesson.learned
        if lesson.cut:
            cut.append(lesson.line.number)
    found.learned = {"rows": rows, "nothing": useless, "tokens": learned, "longest": longest}
    if empty:
        why = ", ".join(sorted(reasons))
        sentence = f"{useless} of {rows} rows have no training tokens: {why}."
        remedy = "Raise max_length, or correct the rows." if hasattr(config, "max_length") else "Correct the rows."
        severity: Severity = "block" if useless == rows else "warn"
        found.add("learns_nothing", severity, "data", sentence, remedy, empty)
    if len(cut) > CUT_SHARE * len(lessons):
        sentence = f"{len(cut)} of {len(lessons)} rows are cut at max_length ({config.max_length} tokens)"
        if STAGES[found.stage].imitates:
            sentence += ", so their end is not learned"
        found.warn("cut", f"{sentence}.", "Raise max_length.", cut)


def first_batch(stage: str, lessons: Sequence[Lesson], config: Any, seed: int) -> list[Lesson]:
    """The first rows of the first batch, in the order that the run will draw where that is planned by rows alone."""
    kept = [lesson for lesson in lessons if not lesson.nothing] or list(lessons)
    row = STAGES[stage]
    if row.learns_completions and row.makes == POLICY:
        from trainer.run.loop import plan_rows

        visits: list[Lesson] = []
        for lesson in kept:
            visits += [lesson] * lesson.count
        epoch = min(1.0, float(config.epochs))
        kept = rows_at(visits, plan_rows(range(len(visits)), config.batch_size, epoch, seed, stage)[0])
    return kept[:SHOWN_ROWS]


def examples(batch: Sequence[Lesson], tokenizer: PreTrainedTokenizerBase) -> list[Example]:
    """Rows decoded, token by token, each with whether it is learned."""
    shown: list[Example] = []
    for lesson in batch:
        sequences: list[ShownSequence] = []
        for name, ids, mask in lesson.sequences:
            tokens = reading.pieces(tokenizer, ids[:SHOWN_TOKENS], mask[:SHOWN_TOKENS])
            sequences.append({"name": name, "tokens": tokens, "more": max(0, len(ids) - SHOWN_TOKENS)})
        shown.append({"line": lesson.line.number, "sequences": sequences, "told": lesson.note})
    return shown


# --- the reward model -------------------------------------------------------------------------------------


def check_reward_model(found: Preflight, config: object, path: Path, snapshot: Snapshot) -> None:
    """Whether the reward model is good enough to be trained against, by the selection split's preferences."""
    import torch

    from trainer.losses.temperatures import with_errors
    from trainer.losses.vote_errors import accuracy_without_errors
    from trainer.modeling.reward_model import load_reward

    floor = float(getattr(config, "reward_floor", 0.0))
    if not floor:
        return
    pairs = with_errors(list(snapshot.rows("selection", Preference))[:500], snapshot, path)
    if len(pairs) < ENOUGH_PAIRS:
        sentence = f"There are {len(pairs)} selection pairs, too few to measure the reward model."
        found.warn(
            "reward_floor", sentence, f"Annotate prompts of the selection split until there are {ENOUGH_PAIRS} pairs."
        )
        return
    reward = load_reward(path)
    prompts: list[Messages] = []
    chosen: list[str] = []
    rejected: list[str] = []
    for row in pairs:
        prompts.append(row.prompt)
        chosen.append(row.chosen)
        rejected.append(row.rejected)
    with torch.no_grad():
        gap = reward.score(prompts, chosen) - reward.score(prompts, rejected)
    errors = torch.tensor([row.error for row in pairs])
    right = (gap > 0).float() + 0.5 * (gap == 0).float()
    accuracy = accuracy_without_errors(right, errors if errors.any() else None)
    found.notes.append(f"The reward model agrees with {accuracy:.1%} of {len(pairs)} selection pairs.")
    if accuracy < floor:
        found.block(
            "reward_floor",
            f"The reward model agrees with {accuracy:.1%} of {len(pairs)} selection pairs; the minimum is {floor:.0%}.",
            "Collect more comparisons and train the reward model again, or lower reward_floor deliberately.",
        )
