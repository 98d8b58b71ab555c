"""Layers without parameters that compute on their bottoms' values and keep their shape, or reduce an axis of it."""

from __future__ import annotations

import math
from typing import List, Optional

from ..schema import TRAIN, Message
from .lengths import (
    Known,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    count,
    counted,
    legacy,
    merged,
    open_axes,
    product,
    replaced,
    require_four_axes,
    require_positive,
    require_possible,
    total,
)
from .row import ELSE, GRADIENT, Left, Use


def same(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Layers that work value by value, and Split."""
    return [bottoms[0]] * len(layer.top), []


def split_kept(use: Use) -> int:
    """Split: a gradient for each top, while their values are the bottom's own."""
    return sum(map(count, use.tops)) if use.backward else 0


def _require_base(base: float) -> None:
    if base != -1 and not 0 < base < math.inf:
        raise UnfitError(f"base {base:g} must be above 0, or -1 for e")


def exp(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Exp: of a base above 0, or -1 for e."""
    _require_base(layer.exp_param.base)
    return [bottoms[0]], []


def log(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Log: to a base above 0, or -1 for e."""
    _require_base(layer.log_param.base)
    if layer.log_param.base == 1:
        raise UnfitError("there is no logarithm to the base 1")
    return [bottoms[0]], []


def power_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """Its gradient reads what was overwritten; a constant has none."""
    return GRADIENT if layer.power_param.power and layer.power_param.scale else None


def power_reads_bottoms(layer: Message) -> bool:
    """A constant's and a line's gradient reads nothing."""
    return layer.power_param.power not in (0, 1)


def power_reads_tops(layer: Message) -> bool:
    """Of a square the gradient reads the bottom alone."""
    return layer.power_param.power not in (0, 1, 2)


def dropout_kept(use: Use) -> int:
    """Dropout: what is dropped, where anything is."""
    return count(use.bottoms[0]) if use.phase == TRAIN else 0


def relu_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """Its gradient goes by the sign of what it reads, which a negative slope turns."""
    return GRADIENT if layer.relu_param.negative_slope < 0 else None


def relu6_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """As ReLU; a value that it has cut to 6 has no gradient, as one above 6 has none (relu6_layer.cpp)."""
    return GRADIENT if layer.relu6_param.negative_slope < 0 else None


def relu_leaves(layer: Message) -> Left:
    """Without a slope it changes only values for which no gradient comes back."""
    return Left.NOTHING if layer.relu_param.negative_slope else Left.VALUES


def elu_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """Its gradient goes by the sign of what it reads, which a negative alpha turns."""
    return GRADIENT if layer.elu_param.alpha < 0 else None


def swish_kept(use: Use) -> int:
    """Swish: what goes into the sigmoid, and what comes out."""
    return 2 * count(use.bottoms[0])


def softmax(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Softmax: along one axis, which must be there."""
    if bottoms[0] is not None:
        canonical(bottoms[0], layer.softmax_param.axis)
    return [bottoms[0]], []


def lrn(layer: Message, bottoms: List[Shape]) -> Shapes:
    """LRN: of images only, over an odd number of neighbours."""
    if layer.lrn_param.local_size % 2 == 0:
        raise UnfitError("local_size must be odd")
    shape = require_four_axes(bottoms[0])
    if _is_across_channels(layer):
        require_possible("what it works in when it runs", _with_border(shape[1:], layer.lrn_param.local_size))
    return [shape], []


def _with_border(image: Known, local_size: int) -> Known:
    """Return the size of an image that has a border of channels, so that each has its neighbours."""
    return total([image[0], local_size - 1]), *image[1:]


def _is_across_channels(layer: Message) -> bool:
    return bool(layer.lrn_param.norm_region == layer.lrn_param.ACROSS_CHANNELS)


def lrn_reads_tops(layer: Message) -> bool:
    """Across channels its gradient reads its tops; within one it is a net of its own."""
    return _is_across_channels(layer)


def lrn_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> str:
    """Across channels it reads what it has written; within one only its gradient does."""
    return ELSE if _is_across_channels(layer) else GRADIENT


def lrn_kept(use: Use) -> int:
    """LRN: the scale of each value; within a channel squares, pools and powers, their gradients and two splits'."""
    if _is_across_channels(use.layer):
        return count(use.bottoms[0])
    return (8 if use.backward else 3) * count(use.bottoms[0])


def lrn_columns(use: Use) -> int:
    """LRN: across channels, the squares of one image with a border of channels that are 0."""
    shape = use.bottoms[0]
    if not _is_across_channels(use.layer):
        return 0
    assert shape is not None
    return count(_with_border(shape[1:], use.layer.lrn_param.local_size))


def mvn(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """MVN: its top always has four axes."""
    return [(None,) * 4 if bottoms[0] is None else legacy(bottoms[0])], []


def normalizes_variance(layer: Message) -> bool:
    """Of an MVN that does, the gradient reads its tops."""
    return bool(layer.mvn_param.normalize_variance)


def mvn_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """Its gradient reads what was overwritten."""
    return GRADIENT if normalizes_variance(layer) else None


def no_tops(_layer: Message, _bottoms: List[Shape]) -> Shapes:
    """Silence and HDF5Output."""
    return [], []


def dropout_draws_in_test(layer: Message) -> bool:
    """SegNet's Dropout does, where it is to sample weights in TEST too (dropout_layer.cpp)."""
    return bool(layer.dropout_param.sample_weights_test)


def eltwise_draws(layer: Message) -> bool:
    """TSN's STOCHASTIC_SUM draws in TRAIN which bottoms it adds up (eltwise_layer.cpp)."""
    p = layer.eltwise_param
    return bool(p.operation == p.STOCHASTIC_SUM)


def eltwise(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Eltwise: all bottoms alike; coefficients for a sum only."""
    p = layer.eltwise_param
    if len(p.coeff) not in (0, len(bottoms)):
        raise UnfitError(
            f"has {counted(len(p.coeff), 'coeff')} for {len(bottoms)} bottoms; give one for each bottom, or none"
        )
    if p.operation == p.PROD and p.coeff:
        raise UnfitError("coeff goes with SUM only")
    return [merged(bottoms)], []


def multiplies(layer: Message) -> bool:
    """Of a product the gradient reads the factors."""
    return bool(layer.eltwise_param.operation == layer.eltwise_param.PROD)


def eltwise_reads_tops(layer: Message) -> bool:
    """The gradient of a product, unless a stable one is asked for, divides it by each factor."""
    return multiplies(layer) and not layer.eltwise_param.stable_prod_grad


def eltwise_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> str:
    """Of a product the factors are lost; a sum and a maximum begin anew in the first bottom's memory."""
    return GRADIENT if multiplies(layer) else ELSE


def eltwise_kept(use: Use) -> int:
    """Eltwise: which bottom each maximum comes from."""
    return count(use.tops[0]) if use.layer.eltwise_param.operation == use.layer.eltwise_param.MAX else 0


def argmax(layer: Message, bottoms: List[Shape]) -> Shapes:
    """ArgMax: along `axis`; without it over a whole item, as (N, 1 or 2, top_k) and at least three axes."""
    p = layer.argmax_param
    require_positive("top_k", [p.top_k])
    shape = bottoms[0]
    if shape is None:
        return [None], []
    axis = canonical(shape, p.axis if p.HasField("axis") else 0)
    choices = shape[axis] if p.HasField("axis") else product(shape[1:])
    if choices is not None and p.top_k > choices:
        raise UnfitError(f"top_k {p.top_k} is more than the {choices} values to choose from")
    if p.HasField("axis"):
        return [replaced(shape, axis, p.top_k)], []
    return [(*shape[:1], 2 if p.out_max_val else 1, p.top_k, *(1,) * (len(shape) - 3))], []


def argmax_columns(use: Use) -> int:
    """ArgMax: the values that it chooses from, each with its place."""
    p, shape = use.layer.argmax_param, use.bottoms[0]
    assert shape is not None
    return 2 * count((shape[canonical(shape, p.axis)],) if p.HasField("axis") else shape[1:])


def reduction(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Reduction: all axes from `axis` on become one value."""
    axis: int = layer.reduction_param.axis
    if bottoms[0] is None:
        return [None if axis < 0 else open_axes(axis)], []
    return [bottoms[0][: canonical(bottoms[0], axis)]], []


def reduction_kept(use: Use) -> int:
    """Reduction: for a sum or a mean, ones to multiply what becomes one value by."""
    p, shape = use.layer.reduction_param, use.bottoms[0]
    assert shape is not None
    return count(shape[canonical(shape, p.axis) :]) if p.operation in (p.SUM, p.MEAN) else 0
