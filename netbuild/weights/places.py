"""Bytes and where they are to stand in a file: what a format makes of the entries, and what the copier writes."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Union

from .entry import NewBlob, OutputBlob
from .model import Span

BATCH = 1 << 24
"""Bytes that one writer writes and sends to the disk, while others go on."""


class PlacedBytes(NamedTuple):
    """Bytes in memory, and the offset where they are to stand."""

    at: int
    data: bytes

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)


class PlacedValues(NamedTuple):
    """A part of a blob's values in another file, and the offset where it is to stand."""

    at: int
    layer: str
    path: str
    span: Span
    item_size: int
    first: int
    """The part's first byte among the span's values."""
    size: int


Placed = Union[PlacedBytes, PlacedValues]


def placed(layer: str, blob: OutputBlob, at: int) -> Iterator[Placed]:
    """Yield the values of a layer's blob in parts of at most a batch, placed from the offset `at` on."""
    if isinstance(blob, NewBlob):
        yield PlacedBytes(at, blob.values)
        return
    for span in blob.blob.spans:
        whole = span.size(blob.item_size)
        for first in range(0, whole, BATCH):
            size = min(BATCH, whole - first)
            yield PlacedValues(at + first, layer, blob.path, span, blob.item_size, first, size)
        at += whole
