"""Put values into their places in a file, and prove that they arrived.

The bytes go through small buffers: memory does not grow with the models. (Copying inside the kernel, by
copy_file_range or sendfile, was measured no faster: values rarely lie at the same offset within a page.)
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple

from ..errors import WeightsError
from ..files import Progress
from .places import BATCH, Placed, PlacedBytes, PlacedValues
from .values import fill
from .wire import WireFile

_CHUNK = 1 << 18
"""Bytes per step, whole values. Buffers are made once: fresh memory costs more than the copying."""
_WRITERS = 3


def copy(parts: Sequence[Placed], fd: int, progress: Optional[Progress]) -> None:
    """Write all parts and send them to the disk. What comes out of files is read back and compared.

    Raises WeightsError where a source is shorter than it was, or where the file then holds other values.
    """
    with ExitStack() as stack:
        paths = sorted({part.path for part in parts if isinstance(part, PlacedValues)})
        writer = _Writer(fd, {path: stack.enter_context(WireFile(path)) for path in paths})
        total, done = sum(part.size for part in parts), 0
        with ThreadPoolExecutor(_WRITERS) as pool:
            for size in pool.map(writer.write, _batches(parts)):
                done += size
                if progress is not None:
                    progress(done, total)


def _batches(parts: Sequence[Placed]) -> Iterator[List[Placed]]:
    batch: List[Placed] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += part.size
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch


class _Writer:
    """Writes batches of parts, several at the same time."""

    def __init__(self, fd: int, sources: Mapping[str, WireFile]) -> None:
        self._fd, self._sources = fd, sources

    def write(self, batch: Sequence[Placed]) -> int:
        """Write a batch, send it to the disk and return its size."""
        buffers = bytearray(_CHUNK), bytearray(_CHUNK)
        for part in batch:
            if isinstance(part, PlacedBytes):
                self._put(memoryview(part.data), part.at)
            else:
                self._copy(part, buffers)
        os.fdatasync(self._fd)
        return sum(part.size for part in batch)

    def _put(self, data: memoryview, at: int) -> None:
        while len(data):
            done = os.pwrite(self._fd, data, at)
            data, at = data[done:], at + done

    def _copy(self, part: PlacedValues, buffers: Tuple[bytearray, bytearray]) -> None:
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
