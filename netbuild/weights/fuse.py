"""Run a plan: stream the branches' blobs into one caffemodel, prove them equal, then give the file its name.

The bytes go from file to file inside the kernel where it can; memory does not grow with the models.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

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
_CHUNK = 1 << 20


def fuse(plan: Plan, net_name: str, target: Sequence[Declared], output: PathLike) -> int:
    """Write the planned caffemodel to `output` and return its size in bytes.

    `target` holds the target's layers in order. Those that the plan leaves to their fillers are not written:
    Caffe aborts on a layer entry with fewer blobs than its net has. The written values are read back and compared
    with their sources before the file takes its name; whatever goes wrong, an old `output` stays as it was.
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
        with replacing(output) as file:
            file.write(head)
            for record in records:
                _write(record, sources, file)
            file.flush()
            _prove_equal(plan, sources, Path(file.name))
    return size


Part = Union[bytes, Tuple[str, int, int]]
"""Bytes to write, or the range (path, start, end) of a file to copy."""


class _Record(NamedTuple):
    """One layer entry of the output, in parts."""

    parts: Sequence[Part]
    size: int


def _record(layer: Declared, copy: Optional[Copy]) -> _Record:
    body: List[Part] = [layer.definition]
    if copy is not None:
        for blob, shape in zip(copy.blobs, copy.shapes):
            body += _blob_parts(copy.path, blob, shape)
    size = sum(map(_part_size, body))
    header = encode_header(NET_LAYER, size)
    return _Record([header, *body], len(header) + size)


def _blob_parts(path: str, blob: Blob, shape: Shape) -> Iterator[Part]:
    """Yield one blob in the current format, whatever the format of its source."""
    dims = encode_bytes(SHAPE_DIM, b"".join(map(encode_varint, shape)))
    values_header = encode_header(BLOB_DOUBLE_DATA if blob.item_size == 8 else BLOB_DATA, blob.byte_size)
    head = encode_bytes(BLOB_SHAPE, dims) + values_header
    yield encode_header(LAYER_BLOBS, len(head) + blob.byte_size) + head
    for start, end in blob.spans:
        yield path, start, end


def _part_size(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part[2] - part[1]


def _write(record: _Record, sources: Dict[str, WireFile], file: IO[bytes]) -> None:
    for part in record.parts:
        if isinstance(part, bytes):
            file.write(part)
            continue
        path, start, end = part
        file.flush()
        copy_range(sources[path], file.fileno(), start, end)


def copy_range(source: WireFile, target: int, start: int, end: int) -> None:
    """Append the bytes [start, end) of `source` to the file descriptor `target`."""
    while start < end:
        try:
            done = os.sendfile(target, source.fd, start, end - start)
        except (AttributeError, OSError):
            # Not every system sends from file to file; a real fault (a full disk) shows here again.
            done = os.write(target, source.pread(start, min(_CHUNK, end - start)))
        if not done:
            raise WeightsError(f"weights {str(source.path)!r}: ends at byte {start} while being copied")
        start += done


def _prove_equal(plan: Plan, sources: Dict[str, WireFile], written: Path) -> None:
    """Read the written file back through the reader and compare every value with its source."""
    found = {layer.name: layer for layer in index(written).layers}
    with WireFile(written) as result:
        for copy in plan.copies:
            layer = found.get(copy.target)
            blobs = layer.blobs if layer else ()
            if tuple(blob.shape for blob in blobs) != copy.shapes:
                raise WeightsError(f"layer {copy.target!r} was not written as planned; nothing was kept")
            for old, new in zip(copy.blobs, blobs):
                _same_values(sources[copy.path], old, result, new, copy.target)


def _same_values(source: WireFile, old: Blob, result: WireFile, new: Blob, layer: str) -> None:
    at = new.spans[0][0] if new.spans else 0
    for start, end in old.spans:
        for offset in range(start, end, _CHUNK):
            length = min(_CHUNK, end - offset)
            if source.pread(offset, length) != result.pread(at, length):
                raise WeightsError(
                    f"layer {layer!r} differs from {str(source.path)!r} after copying; nothing was kept: "
                    "check the disk, or whether something writes to the source"
                )
            at += length


def _refuse_input_as_output(output: PathLike, sources: Dict[str, WireFile]) -> None:
    for path in sources:
        if Path(output).exists() and Path(output).samefile(path):
            raise WeightsError(f"output {os.fspath(output)!r}: is one of the inputs; name another file")
