"""What is known of a weight file before its values are read: layers, blobs, and where their values lie."""

from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Tuple

Shape = Tuple[int, ...]
MAX_VALUES = 2**31 - 1
"""Values that a blob of Caffe's can have (Blob::Reshape)."""


def oversized(shape: Shape) -> bool:
    """Whether the lengths that are not 0 make more values than a blob can have: numpy too refuses such shapes."""
    return math.prod(length or 1 for length in shape) > MAX_VALUES


class Span(NamedTuple):
    """Values that follow each other in a file, from the first one's first byte to the last one's end."""

    start: int
    end: int
    gap: int = 0
    """Bytes between two values: 1 where each stands behind a tag of its own (values that are not packed)."""

    def size(self, item_size: int) -> int:
        """Return how many bytes the values take without the gaps, or -1 where they do not come out even."""
        count, rest = divmod(self.end - self.start + self.gap, item_size + self.gap)
        return -1 if rest else count * item_size


class Blob(NamedTuple):
    """One blob of a layer: its shape and the parts of the file that hold its values in order."""

    shape: Shape
    legacy: bool
    """Whether the shape stands in the four old fields; it then equals any shape padded with leading 1s."""
    item_size: int
    """4 for float, 8 for double."""
    spans: Tuple[Span, ...]

    @property
    def byte_size(self) -> int:
        """Number of bytes that the values take."""
        return sum(span.size(self.item_size) for span in self.spans)


class Definition(NamedTuple):
    """What a caffemodel itself says of a layer or of its net: all fields but the values."""

    ranges: Tuple[Tuple[int, int], ...] = ()
    """The file's byte ranges [start, end) that hold its fields; none in an HDF5 file."""
    v1: bool = False
    """Whether they are those of a V1LayerParameter (before 2015)."""


class Layer(NamedTuple):
    """A layer of the file."""

    name: str
    blobs: Tuple[Blob, ...]
    definition: Definition = Definition()


class Model(NamedTuple):
    """The index of one weight file, its layers in file order."""

    path: str
    all_layers: Tuple[Layer, ...]
    """Those without blobs too."""
    definition: Definition = Definition()

    @property
    def layers(self) -> Tuple[Layer, ...]:
        """The layers that hold at least one blob."""
        return tuple(layer for layer in self.all_layers if layer.blobs)

    def by_name(self) -> Dict[str, List[Layer]]:
        """Return the layers with blobs under their names (a file may hold a name twice)."""
        layers: Dict[str, List[Layer]] = {}
        for layer in self.layers:
            layers.setdefault(layer.name, []).append(layer)
        return layers
