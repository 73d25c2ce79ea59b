"""Classes of texts, one each or several, learned by an encoder that was pretrained or is made from scratch.

Cross-entropy over the classes, or binary cross-entropy of each where the scheme allows many; the head reads the mean
over tokens (or the first token, if the base model does). Unlike Devlin et al. 2019, dropout is of input
tokens only. The weights of the lowest loss on the selection split are kept, and one temperature is fitted there (Guo et
al. 2017).
Beside the model stands TF-IDF with logistic regression, on the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from trainer.data.snapshot import Classification
from trainer.errors import DataUnusable
from trainer.json_types import Metrics
from trainer.metrics.classification import (
    calibrated,
    calibration_error,
    class_figures,
    confidences,
    cross_fitted,
    decided,
    labels_where,
    mean_loss,
    probabilities,
)
from trainer.metrics.naming import only, with_prefix
from trainer.modeling.encoders import (
    Encoded,
    drop_tokens,
    encode_texts,
    load_encoder_tokenizer,
    logits_of,
    room,
    token_ids,
)
from trainer.recipes.label_training import (
    LabeledTexts,
    LabelTask,
    finalize_labeller,
    load_labeller,
    new_labeller,
    read_labeled_texts,
    train_labeller,
)
from trainer.run.context import RunContext, StageResult
from trainer.run.progress import Sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trainer.modeling.encoder_trainer import Item

FEW = 8  # fewer train texts of a class than this are worth an alarm


class Classifier:
    """A trained classifier as it is served: `Classifier(model_folder).scores(texts)`.

    Attributes:
        classes: in the order of the scheme. many: whether a text can have several. scheme: its name.

    Raises:
        ModelCorrupt: the folder holds no classifier made by this recipe.
    """

    def __init__(self, path: Path, batch_size: int = 64) -> None:
        from transformers import AutoModelForSequenceClassification

        self.tokenizer, self.model, stored = load_labeller(
            path, AutoModelForSequenceClassification, "classifier", "classes"
        )
        self.classes: list[str] = list(stored["classes"])
        self.many = bool(stored["many"])
        self.scheme = str(stored["scheme"])
        self.temperature = float(stored["temperature"])
        self.max_length = int(stored["max_length"])
        self.batch_size = batch_size

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Class -> calibrated probability for each text; they sum to 1 unless `many`. Texts are read to max_length."""
        if not texts:
            return []
        rows = token_ids(cut_texts(self.tokenizer, texts, self.max_length))
        logits = torch.stack(logits_of(self.model, rows, self.tokenizer.pad_token_id, self.batch_size))
        chances = probabilities(logits, self.many, self.temperature)
        return [dict(zip(self.classes, row, strict=True)) for row in chances.tolist()]


def run(context: RunContext) -> StageResult:
    """Learn the classes of the train split, or go on, and hand back a classifier."""
    from trainer.metrics.baselines import tfidf_regression

    tokenizer = load_encoder_tokenizer(context.inputs.get("base_model") or context.inputs["tokenizer"])
    context.report.state("reading the labeled texts")
    texts = read_labeled_texts(context, Classification)
    check_rows(context, texts)
    classes, many = texts.classes, texts.train[0].many
    problem = "multi_label_classification" if many else "single_label_classification"
    model = new_labeller(context, "SequenceClassification", classes, tokenizer, problem_type=problem)
    task = ClassificationTask(context, tokenizer, texts, room(model, context.config.max_length))
    trained = train_labeller(context, model, tokenizer, texts, task.as_label_task())

    finalizer = trained.finalizer
    if texts.selection:
        finalizer.measure("temperature", lambda: {"temperature": task.fitted_temperature(model)})
    temperature = float(finalizer.metrics.get("temperature", 1.0))
    model.config.touchstone = {
        "classes": classes,
        "many": many,
        "scheme": texts.scheme,
        "temperature": temperature,
        "max_length": task.length,
    }
    finalizer.metrics |= {
        "cut_texts": sum(row.is_special[-1] == 0 for row in task.train),
        "class_balance": dict(balance(texts.train, classes)),
        "temperature": temperature,
    }
    return finalize_labeller(
        trained,
        texts,
        "classifier",
        lambda rows: task.figures_of(model, rows, temperature),
        lambda rows: tfidf_regression(texts.train, rows, classes, many),
    )


class ClassificationTask:
    """The texts of a run as tokens, and what is learned and measured of them.

    Attributes:
        length: tokens that are read of a text. train, selection: the texts of these splits.
    """

    def __init__(
        self,
        context: RunContext,
        tokenizer: PreTrainedTokenizerBase,
        texts: LabeledTexts[Classification],
        length: int,
    ) -> None:
        self.config, self.tokenizer, self.texts, self.length = context.config, tokenizer, texts, length
        self.classes, self.many = texts.classes, texts.train[0].many
        self.train = self.encoded(texts.train)
        self.selection = self.encoded(texts.selection)
        self.targets = truth_of(texts.train, self.classes)
        self.truth = truth_of(texts.selection, self.classes)

    def as_label_task(self) -> LabelTask:
        from trainer.modeling.encoder_trainer import label_loss

        lengths = list(map(len, token_ids(self.train)))
        return LabelTask(lengths, self.visit, label_loss, self.measure, self.sample)

    def encoded(self, rows: Sequence[Classification]) -> list[Encoded]:
        return cut_texts(self.tokenizer, [row.text for row in rows], self.length)

    def logits(self, model: PreTrainedModel, rows: Sequence[Encoded]) -> torch.Tensor:
        """(N, C)."""
        return torch.stack(logits_of(model, token_ids(rows), self.tokenizer.pad_token_id))

    def visit(self, number: int, generator: torch.Generator) -> Item:
        mask_id: int = self.tokenizer.mask_token_id
        ids = drop_tokens(self.train[number], mask_id, self.config.token_dropout, generator)
        target = self.targets[number]
        if self.many:
            return {"ids": ids, "labels": target.tolist()}
        return {"ids": ids, "labels": int(target.argmax())}

    def measure(self, model: PreTrainedModel) -> dict[str, float]:
        figures = judged(self.logits(model, self.selection), self.truth, self.classes, self.many)
        return with_prefix("selection", only(figures, ("loss", "accuracy", "macro_f1", "ece")))

    def fitted_temperature(self, model: PreTrainedModel) -> float:
        return calibrated(self.logits(model, self.selection), self.truth, self.many)

    def sample(self, model: PreTrainedModel) -> list[Sample]:
        rows = (self.texts.selection or self.texts.train)[: self.config.samples]
        encoded = (self.selection or self.train)[: self.config.samples]
        chances = probabilities(self.logits(model, encoded), self.many).tolist()
        samples: list[Sample] = []
        for row, chance in zip(rows, chances, strict=True):
            by_class = dict(zip(self.classes, chance, strict=True))
            samples.append({"prompt": row.text, "text": sentence_of(by_class, row.labels)})
        return samples

    def figures_of(self, model: PreTrainedModel, rows: list[Classification], temperature: float) -> Metrics:
        """Figures of held-out texts at `temperature`; of the selection split, which it was fitted on, cross-fitted."""
        found, expected = self.logits(model, self.encoded(rows)), truth_of(rows, self.classes)
        if rows is self.texts.selection:
            return judged(cross_fitted(found, expected, self.many), expected, self.classes, self.many)
        return judged(found, expected, self.classes, self.many, temperature)


def cut_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> list[Encoded]:
    """Texts as tokens, each to its first `length` ones."""
    return [row.cut(0, length) for row in encode_texts(tokenizer, texts)]


def truth_of(rows: Sequence[Classification], classes: Sequence[str]) -> torch.Tensor:
    """0. and 1., shape (N, C)."""
    truth: list[list[float]] = []
    for row in rows:
        truth.append([float(name in row.labels) for name in classes])
    return torch.tensor(truth)


def balance(rows: Sequence[Classification], classes: Sequence[str]) -> Counter[str]:
    """How many texts have each class; a class without any has 0."""
    counts = Counter(dict.fromkeys(classes, 0))
    for row in rows:
        counts.update(row.labels)
    return counts


def check_rows(context: RunContext, texts: LabeledTexts[Classification]) -> None:
    """Refuse what would train on nothing, and say which classes are rare.

    Raises:
        DataUnusable: fewer than two classes occur (one where a text can have several), or rows disagree on whether it
            can.
    """
    many = texts.train[0].many
    if any(row.many != many for row in texts.train):
        raise DataUnusable(
            f"The scheme {texts.scheme} allows several labels in some rows and one in others.",
            remedy="Freeze the snapshot from one edition of the scheme.",
        )
    counts = balance(texts.train, texts.classes)
    needed = 1 if many else 2
    if sum(count > 0 for count in counts.values()) < needed:
        raise DataUnusable(
            "Every text to train on has the same class, so there is nothing to tell apart.",
            remedy="Label texts of at least two classes.",
        )
    context.report.metrics(0, 0, {"classes": len(texts.classes), "rarest_class_texts": min(counts.values())})
    if rare := [name for name in texts.classes if counts[name] < FEW]:
        listed = ", ".join(f"{name} ({counts[name]})" for name in rare[:10])
        context.report.alarm(0, "class_balance", f"{len(rare)} classes have fewer than {FEW} texts: {listed}.")


def judged(
    logits: torch.Tensor, truth: torch.Tensor, classes: Sequence[str], many: bool, temperature: float = 1.0
) -> Metrics:
    """Loss, calibration error and the figures of `class_figures`. logits and truth: (N, C)."""
    chances = probabilities(logits, many, temperature)
    expected = labels_where(truth.bool(), classes)
    return {
        "loss": mean_loss(logits, truth, many, temperature),
        "ece": calibration_error(*confidences(chances, truth, many)),
        **class_figures(decided(chances, classes, many), expected, classes),
    }


def sentence_of(chances: dict[str, float], labels: Sequence[str]) -> str:
    """The likeliest three classes with their probability, and people's answers."""
    best = sorted(chances, key=lambda name: -chances[name])[:3]
    predicted = ", ".join(f"{name} {chances[name]:.2f}" for name in best)
    expected = ", ".join(labels) or "none"
    return f"{predicted} (annotated: {expected})"
