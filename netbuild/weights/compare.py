"""Compare blobs of two files, bit by bit, in constant memory."""

from __future__ import annotations

from typing import Iterator, Optional, Sequence

from .model import Blob
from .values import fill, mixed_channels, read_floats
from .wire import WireFile

_STEP = 1 << 20


def same_values(
    path: str, blobs: Sequence[Blob], source: str, originals: Sequence[Blob], channels: Optional[str] = None
) -> bool:
    """Tell whether blobs of one file hold the bits of their originals in another, whatever their shapes.

    With `channels` the first is to be what `mixed_channels` makes of its original.
    """
    with WireFile(path) as ours, WireFile(source) as theirs:
        if channels:
            made = mixed_channels(read_floats(theirs, originals[0]), originals[0].shape, blobs[0].shape[1], channels)
            if read_floats(ours, blobs[0]) != made:
                return False
            blobs, originals = blobs[1:], originals[1:]
        return all(
            one.item_size == other.item_size
            and one.byte_size == other.byte_size
            and all(a == b for a, b in zip(_chunks(ours, one), _chunks(theirs, other)))
            for one, other in zip(blobs, originals)
        )


def _chunks(file: WireFile, blob: Blob) -> Iterator[bytes]:
    """Yield the values in steps of one size, however many spans they lie in."""
    held = bytearray()
    for span in blob.spans:
        size = span.size(blob.item_size)
        for at in range(0, size, _STEP):
            chunk = bytearray(min(_STEP, size - at))
            fill(memoryview(chunk), file, span, blob.item_size, at)
            held += chunk
            while len(held) >= _STEP:
                yield bytes(held[:_STEP])
                del held[:_STEP]
    yield bytes(held)
