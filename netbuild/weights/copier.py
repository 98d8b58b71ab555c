"""Put values into their places in a file, and prove that they arrived.

The bytes go through small buffers: memory does not grow with the models. (Copying inside the kernel, by
copy_file_range or sendfile, was measured no faster: values rarely lie at the same offset within a page.)
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Callable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ..errors import WeightsError
from .entry import Made, Taken
from .model import Span
from .values import fill
from .wire import WireFile

ByteProgress = Callable[[int, int], None]
"""Is called with the number of bytes that have been written and that are to be written in all."""
_CHUNK = 1 << 18
"""Bytes per step, whole values. Buffers are made once: fresh memory costs more than the copying."""
_BATCH = 1 << 24
"""Bytes that one writer writes and sends to the disk, while others go on."""
_WRITERS = 3


class Text(NamedTuple):
    """Bytes at hand, and the offset where they are to stand."""

    at: int
    data: bytes

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)


class Chunk(NamedTuple):
    """A part of a blob's values, and the offset where it is to stand."""

    at: int
    layer: str
    path: str
    span: Span
    item_size: int
    first: int
    """The part's first byte among the span's values."""
    size: int


Piece = Union[Text, Chunk]


def pieces(layer: str, blob: Union[Made, Taken], at: int) -> Iterator[Piece]:
    """Yield what a blob of the layer puts into the file from the offset `at` on."""
    if isinstance(blob, Made):
        yield Text(at, blob.values)
        return
    for span in blob.blob.spans:
        whole = span.size(blob.item_size)
        for first in range(0, whole, _BATCH):
            size = min(_BATCH, whole - first)
            yield Chunk(at + first, layer, blob.path, span, blob.item_size, first, size)
        at += whole


def copy(found: Sequence[Piece], fd: int, progress: Optional[ByteProgress]) -> None:
    """Write all pieces and send them to the disk. What comes out of files is read back and compared.

    Raises WeightsError where a source is shorter than it was, or where the file then holds other values.
    """
    with ExitStack() as stack:
        paths = sorted({piece.path for piece in found if isinstance(piece, Chunk)})
        writer = _Writer(fd, {path: stack.enter_context(WireFile(path)) for path in paths})
        total, done = sum(piece.size for piece in found), 0
        with ThreadPoolExecutor(_WRITERS) as pool:
            for size in pool.map(writer.write, _batches(found)):
                done += size
                if progress is not None:
                    progress(done, total)


def _batches(found: Sequence[Piece]) -> Iterator[List[Piece]]:
    batch: List[Piece] = []
    size = 0
    for piece in found:
        batch.append(piece)
        size += piece.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    yield batch


class _Writer:
    """Writes batches of pieces, several at the same time."""

    def __init__(self, fd: int, sources: Mapping[str, WireFile]) -> None:
        self._fd, self._sources = fd, sources

    def write(self, batch: Sequence[Piece]) -> int:
        """Write a batch, send it to the disk and return its size."""
        buffers = bytearray(_CHUNK), bytearray(_CHUNK)
        for piece in batch:
            if isinstance(piece, Text):
                self._put(memoryview(piece.data), piece.at)
            else:
                self._copy(piece, buffers)
        os.fdatasync(self._fd)
        return sum(piece.size for piece in batch)

    def _put(self, data: memoryview, at: int) -> None:
        while len(data):
            done = os.pwrite(self._fd, data, at)
            data, at = data[done:], at + done

    def _copy(self, part: Chunk, buffers: Tuple[bytearray, bytearray]) -> None:
        """Copy a part and compare it.

        The buffers are equal from end to end before each step, so what lies behind a short chunk never tells them
        apart.
        """
        expected, found = buffers
        for done in range(0, part.size, _CHUNK):
            length, at = min(_CHUNK, part.size - done), part.at + done
            chunk, written = memoryview(expected)[:length], memoryview(found)[:length]
            fill(chunk, self._sources[part.path], part.span, part.item_size, part.first + done)
            self._put(chunk, at)
            if os.preadv(self._fd, [written], at) != length or expected != found:
                raise WeightsError(
                    f"layer {part.layer!r} differs from {part.path!r} after copying; nothing was kept: check the disk"
                )
