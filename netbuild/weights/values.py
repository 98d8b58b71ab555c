"""Read the values of a blob, wherever its file keeps them."""

from __future__ import annotations

import math
from array import array

from .model import Blob, Shape, Span
from .wire import WireFile


def fill(buffer: memoryview, file: WireFile, span: Span, item_size: int, at: int = 0) -> None:
    """Fill the buffer with the values of a span from their byte `at` on, both of them whole values."""
    if not span.gap:
        file.read_into(buffer, span.start + at)
        return
    step = item_size + span.gap
    raw = file.pread(span.start + at // item_size * step, len(buffer) // item_size * step - span.gap)
    for byte in range(item_size):
        buffer[byte::item_size] = raw[byte::step]


def read_bytes(file: WireFile, blob: Blob) -> bytes:
    """Return all values of a blob as they are stored, little-endian."""
    data = bytearray(blob.byte_size)
    at = 0
    for span in blob.spans:
        size = span.size(blob.item_size)
        fill(memoryview(data)[at : at + size], file, span, blob.item_size)
        at += size
    return bytes(data)


def read_floats(file: WireFile, blob: Blob) -> bytes:
    """Return all values of a blob as little-endian floats, doubles rounded."""
    data = read_bytes(file, blob)
    return array("f", array("d", data)).tobytes() if blob.item_size == 8 else data


def mixed_channels(floats: bytes, source: Shape, channels: int, how: str) -> bytes:
    """Return kernels of shape (outputs, inputs, ...) made to have other input `channels`.

    Towards one channel they are the 'mean' or 'sum' over the inputs. From one, each channel gets the kernel ('sum'), or
    its share of it ('mean'). From several to several, each gets the mean over the inputs: so a net on stacked optical
    flow begins as one on colour (Wang et al., Temporal Segment Networks, ECCV 2016, section 3.2).
    """
    divisor = (source[1] if source[1] > 1 else channels) if how == "mean" else 1
    values, area = array("f", floats), math.prod(source[2:])
    mixed = array("f")
    for first in range(0, len(values), source[1] * area):
        kernel = values[first : first + source[1] * area]
        planes = [sum(kernel[at::area]) for at in range(area)]
        mixed.extend([plane / divisor for plane in planes] * channels)
    return mixed.tobytes()
