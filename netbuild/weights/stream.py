"""Run a plan: stream the branches' blobs into one caffemodel, prove them equal, then give the file its name.

The bytes go through one small buffer: memory does not grow with the models. (Copying inside the kernel, by
copy_file_range or sendfile, was measured no faster: values rarely lie at the same offset within a page.)
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator, List, Mapping, NamedTuple, Optional, Sequence, Union

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
    Blob,
    Shape,
    index,
)
from .plan import Copy, Declared, Plan
from .wire import WireFile, encode_bytes, encode_header, encode_varint

CAFFE_READ_LIMIT = 2**31 - 1
"""Bytes; Caffe's reader (io.cpp) takes no larger file."""
_CHUNK = 1 << 18
"""Bytes per step. Buffers are made once: fresh memory costs more than the copying."""
_SYNC_STEP = 1 << 25
"""Bytes after which the disk is set to work."""


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


def stream(plan: Plan, net_name: str, target: Sequence[Declared], output: PathLike) -> int:
    """Write the planned caffemodel to `output` and return its size in bytes.

    `target` holds the target's layers in order. Those that the plan leaves to their fillers are not written: Caffe
    aborts on a layer entry with fewer blobs than its net has. The written values are read back and compared with
    their sources before the file takes its name; whatever goes wrong, an old `output` stays as it was.
    """
    copies = {copy.target: copy for copy in plan.copies}
    skipped = set(plan.left_to_fillers)
    records = [_record(layer, copies.get(layer.name)) for layer in target if layer.name not in skipped]
    head = encode_bytes(NET_NAME, net_name.encode("utf-8")) if net_name else b""
    size = len(head) + sum(record.size for record in records)
    if size > CAFFE_READ_LIMIT:
        raise WeightsError(
            f"output {os.fspath(output)!r}: would have {size:,} bytes; Caffe reads at most {CAFFE_READ_LIMIT:,}"
        )
    with ExitStack() as stack:
        sources = {path: stack.enter_context(WireFile(path)) for path in sorted({c.path for c in plan.copies})}
        _refuse_input_as_output(output, sources)
        file = stack.enter_context(replacing(output))
        _write_all([_Record("", [head], len(head)), *records], sources, file.fileno())
        _require_as_planned(plan, Path(file.name))
    return size


def _record(layer: Declared, copy: Optional[Copy]) -> _Record:
    body: List[Part] = [layer.definition]
    if copy is not None:
        for blob, shape in zip(copy.blobs, copy.shapes):
            body += _blob_parts(copy.path, blob, shape)
    size = sum(len(part) if isinstance(part, bytes) else part.end - part.start for part in body)
    header = encode_header(NET_LAYER, size)
    return _Record(layer.name, [header, *body], len(header) + size)


def _blob_parts(path: str, blob: Blob, shape: Shape) -> Iterator[Part]:
    """Yield one blob in the current format, whatever the format of its source."""
    dims = encode_bytes(SHAPE_DIM, b"".join(map(encode_varint, shape)))
    values_header = encode_header(BLOB_DOUBLE_DATA if blob.item_size == 8 else BLOB_DATA, blob.byte_size)
    head = encode_bytes(BLOB_SHAPE, dims) + values_header
    yield encode_header(LAYER_BLOBS, len(head) + blob.byte_size) + head
    for start, end in blob.spans:
        yield _Span(path, start, end)


class _Writer:
    """Appends to a file and reads back what it copied: each chunk is compared with its source.

    It works in two buffers that are made once. They are equal from end to end before each step, so what lies behind
    a short chunk never tells them apart.
    """

    def __init__(self, fd: int) -> None:
        self.fd, self.size = fd, 0
        self._read, self._written = bytearray(_CHUNK), bytearray(_CHUNK)

    def append(self, data: Union[bytes, memoryview]) -> None:
        """Append bytes."""
        view = memoryview(data)
        self.size += len(view)
        while len(view):
            view = view[os.write(self.fd, view) :]

    def copy(self, span: _Span, source: WireFile, layer: str) -> None:
        """Append a span of a source; raise WeightsError where the file then does not hold what the source does."""
        for start in range(span.start, span.end, _CHUNK):
            length = min(_CHUNK, span.end - start)
            chunk, written = memoryview(self._read)[:length], memoryview(self._written)[:length]
            source.read_into(chunk, start)
            at = self.size
            self.append(chunk)
            if os.preadv(self.fd, [written], at) != length or self._read != self._written:
                raise WeightsError(
                    f"layer {layer!r} differs from {span.path!r} after copying; nothing was kept: check the disk"
                )


def _write_all(records: Sequence[_Record], sources: Mapping[str, WireFile], fd: int) -> None:
    """Write the records while a second thread sends what is there to the disk: the last fsync finds little to do."""
    writer = _Writer(fd)
    with ThreadPoolExecutor(max_workers=1) as disk:
        sent: List[Future[None]] = []
        for record in records:
            for part in record.parts:
                if isinstance(part, bytes):
                    writer.append(part)
                else:
                    writer.copy(part, sources[part.path], record.layer)
            if writer.size > (len(sent) + 1) * _SYNC_STEP:
                sent.append(disk.submit(os.fdatasync, fd))
        for done in sent:
            done.result()


def _require_as_planned(plan: Plan, written: Path) -> None:
    """Read the written file as anyone would: each planned layer must be there with its shapes."""
    found = {layer.name: tuple(blob.shape for blob in layer.blobs) for layer in index(written).layers}
    for copy in plan.copies:
        if found.get(copy.target) != copy.shapes:
            raise WeightsError(f"layer {copy.target!r} was not written as planned; nothing was kept")


def _refuse_input_as_output(output: PathLike, sources: Mapping[str, WireFile]) -> None:
    for path in sources:
        if Path(output).exists() and Path(output).samefile(path):
            raise WeightsError(f"output {os.fspath(output)!r}: is one of the inputs; name another file")
