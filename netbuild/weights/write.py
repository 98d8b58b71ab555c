"""Write a weight file: a caffemodel or HDF5, as its name says.

Whatever goes wrong, an old file stays as it was, and the new one takes its name only when it is whole, compared with
its sources and on the disk.
"""

from __future__ import annotations

import os
from typing import Callable, List, Optional, Sequence, Union

from ..errors import WeightsError
from ..files import PathLike, replacing
from .caffemodel import BLOB_DATA, BLOB_DOUBLE_DATA, BLOB_SHAPE, LAYER_BLOBS, NET_LAYER, SHAPE_DIM
from .copier import Piece, Progress, Text, copy, pieces
from .entry import Entry, Made, Taken
from .hdf5 import allocate
from .wire import encode_bytes, encode_header, encode_varint

CAFFE_READ_LIMIT = 2**31 - 1
"""Bytes; Caffe's reader (io.cpp) takes no larger caffemodel."""
HDF5_SUFFIXES = (".h5", ".hdf5")


def is_hdf5(path: PathLike) -> bool:
    """Tell whether a file of this name is to be HDF5 (Caffe's own reader looks for .h5)."""
    return os.fspath(path).endswith(HDF5_SUFFIXES)


def write_model(
    found: Sequence[Entry],
    output: PathLike,
    *,
    net: bytes = b"",
    over_2gb: bool = False,
    seal: Callable[[], object] = lambda: None,
    progress: Optional[Progress] = None,
) -> int:
    """Write the entries to `output` and return the file's size in bytes.

    `net` holds serialised fields of the NetParameter itself, its name above all. A caffemodel that is too large for
    Caffe is written only with `over_2gb`. `seal` is called when all is written, before the file takes its name: what it
    raises leaves an old file as it was.
    """
    if is_hdf5(output):
        return _write_hdf5(found, output, seal, progress)
    size = len(net) + sum(_size(entry) for entry in found)
    if size > CAFFE_READ_LIMIT and not over_2gb:
        raise WeightsError(
            f"output {os.fspath(output)!r}: would have {size:,} bytes; Caffe reads at most {CAFFE_READ_LIMIT:,} of a "
            "caffemodel; write HDF5 (a name that ends in .h5), or one file for each branch (fuse --split), or "
            "for other readers --over-2gb"
        )
    at = len(net)
    planned: List[Piece] = [Text(0, net)]
    for entry in found:
        planned += _layer(entry, at)
        at += _size(entry)
    with replacing(output) as file:
        copy(planned, file.fileno(), progress)
        seal()
    return size


def _write_hdf5(
    found: Sequence[Entry], output: PathLike, seal: Callable[[], object], progress: Optional[Progress]
) -> int:
    names = [entry.name for entry in found if entry.blobs]
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise WeightsError(
            f"output {os.fspath(output)!r}: HDF5 has one place for a name, and several layers are called {doubled!r}; "
            "write a .caffemodel, or rename them in their net"
        )
    with replacing(output) as file:
        blobs = {(entry.name, number): blob for entry in found for number, blob in enumerate(entry.blobs)}
        room = {key: (blob.shape, blob.item_size) for key, blob in blobs.items()}
        offsets = allocate(file.name, room, os.fspath(output))
        planned = [piece for key, blob in blobs.items() for piece in pieces(key[0], blob, offsets[key])]
        copy(planned, file.fileno(), progress)
        seal()
        return os.fstat(file.fileno()).st_size


def _layer(entry: Entry, at: int) -> List[Piece]:
    """Return the pieces of a layer's entry in a caffemodel, which begins at the offset `at`."""
    planned: List[Piece] = []
    text = encode_header(NET_LAYER, _body_size(entry)) + entry.definition
    for blob in entry.blobs:
        text += _blob_head(blob)
        planned.append(Text(at, text))
        at += len(text)
        planned += pieces(entry.name, blob, at)
        at, text = at + blob.byte_size, b""
    return [*planned, Text(at, text)] if text else planned


def _size(entry: Entry) -> int:
    body = _body_size(entry)
    return len(encode_header(NET_LAYER, body)) + body


def _body_size(entry: Entry) -> int:
    return len(entry.definition) + sum(len(_blob_head(blob)) + blob.byte_size for blob in entry.blobs)


def _blob_head(blob: Union[Made, Taken]) -> bytes:
    """Return what stands before a blob's values in the current format, whatever the format of their source."""
    dims = encode_bytes(SHAPE_DIM, b"".join(map(encode_varint, blob.shape)))
    values_field = BLOB_DOUBLE_DATA if blob.item_size == 8 else BLOB_DATA
    head = encode_bytes(BLOB_SHAPE, dims) + encode_header(values_field, blob.byte_size)
    return encode_header(LAYER_BLOBS, len(head) + blob.byte_size) + head
