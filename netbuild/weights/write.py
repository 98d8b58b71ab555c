"""Write a weight file: a caffemodel or HDF5, as its name says.

Whatever goes wrong, an old file stays as it was, and the new one takes its name only when it is whole, compared with
its sources and on the disk.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import IO, Callable, List, Optional, Sequence

from ..errors import NetbuildWarning, WeightsError
from ..files import PathLike, replacing
from .caffemodel import BLOB_DATA, BLOB_DOUBLE_DATA, BLOB_SHAPE, LAYER_BLOBS, NET_LAYER, SHAPE_DIM
from .copier import ByteProgress, Piece, Text, copy, pieces
from .entry import Entry
from .hdf5 import allocate
from .model import Shape
from .wire import encode_bytes, encode_header, encode_varint

CAFFE_READ_LIMIT = 2**31 - 1
"""Bytes; Caffe's reader (io.cpp) takes no larger caffemodel."""
HDF5_SUFFIXES = (".h5", ".hdf5")
_SUFFIXES = (".caffemodel", *HDF5_SUFFIXES)


def is_hdf5(path: PathLike) -> bool:
    """Tell whether a file of this name is to be HDF5."""
    return os.fspath(path).endswith(HDF5_SUFFIXES)


def require_suffix(path: PathLike) -> None:
    """Raise WeightsError for an output whose ending stands for no format; one without an ending is a caffemodel."""
    suffix = Path(path).suffix
    if suffix not in ("", *_SUFFIXES):
        raise WeightsError(
            f"output {os.fspath(path)!r}: {suffix!r} is no ending of a weight file; known are {', '.join(_SUFFIXES)}"
        )


def require_writable(found: Sequence[Entry], output: PathLike, *, net: bytes = b"", over_2gb: bool = False) -> None:
    """Raise WeightsError where the format that `output` is to have does not take the entries.

    A caffemodel larger than Caffe reads is taken with `over_2gb` only, and then with a NetbuildWarning.
    """
    what = f"output {os.fspath(output)!r}"
    require_suffix(output)
    if is_hdf5(output):
        _require_names(found, what)
        return
    size = _whole(found, net)
    if size <= CAFFE_READ_LIMIT:
        return
    told = f"{what}: has {size:,} bytes; Caffe reads at most {CAFFE_READ_LIMIT:,} of a caffemodel"
    if over_2gb:
        warnings.warn(told, NetbuildWarning, stacklevel=2)
    else:
        raise WeightsError(
            f"{told}; write HDF5 (a name that ends in .h5), or one file for each branch (fuse --split), or for other "
            "readers --over-2gb"
        )


def _require_names(found: Sequence[Entry], what: str) -> None:
    """Raise WeightsError for names that Caffe does not find in HDF5.

    Saving a name with `/` it aborts, and loading a file that has one it passes over it in silence.
    """
    names = [entry.name for entry in found if entry.blobs]
    nested = [name for name in names if "/" in name or name in ("", ".", "..")]
    if nested:
        raise WeightsError(
            f"{what}: Caffe finds no layer with '/' in its name in HDF5, and here are {len(nested)} (first "
            f"{nested[0]!r}); write a .caffemodel, or emit the net with a prefix such as 'odd_'"
        )
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise WeightsError(
            f"{what}: HDF5 has one place for a name, and several layers are called {doubled[0]!r}; write a "
            ".caffemodel, or rename them in their net"
        )


def write_model(
    found: Sequence[Entry],
    output: PathLike,
    *,
    net: bytes = b"",
    over_2gb: bool = False,
    seal: Callable[[int], object] = lambda _: None,
    progress: Optional[ByteProgress] = None,
) -> int:
    """Write the entries to `output` and return the file's size in bytes.

    `net` holds serialised fields of the NetParameter itself, its name above all. `seal` is called with the size when
    all is written, before the file takes its name: what it raises leaves an old file as it was.
    """
    require_writable(found, output, net=net, over_2gb=over_2gb)
    with replacing(output) as file:
        size = write_into(file, found, hdf5=is_hdf5(output), net=net, progress=progress)
        seal(size)
    return size


def write_into(
    file: IO[bytes], found: Sequence[Entry], *, hdf5: bool, net: bytes = b"", progress: Optional[ByteProgress] = None
) -> int:
    """Write entries for which `require_writable` holds into an empty file, as `write_model` does; return its size."""
    planned = _hdf5(found, file.name) if hdf5 else _caffemodel(found, net)
    copy(planned, file.fileno(), progress)
    return os.fstat(file.fileno()).st_size


def _hdf5(found: Sequence[Entry], path: str) -> List[Piece]:
    """Make the file's structure and return the values that are to go into it."""
    blobs = {(entry.name, number): blob for entry in found for number, blob in enumerate(entry.blobs)}
    offsets = allocate(path, {key: (blob.shape, blob.item_size) for key, blob in blobs.items()})
    return [piece for key, blob in blobs.items() for piece in pieces(key[0], blob, offsets[key])]


def _caffemodel(found: Sequence[Entry], net: bytes) -> List[Piece]:
    planned: List[Piece] = [Text(0, net)]
    at = len(net)
    for entry in found:
        planned += _layer(entry, at)
        at += _size(entry)
    return planned


def _whole(found: Sequence[Entry], net: bytes) -> int:
    return len(net) + sum(_size(entry) for entry in found)


def _layer(entry: Entry, at: int) -> List[Piece]:
    """Return the pieces of a layer's entry in a caffemodel, which begins at the offset `at`."""
    planned: List[Piece] = []
    text = encode_header(NET_LAYER, _body_size(entry)) + entry.definition
    for blob in entry.blobs:
        text += _blob_head(blob.shape, blob.item_size, blob.byte_size)
        planned.append(Text(at, text))
        at += len(text)
        planned += pieces(entry.name, blob, at)
        at, text = at + blob.byte_size, b""
    return [*planned, Text(at, text)] if text else planned


def _size(entry: Entry) -> int:
    body = _body_size(entry)
    return len(encode_header(NET_LAYER, body)) + body


def _body_size(entry: Entry) -> int:
    sizes = [(blob.shape, blob.item_size, blob.byte_size) for blob in entry.blobs]
    return len(entry.definition) + sum(len(_blob_head(*size)) + size[2] for size in sizes)


@lru_cache(maxsize=1024)
def _blob_head(shape: Shape, item_size: int, byte_size: int) -> bytes:
    """Return what stands before a blob's values in the current format; a net has the same few again and again."""
    dims = encode_bytes(SHAPE_DIM, b"".join(map(encode_varint, shape)))
    values_field = BLOB_DOUBLE_DATA if item_size == 8 else BLOB_DATA
    head = encode_bytes(BLOB_SHAPE, dims) + encode_header(values_field, byte_size)
    return encode_header(LAYER_BLOBS, len(head) + byte_size) + head
