"""Shapes: which blob Caffe would take for which, and which one it could be made to be."""

from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple

from ..layers.lengths import in_full
from ..weights.model import Blob, Shape

AnyShape = Optional[Tuple[Optional[int], ...]]
"""A shape in which None stands for a length that the net alone does not say (an image's size), or for all."""


def fits(blob: Blob, shape: AnyShape) -> bool:
    """Tell whether Caffe would take the blob for this shape (Blob::ShapeEquals of BVLC Caffe).

    A blob in the old four-number form equals a shape of at most four axes padded with leading 1s.
    """
    if shape is None:
        return True
    if blob.legacy:
        if len(shape) > 4:
            return False
        shape = (1,) * (4 - len(shape)) + tuple(shape)
    return len(blob.shape) == len(shape) and all(
        expected is None or expected == found for expected, found in zip(shape, blob.shape)
    )


def exact_shape(blob: Blob, shape: AnyShape) -> Optional[Shape]:
    """Return the declared shape, its unknown lengths taken from the blob; None where that does not fit it."""
    if not fits(blob, shape):
        return None
    if shape is None:
        return blob.shape
    tail = blob.shape[len(blob.shape) - len(shape) :]
    return tuple(found if expected is None else expected for expected, found in zip(shape, tail))


def equal_count_shape(blob: Blob, shape: AnyShape) -> Optional[Shape]:
    """Return the declared shape where it takes as many values, for as many outputs."""
    exact = exact_shape(blob, shape)
    if exact is not None or not shape:
        return exact
    count = math.prod(blob.shape)
    if len(shape) == 2 and shape[1] is None and shape[0]:
        shape = (shape[0], count // shape[0])
    lengths = in_full(shape)
    if lengths is None or math.prod(lengths) != count:
        return None
    # The old form of a matrix is (1, 1, outputs, inputs), of a convolution (outputs, channels, height, width).
    outputs = (blob.shape[0], blob.shape[-2]) if blob.legacy else blob.shape[:1]
    return lengths if lengths[0] in outputs else None


def mixed_shape(blob: Blob, shape: AnyShape, how: str) -> Optional[Shape]:
    """Return the declared shape of a convolution where only the input channels differ, and `how` is defined for them.

    That is 'mean' between any two numbers, and 'sum' where one of them is 1.
    """
    if shape is None or len(shape) < 3 or len(shape) != len(blob.shape):
        return None
    if shape[1] is None or shape[1] == blob.shape[1]:
        return None
    if how != "mean" and 1 not in (shape[1], blob.shape[1]):
        return None
    return exact_shape(blob._replace(shape=(blob.shape[0], shape[1], *blob.shape[2:])), shape)


def why_not_reshaped(blobs: Sequence[Blob], shapes: Sequence[AnyShape]) -> str:
    """Return why `equal_count_shape` has no shape for one of the blobs of a layer."""
    if len(blobs) != len(shapes):
        return f"as many blobs are needed: {len(shapes)}, not {len(blobs)}"
    blob, shape = next(pair for pair in zip(blobs, shapes) if equal_count_shape(*pair) is None)
    lengths = in_full(shape) if shape is not None else None
    count = math.prod(blob.shape)
    if lengths is not None and math.prod(lengths) != count:
        return f"as many values are needed: {math.prod(lengths):,}, not {count:,}"
    return "as many outputs are needed"


def why_not_mixed(blobs: Sequence[Blob], shapes: Sequence[AnyShape], how: str) -> str:
    """Return why a layer's kernels are not made to have other input channels."""
    if not blobs or not shapes or len(blobs[0].shape) < 3 or len(shapes[0] or ()) < 3:
        return "it is for the kernels of convolutions"
    if how != "mean" and mixed_shape(blobs[0], shapes[0], "mean") is not None:
        return f"from several channels to several only 'mean' is defined, not {how!r}"
    return "more differs than the number of input channels"


def blob_text(shape: AnyShape) -> str:
    """Return '500 x 800', with '?' for a length that is not known; 'scalar' for no axes."""
    if shape is None:
        return "?"
    return " x ".join("?" if length is None else str(length) for length in shape) or "scalar"


def shapes_text(shapes: Sequence[AnyShape]) -> str:
    """Return the shapes of a layer's blobs, '500 x 800, 500'."""
    return ", ".join(map(blob_text, shapes)) or "no blobs"
