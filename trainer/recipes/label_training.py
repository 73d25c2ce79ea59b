"""What classification and span tagging share: the rows of one label scheme, the model, the training and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from trainer.data.snapshot import Classification, Spans, open_snapshot
from trainer.errors import ConfigInvalid, DataUnusable, ModelCorrupt
from trainer.json_types import JsonObject, Metrics
from trainer.metrics.naming import with_prefix
from trainer.modeling.encoders import load_encoder_tokenizer, make_encoder
from trainer.modeling.loading import from_folder, parameters, prepare
from trainer.modeling.lora import adapt_encoder
from trainer.run.context import ModelKind, RunContext, StageResult
from trainer.run.progress import Sample
from trainer.run.seeds import seed_everything

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    from trainer.modeling.encoder_trainer import Item
    from trainer.run.finalizing import RunFinalizer
    from trainer.run.loop import Hook

Labeled = TypeVar("Labeled", Classification, Spans)


@dataclass(frozen=True)
class LabeledTexts(Generic[Labeled]):
    """Texts under one label scheme.

    Attributes:
        train: to learn from, each as often as it occurs. selection, test: held out, each once.
        scheme: its name. classes: its labels, in its order.
    """

    train: list[Labeled]
    selection: list[Labeled]
    test: list[Labeled]
    scheme: str
    classes: list[str]

    @property
    def held_out(self) -> dict[str, list[Labeled]]:
        """Held-out texts by split."""
        return {"selection": self.selection, "test": self.test}


@dataclass(frozen=True)
class LabelTask:
    """How one kind of label is learned, measured and shown.

    Attributes:
        lengths: tokens of each piece to learn from. visit: a piece, by its number, as it is read at one visit.
        loss: as `encoder_trainer.label_loss`.
        measure: figures of the selection split, which is not empty. sample: texts with the labels that a model gives.
    """

    lengths: Sequence[int]
    visit: Callable[[int, torch.Generator], Item]
    loss: Callable[..., torch.Tensor]
    measure: Callable[[PreTrainedModel], dict[str, float]]
    sample: Callable[[PreTrainedModel], list[Sample]]


@dataclass(frozen=True)
class TrainedEncoder:
    """What training left: the model to hand back, its hook, and the step of the best weights, if any were kept."""

    finalizer: RunFinalizer
    hook: Hook
    best: int | None


def load_labeller(
    path: Path, auto_class: type[_BaseAutoModelClass], kind: str, key: str
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel, JsonObject]:
    """Tokenizer and model of a folder, in evaluation mode, and what the recipe stored in config.json.

    Args:
        kind: "classifier" or "tagger", for the message. key: what the stored object must name.

    Raises:
        ModelCorrupt: the folder holds no model that the recipe made.
    """
    tokenizer = load_encoder_tokenizer(path)
    model = prepare(from_folder(auto_class, path), tokenizer).eval()
    stored = getattr(model.config, "touchstone", None)
    if not isinstance(stored, dict) or key not in stored:
        raise ModelCorrupt(f"{path} is not a {kind}: its config.json names no {key}.")
    return tokenizer, model, stored


def read_labeled_texts(context: RunContext, row_type: type[Labeled]) -> LabeledTexts[Labeled]:
    """The snapshot's texts of the scheme that the config names, or of the only one there is.

    Raises:
        DataUnusable, ConfigInvalid: see `one_scheme`.
    """
    snapshot = open_snapshot(context.inputs["snapshot"])
    train: list[Labeled] = one_scheme(list(snapshot.rows("train", row_type)), context.config.scheme)
    scheme = train[0].scheme
    selection: list[Labeled] = of_scheme(snapshot.rows("selection", row_type), scheme)
    test: list[Labeled] = of_scheme(snapshot.rows("test", row_type), scheme)
    classes = all_classes([*train, *selection, *test])
    repeated: list[Labeled] = []
    for row in train:
        repeated += [row] * row.count
    return LabeledTexts(repeated, selection, test, scheme, classes)


def of_scheme(rows: Iterable[Labeled], scheme: str) -> list[Labeled]:
    """Rows of one label scheme."""
    return [row for row in rows if row.scheme == scheme]


def all_classes(rows: Sequence[Classification | Spans]) -> list[str]:
    """Classes of the scheme in its order; of several editions of it the union, by first appearance."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row.classes)
    return list(names)


def one_scheme(rows: Sequence[Labeled], wanted: str) -> list[Labeled]:
    """Rows of the scheme requested, or of the only one there is.

    Raises:
        DataUnusable: no row is of it.
        ConfigInvalid: there are several schemes and none was requested.
    """
    found = sorted({row.scheme for row in rows})
    if not wanted and len(found) > 1:
        raise ConfigInvalid(
            f"The snapshot has several label schemes: {', '.join(found)}.", remedy="Name one: `scheme`."
        )
    kept = list(rows)
    if wanted:
        kept = of_scheme(rows, wanted)
    if not kept:
        scheme = f" of the scheme {wanted!r}" if wanted else ""
        raise DataUnusable(f"The snapshot has no labeled texts{scheme} to train on.", remedy="Label or import some.")
    return kept


def new_labeller(
    context: RunContext, task: str, labels: Sequence[str], tokenizer: PreTrainedTokenizerBase, **more: Any
) -> PreTrainedModel:
    """The encoder to train, with a head for `labels`, seeded from the run; `task` and `more` as in `make_encoder`."""
    base = context.inputs.get("base_model")
    seed_everything(context.seed, context.stage)
    context.report.state("loading the base model" if base else "making the model")
    model = make_encoder(
        task,
        base,
        context.config,
        tokenizer,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={name: n for n, name in enumerate(labels)},
        **more,
    )
    adapt_encoder(model, context.config.lora, base)
    return model


def train_labeller(
    context: RunContext,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: LabeledTexts[Labeled],
    task: LabelTask,
) -> TrainedEncoder:
    """Train, or go on, and put the best weights back into the model."""
    from trainer.modeling.encoder_trainer import Visits, make_trainer, plan_visits
    from trainer.run.finalizing import RunFinalizer
    from trainer.run.loop import Hook, restore_best, run_training

    config = context.config
    hook = Hook(
        context,
        sample=task.sample if config.samples else None,
        measure=task.measure if texts.selection else None,
        evaluations=config.evaluations,
        better="selection_loss",
        choose_best=config.choose_best,
    )
    seed = (context.seed, context.stage)
    batches = plan_visits(task.lengths, config.batch_size, config.epochs, *seed)
    visits = Visits(len(task.lengths), task.visit, *seed)
    trainer = make_trainer(context, model, tokenizer, visits, batches, hook, task.loss)
    context.report.state("training")
    steps = run_training(trainer, context, hook)
    finalizer = RunFinalizer(context, model, tokenizer, steps)
    best = restore_best(finalizer, hook)
    finalizer.metrics |= {
        "steps": steps,
        "best_step": best or steps,
        "parameters": parameters(model),
        "train_texts": len(texts.train),
    }
    return TrainedEncoder(finalizer, hook, best)


def finalize_labeller(
    trained: TrainedEncoder,
    texts: LabeledTexts[Labeled],
    kind: ModelKind,
    figures_of: Callable[[list[Labeled]], Metrics],
    baseline: Callable[[list[Labeled]], Metrics],
) -> StageResult:
    """Save the model, measure it on the held-out splits, and train the baseline to compare it with.

    Args:
        figures_of: figures of the model on the texts of a split. baseline: those of the baseline.
    """
    from trainer.run.loop import verify_best

    finalizer, context = trained.finalizer, trained.finalizer.context
    finalizer.save()
    verify_best(finalizer, trained.hook, trained.best)
    context.report.state("measuring")
    for split, rows in texts.held_out.items():
        if rows:
            finalizer.measure(f"{split}_figures", partial(_named_figures, split, rows, figures_of))
    rows = texts.test or texts.selection
    if context.config.baseline and rows:
        context.report.state("training the baseline")
        finalizer.measure("baseline", lambda: {"baseline": baseline(rows)})
    return finalizer.result(kind)


def _named_figures(split: str, rows: list[Labeled], figures_of: Callable[[list[Labeled]], Metrics]) -> Metrics:
    figures = with_prefix(split, figures_of(rows))
    figures[f"{split}_texts"] = len(rows)
    return figures
