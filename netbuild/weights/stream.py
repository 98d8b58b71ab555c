"""Run a plan: stream the branches' blobs into one caffemodel, prove them equal, then give the file its name.

The bytes go through small buffers: memory does not grow with the models. (Copying inside the kernel, by
copy_file_range or sendfile, was measured no faster: values rarely lie at the same offset within a page.)
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ..errors import WeightsError
from ..files import PathLike, replacing
from .caffemodel import (
    BLOB_DATA,
    BLOB_DOUBLE_DATA,
    BLOB_SHAPE,
    LAYER_BLOBS,
    NET_LAYER,
    NET_NAME,
    SHAPE_DIM,
)
from .head import Values
from .model import Shape
from .plan import Copy, Declared, Plan
from .wire import WireFile, encode_bytes, encode_header, encode_varint

CAFFE_READ_LIMIT = 2**31 - 1
"""Bytes; Caffe's reader (io.cpp) takes no larger file."""
_CHUNK = 1 << 18
"""Bytes per step. Buffers are made once: fresh memory costs more than the copying."""
_BATCH = 1 << 24
"""Bytes that one writer writes and sends to the disk, while others go on."""
_WRITERS = 3


class _Span(NamedTuple):
    """A range of a source file that is to be copied."""

    path: str
    start: int
    end: int


Part = Union[bytes, _Span]


class _Record(NamedTuple):
    """One layer entry of the output, in parts."""

    layer: str
    parts: Sequence[Part]
    size: int


def stream(
    plan: Plan,
    net_name: str,
    target: Sequence[Declared],
    output: PathLike,
    made: Mapping[str, Sequence[Values]] = {},
) -> int:
    """Write the planned caffemodel to `output` and return its size in bytes.

    `made` gives the values of layers that are not copied, by name. `target` holds the target's layers in order. Those
    that the plan leaves to their fillers, or to layers that they share with, are not written: Caffe aborts on a layer
    entry with fewer blobs than its net has. The written values are read back and compared with their sources before the
    file takes its name; whatever goes wrong, an old `output` stays as it was.
    """
    copies = {copy.target: copy for copy in plan.copies}
    skipped = {*plan.left_to_fillers, *plan.shared} - set(made)
    records = [
        _record(layer, copies.get(layer.name), made.get(layer.name, ()))
        for layer in target
        if layer.name not in skipped
    ]
    head = encode_bytes(NET_NAME, net_name.encode("utf-8")) if net_name else b""
    size = len(head) + sum(record.size for record in records)
    if size > CAFFE_READ_LIMIT:
        raise WeightsError(
            f"output {os.fspath(output)!r}: would have {size:,} bytes; Caffe reads at most {CAFFE_READ_LIMIT:,}"
        )
    with ExitStack() as stack:
        sources = {path: stack.enter_context(WireFile(path)) for path in sorted({c.path for c in plan.copies})}
        file = stack.enter_context(replacing(output))
        writer = _Writer(file.fileno(), sources)
        with ThreadPoolExecutor(_WRITERS) as pool:
            for _ in pool.map(writer.write, _batches([_Record("", [head], len(head)), *records])):
                pass
    return size


def _record(layer: Declared, copy: Optional[Copy], made: Sequence[Values]) -> _Record:
    body: List[Part] = [layer.definition]
    if copy is not None:
        for blob, shape in zip(copy.blobs, copy.shapes):
            head = _blob_head(shape, BLOB_DOUBLE_DATA if blob.item_size == 8 else BLOB_DATA, blob.byte_size)
            body += [head, *(_Span(copy.path, start, end) for start, end in blob.spans)]
    for shape, values in made:
        body += [_blob_head(shape, BLOB_DATA, len(values)), values]
    size = sum(len(part) if isinstance(part, bytes) else part.end - part.start for part in body)
    header = encode_header(NET_LAYER, size)
    return _Record(layer.name, [header, *body], len(header) + size)


def _blob_head(shape: Shape, values_field: int, size: int) -> bytes:
    """Return what stands before a blob's values in the current format, whatever the format of their source."""
    dims = encode_bytes(SHAPE_DIM, b"".join(map(encode_varint, shape)))
    head = encode_bytes(BLOB_SHAPE, dims) + encode_header(values_field, size)
    return encode_header(LAYER_BLOBS, len(head) + size) + head


def _batches(records: Sequence[_Record]) -> Iterator[Tuple[int, List[_Record]]]:
    """Split the records into runs of some size, each with the offset at which it begins."""
    start = size = 0
    batch: List[_Record] = []
    for record in records:
        batch.append(record)
        size += record.size
        if size > _BATCH:
            yield start, batch
            start, size, batch = start + size, 0, []
    yield start, batch


class _Writer:
    """Writes records to a file and reads back what it copied: each chunk is compared with its source."""

    def __init__(self, fd: int, sources: Mapping[str, WireFile]) -> None:
        self._fd, self._sources = fd, sources

    def write(self, batch: Tuple[int, Sequence[_Record]]) -> None:
        """Write a batch and send it to the disk. Batches may be written at the same time."""
        at, records = batch
        buffers = bytearray(_CHUNK), bytearray(_CHUNK)
        for record in records:
            for part in record.parts:
                if isinstance(part, bytes):
                    self._put(memoryview(part), at)
                    at += len(part)
                else:
                    self._copy(part, at, record.layer, buffers)
                    at += part.end - part.start
        os.fdatasync(self._fd)

    def _put(self, data: memoryview, at: int) -> None:
        while len(data):
            done = os.pwrite(self._fd, data, at)
            data, at = data[done:], at + done

    def _copy(self, span: _Span, at: int, layer: str, buffers: Tuple[bytearray, bytearray]) -> None:
        """Copy a span to the offset `at`; raise WeightsError where the file then holds other values.

        The buffers are equal from end to end before each step, so what lies behind a short chunk never tells them
        apart.
        """
        expected, found = buffers
        for start in range(span.start, span.end, _CHUNK):
            length = min(_CHUNK, span.end - start)
            chunk, written = memoryview(expected)[:length], memoryview(found)[:length]
            self._sources[span.path].read_into(chunk, start)
            self._put(chunk, at)
            if os.preadv(self._fd, [written], at) != length or expected != found:
                raise WeightsError(
                    f"layer {layer!r} differs from {span.path!r} after copying; nothing was kept: check the disk"
                )
            at += length
