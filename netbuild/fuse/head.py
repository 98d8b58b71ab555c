"""A head that begins as the ensemble of its branches' classifiers, instead of at random.

On a concat of seams the head's weights are (classes, K1 + K2 + ...). Where branches were trained on classes of their
own, each branch's classifier fills the rows of its classes in the columns of its seam, and all else is 0: every score
is then what the branch's own net gives.
"""

from __future__ import annotations

from typing import Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import names
from ..errors import GraphError, WeightsError
from ..graph.view import NetView
from ..schema import Message
from ..spelling import spells_flags
from ..weights.entry import NewBlob
from ..weights.model import Blob, Layer, Model
from ..weights.values import read_floats
from ..weights.wire import WireFile
from .options import HeadStart


class Classifier(NamedTuple):
    """A branch's own classifier, of which rows of the head are made."""

    path: str
    layer: str
    classes: Tuple[int, ...]
    """The head's class of each of its outputs."""


class _Values(NamedTuple):
    """The values of a branch's classifier."""

    classifier: Classifier
    columns: int
    weights: bytes
    bias: bytes


def find_head(view: NetView, branches: Collection[str], prefixes: Collection[str]) -> Tuple[str, List[str]]:
    """Return the InnerProduct that reads a concat of blobs of these branches, and the branches in the concat's order.

    `prefixes` are those of all branches of the net. Raises GraphError where the net has no such layer, or one whose
    weights do not lie as the branches' own do.
    """
    unflattened = {layer.top[0]: layer.bottom[0] for layer in _of_type("Flatten", view)}
    for concat in _of_type("Concat", view):
        order = [names.owner(prefixes, unflattened.get(blob, blob)) or "" for blob in concat.bottom]
        heads = [layer for layer in _of_type("InnerProduct", view) if list(layer.bottom) == list(concat.top)]
        if heads and set(order) == set(branches):
            _require_columns_of_branches(heads[0], concat, order)
            return heads[0].name, order
    listed = " and ".join(map(repr, branches))
    raise GraphError(f"the net has no InnerProduct on a concat of exactly the branches {listed}, to begin as theirs")


def _of_type(kind: str, view: NetView) -> List[Message]:
    return [layer for _, layer in view.layers if layer.type == kind]


def _require_columns_of_branches(head: Message, concat: Message, order: Sequence[str]) -> None:
    """Raise GraphError where the head's weights are not one block of columns for each branch."""
    if len(set(order)) < len(order) or head.inner_product_param.transpose or concat.concat_param.axis != 1:
        raise GraphError(
            f"the head {head.name!r} cannot begin as its branches' classifiers: its weights are transposed, or a "
            "branch comes twice, or the concat is not along axis 1"
        )


def head_values(
    starts: Mapping[str, HeadStart],
    models: Mapping[str, Sequence[Model]],
    unused: Mapping[str, Sequence[str]],
    shapes: Sequence[Sequence[Optional[int]]],
) -> Tuple[List[NewBlob], Dict[str, Classifier]]:
    """Return the blobs of a head and the classifier of each branch that they are made of.

    The head's declared `shapes` are (classes, K) and, with a bias, (classes,). `starts` gives the branches in the order
    of their seams in the concat. Raises WeightsError where the classes are not shared out among the branches, or where
    a classifier does not fit.
    """
    classes = shapes[0][0]
    assert classes is not None
    _require_shared_out(starts, classes)
    values = {
        prefix: _read(prefix, start, models[prefix], unused.get(prefix, ()), with_bias=len(shapes) > 1)
        for prefix, start in starts.items()
    }
    width = sum(one.columns for one in values.values())
    if shapes[0][1] not in (None, width):
        listed = ", ".join(f"{prefix}: {one.columns}" for prefix, one in values.items())
        raise WeightsError(f"the head reads {shapes[0][1]} values, the branches' classifiers {width} ({listed})")
    weights, bias, left = bytearray(4 * classes * width), bytearray(4 * classes), 0
    for one in values.values():
        row_size = 4 * one.columns
        for output, row in enumerate(one.classifier.classes):
            at = 4 * (row * width + left)
            weights[at : at + row_size] = one.weights[output * row_size : (output + 1) * row_size]
            bias[4 * row : 4 * row + 4] = one.bias[4 * output : 4 * output + 4]
        left += one.columns
    blobs = [NewBlob((classes, width), bytes(weights)), NewBlob((classes,), bytes(bias))]
    return blobs[: len(shapes)], {prefix: one.classifier for prefix, one in values.items()}


def _require_shared_out(starts: Mapping[str, HeadStart], classes: int) -> None:
    owners: Dict[int, str] = {}
    for prefix, start in starts.items():
        for number in start.classes:
            if not 0 <= number < classes:
                raise WeightsError(f"branch {prefix!r}: class {number} is none of the head's 0 to {classes - 1}")
            if number in owners:
                raise WeightsError(
                    f"class {number} is given to {owners[number]!r} and again to {prefix!r}: a head can begin as its "
                    "branches' classifiers only where each class is one branch's own"
                )
            owners[number] = prefix
    missing = sorted(set(range(classes)) - set(owners))
    if missing:
        raise WeightsError(f"the head's classes {', '.join(map(str, missing))} are no branch's; name each class once")


def _read(prefix: str, start: HeadStart, models: Sequence[Model], unused: Sequence[str], *, with_bias: bool) -> _Values:
    model, layer = _find_classifier(prefix, start, models, unused)
    weights = layer.blobs[0]
    outputs, columns = weights.shape[-2:]
    if outputs != len(start.classes):
        raise WeightsError(
            f"branch {prefix!r}: {len(start.classes)} classes are named for the {outputs} outputs of {layer.name!r} in "
            f"{model.path}"
        )
    if with_bias and len(layer.blobs) < 2:
        raise WeightsError(f"branch {prefix!r}: the head has a bias, {layer.name!r} in {model.path} has none")
    with WireFile(model.path) as file:
        bias = read_floats(file, layer.blobs[1]) if with_bias else b"\0\0\0\0" * outputs
        classifier = Classifier(model.path, layer.name, start.classes)
        return _Values(classifier, columns, read_floats(file, weights), bias)


def _find_classifier(
    prefix: str, start: HeadStart, models: Sequence[Model], unused: Sequence[str]
) -> Tuple[Model, Layer]:
    """Return the layer that is a branch's own classifier, and the model that it is in."""
    possible = _possible_classifiers(start, models, unused)
    if len(possible) == 1 and _is_matrix(possible[0][1].blobs[0]):
        return possible[0]
    wanted = repr(start.layer) if start.layer else f"one classifier of {len(start.classes)} outputs"
    paths = " and ".join(model.path for model in models)
    option = (
        f"--init-head {prefix}=LAYER:CLASSES" if spells_flags() else f"head={{{prefix!r}: HeadStart(CLASSES, LAYER)}}"
    )
    raise WeightsError(
        f"branch {prefix!r}: {paths} has {len(possible) or 'no'} layers for {wanted}; name the classifier, "
        f"as in {option}"
    )


def _possible_classifiers(
    start: HeadStart, models: Sequence[Model], unused: Sequence[str]
) -> List[Tuple[Model, Layer]]:
    """Return the layers that `start` may mean: of the name it gives, or left over and with as many outputs."""
    layers = [(model, layer) for model in models for layer in model.layers if len(layer.blobs[0].shape) in (2, 4)]
    if start.layer is not None:
        return [(model, layer) for model, layer in layers if layer.name == start.layer]
    outputs = len(start.classes)
    return [(model, layer) for model, layer in layers if layer.name in unused and _has_outputs(layer, outputs)]


def _has_outputs(layer: Layer, outputs: int) -> bool:
    weights = layer.blobs[0]
    return _is_matrix(weights) and weights.shape[-2] == outputs


def _is_matrix(blob: Blob) -> bool:
    return all(length == 1 for length in blob.shape[:-2])
