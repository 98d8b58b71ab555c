"""Losses and measures: scores against labels or targets."""

from __future__ import annotations

from typing import List

from ..schema import Message
from .lengths import Known, Length, Shape, Shapes, UnfitError, canonical, count, differ, legacy, product, without
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


def _require_countable(shape: Shape) -> None:
    """Raise UnfitError for more axes than older layers count by when they run (Blob::LegacyShape)."""
    if shape is not None and len(shape) > 4:
        raise UnfitError("Caffe aborts when it runs on a first bottom of more than 4 axes")


def hinge_loss(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """HingeLoss: one number."""
    _require_one_batch(bottoms)
    _require_countable(bottoms[0])
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


def euclidean_loss(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """EuclideanLoss: one number, of two bottoms with equally many values in each item."""
    _require_one_batch(bottoms)
    _require_equally_many(bottoms, 1)
    _require_countable(bottoms[0])
    return [()], []


def sigmoid_loss(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """SigmoidCrossEntropyLoss: one number, of two bottoms with equally many values."""
    _require_one_batch(bottoms)
    _require_equally_many(bottoms, 0)
    return [()], []


def _require_equally_many(bottoms: List[Shape], axis: int) -> None:
    """Raise UnfitError unless the two bottoms have equally many values from an axis on."""
    first, second = bottoms
    if first is not None and second is not None and differ(product(first[axis:]), product(second[axis:])):
        raise UnfitError("both bottoms must have equally many values")


def softmax_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """SoftmaxWithLoss: the loss.

    It hands its loss_weights on to a Softmax of its own, which has one top: with a second top, the probabilities, they
    are too many for that one or too few for itself (SoftmaxWithLossLayer::LayerSetUp).
    """
    if len(layer.top) > 1:
        raise UnfitError(
            "Caffe aborts on a second top, whatever the loss_weights; leave it out, and let a Softmax layer of its own "
            "give the probabilities"
        )
    return _softmax_loss(layer, bottoms)


def _softmax_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    _require_one_batch(bottoms)
    _require_label_each(bottoms[0], bottoms[1], layer.softmax_param.axis)
    return [()], []


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
    _require_countable(bottoms[0])
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


def smooth_l1_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """SmoothL1Loss of Fast R-CNN, with weights as further bottoms; in R-FCN the loss of each place as a second top."""
    _require_one_batch(bottoms)
    shapes = [None if shape is None else legacy(shape) for shape in bottoms]
    first = shapes[0]
    for shape in shapes[1:]:
        if first is not None and shape is not None and any(map(differ, first[1:], shape[1:])):
            raise UnfitError("all bottoms must have the same channels, height and width")
    each: Shape = None if first is None else (first[0], 1, *first[2:])
    return [(), each][: len(layer.top)], []


def smooth_l1_kept(use: Use) -> int:
    """SmoothL1Loss: differences, and what each counts."""
    return 2 * count(use.bottoms[0])


def softmax_loss_ohem(layer: Message, bottoms: List[Shape]) -> Shapes:
    """SoftmaxWithLossOHEM of R-FCN: the loss, the probabilities, and the loss of each label."""
    _, params = _softmax_loss(layer, bottoms)
    tops: List[Shape] = [(), bottoms[0], bottoms[1]]
    return tops[: len(layer.top)], params


def center_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """CenterLoss of caffe-face: how far features are from their class's centre, (num_output, K), which it learns."""
    p, shape = layer.center_loss_param, bottoms[0]
    if p.num_output < 1:
        raise UnfitError("num_output must be given, and at least 1")
    _require_one_batch(bottoms)
    if not _are_ones(None if bottoms[1] is None else legacy(bottoms[1]), 1):
        raise UnfitError("the second bottom must have one label for each item")
    length = None if shape is None else product(shape[canonical(shape, p.axis) :])
    return [()] * len(layer.top), [(p.num_output, length)]


def center_classes(layer: Message, _scores: Known) -> Length:
    """CenterLoss: as many as it has centres."""
    number: int = layer.center_loss_param.num_output
    return number


def center_kept(use: Use) -> int:
    """CenterLoss: distances from the centres, and how the centres move."""
    p, shape = use.layer.center_loss_param, use.bottoms[0]
    assert shape is not None
    return count(shape) + int(p.num_output) * count(shape[canonical(shape, p.axis) :])


def distance_loss(layer: Message, bottoms: List[Shape]) -> Shapes:
    """L1Loss and LpqLoss: one number, of two bottoms or, in FlowNet2, of one that is a difference already."""
    if len(bottoms) > 1:
        first, second = bottoms
        if first is not None and second is not None and differ(product(first), product(second)):
            raise UnfitError("both bottoms must have equally many values")
    return [()] * len(layer.top), []
