"""What a weight file holds: its blobs, their values in figures, and what looks wrong in them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple

import numpy as np

from ..errors import some
from ..files import PathLike
from .caffemodel import layer_type
from .index import index, kind_of
from .model import Blob, Layer, Model, Shape
from .values import fill, read_floats
from .wire import WireFile
from .write import CAFFE_READ_LIMIT

_STEP = 1 << 20
"""Bytes looked at in one step, whole values: memory does not grow with the file."""


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
    """Read a weight file through once, in constant memory, and report on it. No Caffe is needed."""
    model = index(path)
    found: List[BlobFigures] = []
    dead: List[str] = []
    with WireFile(path) as file:
        for layer in model.layers:
            kind = layer_type(file, layer)
            found += [_figures(file, layer.name, kind, number, blob) for number, blob in enumerate(layer.blobs)]
            if _is_batch_norm(layer, kind) and not any(read_floats(file, layer.blobs[2])):
                dead.append(layer.name)
        size = file.size
    remarks = tuple(_remarks(model, found, dead, size))
    return WeightReport(model.path, kind_of(path), size, len(model.layers), tuple(found), remarks)


def _is_batch_norm(layer: Layer, kind: str) -> bool:
    """Tell a BatchNorm by its type, or where a file tells none by its blobs: (C), (C) and a factor."""
    shapes = [blob.shape for blob in layer.blobs]
    return (
        len(shapes) == 3
        and math.prod(shapes[2]) == 1
        and (kind == "BatchNorm" or (not kind and shapes[0] == shapes[1]))
    )


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
            with np.errstate(over="ignore"):
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
    buffer = bytearray(_STEP)
    for span in blob.spans:
        size = span.size(blob.item_size)
        for at in range(0, size, _STEP):
            chunk = memoryview(buffer)[: min(_STEP, size - at)]
            fill(chunk, file, span, blob.item_size, at)
            yield np.frombuffer(chunk, dtype=f"<f{blob.item_size}")


def _remarks(model: Model, blobs: List[BlobFigures], dead: List[str], size: int) -> Iterator[str]:
    for blob in blobs:
        if blob.nan or blob.infinite:
            yield (
                f"layer {blob.layer!r}, blob {blob.number}: {blob.nan} values are NaN and {blob.infinite} infinite, of "
                f"{blob.values}: its training diverged, or the file is damaged; a net with it computes nothing"
            )
    if dead:
        yield (
            f"BatchNorm with factor 0: {some(dead)}: never trained or never loaded; Caffe takes mean and variance for "
            "0, and the output is 300 times too large"
        )
    doubled = [name for name, count in Counter(layer.name for layer in model.layers).items() if count > 1]
    if doubled:
        yield f"several layers of one name: {some(doubled)}: Caffe loads each into the first such layer of a net"
    if any(layer.definition.v1 or any(blob.legacy for blob in layer.blobs) for layer in model.layers):
        yield "layers or shapes of before 2015: 'netbuild convert' brings them up to date"
    if size > CAFFE_READ_LIMIT and any(layer.definition.ranges for layer in model.layers):
        slashed = any("/" in layer.name for layer in model.layers)
        way = (
            "'netbuild fuse --split' writes a file for each branch"
            if slashed
            else "'netbuild convert' makes HDF5 of it"
        )
        yield f"Caffe reads at most {CAFFE_READ_LIMIT:,} bytes of a caffemodel: {way}"
