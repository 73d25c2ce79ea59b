"""Classes of texts, one each or several, learnt by an encoder that was pretrained or is made from scratch.

Cross-entropy over the classes, or binary cross-entropy of each where the scheme allows many; the head reads the mean
over tokens (or the first token, if the base model does). Unlike Devlin et al. 2019, dropout is of input
tokens only. The weights of the lowest loss on the selection split are kept, and one temperature is fitted there (Guo et
al. 2017).
Beside the model stands TF-IDF with logistic regression, on the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainer.data.snapshot import Classification, open_snapshot
from trainer.errors import DataUnusable, ModelCorrupt
from trainer.metrics.classification import (
    calibrated,
    calibration_error,
    class_figures,
    confidences,
    cross_fitted,
    decided,
    mean_loss,
    probabilities,
)
from trainer.modeling.encoders import (
    Encoded,
    all_classes,
    drop_tokens,
    encode_texts,
    load_encoder_tokenizer,
    logits_of,
    make_encoder,
    one_scheme,
    room,
)
from trainer.modeling.loading import from_folder, parameters, prepare
from trainer.modeling.lora import adapt_encoder
from trainer.run.context import RunContext, StageResult
from trainer.run.progress import Sample
from trainer.run.seeds import seed_everything

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

        self.tokenizer = load_encoder_tokenizer(path)
        self.model: Any = prepare(from_folder(AutoModelForSequenceClassification, path), self.tokenizer).eval()
        stored = getattr(self.model.config, "touchstone", None)
        if not isinstance(stored, dict) or "classes" not in stored:
            raise ModelCorrupt(f"{path} is not a classifier: its config.json names no classes.")
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
        rows = [row.ids for row in cut_texts(self.tokenizer, texts, self.max_length)]
        logits = torch.stack(logits_of(self.model, rows, self.tokenizer.pad_token_id, self.batch_size))
        chances = probabilities(logits, self.many, self.temperature)
        return [dict(zip(self.classes, row, strict=True)) for row in chances.tolist()]


def run(context: RunContext) -> StageResult:
    """Learn the classes of the train split, or go on, and hand back a classifier."""
    from trainer.modeling.encoder_trainer import Visits, make_trainer, plan_visits
    from trainer.run.finalizing import HandingBack
    from trainer.run.loop import Hook, go, prove, restore_best

    config = context.config
    base = context.inputs.get("base_model")
    tokenizer = load_encoder_tokenizer(base or context.inputs["tokenizer"])

    context.report.state("reading the labeled texts")
    snapshot = open_snapshot(context.inputs["snapshot"])
    train = one_scheme(list(snapshot.rows("train", Classification)), config.scheme)
    scheme, many = train[0].scheme, train[0].many
    splits = {
        split: [row for row in snapshot.rows(split, Classification) if row.scheme == scheme]
        for split in ("selection", "test")
    }
    classes = all_classes([*train, *splits["selection"], *splits["test"]])
    check_rows(context, train, classes, many)
    seed_everything(context.seed, "classify")
    context.report.state("loading the base model" if base else "making the model")
    model: Any = make_encoder(
        "SequenceClassification",
        base,
        config,
        tokenizer,
        num_labels=len(classes),
        id2label=dict(enumerate(classes)),
        label2id={name: n for n, name in enumerate(classes)},
        problem_type="multi_label_classification" if many else "single_label_classification",
    )
    adapt_encoder(model, config.lora, base)

    length = room(model, config.max_length)
    rows = [row for row in train for _ in range(row.count)]
    encoded = cut_texts(tokenizer, [row.text for row in rows], length)
    targets = truth_of(rows, classes)
    mask_id: int = tokenizer.mask_token_id

    def look(number: int, generator: torch.Generator) -> dict[str, Any]:
        ids = drop_tokens(encoded[number], mask_id, config.token_dropout, generator)
        return {"ids": ids, "labels": targets[number].tolist() if many else int(targets[number].argmax())}

    shown = cut_texts(tokenizer, [row.text for row in splits["selection"]], length)
    truth = truth_of(splits["selection"], classes)

    def logits(model: Any, some: Sequence[Encoded]) -> torch.Tensor:
        return torch.stack(logits_of(model, [row.ids for row in some], tokenizer.pad_token_id))

    def measure(model: Any) -> dict[str, float]:
        figures = judged(logits(model, shown), truth, classes, many)
        return {f"selection_{name}": figures[name] for name in ("loss", "accuracy", "macro_f1", "ece")}

    def sample(model: Any) -> list[Sample]:
        some = (splits["selection"] or rows)[: config.samples]
        chances = probabilities(logits(model, (shown or encoded)[: config.samples]), many)
        return [
            {"prompt": row.text, "text": sentence_of(dict(zip(classes, chance, strict=True)), row.labels)}
            for row, chance in zip(some, chances.tolist(), strict=True)
        ]

    def figures_of(split: str, some: Sequence[Classification]) -> dict[str, Any]:
        texts = cut_texts(tokenizer, [row.text for row in some], length)
        found, expected = logits(model, texts), truth_of(some, classes)
        if split == "selection":  # the temperature was fitted on these texts
            figures = judged(cross_fitted(found, expected, many), expected, classes, many)
        else:
            figures = judged(found, expected, classes, many, temperature)
        return {f"{split}_{name}": value for name, value in figures.items()} | {f"{split}_texts": len(some)}

    hook = Hook(
        context,
        sample=sample if config.samples else None,
        measure=measure if shown else None,
        evaluations=config.evaluations,
        better="selection_loss" if shown and config.choose_best else None,
    )
    lengths = [len(row.ids) for row in encoded]
    batches = plan_visits(lengths, config.batch_size, config.epochs, context.seed, "classify")
    visits = Visits(len(encoded), look, context.seed, "classify")
    trainer = make_trainer(context, model, tokenizer, visits, batches, hook)
    context.report.state("training")
    steps = go(trainer, context, hook)
    back = HandingBack(context, model, tokenizer, steps)
    best = restore_best(back, hook)
    if shown:
        back.measure("temperature", lambda: {"temperature": calibrated(logits(model, shown), truth, many)})
    temperature = float(back.metrics.get("temperature", 1.0))
    model.config.touchstone = {
        "classes": classes,
        "many": many,
        "scheme": scheme,
        "temperature": temperature,
        "max_length": length,
    }
    back.metrics |= {
        "steps": steps,
        "best_step": best or steps,
        "parameters": parameters(model),
        "train_texts": len(rows),
        "cut_texts": sum(row.is_special[-1] == 0 for row in encoded),
        "class_balance": dict(balance(rows, classes)),
        "temperature": temperature,
    }
    back.save()
    prove(back, hook, best)
    context.report.state("measuring")
    for split, some in splits.items():
        if some:
            back.measure(f"{split}_figures", partial(figures_of, split, some))
    if config.baseline and (held := splits["test"] or splits["selection"]):
        context.report.state("training the baseline")
        from trainer.metrics.baselines import tfidf_regression

        back.measure("baseline", lambda: {"baseline": tfidf_regression(rows, held, classes, many)})
    return back.result("classifier")


def cut_texts(tokenizer: Any, texts: Sequence[str], length: int) -> list[Encoded]:
    """Texts as tokens, each to its first `length` ones."""
    return [row.cut(0, length) for row in encode_texts(tokenizer, texts)]


def truth_of(rows: Sequence[Classification], classes: Sequence[str]) -> torch.Tensor:
    """0. and 1., shape (N, C)."""
    return torch.tensor([[float(name in row.labels) for name in classes] for row in rows])


def balance(rows: Sequence[Classification], classes: Sequence[str]) -> Counter[str]:
    """How many texts have each class; a class without any has 0."""
    counts = Counter(dict.fromkeys(classes, 0))
    counts.update(name for row in rows for name in row.labels)
    return counts


def check_rows(context: RunContext, rows: Sequence[Classification], classes: Sequence[str], many: bool) -> None:
    """Refuse what would train on nothing, and say which classes are rare.

    Raises:
        DataUnusable: fewer than two classes occur (one where `many`), or rows disagree on `many`.
    """
    if any(row.many != many for row in rows):
        raise DataUnusable(
            f"The scheme {rows[0].scheme} allows several labels in some rows and one in others.",
            remedy="Freeze the snapshot from one edition of the scheme.",
        )
    counts = Counter(dict.fromkeys(classes, 0))
    for row in rows:
        counts.update(dict.fromkeys(row.labels, row.count))
    if sum(count > 0 for count in counts.values()) < (1 if many else 2):
        raise DataUnusable(
            "Every text to train on has the same class, so there is nothing to tell apart.",
            remedy="Label texts of at least two classes.",
        )
    context.report.metrics(0, 0, {"classes": len(classes), "rarest_class_texts": min(counts.values())})
    if rare := [name for name in classes if counts[name] < FEW]:
        listed = ", ".join(f"{name} ({counts[name]})" for name in rare[:10])
        context.report.alarm(0, "class_balance", f"{len(rare)} classes have fewer than {FEW} texts: {listed}.")


def judged(
    logits: torch.Tensor, truth: torch.Tensor, classes: Sequence[str], many: bool, temperature: float = 1.0
) -> dict[str, Any]:
    """Loss, calibration error and the figures of `class_figures`. logits and truth: (N, C)."""
    chances = probabilities(logits, many, temperature)
    expected = [{classes[n] for n, yes in enumerate(row) if yes} for row in truth.tolist()]
    return {
        "loss": mean_loss(logits, truth, many, temperature),
        "ece": calibration_error(*confidences(chances, truth, many)),
        **class_figures(decided(chances, classes, many), expected, classes),
    }


def sentence_of(chances: dict[str, float], labels: Sequence[str]) -> str:
    """The likeliest three classes with their probability, and people's answers."""
    best = sorted(chances, key=lambda name: -chances[name])[:3]
    return ", ".join(f"{name} {chances[name]:.2f}" for name in best) + f" (said: {', '.join(labels) or 'none'})"
