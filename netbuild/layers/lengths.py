"""What every rule works with: lengths that may be open, axes, and why a layer cannot take its bottoms."""

from __future__ import annotations

import math
from typing import Callable, List, Optional, Sequence, Tuple

from ..schema import Message

Length = Optional[int]
Known = Tuple[Length, ...]
Shape = Optional[Known]
Shapes = Tuple[List[Shape], Optional[List[Shape]]]
"""A layer's tops and its parameters; None where not even the number of parameters is known."""
Rule = Callable[[Message, List[Shape]], Shapes]
"""From a layer and its bottoms' shapes to the shapes of its tops and parameters; raises UnfitError."""


MAX_AXES = 32
"""Of a blob (kMaxBlobAxes)."""
MAX_NUMBER = 2**31 - 1
"""Caffe counts values and lengths in C++ ints."""


class UnfitError(Exception):
    """Why a layer cannot take its bottoms, or what its own options lack."""


def shape_text(shape: Shape) -> str:
    """Return '(2, 3, ?, ?)', or '(unknown)'."""
    if shape is None:
        return "(unknown)"
    return "(" + ", ".join("?" if length is None else str(length) for length in shape) + ")"


def any_batch_text(shape: Shape) -> str:
    """Return (N, 2048, 7, 7): the shape for any batch, with ? for a length that is not known.

    A blob without axes, such as a loss is, has "one value", whatever the batch.
    """
    if shape is None:
        return "(unknown)"
    if not shape:
        return "one value"
    return "(" + ", ".join(["N", *("?" if length is None else str(length) for length in shape[1:])]) + ")"


def in_full(shape: Shape) -> Optional[Tuple[int, ...]]:
    """Return the shape, None where a length of it is not known."""
    lengths = tuple(length for length in shape or () if length is not None)
    return lengths if shape is not None and len(lengths) == len(shape) else None


def counted(number: int, noun: str) -> str:
    """Return 'no top', '1 top' or '2 tops'."""
    return f"{number or 'no'} {noun}{'s' if number > 1 else ''}"


def product(lengths: Sequence[Length]) -> Length:
    """Return the number of values in axes of these lengths, None where one is open."""
    known = [length for length in lengths if length is not None]
    return math.prod(known) if len(known) == len(lengths) else None


def total(lengths: Sequence[Length]) -> Length:
    """Return the sum of these lengths, None where one is open."""
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None


def values(shape: Shape) -> Length:
    """Return the number of values in a blob of this shape, None where a length is open."""
    return None if shape is None else product(shape)


def count(shape: Shape) -> int:
    """Return the number of values in a blob all of whose lengths are known."""
    return values(shape) or 0


def canonical(shape: Known, axis: int) -> int:
    """Return the axis counted from the front; a negative one counts from the end (Blob::CanonicalAxisIndex)."""
    if not -len(shape) <= axis < len(shape):
        raise UnfitError(f"axis {axis} is out of range")
    return axis % len(shape)


def differ(one: Length, other: Length) -> bool:
    """Tell whether two lengths are known to differ."""
    return one is not None and other is not None and one != other


def may_be_alike(one: Shape, other: Shape) -> bool:
    """Tell whether two shapes may be the same: of as many axes, and of no length known to differ."""
    if one is None or other is None:
        return True
    return len(one) == len(other) and not any(map(differ, one, other))


def replaced(shape: Known, axis: int, length: Length) -> Known:
    """Return the shape with the length of one axis changed."""
    return (*shape[:axis], length, *shape[axis + 1 :])


def merged(shapes: Sequence[Shape]) -> Shape:
    """Return what shapes that are the same tell together; raise UnfitError where they are known to differ."""
    known = [shape for shape in shapes if shape is not None]
    if len({len(shape) for shape in known}) > 1:
        raise UnfitError("all bottoms must have the same shape")
    return tuple(map(_agreed, zip(*known))) if known else None


def _agreed(lengths: Sequence[Length]) -> Length:
    known = {length for length in lengths if length is not None}
    if len(known) > 1:
        raise UnfitError("all bottoms must have the same shape")
    return next(iter(known), None)


def without(shape: Known, axis: int) -> Known:
    """Return the shape with one axis, counted from the front or the end, left out."""
    return (*shape[:axis], *shape[axis:][1:])


def legacy(shape: Known) -> Known:
    """Return the four lengths (num, channels, height, width) that older layers see, missing ones as 1."""
    if len(shape) > 4:
        raise UnfitError("a bottom of at most 4 axes is needed")
    return (*shape, *(1,) * (4 - len(shape)))


def open_axes(count: int) -> Known:
    """Return so many open lengths; raise UnfitError for more than a blob may have."""
    if count > MAX_AXES:
        raise UnfitError(f"a blob of {count} axes would be made; Caffe takes at most {MAX_AXES}")
    return (None,) * count


def require_possible(name: str, shape: Shape) -> None:
    """Raise UnfitError for a shape that no blob can have, or none that Caffe can compute with (Blob::Reshape)."""
    if shape is None:
        return
    open_axes(len(shape))
    known = [length for length in shape if length is not None]
    values = math.prod(known)
    if min(known, default=1) < 1:
        raise UnfitError(f"{name} would have the shape {shape_text(shape)}; Caffe aborts on lengths below 1")
    if values > MAX_NUMBER:
        raise UnfitError(
            f"{name} would have the shape {shape_text(shape)}, {values} values; Caffe takes at most {MAX_NUMBER}"
        )


def require_positive(name: str, values: Sequence[int]) -> None:
    """Raise UnfitError where an option was left out, or given as 0."""
    if min(values, default=1) < 1:
        raise UnfitError(f"{name} must be given, and at least 1")


def require_four_axes(shape: Shape) -> Known:
    """Return the shape, four open lengths for an unknown one."""
    if shape is None:
        return (None,) * 4
    if len(shape) != 4:
        raise UnfitError("a bottom of 4 axes (N, C, H, W) is needed")
    return shape
