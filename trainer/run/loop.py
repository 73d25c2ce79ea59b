"""transformers' Trainer tied to a run folder: planned batches, atomic checkpoints, progress, stop, exact resume.

The order of a whole run is drawn before it starts, from the run's seed. Going on after a kill is then a matter of
skipping batches, and dropout is off, so the weights come out the same bit for bit as without the kill.
"""

from __future__ import annotations

import math
import random
import shutil
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from trainer.data.columns import decode_completion
from trainer.data.snapshot import Messages
from trainer.errors import ModelCorrupt, OutOfMemory, RunDiverged, StopRequested, TrainerError
from trainer.json_types import JsonObject, Metrics
from trainer.modeling.loading import sharded, whole_weights
from trainer.modeling.passes import continuations, measuring
from trainer.modeling.weights import FILE, differing, load_weights, own_weights, read_weights, write_weights
from trainer.run.checkpoints import checkpoint_step, fresh_folder, newest_checkpoint, rename_into_place
from trainer.run.context import RunContext
from trainer.run.finalizing import RunFinalizer, reason
from trainer.run.launch import assert_as_many, wait_for_all
from trainer.run.microbatching import free_memory
from trainer.run.progress import Buckets, Point, Sample, Ticker
from trainer.run.run_trainer import CALMER, RunFolderTrainer, gather_uneven, no_smaller
from trainer.run.seeds import stable_seed

STEP_SECONDS = 1.0  # between two lines that say how far the run is
SAMPLE_SHARE = 0.1
# Counters of a process that a resumed run begins anew, and what the step says already.
NOT_FIGURES = frozenset({"total_flos", "epoch", "num_tokens"})


def common_arguments(context: RunContext) -> JsonObject:
    """TrainingArguments that every recipe shares: the hook decides when to log and save; nothing phones home."""
    on_gpu, precision = torch.cuda.is_available(), context.config.precision
    return {
        "output_dir": str(context.checkpoints),
        "num_train_epochs": 1,
        "seed": stable_seed(context.seed, context.stage) % 2**32,
        "use_cpu": not on_gpu,
        "bf16": precision == "bf16" or (precision == "auto" and on_gpu and torch.cuda.is_bf16_supported()),
        "save_strategy": "no",
        "logging_strategy": "no",
        "eval_strategy": "no",
        "logging_nan_inf_filter": False,
        "report_to": reporters(context.config.report_to) or "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": False,
    }


def reporters(named: str) -> list[str]:
    """Where figures go beside the run folder, from a list with commas."""
    return list(filter(None, map(str.strip, named.split(","))))


def plan_rows(rows: Iterable[int], batch_size: int, epochs: float, *seed: object) -> list[list[int]]:
    """As `plan_batches`, of rows that each stand alone."""
    return plan_batches([[row] for row in rows], batch_size, epochs, *seed)


def plan_batches(groups: Sequence[Sequence[int]], batch_size: int, epochs: float, *seed: object) -> list[list[int]]:
    """Shuffle groups of rows anew for each epoch and fill batches with whole groups.

    Args:
        groups: row numbers that belong in one batch; a group larger than batch_size is cut.
        batch_size: rows in a batch at most; a batch is closed when the next group does not fit.
        epochs: passes; a fraction ends within a pass.
        seed: parts of a stable seed.
    """
    pieces: list[list[int]] = []
    for group in groups:
        for start in range(0, len(group), batch_size):
            pieces.append(list(group[start : start + batch_size]))
    batches: list[list[int]] = []
    for epoch in range(math.ceil(epochs)):
        random.Random(stable_seed(*seed, "order", epoch)).shuffle(pieces)
        batch: list[int] = []
        first = len(batches)
        for piece in pieces:
            if len(batch) + len(piece) > batch_size:
                batches.append(batch)
                batch = []
            batch = batch + piece
        batches.append(batch)
        if epochs < epoch + 1:
            kept = max(1, round((len(batches) - first) * (epochs - epoch)))
            del batches[first + kept :]
    return batches


class Hook(TrainerCallback):
    """Says how the run goes, checkpoints, keeps the best weights, and stops it.

    Args:
        context: the run.
        sample: what the model answers to a few fixed prompts; called every tenth of the run. None is never.
        measure: figures on the selection split, named `selection_…`. None is never.
        evaluations: how often `measure` is called, evenly, the last step included.
        better: the figure of `measure` of which the lowest marks the weights to keep; None keeps the last ones.
        choose_best: false keeps the last weights, too.
        patience: stop after so many measurements without a new best; 0 is never.
    """

    def __init__(
        self,
        context: RunContext,
        *,
        sample: Callable[[PreTrainedModel], list[Sample]] | None = None,
        measure: Callable[[PreTrainedModel], dict[str, float]] | None = None,
        evaluations: int = 0,
        better: str | None = None,
        choose_best: bool = True,
        patience: int = 0,
    ) -> None:
        self.context = context
        self.sample = sample
        self.measure = measure
        self.evaluations = evaluations
        self.better: str | None = None
        if measure is not None and choose_best:
            self.better = better
        self.patience = patience
        self.buckets = Buckets()
        self.step_due = Ticker(STEP_SECONDS)
        self.checkpoint_due = Ticker(context.config.checkpoint_seconds)
        self.stopped = False
        self.wants_stop = False  # set by whoever sees that going on is of no use; the run ends well, with what it has
        self.just_measured: dict[str, float] = {}
        self.measured: list[tuple[int, dict[str, float]]] = []  # (step, figures), oldest first

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        # The trainer's log travels with the checkpoint, so what was measured before a kill is known after it.
        history: list[Metrics] = state.log_history
        self.measured, self.buckets.steps = [], []
        for entry in history:
            if "measured" in entry:
                self.measured.append((entry["step"], entry["measured"]))
            if "bucket" in entry:
                self.buckets.steps = entry["bucket"]
        self.checkpoint_due.due()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **kwargs: object,
    ) -> None:
        assert model is not None
        step, of = state.global_step, state.max_steps
        config = self.context.config
        at_end = step >= of
        save, stop = agreed(
            self.checkpoint_due.due() or bool(config.checkpoint_steps and step % config.checkpoint_steps == 0),
            self.context.should_stop(),
            device=args.device,
        )
        if self.measure is not None and planned(step, of, self.evaluations):
            self.measure_selection(model, state, control)
        if self.sample is not None and (planned(step, of, round(1 / SAMPLE_SHARE)) or step == 1):
            self.context.report.samples(step, self.sample(model))
        if self.wants_stop:
            control.should_training_stop = True
        if stop and not at_end:
            self.stopped = True
            control.should_training_stop = True
            save = True
        control.should_save = save and not at_end
        control.should_log = True  # each step goes into its bucket
        if self.step_due.due():
            self.context.report.step(step, of)

    def measure_selection(self, model: PreTrainedModel, state: TrainerState, control: TrainerControl) -> None:
        """Measure on the selection split, keep the weights if they are the best so far, stop if patience ran out."""
        assert self.measure is not None
        try:
            with measuring(model):
                figures = self.measure(model)
        except Exception as error:
            if isinstance(error, TrainerError) and not isinstance(error, OutOfMemory):
                raise
            traceback.print_exc()
            sentence = f"The selection split could not be measured: {reason(error)} Training continues without it."
            self.context.report.alarm(state.global_step, "not_measured", sentence)
            return
        check_finite(figures, state.global_step)
        if self.better is not None and all(figures[self.better] < past[self.better] for _, past in self.measured):
            keep_best(self.context, model, state.global_step)
        self.measured.append((state.global_step, figures))
        history: list[Metrics] = state.log_history
        history.append({"step": state.global_step, "measured": figures})
        self.just_measured = figures
        since_best = sum(step > (self.best_step or 0) for step, _ in self.measured)
        if self.patience and since_best >= self.patience:
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Metrics | None = None,
        **kwargs: object,
    ) -> None:
        if logs is None or "train_runtime" in logs:
            return
        check_finite({name: logs[name] for name in ("loss", "grad_norm") if name in logs}, state.global_step)
        figures = {name: value for name, value in logs.items() if name not in NOT_FIGURES}
        self.report_point(state, self.buckets.add(state.global_step, state.max_steps, figures))
        # The history goes into every checkpoint: it keeps what was measured and the bucket that is open, not each step.
        history: list[Metrics] = state.log_history
        history[:] = [entry for entry in history if "measured" in entry]
        if control.should_save:
            history.append({"step": state.global_step, "bucket": self.buckets.steps})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if not self.stopped:  # one that was stopped goes on with its bucket
            self.report_point(state, self.buckets.close())

    def report_point(self, state: TrainerState, point: Point | None) -> None:
        """Report a completed bucket and what was measured at this step, if anything, as one point: a step has one."""
        figures, bounds = point or ({}, None)
        if figures or self.just_measured:
            self.context.report.metrics(state.global_step, state.max_steps, figures | self.just_measured, bounds)
        self.just_measured = {}

    def figures_at(self, step: int | None) -> dict[str, float]:
        """What was measured at a step, by default at the last one measured; empty where nothing was."""
        if not self.measured:
            return {}
        figures = self.measured[-1][1]
        if step is not None:
            figures = dict(self.measured).get(step, figures)
        return dict(figures)

    @property
    def best_step(self) -> int | None:
        """Step of the lowest `better` figure, None before the first measurement or when the last weights are kept."""
        if self.better is None or not self.measured:
            return None
        name = self.better
        return min(self.measured, key=lambda entry: entry[1][name])[0]


def planned(step: int, of: int, times: int) -> bool:
    """Whether `step` is one of `times` evenly spaced steps out of `of`, the last one included."""
    return times > 0 and (step * times) // of > ((step - 1) * times) // of


def check_finite(figures: Mapping[str, float], step: int) -> None:
    """Stop at the first figure that is no number.

    Raises:
        RunDiverged: naming the figure and the step.
    """
    for name, value in figures.items():
        if not math.isfinite(value):
            raise RunDiverged(
                f"`{name}` became {value} at step {step}.",
                step=step,
                remedy=CALMER,
            )


def keep_best(context: RunContext, model: PreTrainedModel, step: int, without: str | None = None) -> None:
    """Keep weights as the best so far; the folder's name says of which step.

    Args:
        without: parts whose names begin so are not kept.
    """
    weights = whole_weights(model) or own_weights(model, without)
    if not context.leads:
        return
    part = fresh_folder(context.checkpoints / ".best.partial")
    write_weights(part / FILE, weights)
    for older in context.checkpoints.glob("best-*"):
        shutil.rmtree(older)
    rename_into_place(part, context.checkpoints / f"best-{step}")


def load_best(context: RunContext, step: int | None, model: PreTrainedModel, without: str | None = None) -> int | None:
    """Put the best weights, those of `step`, into `model` and return the step; None (and no change) if none were kept.

    Raises:
        ModelCorrupt: a tensor is missing, unknown, or not what was kept.
    """
    wait_for_all()
    folder = context.checkpoints / f"best-{step}"
    if step is None or not folder.is_dir():
        return None
    if sharded(model):
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

        whole = dict(read_weights(folder / FILE))
        set_model_state_dict(model, {**whole}, options=StateDictOptions(full_state_dict=True, strict=True))
        if different := differing(whole, whole_weights(model) or {}):
            raise ModelCorrupt(f"{len(different)} tensors changed when saved and restored, {different[0]} first.")
    else:
        load_weights(model, folder / FILE, without)
    return step


def restore_best(finalizer: RunFinalizer, hook: Hook) -> int | None:
    """Put the best weights into the model, and the figures they were chosen by into the metrics; their step if any."""
    best = finalizer.restore(lambda: load_best(finalizer.context, hook.best_step, finalizer.model))
    finalizer.metrics |= hook.figures_at(best)
    return best


def verify_best(finalizer: RunFinalizer, hook: Hook, best: int | None) -> None:
    """Measure the model handed back as it was measured at its step. See `RunFinalizer.verify_best`."""

    def again() -> dict[str, float]:
        assert hook.measure is not None
        with measuring(finalizer.model):
            return hook.measure(finalizer.model)

    finalizer.verify_best(hook.figures_at(best), again)


def agreed(*wishes: bool, device: torch.device) -> tuple[bool, ...]:
    """What any rank wishes, all do: clocks and signals differ between processes, and saving is done together."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return wishes
    votes = torch.tensor([float(wish) for wish in wishes], device=device)
    torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
    return tuple(map(bool, votes.tolist()))


def run_training(trainer: RunFolderTrainer, context: RunContext, hook: Hook) -> int:
    """Train from the newest complete checkpoint, or from the start, to the end. Returns the steps done.

    Raises:
        StopRequested: the run was ordered to stop and has checkpointed.
        RunDiverged: the loss or gradient stopped being a number.
    """
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    assert_as_many(trainer.accelerator.num_processes)
    if trainer.accelerator.num_processes > 1:
        trainer.accelerator.gather = partial(gather_uneven, trainer.accelerator, trainer.accelerator.gather)
    trainer.pieces = context.pieces
    trainer.batches = no_smaller(trainer.batches, trainer.accelerator.num_processes)
    newest = newest_checkpoint(context.checkpoints)
    if newest is not None:
        context.report.state(f"going on from step {checkpoint_step(newest)}")
    trainer.train(resume_from_checkpoint=newest and str(newest))
    if hook.stopped:
        raise StopRequested
    release(trainer)
    steps: int = trainer.state.global_step
    return steps


def release(trainer: RunFolderTrainer) -> None:
    """Let go of what only training needed, gradients and moments: what is measured afterwards has their memory."""
    if sharded(trainer.model):
        return
    trainer.model.zero_grad(set_to_none=True)
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.callback_handler.optimizer = trainer.callback_handler.lr_scheduler = None
    trainer.accelerator.free_memory()
    free_memory()


def prompt_sampler(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], rows: Sequence[list[int]], max_new_tokens: int
) -> Callable[[PreTrainedModel], list[Sample]] | None:
    """A sampler of fixed prompts for the hook, or None without prompts. Greedy, so that what changes is the model.

    Args:
        prompts: as messages. rows: the same as token ids.
    """
    if not prompts:
        return None
    texts = [messages[-1]["content"] for messages in prompts]

    def sample(model: PreTrainedModel) -> list[Sample]:
        samples: list[Sample] = []
        for text, row in zip(texts, continuations(model, rows, max_new_tokens), strict=True):
            samples.append({"prompt": text, "text": decode_completion(tokenizer, row)})
        return samples

    return sample
