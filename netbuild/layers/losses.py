"""Losses and measures: scores against labels or targets."""

from __future__ import annotations

from typing import List

from ..schema import Message
from .lengths import Known, Length, Rule, Shape, Shapes, UnfitError, canonical, count, differ, legacy, product, without
from .row import Use


def _require_one_batch(bottoms: List[Shape]) -> None:
    scores, labels = bottoms[:2]
    if scores == () or labels == ():
        raise UnfitError("bottoms with a first axis, the items, are needed")
    if scores and labels and differ(scores[0], labels[0]):
        raise UnfitError("both bottoms must have the same number of items")


def _require_label_each(scores: Shape, labels: Shape, axis: int) -> None:
    """Raise UnfitError unless there is one label for each place of the scores, the classes' axis left out."""
    if scores is None:
        return
    axis = canonical(scores, axis)
    if labels is not None and differ(product(without(scores, axis)), product(labels)):
        raise UnfitError(f"there must be one label for each list of scores along axis {axis}, the classes")


def plain_loss(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """HingeLoss: one number."""
    _require_one_batch(bottoms)
    return [()], []


def output_kept(use: Use) -> int:
    """HDF5Output: copies of what it writes."""
    return sum(map(count, use.bottoms))


def hinge_kept(use: Use) -> int:
    """HingeLoss: it computes in its bottom's gradient, in TEST too."""
    return 0 if use.backward else count(use.bottoms[0])


def all_values_are_classes(_layer: Message, scores: Known) -> Length:
    """HingeLoss and MultinomialLogisticLoss: each value of an item is the score of a class."""
    return product(scores[1:])


def counted_loss(axis: int) -> Rule:
    """Return the rule of a loss whose two bottoms have equally many values from an axis on."""

    def rule(_layer: Message, bottoms: List[Shape]) -> Shapes:
        _require_one_batch(bottoms)
        first, second = bottoms
        if first is not None and second is not None and differ(product(first[axis:]), product(second[axis:])):
            raise UnfitError("both bottoms must have equally many values")
        return [()], []

    return rule


def softmax_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """SoftmaxWithLoss: the loss, and as a second top the probabilities."""
    _require_one_batch(bottoms)
    _require_label_each(bottoms[0], bottoms[1], layer.softmax_param.axis)
    return [(), bottoms[0]][: len(layer.top)], []


def softmax_loss_kept(use: Use) -> int:
    """SoftmaxWithLoss: the probabilities, and its loss_weight as often, which its own Softmax takes for its loss's."""
    weight = use.layer.loss_weight[0] if use.layer.loss_weight else 1
    return (2 if weight else 1) * count(use.bottoms[0])


def softmax_classes(layer: Message, scores: Known) -> Length:
    """SoftmaxWithLoss: the classes along its axis."""
    axis: int = layer.softmax_param.axis
    return scores[axis]


def infogain_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """InfogainLoss: as SoftmaxWithLoss; its matrix comes from a file or as a third bottom."""
    p, scores = layer.infogain_loss_param, bottoms[0]
    if len(bottoms) < 3 and not p.HasField("source"):
        raise UnfitError("infogain_loss_param's source must be given, or the matrix as a third bottom")
    _require_one_batch(bottoms)
    _require_label_each(scores, bottoms[1], p.axis)
    if len(bottoms) > 2 and scores is not None and bottoms[2] is not None:
        classes = scores[canonical(scores, p.axis)]
        if differ(product([classes, classes]), product(bottoms[2])):
            raise UnfitError("the third bottom must have a row and a column for each class")
    return [(), scores][: len(layer.top)], []


def infogain_loss_kept(use: Use) -> int:
    """InfogainLoss: the probabilities, and a loss_weight of 1 as often, which its own Softmax takes for its loss's."""
    return 2 * count(use.bottoms[0])


def infogain_classes(layer: Message, scores: Known) -> Length:
    """InfogainLoss: the classes along its axis."""
    axis: int = layer.infogain_loss_param.axis
    return scores[axis]


def multinomial_loss(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """MultinomialLogisticLoss: one label for each item."""
    _require_one_batch(bottoms)
    if bottoms[1] is not None and not _are_ones(legacy(bottoms[1]), 1):
        raise UnfitError("the second bottom must have one label for each item")
    return [()], []


def contrastive_loss(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """ContrastiveLoss: two lists of features (N, C) and whether each pair is alike."""
    _require_one_batch(bottoms)
    first, second, alike = (None if shape is None else legacy(shape) for shape in bottoms)
    if not (_are_ones(first, 2) and _are_ones(second, 2)):
        raise UnfitError("the first two bottoms must have the shape (N, C)")
    if first is not None and second is not None and differ(first[1], second[1]):
        raise UnfitError("the first two bottoms must have equally many channels")
    if not _are_ones(alike, 1):
        raise UnfitError("the third bottom must have one value for each item")
    return [()], []


def _are_ones(shape: Shape, start: int) -> bool:
    """Tell whether all lengths from an axis on may be 1."""
    return shape is None or not any(differ(length, 1) for length in shape[start:])


def accuracy_classes(layer: Message, scores: Known) -> Length:
    """Accuracy: the classes along its axis."""
    axis: int = layer.accuracy_param.axis
    return scores[axis]


def accuracy(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Accuracy: one number, and as a second top that of each class."""
    p = layer.accuracy_param
    scores, labels = bottoms
    _require_label_each(scores, labels, p.axis)
    classes = None if scores is None else scores[canonical(scores, p.axis)]
    if classes is not None and p.top_k > classes:
        raise UnfitError(f"top_k {p.top_k} is more than the {classes} classes")
    tops: List[Shape] = [(), (classes,)]
    return tops[: len(layer.top)], []
