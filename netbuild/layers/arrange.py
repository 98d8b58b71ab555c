"""Layers without parameters that join, split, cut, choose or rearrange their bottoms, and compute nothing."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from ..schema import Message
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
    total,
)
from .row import ABORTS, ELSE


def _axis(param: Message, older: str) -> int:
    """Return the axis that the options name, `axis` or by its older name."""
    if param.HasField("axis") and param.HasField(older):
        raise UnfitError(f"axis and {older} are both given; remove {older}, the older name")
    return int(getattr(param, older) if param.HasField(older) else param.axis)


def concat(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Concat: the lengths of one axis added up, all others equal."""
    named = _axis(layer.concat_param, "concat_dim")
    known = [shape for shape in bottoms if shape is not None]
    if not known:
        return [None], []
    axis = canonical(known[0], named)
    top = _agreed_but(known, axis)
    length = total([shape[axis] for shape in known]) if len(known) == len(bottoms) else None
    return [replaced(top, axis, length)], []


def _agreed_but(shapes: Sequence[Known], axis: int) -> Known:
    """Return what shapes that are the same but for one axis tell together."""
    if len({len(shape) for shape in shapes}) > 1:
        raise UnfitError("all bottoms must have the same number of axes")
    try:
        common = merged([replaced(shape, axis, None) for shape in shapes])
    except UnfitError:
        raise UnfitError(f"all bottoms must agree on every axis but {axis}") from None
    assert common is not None
    return common


def slice_layer(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Slice: one axis cut into equal parts, or at its slice points."""
    named = _axis(layer.slice_param, "slice_dim")
    tops, points = len(layer.top), list(layer.slice_param.slice_point)
    if points and len(points) != tops - 1:
        raise UnfitError(
            f"has {counted(len(points), 'slice_point')} for {counted(tops, 'top')}; give one less than there are tops"
        )
    if any(after <= before for before, after in zip([0, *points], points)):
        raise UnfitError("slice_point must grow from above 0")
    shape = bottoms[0]
    if shape is None:
        return [None] * tops, []
    axis = canonical(shape, named)
    parts = _at_points(shape[axis], points, axis) if points else _equal_parts(shape[axis], tops, axis)
    return [replaced(shape, axis, part) for part in parts], []


def _at_points(length: Length, points: Sequence[int], axis: int) -> List[Length]:
    parts = [after - before for before, after in zip([0, *points], points)]
    if length is None:
        return [*parts, None]
    if points[-1] >= length:
        raise UnfitError(f"slice_point {points[-1]} leaves nothing of the {length} values of axis {axis}")
    return [*parts, length - points[-1]]


def _equal_parts(length: Length, tops: int, axis: int) -> List[Length]:
    if length is None:
        return [None] * tops
    if length % tops:
        raise UnfitError(f"axis {axis} of length {length} cannot be split evenly into {tops} tops")
    return [length // tops] * tops


def has_one_of_each(layer: Message) -> bool:
    """A Concat or Slice with one bottom and one top has nothing to do."""
    return len(layer.bottom) == len(layer.top) == 1


def concat_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """Its first bottom lies where the whole is to lie."""
    return None if has_one_of_each(layer) else ELSE


def slice_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """Its top would need the memory of its bottom, which is larger."""
    return None if has_one_of_each(layer) else ABORTS


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
    start, end = _span(p, len(shape))
    lengths = _with_copies(dims, shape[start:])
    return [(*shape[:start], *_with_rest(lengths, product(shape[start:end])), *shape[end:])], []


def _span(param: Message, axes: int) -> Tuple[int, int]:
    """Return the axes that are replaced: from the first, to before the second."""
    start = param.axis if param.axis >= 0 else axes + param.axis + 1
    end = axes if param.num_axes == -1 else start + param.num_axes
    if not 0 <= start <= end <= axes:
        raise UnfitError(f"axis {param.axis} with num_axes {param.num_axes} is out of range")
    return start, end


def _with_copies(dims: Sequence[int], shape: Known) -> Known:
    """Return the new lengths with those that are copied (0) filled in; -1 stays."""
    if any(dim == 0 for dim in dims[len(shape) :]):
        raise UnfitError("shape has a 0 where the bottom has no axis to copy")
    return tuple(shape[index] if dim == 0 else dim for index, dim in enumerate(dims))


def _with_rest(lengths: Known, number: Length) -> Known:
    """Return the lengths of an array of so many values, the one that is left (-1) filled in."""
    stated = product([length for length in lengths if length != -1])
    rest = None if number is None or stated is None else number // stated
    filled = tuple(rest if length == -1 else length for length in lengths)
    if number is not None and differ(product(filled), number):
        raise UnfitError(f"{number} values do not go into the shape ({', '.join(map(str, lengths))})")
    return filled


def tile(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Tile: one axis repeated."""
    tiles: int = layer.tile_param.tiles
    require_positive("tiles", [tiles])
    shape = bottoms[0]
    if shape is None:
        return [None], []
    axis = canonical(shape, layer.tile_param.axis)
    return [replaced(shape, axis, product([shape[axis], tiles]))], []


def tile_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """More than one tile does not fit into the memory of one."""
    return None if layer.tile_param.tiles == 1 else ELSE


def batch_reindex(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """BatchReindex: as many items as the second bottom, a plain list, has numbers."""
    shape, indices = bottoms
    if indices is not None and len(indices) != 1:
        raise UnfitError("the second bottom must have one axis")
    if shape == ():
        raise UnfitError("Caffe aborts when it runs on a first bottom without axes: there are no items in it")
    return [None if shape is None else (None if indices is None else indices[0], *shape[1:])], []


def filter_layer(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Filter: how many items pass the last bottom, the selector, is known only in a forward pass."""
    *shapes, selector = bottoms
    if len(layer.top) != len(shapes):
        raise UnfitError(
            f"has {counted(len(layer.top), 'top')}; expected {len(shapes)}, one for each bottom but the selector"
        )
    if () in bottoms:
        raise UnfitError("bottoms with a first axis, the items, are needed")
    if selector is not None:
        _require_selecting(selector, shapes)
    return [None if shape is None else (None, *shape[1:]) for shape in shapes], []


def _require_selecting(selector: Known, shapes: Sequence[Shape]) -> None:
    if any(differ(length, 1) for length in selector[1:]):
        raise UnfitError("the selector (the last bottom) must have one value for each item")
    if any(differ(shape[0], selector[0]) for shape in shapes if shape):
        raise UnfitError("the selector (the last bottom) must have as many items as the others")


def permute(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Permute, of forks of Caffe: axes in a new order, those left out after them."""
    if bottoms[0] is None or "permute_param" not in layer.DESCRIPTOR.fields_by_name:
        return [None], []
    shape, order = bottoms[0], list(layer.permute_param.order)
    if len(set(order)) < len(order) or max(order, default=-1) >= len(shape):
        raise UnfitError("order must name each axis once at most")
    order += [axis for axis in range(len(shape)) if axis not in order]
    return [tuple(shape[axis] for axis in order)], []


def keeps_order(layer: Message) -> bool:
    """A Permute that leaves all axes where they are has nothing to do."""
    if "permute_param" not in layer.DESCRIPTOR.fields_by_name:
        return False
    return list(layer.permute_param.order) == list(range(len(layer.permute_param.order)))


def permute_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    """It would read what it has written."""
    return None if keeps_order(layer) else ELSE


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
    count = len(shape) - axis
    if len(offsets) not in (1, count):
        raise UnfitError(f"has {len(offsets)} offsets for {count} axes; give one, or one for each axis")
    if reference is None:
        return [(*shape[:axis], *[None] * count)], []
    if len(reference) < len(shape):
        raise UnfitError(f"the second bottom must have at least {len(shape)} axes")
    for position, offset in enumerate(offsets * count if len(offsets) == 1 else offsets, axis):
        _require_room(position, shape[position], reference[position], offset)
    return [(*shape[:axis], *reference[axis : len(shape)])], []


def _require_room(axis: int, length: Length, wanted: Length, offset: int) -> None:
    if length is not None and wanted is not None and length < wanted + offset:
        raise UnfitError(f"axis {axis} of the first bottom is too short for {wanted} values from {offset} on")
