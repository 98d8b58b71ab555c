"""Layers of the forks' classifiers: channels in a new order, places as channels, scaled sums, depthwise convolution."""

from __future__ import annotations

from typing import List, Sequence

from ..schema import Message
from .lengths import (
    Length,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    count,
    differ,
    legacy,
    merged,
    product,
    require_four_axes,
    require_positive,
    values,
)
from .row import Use
from .windows import slid, slid_window


def shuffle_channel(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """ShuffleChannel of ShuffleNet: the channels in another order, whatever its groups."""
    return [None if bottoms[0] is None else legacy(bottoms[0])], []


def axpy(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """Axpy of SENet: the third bottom, plus the second with each channel times the first."""
    factors = bottoms[0]
    try:
        shape = merged(bottoms[1:])
    except UnfitError:
        raise UnfitError("the second and third bottom must have the same shape") from None
    if factors is not None and shape is not None and any(map(differ, factors[:2], shape[:2])):
        raise UnfitError("the first bottom must have a factor for each item and channel of the second")
    if factors is not None and len(factors) == 4 and any(differ(length, 1) for length in factors[2:]):
        raise UnfitError("the first bottom must have a factor for each item and channel of the second")
    return [shape], []


def reorg(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Reorg of YOLOv2: squares of `stride` x `stride` places as channels, or back with `reverse`."""
    p = layer.reorg_param
    if not p.HasField("stride"):
        raise UnfitError("stride must be given")
    require_positive("stride", [p.stride])
    items, channels, height, width = (None,) * 4 if bottoms[0] is None else legacy(bottoms[0])
    square = p.stride**2
    if p.reverse:
        return [(items, _divided(channels, square), product([height, p.stride]), product([width, p.stride]))], []
    sizes = [_divided(length, p.stride) for length in (height, width)]
    return [(items, product([channels, square]), *sizes)], []


def _divided(length: Length, by: int) -> Length:
    """Return a part of a length; what is left over the fork loses."""
    return None if length is None else length // by


def depthwise(layer: Message, bottoms: List[Shape]) -> Shapes:
    """ConvolutionDepthwise (conv_dw_layer.cpp): each channel with a window of its own; num_output and group say
    nothing."""
    p = layer.convolution_param
    shape = require_four_axes(bottoms[0])
    window = slid_window(p, 2)
    channels = shape[1]
    biases: List[Shape] = [(channels,)] if p.bias_term else []
    return [(*shape[:2], *slid(shape[2:], window))], [(channels, 1, *window.kernel), *biases]


def depthwise_work(
    _layer: Message, _bottoms: Sequence[Shape], tops: Sequence[Shape], params: Sequence[Shape]
) -> Length:
    """ConvolutionDepthwise: its weights at each place of its top."""
    top = tops[0]
    return None if top is None else product([values(params[0]), top[0], *top[2:]])


def depthwise_kept(use: Use) -> int:
    """ConvolutionDepthwise: a weight's gradient at each place of its top, to be added up."""
    top, weights = use.tops[0], use.layer.convolution_param
    window = slid_window(weights, 2)
    return count(top) * count(tuple(window.kernel))


def batch_reduction(layer: Message, bottoms: List[Shape]) -> Shapes:
    """BatchReduction of TSN: an axis, of squares of the levels one after another, becomes one value for each level.

    With the one level 1, and without any, the axis goes; `pos` takes the next one with it (batch_reduction_layer.cpp).
    """
    p = layer.batch_reduction_param
    levels = list(p.level) or [1]
    if p.pos and len(levels) > 1:
        raise UnfitError("pos goes with one level only")
    shape = bottoms[0]
    if shape is None:
        return [None], []
    axis = canonical(shape, p.reduction_param.axis)
    if levels == [1]:
        kept: Sequence[Length] = ()
    else:
        kept = (len(levels),)
        wanted = sum(level**2 for level in levels)
        if differ(shape[axis], wanted):
            raise UnfitError(f"axis {axis} must have {wanted} values, the squares of its levels")
    return [(*shape[:axis], *kept, *shape[axis + (2 if p.pos else 1) :])], []
