"""The values of a blob in figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Iterator, Optional

import numpy as np

from .model import Blob, Shape
from .values import fill
from .wire import WireFile

_STEP = 1 << 20
"""Bytes looked at in one step, whole values: memory does not grow with the file."""


@dataclass(frozen=True)
class BlobFigures:
    """One blob and its values; least, greatest and mean of the finite ones, None where there is none."""

    layer: str
    type: str
    """The layer's type, '' where the file does not say."""
    number: int
    shape: Shape
    values: int
    bytes: int
    min: Optional[float]
    max: Optional[float]
    mean: Optional[float]
    nan: int
    infinite: int

    @property
    def is_finite(self) -> bool:
        """Whether all values are finite."""
        return not (self.nan or self.infinite)


def blob_figures(file: WireFile, blob: Blob, *, layer: str, kind: str, number: int) -> BlobFigures:
    """Read the values of a layer's blob through once; `kind` is the layer's type, `number` the blob's among its own."""
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
    mean = total / finite_values if finite_values else math.nan
    return BlobFigures(
        layer=layer,
        type=kind,
        number=number,
        shape=blob.shape,
        values=blob.byte_size // blob.item_size,
        bytes=blob.byte_size,
        min=least if finite_values else None,
        max=greatest if finite_values else None,
        mean=mean if math.isfinite(mean) else None,
        nan=nan,
        infinite=infinite,
    )


def _steps(file: WireFile, blob: Blob) -> Iterator[np.ndarray[Any, Any]]:
    sizes = [span.size(blob.item_size) for span in blob.spans]
    buffer = bytearray(min(_STEP, max(sizes, default=0)))
    for span, size in zip(blob.spans, sizes):
        for at in range(0, size, _STEP):
            chunk = memoryview(buffer)[: min(_STEP, size - at)]
            fill(chunk, file, span, blob.item_size, at)
            yield np.frombuffer(chunk, dtype=f"<f{blob.item_size}")
