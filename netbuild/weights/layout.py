"""What stands where in a new caffemodel: layers in the current format, values packed, nothing twice."""

from __future__ import annotations

from functools import lru_cache
from typing import List, Sequence

from .caffemodel import BLOB_DATA, BLOB_DOUBLE_DATA, BLOB_SHAPE, LAYER_BLOBS, NET_LAYER, SHAPE_DIM
from .entry import Entry
from .model import Shape
from .places import Placed, PlacedBytes, placed
from .wire import encode_bytes, encode_header, encode_varint


def caffemodel_size(entries: Sequence[Entry], net: bytes) -> int:
    """Return the number of bytes that a caffemodel of these entries has."""
    return len(net) + sum(map(_size, entries))


def lay_out_caffemodel(_path: str, entries: Sequence[Entry], net: bytes) -> List[Placed]:
    """Return all bytes of a caffemodel: the fields `net` of the net itself, then the layers."""
    parts: List[Placed] = [PlacedBytes(0, net)]
    at = len(net)
    for entry in entries:
        parts += _layer_parts(entry, at)
        at += _size(entry)
    return parts


def _layer_parts(entry: Entry, at: int) -> List[Placed]:
    """Return the parts of a layer that begins at the offset `at`."""
    parts: List[Placed] = []
    front = encode_header(NET_LAYER, _body_size(entry)) + entry.definition
    for blob in entry.blobs:
        front += _blob_head(blob.shape, blob.item_size, blob.byte_size)
        parts.append(PlacedBytes(at, front))
        at += len(front)
        parts += placed(entry.name, blob, at)
        at, front = at + blob.byte_size, b""
    return [*parts, PlacedBytes(at, front)] if front else parts


def _size(entry: Entry) -> int:
    body = _body_size(entry)
    return len(encode_header(NET_LAYER, body)) + body


def _body_size(entry: Entry) -> int:
    sizes = [(blob.shape, blob.item_size, blob.byte_size) for blob in entry.blobs]
    return len(entry.definition) + sum(len(_blob_head(*size)) + size[2] for size in sizes)


@lru_cache(maxsize=1024)
def _blob_head(shape: Shape, item_size: int, byte_size: int) -> bytes:
    """Return what stands before a blob's values; a net has the same few again and again."""
    dims = encode_bytes(SHAPE_DIM, b"".join(map(encode_varint, shape)))
    values_field = BLOB_DOUBLE_DATA if item_size == 8 else BLOB_DATA
    head = encode_bytes(BLOB_SHAPE, dims) + encode_header(values_field, byte_size)
    return encode_header(LAYER_BLOBS, len(head) + byte_size) + head
