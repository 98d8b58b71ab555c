"""What is known of a weight file before its values are read: layers, blobs, and where their values lie."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

Shape = Tuple[int, ...]


class Blob(NamedTuple):
    """One blob of a layer: its shape and the file's byte ranges [start, end) that hold its values in order."""

    shape: Shape
    legacy: bool
    """Whether the shape stands in the four old fields; it then equals any shape padded with leading 1s."""
    item_size: int
    """4 for float, 8 for double."""
    spans: Tuple[Tuple[int, int], ...]

    @property
    def byte_size(self) -> int:
        """Number of bytes that the values take."""
        return sum(end - start for start, end in self.spans)


class Layer(NamedTuple):
    """A layer of the file that holds at least one blob."""

    name: str
    blobs: Tuple[Blob, ...]


class Model(NamedTuple):
    """The index of one caffemodel: its layers with blobs, in file order."""

    path: str
    layers: Tuple[Layer, ...]

    def by_name(self) -> Dict[str, List[Layer]]:
        """Return the layers under their names (a file may hold a name twice)."""
        found: Dict[str, List[Layer]] = {}
        for layer in self.layers:
            found.setdefault(layer.name, []).append(layer)
        return found
