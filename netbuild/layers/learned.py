"""Layers with parameters that are no windows: inner products, normalisation, factors, embeddings."""

from __future__ import annotations

from typing import Iterator, List, Sequence

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
    open_axes,
    product,
    require_positive,
    values,
)
from .row import Filled, Use


def inner_product(layer: Message, bottoms: List[Shape]) -> Shapes:
    """InnerProduct: the axes from `axis` on become num_output; weights (num_output, K), or transposed."""
    p = layer.inner_product_param
    require_positive("num_output", [p.num_output])
    shape = bottoms[0]
    length: Length = None
    if shape is None:
        top: Shape = None if p.axis < 0 else (*open_axes(p.axis), p.num_output)
    else:
        axis = canonical(shape, p.axis)
        top, length = (*shape[:axis], p.num_output), product(shape[axis:])
    weight: Shape = (length, p.num_output) if p.transpose else (p.num_output, length)
    return [top], [weight, (p.num_output,)] if p.bias_term else [weight]


def inner_product_work(
    _layer: Message, _bottoms: Sequence[Shape], tops: Sequence[Shape], params: Sequence[Shape]
) -> Length:
    """InnerProduct: its weights once for each row of its top."""
    return None if tops[0] is None else product([values(params[0]), *tops[0][:-1]])


def embed(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Embed: each number becomes a row of the table (input_dim, num_output)."""
    p = layer.embed_param
    require_positive("num_output", [p.num_output])
    require_positive("input_dim", [p.input_dim])
    top = None if bottoms[0] is None else (*bottoms[0], p.num_output)
    weight: List[Shape] = [(p.input_dim, p.num_output)]
    return [top], weight + [(p.num_output,)] * p.bias_term


def prelu(layer: Message, bottoms: List[Shape]) -> Shapes:
    """PReLU: one slope for each channel, or one for all."""
    shape = bottoms[0]
    channels = None if shape is None else legacy(shape)[canonical(shape, 1)]
    return [shape], [()] if layer.prelu_param.channel_shared else [(channels,)]


def prelu_columns(use: Use) -> int:
    """PReLU: ones for the values of one image."""
    shape = use.bottoms[0]
    return count(shape[1:]) if shape else 0


def normalize(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Normalize: SSD's has a factor for each channel, or one for all (normalize_layer.cpp); TSN's, without any options,
    has no parameters, so that without `norm_param` it is not known whether there are any."""
    shape = bottoms[0]
    if not layer.HasField("norm_param"):
        return [shape], None
    if shape is not None and len(shape) < 2:
        raise UnfitError("a bottom of at least 2 axes is needed")
    if layer.norm_param.channel_shared:
        return [shape], [()]
    return [shape], [(None if shape is None else legacy(shape)[1],)]


def normalize_kept(use: Use) -> int:
    """Normalize: what it works in for one image; norms are few."""
    shape = use.bottoms[0]
    return count(shape[1:]) if shape else 0


def scale(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Scale: factors unless the second bottom brings them, and the bias of `bias_term`."""
    p = layer.scale_param
    if p.bias_term and bottoms[0] is not None:
        # The bias counts from the axis of the option, also where the factor is a single number.
        canonical(bottoms[0], p.axis)
    return [bottoms[0]], [_factors(p, bottoms)] * ((len(bottoms) == 1) + p.bias_term)


def bias(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Bias: summands unless the second bottom brings them."""
    return [bottoms[0]], [_factors(layer.bias_param, bottoms)] * (len(bottoms) == 1)


def scale_fillers(layer: Message, params: List[Shape], _tops: List[Shape]) -> Iterator[Filled]:
    """Scale: a second bottom brings the factors, so that what is left to fill is the bias."""
    fields = ["filler", "bias_filler"][len(layer.bottom) > 1 :]
    return (Filled(field, getattr(layer.scale_param, field), shape) for field, shape in zip(fields, params))


def _factors(param: Message, bottoms: List[Shape]) -> Shape:
    """Return the shape of the factors: that of the second bottom, or `num_axes` (-1: all) of the first from `axis`."""
    shape = bottoms[0]
    if len(bottoms) > 1:
        _require_fitting(param.axis, shape, bottoms[1])
        return bottoms[1]
    if param.num_axes < -1:
        raise UnfitError("num_axes must be at least 0, or -1 for all")
    if shape is None:
        return None if param.num_axes == -1 else open_axes(param.num_axes)
    axis = canonical(shape, param.axis)
    end = len(shape) if param.num_axes == -1 else axis + param.num_axes
    if end > len(shape):
        raise UnfitError(f"num_axes {param.num_axes} from axis {axis} is out of range")
    return shape[axis:end]


def _require_fitting(axis: int, shape: Shape, factors: Shape) -> None:
    if shape is None or not factors:
        return
    start = canonical(shape, axis)
    if start + len(factors) > len(shape) or any(map(differ, shape[start:], factors)):
        raise UnfitError(f"the second bottom must have the lengths of the first from axis {start} on")


def margin_inner_product(layer: Message, bottoms: List[Shape]) -> Shapes:
    """MarginInnerProduct of SphereFace: inner products with weights (num_output, K) by angle, those of labels with a
    margin; as a second top how much the margin counts."""
    p, shape = layer.margin_inner_product_param, bottoms[0]
    require_positive("num_output", [p.num_output])
    length: Length = None
    top: Shape = None if p.axis < 0 else (*open_axes(p.axis), p.num_output)
    if shape is not None:
        axis = canonical(shape, p.axis)
        top, length = (*shape[:axis], p.num_output), product(shape[axis:])
    if bottoms[1] and shape and differ(shape[0], bottoms[1][0]):
        raise UnfitError("both bottoms must have the same number of items")
    tops: List[Shape] = [top, (1,)]
    return tops[: len(layer.top)], [(p.num_output, length)]
