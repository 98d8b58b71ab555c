"""What a weight file that is to be written consists of, whatever its format."""

from __future__ import annotations

from typing import NamedTuple, Sequence, Union

from .model import Blob, Shape


class NewBlob(NamedTuple):
    """A blob whose values are in memory: its shape and little-endian floats."""

    shape: Shape
    values: bytes

    @property
    def item_size(self) -> int:
        """Bytes of a value: 4."""
        return 4

    @property
    def byte_size(self) -> int:
        """Bytes of all values."""
        return len(self.values)


class CopiedBlob(NamedTuple):
    """A blob whose values are copied out of a file: the shape it gets, and where the values lie."""

    shape: Shape
    path: str
    blob: Blob

    @property
    def item_size(self) -> int:
        """Bytes of a value: 4 or 8."""
        return self.blob.item_size

    @property
    def byte_size(self) -> int:
        """Bytes of all values."""
        return self.blob.byte_size


OutputBlob = Union[NewBlob, CopiedBlob]


class Entry(NamedTuple):
    """A layer of the file."""

    name: str
    definition: bytes
    """The serialised LayerParameter without blobs; HDF5 files have no place for it."""
    blobs: Sequence[OutputBlob]
