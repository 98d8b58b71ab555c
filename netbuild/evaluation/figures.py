"""How good answers are, in pure numpy: top-k, confusion matrix, recall and precision of each class.

Scores are (N, C), a column for each label; labels are whole numbers (N,). A score of 0 is no answer: a net
gives it to a label that it does not know. Among equal scores the lower label comes first.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional

import numpy as np


class ClassFigures(NamedTuple):
    """One class; a share of no images is None."""

    label: int
    images: int
    """How many images have this label."""
    precision: Optional[float]
    """The share of images of this label among those that were given it."""
    recall: Optional[float]
    """The share of images that were given this label among those that have it."""


class Confused(NamedTuple):
    """How many images of one label were given another."""

    label: int
    predicted: int
    images: int


def softmax(scores: Any) -> Any:
    """Return the probabilities (N, C) that Caffe's Softmax makes of scores (N, C)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def in_top(scores: Any, labels: Any, k: int) -> Any:
    """Return for each image whether its label is among the k best answers, bool (N,)."""
    own = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return (own[:, 0] > 0) & (rank < k)


def confusion(labels: Any, predicted: Any, classes: int) -> Any:
    """Return how many images of each label (row) were given each label (column), int64 (classes, classes)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def per_class(matrix: Any) -> List[ClassFigures]:
    """Return the figures of each class of a confusion matrix."""
    columns = zip(np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0))
    return [
        ClassFigures(label, int(images), share(right, answered), share(right, images))
        for label, (right, images, answered) in enumerate(columns)
    ]


def most_confused(matrix: Any, count: int) -> List[Confused]:
    """Return the pairs of labels that are confused most often, the worst first."""
    wrong = matrix - np.diag(np.diag(matrix))
    worst = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(matrix)) for place in worst]
    return [Confused(*pair, int(wrong[pair])) for pair in pairs if wrong[pair]]


def share(part: Any, whole: Any) -> Optional[float]:
    """Return part / whole, None where the whole is nothing."""
    return float(part / whole) if whole else None
