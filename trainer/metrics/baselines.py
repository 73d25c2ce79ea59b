"""What a model has to beat: plain methods, trained on the same rows and reported beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from trainer.data.snapshot import Classification
from trainer.json_types import Metrics
from trainer.metrics.classification import class_figures


def tfidf_regression(
    train: Sequence[Classification], held: Sequence[Classification], classes: Sequence[str], many: bool
) -> Metrics:
    """TF-IDF of words and word pairs with logistic regression, scored on held-out rows.

    Returns:
        name, seconds and the figures of `class_figures`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    start = time.process_time()
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    inputs = vectors.fit_transform([row.text for row in train])
    held_texts: list[str] = []
    expected: list[set[str]] = []
    given: list[set[str]] = []
    for row in held:
        held_texts.append(row.text)
        expected.append(set(row.labels))
        given.append(set())
    features = vectors.transform(held_texts)
    if many:
        for name in classes:
            truth = [name in row.labels for row in train]
            if any(truth) and not all(truth):
                predicted = LogisticRegression(C=10, max_iter=1000).fit(inputs, truth).predict(features)
                for labels, yes in zip(given, predicted, strict=True):
                    if yes:
                        labels.add(name)
            elif all(truth):
                for labels in given:
                    labels.add(name)
    else:
        model = LogisticRegression(C=10, max_iter=1000).fit(inputs, [row.labels[0] for row in train])
        given = [{str(name)} for name in model.predict(features)]
    return {
        "name": "TF-IDF and logistic regression",
        "cpu_seconds": time.process_time() - start,
        **class_figures(given, expected, classes),
    }
