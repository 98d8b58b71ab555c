"""Layers without parameters that join, split, cut, choose or rearrange their bottoms, and compute nothing."""

from __future__ import annotations

from typing import List

from ..engine.caffe import Message
from .lengths import (
    Known,
    Length,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    counted,
    differ,
    merged,
    product,
    replaced,
    require_positive,
)


def concat(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Concat: the lengths of one axis added up, all others equal."""
    p = layer.concat_param
    if p.HasField("axis") and p.HasField("concat_dim"):
        raise UnfitError("axis and concat_dim are both given; remove concat_dim, the older name")
    known = [shape for shape in bottoms if shape is not None]
    if not known:
        return [None], []
    axis = canonical(known[0], p.concat_dim if p.HasField("concat_dim") else p.axis)
    if len({len(shape) for shape in known}) > 1:
        raise UnfitError("all bottoms must have the same number of axes")
    try:
        top = merged([replaced(shape, axis, None) for shape in known])
    except UnfitError:
        raise UnfitError(f"all bottoms must agree on every axis but {axis}") from None
    lengths = [None if shape is None else shape[axis] for shape in bottoms]
    found = [length for length in lengths if length is not None]
    assert top is not None
    return [replaced(top, axis, sum(found) if len(found) == len(lengths) else None)], []


def slice_layer(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Slice: one axis cut into equal parts, or at the points given."""
    p, tops, points = layer.slice_param, len(layer.top), list(layer.slice_param.slice_point)
    if p.HasField("axis") and p.HasField("slice_dim"):
        raise UnfitError("axis and slice_dim are both given; remove slice_dim, the older name")
    if points and len(points) != tops - 1:
        raise UnfitError(
            f"has {counted(len(points), 'slice_point')} for {counted(tops, 'top')}; give one less than there are tops"
        )
    if any(after <= before for before, after in zip([0, *points], points)):
        raise UnfitError("slice_point must grow from above 0")
    shape = bottoms[0]
    if shape is None:
        return [None] * tops, []
    axis = canonical(shape, p.slice_dim if p.HasField("slice_dim") else p.axis)
    length = shape[axis]
    parts: List[Length] = [after - before for before, after in zip([0, *points], points)]
    if length is None:
        parts = [*parts, None] if points else [None] * tops
    elif points:
        if points[-1] >= length:
            raise UnfitError(f"slice_point {points[-1]} leaves nothing of the {length} values of axis {axis}")
        parts.append(length - points[-1])
    elif length % tops:
        raise UnfitError(f"axis {axis} of length {length} cannot be split evenly into {tops} tops")
    else:
        parts = [length // tops] * tops
    return [replaced(shape, axis, part) for part in parts], []


def flatten(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Flatten: the axes from `axis` to `end_axis` as one."""
    shape, p = bottoms[0], layer.flatten_param
    if shape is None:
        return [None], []
    start, end = canonical(shape, p.axis), canonical(shape, p.end_axis)
    if start > end + 1:
        raise UnfitError(f"axis {start} lies behind end_axis {end}")
    return [(*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :])], []


def reshape(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Reshape: axes from `axis`, `num_axes` of them, become `shape`; 0 copies a length, -1 is what is left."""
    p, dims = layer.reshape_param, list(layer.reshape_param.shape.dim)
    if dims.count(-1) > 1 or min(dims, default=0) < -1:
        raise UnfitError("shape takes lengths, 0 to copy one, and -1 once")
    if p.num_axes < -1:
        raise UnfitError("num_axes must be at least 0, or -1 for all")
    shape = bottoms[0]
    if shape is None:
        # Only where all axes are replaced is the new number of them known.
        whole = p.axis == 0 and p.num_axes == -1
        return [tuple(dim if dim > 0 else None for dim in dims) if whole else None], []
    start = p.axis if p.axis >= 0 else len(shape) + p.axis + 1
    end = len(shape) if p.num_axes == -1 else start + p.num_axes
    if not 0 <= start <= end <= len(shape):
        raise UnfitError(f"axis {p.axis} with num_axes {p.num_axes} is out of range")
    return [(*shape[:start], *_filled(dims, shape, start, end), *shape[end:])], []


def _filled(dims: List[int], shape: Known, start: int, end: int) -> Known:
    if any(dim == 0 and start + index >= len(shape) for index, dim in enumerate(dims)):
        raise UnfitError("shape has a 0 where the bottom has no axis to copy")
    lengths = [shape[start + index] if dim == 0 else dim for index, dim in enumerate(dims)]
    total = product(shape[start:end])
    given = product([length for length in lengths if length != -1])
    if total is not None and given is not None and (total % given if -1 in lengths else total != given):
        raise UnfitError(f"{total} values do not go into the shape ({', '.join(map(str, lengths))})")
    rest = None if total is None or given is None else total // given
    return tuple(rest if length == -1 else length for length in lengths)


def tile(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Tile: one axis repeated."""
    tiles: int = layer.tile_param.tiles
    require_positive("tiles", [tiles])
    shape = bottoms[0]
    if shape is None:
        return [None], []
    axis = canonical(shape, layer.tile_param.axis)
    return [replaced(shape, axis, product([shape[axis], tiles]))], []


def batch_reindex(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """BatchReindex: as many items as the second bottom, a plain list, has numbers."""
    shape, indices = bottoms
    if indices is not None and len(indices) != 1:
        raise UnfitError("the second bottom must have one axis")
    return [None if shape is None else (None if indices is None else indices[0], *shape[1:])], []


def filter_layer(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Filter: how many items pass the last bottom, the selector, is known only in a forward pass."""
    *shapes, selector = bottoms
    if len(layer.top) != len(shapes):
        raise UnfitError(
            f"has {counted(len(layer.top), 'top')}; expected {len(shapes)}, one for each bottom but the selector"
        )
    if selector is not None and any(differ(length, 1) for length in selector[1:]):
        raise UnfitError("the selector (the last bottom) must have one value for each item")
    for shape in shapes if selector else ():
        if shape and selector and differ(shape[0], selector[0]):
            raise UnfitError("the selector (the last bottom) must have as many items as the others")
    return [None if shape is None else (None, *shape[1:]) for shape in shapes], []


def permute(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Permute, of forks of Caffe: axes in the order given, those left out after them."""
    if bottoms[0] is None or "permute_param" not in layer.DESCRIPTOR.fields_by_name:
        return [None], []
    shape, order = bottoms[0], list(layer.permute_param.order)
    if len(set(order)) < len(order) or max(order, default=0) >= len(shape):
        raise UnfitError("order must name each axis once at most")
    order += [axis for axis in range(len(shape)) if axis not in order]
    return [tuple(shape[axis] for axis in order)], []


def reverse(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Reverse, of forks of Caffe: one axis the other way round, counted from the front."""
    axis = layer.reverse_param.axis if "reverse_param" in layer.DESCRIPTOR.fields_by_name else 0
    if bottoms[0] is not None and not 0 <= axis < len(bottoms[0]):
        raise UnfitError(f"axis {axis} is out of range")
    return [bottoms[0]], []


def crop(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Crop: the second bottom gives the lengths from `axis` on; `offset` counts once, or once for each such axis."""
    shape, reference = bottoms
    p = layer.crop_param
    if shape is None:
        return [None], []
    axis, offsets = canonical(shape, p.axis), list(p.offset) or [0]
    if len(offsets) > 1 and len(offsets) != len(shape) - axis:
        raise UnfitError(f"has {len(offsets)} offsets for {len(shape) - axis} axes; give one, or one for each axis")
    if reference is not None and len(reference) < len(shape):
        raise UnfitError(f"the second bottom must have at least {len(shape)} axes")
    top = shape
    for position in range(axis, len(shape)):
        offset = offsets[position - axis if len(offsets) > 1 else 0]
        length, wanted = shape[position], None if reference is None else reference[position]
        if length is not None and wanted is not None and length < wanted + offset:
            raise UnfitError(f"axis {position} of the first bottom is too short for {wanted} values from {offset} on")
        top = replaced(top, position, wanted)
    return [top], []
