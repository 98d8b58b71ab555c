"""Multiply-adds of a layer."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..engine.caffe import Message
from .lengths import Length, Shape, product

_RECURRENT = ("LSTM", "RNN")


def values(shape: Shape) -> Length:
    """Return the number of values in a blob of this shape, None where a length is open."""
    return None if shape is None else product(shape)


def multiply_adds(
    layer: Message, bottoms: Sequence[Shape], tops: Sequence[Shape], params: Optional[List[Shape]]
) -> Length:
    """Return a forward pass's multiplications by weights, for the whole batch; None where they cannot be told.

    Counted are layers of weights (convolution, inner product, recurrent), each weight as often as it is used, biases
    left out: the convention of the published figures. What other layers do is small beside it, and counts as nothing.
    """
    if params is None or not tops:
        return None if params is None else 0
    if layer.type in _RECURRENT:
        return _recurrent(bottoms, params)
    if layer.type == "Deconvolution":
        return _used(params[0], bottoms[0], layer.convolution_param.axis, len(tops))
    if layer.type == "Convolution":
        return _used(params[0], tops[0], layer.convolution_param.axis, len(tops))
    if layer.type == "InnerProduct":
        return _used(params[0], tops[0], -1, len(tops))
    return 0


def _used(weights: Shape, shape: Shape, axis: int, times: int) -> Length:
    """Return the weights' number times the positions of the shape, which are all of it but its channels."""
    if shape is None:
        return None
    positions = values((*shape[:axis], *shape[axis:][1:]))
    number = values(weights)
    return None if number is None or positions is None else number * positions * times


def _recurrent(bottoms: Sequence[Shape], params: Sequence[Shape]) -> Length:
    steps = None if bottoms[1] is None else product(bottoms[1])
    number = [values(shape) for shape in params if shape is None or len(shape) > 1]
    known = [one for one in number if one is not None]
    return None if steps is None or len(known) < len(number) else steps * sum(known)
