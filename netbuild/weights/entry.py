"""What a weight file that is to be written consists of, whatever its format."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Sequence, Union

from .model import Blob, Shape
from .plan import Copy, Declared, Plan
from .values import mixed_channels, read_floats
from .wire import WireFile


class Made(NamedTuple):
    """A blob whose values are at hand: its shape and little-endian floats."""

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


class Taken(NamedTuple):
    """A blob whose values are copied out of a file: the shape it gets, and where they lie."""

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


class Entry(NamedTuple):
    """A layer of the file."""

    name: str
    definition: bytes
    """The serialised LayerParameter without blobs; HDF5 files have no place for it."""
    blobs: Sequence[Union[Made, Taken]]


def entries(plan: Plan, target: Sequence[Declared], made: Mapping[str, Sequence[Made]] = {}) -> List[Entry]:
    """Return the layers of the planned file, in the target's order; `made` gives blobs of layers that are not copied.

    Layers that the plan leaves to their fillers, or to layers that they share with, are not among them: Caffe aborts on
    a layer entry with fewer blobs than its net has.
    """
    taken = {copy.target: _blobs(copy) for copy in plan.copies}
    skipped = {*plan.left_to_fillers, *plan.shared} - set(made)
    return [
        Entry(layer.name, layer.definition, [*taken.get(layer.name, ()), *made.get(layer.name, ())])
        for layer in target
        if layer.name not in skipped
    ]


def _blobs(copy: Copy) -> List[Union[Made, Taken]]:
    taken: List[Union[Made, Taken]] = [Taken(shape, copy.path, blob) for blob, shape in zip(copy.blobs, copy.shapes)]
    if copy.channels:
        with WireFile(copy.path) as file:
            floats = read_floats(file, copy.blobs[0])
        taken[0] = Made(copy.shapes[0], mixed_channels(floats, copy.blobs[0].shape, copy.shapes[0][1], copy.channels))
    return taken
