"""Layers without parameters that compute on their bottoms' values and keep their shape, or reduce an axis of it."""

from __future__ import annotations

import math
from typing import List

from ..engine.caffe import Message
from .lengths import (
    Rule,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    counted,
    legacy,
    merged,
    open_axes,
    product,
    replaced,
    require_four_axes,
    require_positive,
)


def same(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Layers that work value by value, and Split."""
    return [bottoms[0]] * len(layer.top), []


def powers_of(param: str) -> Rule:
    """Return the rule of Exp or Log: of a base above 0, or -1 for e."""

    def rule(layer: Message, bottoms: List[Shape]) -> Shapes:
        base: float = getattr(layer, param).base
        if base != -1 and not 0 < base < math.inf:
            raise UnfitError(f"base {base:g} must be above 0, or -1 for e")
        if base == 1 and layer.type == "Log":
            raise UnfitError("there is no logarithm to the base 1")
        return [bottoms[0]], []

    return rule


def softmax(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Softmax: along one axis, which must be there."""
    if bottoms[0] is not None:
        canonical(bottoms[0], layer.softmax_param.axis)
    return [bottoms[0]], []


def lrn(layer: Message, bottoms: List[Shape]) -> Shapes:
    """LRN: of images only, over an odd number of neighbours."""
    if layer.lrn_param.local_size % 2 == 0:
        raise UnfitError("local_size must be odd")
    return [require_four_axes(bottoms[0])], []


def mvn(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """MVN: its top always has four axes."""
    return [(None,) * 4 if bottoms[0] is None else legacy(bottoms[0])], []


def no_tops(_layer: Message, _bottoms: List[Shape]) -> Shapes:
    """Silence and HDF5Output."""
    return [], []


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


def argmax(layer: Message, bottoms: List[Shape]) -> Shapes:
    """ArgMax: along `axis`; without it over a whole item, as (N, 1 or 2, top_k) and at least three axes."""
    p = layer.argmax_param
    require_positive("top_k", [p.top_k])
    shape = bottoms[0]
    if shape is None:
        return [None], []
    given = canonical(shape, p.axis if p.HasField("axis") else 0)
    axis = given if p.HasField("axis") else None
    length = product(shape[1:]) if axis is None else shape[axis]
    if length is not None and p.top_k > length:
        raise UnfitError(f"top_k {p.top_k} is more than the {length} values to choose from")
    if axis is not None:
        return [replaced(shape, axis, p.top_k)], []
    return [(*shape[:1], 2 if p.out_max_val else 1, p.top_k, *(1,) * (len(shape) - 3))], []


def reduction(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Reduction: all axes from `axis` on become one value."""
    axis: int = layer.reduction_param.axis
    if bottoms[0] is None:
        return [None if axis < 0 else open_axes(axis)], []
    return [bottoms[0][: canonical(bottoms[0], axis)]], []
