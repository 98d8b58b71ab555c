"""What a weight file holds: its blobs, their values in figures, and what looks wrong in them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import some
from ..files import PathLike
from .caffemodel import layer_type
from .index import index, kind_of
from .model import Blob, Model, Shape
from .values import fill
from .wire import WireFile
from .write import CAFFE_READ_LIMIT

_STEP = 1 << 20
"""Bytes looked at in one step, whole values: memory does not grow with the file."""
_KERNELS = ("Convolution", "Deconvolution", "Embed", "InnerProduct", "")
"""Types whose first blob is filled at random and learned; '': the file tells no type."""


@dataclass(frozen=True)
class BlobFigures:
    """One blob and its values; least, greatest and mean of the finite ones, None where there is none."""

    layer: str
    type: str
    """The layer's type, '' where the file does not tell."""
    number: int
    shape: Shape
    values: int
    bytes: int
    min: Optional[float]
    max: Optional[float]
    mean: Optional[float]
    nan: int
    infinite: int


@dataclass(frozen=True)
class WeightReport:
    """All blobs of a file in its order, and a sentence for each thing that is wrong or old."""

    path: str
    format: str
    """'caffemodel' or 'hdf5'."""
    bytes: int
    layers: int
    """Layers with blobs."""
    blobs: Tuple[BlobFigures, ...]
    remarks: Tuple[str, ...]

    @property
    def values(self) -> int:
        """Values of all blobs."""
        return sum(blob.values for blob in self.blobs)


def weight_report(path: PathLike) -> WeightReport:
    """Report on a weight file: its layers, figures of their values, and what looks wrong in them.

    The file is read through once, in constant memory. No Caffe is needed.

    Args:
        path: A caffemodel of any age, or an HDF5 file.

    Returns:
        `blobs` with their figures, and `remarks`, a sentence for each thing that is wrong or old.

    Raises:
        WeightsError: The file cannot be read.

    Examples:
        >>> from netbuild import weight_report
        >>> report = weight_report("odd.caffemodel")
        >>> [(blob.layer, blob.shape) for blob in report.blobs][:2], report.remarks
        ([('conv1', (20, 1, 5, 5)), ('conv1', (20,))], ())
    """
    model = index(path)
    found: List[BlobFigures] = []
    with WireFile(path) as file:
        for layer in model.layers:
            kind = layer_type(file, layer)
            found += [_figures(file, layer.name, kind, number, blob) for number, blob in enumerate(layer.blobs)]
        size = file.size
    remarks = (*_wrong_values(model, found), *_old_or_large(model, size))
    return WeightReport(model.path, kind_of(path), size, len(model.layers), tuple(found), remarks)


def _figures(file: WireFile, layer: str, kind: str, number: int, blob: Blob) -> BlobFigures:
    least, greatest, total, finite_values, nan, infinite = math.inf, -math.inf, 0.0, 0, 0, 0
    for values in _steps(file, blob):
        finite = np.isfinite(values)
        if not finite.all():
            nan += int(np.isnan(values).sum())
            infinite += int(np.isinf(values).sum())
            values = values[finite]
        if values.size:
            least, greatest = min(least, float(values.min())), max(greatest, float(values.max()))
            with np.errstate(over="ignore", invalid="ignore"):  # sums of the largest doubles
                total += float(values.sum(dtype=np.float64))
            finite_values += values.size
    some = finite_values > 0
    return BlobFigures(
        layer=layer,
        type=kind,
        number=number,
        shape=blob.shape,
        values=blob.byte_size // blob.item_size,
        bytes=blob.byte_size,
        min=least if some else None,
        max=greatest if some else None,
        mean=total / finite_values if some and math.isfinite(total) else None,
        nan=nan,
        infinite=infinite,
    )


def _steps(file: WireFile, blob: Blob) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
    sizes = [span.size(blob.item_size) for span in blob.spans]
    buffer = bytearray(min(_STEP, max(sizes, default=0)))
    for span, size in zip(blob.spans, sizes):
        for at in range(0, size, _STEP):
            chunk = memoryview(buffer)[: min(_STEP, size - at)]
            fill(chunk, file, span, blob.item_size, at)
            yield np.frombuffer(chunk, dtype=f"<f{blob.item_size}")


def _wrong_values(model: Model, blobs: Sequence[BlobFigures]) -> Iterator[str]:
    broken = [blob for blob in blobs if blob.nan or blob.infinite]
    if broken:
        nan, infinite = sum(blob.nan for blob in broken), sum(blob.infinite for blob in broken)
        yield (
            f"not finite: {nan:,} values are NaN and {infinite:,} infinite in {_layers(broken)}: the training diverged "
            "or the file is damaged, and a net with them computes nothing; take an earlier snapshot or another copy"
        )
    dead = list(_zero_factors(model, blobs))
    surely, perhaps = ([blob for blob in dead if bool(blob.type) is told] for told in (True, False))
    if surely:
        yield (
            f"BatchNorm with factor 0: {_layers(surely)}: never trained or never loaded; Caffe takes mean and variance "
            "for 0, and the output is 300 times too large"
        )
    if perhaps:
        yield (
            f"blobs like a BatchNorm's, with factor 0: {_layers(perhaps)}: the file tells no type; if this is a "
            "BatchNorm, it was never trained or never loaded"
        )
    flat = [blob for blob in blobs if _is_flat_kernel(blob)]
    if flat:
        yield (
            f"weights that are all alike: {_layers(flat)}: never trained, or made without a weight_filler (Caffe then "
            "fills them with 0)"
        )
    doubled = [name for name, count in Counter(layer.name for layer in model.layers).items() if count > 1]
    if doubled:
        yield f"several layers of one name: {some(doubled)}: Caffe loads each into the first such layer of a net"
    if not model.layers:
        yield "no layer has blobs: a net without its weights"


def _zero_factors(model: Model, blobs: Sequence[BlobFigures]) -> Iterator[BlobFigures]:
    """Yield the third blob, 0, of each BatchNorm; one without a type is told by its blobs (C), (C) and (1)."""
    at = 0
    for layer in model.layers:
        own = blobs[at : at + len(layer.blobs)]
        at += len(own)
        if len(own) != 3 or own[2].values != 1 or not own[2].min == own[2].max == 0:
            continue
        if own[0].type == "BatchNorm" or (not own[0].type and own[0].shape == own[1].shape == (own[0].values,)):
            yield own[2]


def _is_flat_kernel(blob: BlobFigures) -> bool:
    """Tell whether the weights of a layer that learns are one value; its biases, of one axis, may well be."""
    axes = sum(length > 1 for length in blob.shape)
    alike = blob.min is not None and blob.min == blob.max and not (blob.nan or blob.infinite)
    return blob.type in _KERNELS and blob.number == 0 and axes > 1 and alike


def _layers(blobs: Sequence[BlobFigures]) -> str:
    names: Dict[str, None] = dict.fromkeys(blob.layer for blob in blobs)
    return some(list(names))


def _old_or_large(model: Model, size: int) -> Iterator[str]:
    stored = [blob for layer in model.layers for blob in layer.blobs]
    signs = {
        "layers of before 2015": any(layer.definition.v1 for layer in model.layers),
        "shapes of four numbers": any(blob.legacy for blob in stored),
        "values that are not packed": any(span.gap for blob in stored for span in blob.spans),
    }
    if any(signs.values()):
        old = ", ".join(sign for sign, seen in signs.items() if seen)
        yield f"an old format ({old}): 'netbuild convert' brings the file up to date"
    doubles = [layer.name for layer in model.layers if any(blob.item_size == 8 for blob in layer.blobs)]
    if doubles:
        yield f"doubles: {some(doubles)}: Caffe rounds them to floats as it loads them, unless it computes with doubles"
    if size > CAFFE_READ_LIMIT and any(layer.definition.ranges for layer in model.layers):
        slashed = any("/" in layer.name for layer in model.layers)
        way = (
            "'netbuild fuse --split' writes a file for each branch"
            if slashed
            else "'netbuild convert' makes HDF5 of it"
        )
        yield f"Caffe reads at most {CAFFE_READ_LIMIT:,} bytes of a caffemodel: {way}"
