"""Which layer makes and which layers read each blob, in the order that Caffe runs them."""

from __future__ import annotations

from collections import defaultdict
from typing import Callable, Collection, Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from ..errors import did_you_mean
from ..layers import Layers
from ..schema import Message

_HINTED = 20
"""After so many faults no names are looked for that may have been meant."""


def in_place(layer: Message, blob: str) -> bool:
    """Tell whether Caffe takes the layer to work in place on the blob: as top and bottom of one position."""
    return blob in in_place_blobs(layer)


def in_place_blobs(layer: Message) -> Set[str]:
    """Return the blobs that the layer works in place on."""
    return {top for top, bottom in zip(layer.top, layer.bottom) if top == bottom}


def works_in_place(layer: Message, position: int) -> bool:
    """Tell whether Caffe takes the top of this position to be made in place."""
    return position < len(layer.bottom) and bool(layer.top[position] == layer.bottom[position])


class Flow:
    """Who writes and who reads each version of each blob, an in-place layer making a new version of its blob."""

    def __init__(self, layers: Layers, why_not: Callable[[str], str] = lambda _blob: "") -> None:
        """Follow the blobs of these layers; `why_not` says of one that they do not make who else would, '' for none."""
        self.writer: Dict[str, int] = {}
        """The layer that writes each blob last."""
        self.sources: Dict[int, List[int]] = {}
        """The layers that make what a layer reads, in the order of its bottoms; unknown ones left out."""
        self.readers: Dict[Tuple[str, int], List[int]] = defaultdict(list)
        """Who reads a blob as one layer has made it."""
        self.readers_of: Dict[str, List[int]] = defaultdict(list)
        """Who reads a blob of this name at all, in their order."""
        self.faults: List[str] = []
        self._layers = dict(layers)
        self._why_not = why_not
        self._tops = dict.fromkeys(top for _, layer in layers for top in layer.top)
        self._in_place: Dict[int, Set[str]] = {}
        for index, layer in layers:
            self._read(index, layer)
            self._write(index, layer)
        for (blob, _), readers in self.readers.items():
            self.faults += self._shared_in_place(blob, readers)

    def _read(self, index: int, layer: Message) -> None:
        self.sources[index] = []
        for blob in layer.bottom:
            if blob in self.writer:
                self.readers_of[blob].append(index)
                self.readers[blob, self.writer[blob]].append(index)
                self.sources[index].append(self.writer[blob])
            elif blob:
                self.faults.append(f"layer {layer.name!r}: unknown bottom {blob!r}; {self._hint(blob)}")

    def _write(self, index: int, layer: Message) -> None:
        self._in_place[index] = in_place_blobs(layer)
        for position, top in enumerate(layer.top):
            if top in self.writer and not works_in_place(layer, position):
                self.faults.append(f"layer {layer.name!r}: top {top!r} is already made by another layer; rename it")
            self.writer[top] = index

    def _shared_in_place(self, blob: str, readers: Sequence[int]) -> Iterator[str]:
        """Yield who works in place on a blob that is read once more."""
        if len(readers) < 2:
            return
        for index in dict.fromkeys(readers):
            if blob not in self._in_place[index]:
                continue
            other = next((self._layers[other].name for other in readers if other != index), None)
            reader = "it reads twice" if other is None else f"layer {other!r} reads too"
            yield (
                f"layer {self._layers[index].name!r} works in place on {blob!r}, which {reader}: give it a top of its "
                "own"
            )

    def _hint(self, blob: str) -> str:
        if blob in self._tops:
            return "the layer that makes it comes later; move it up"
        unknown = "no layer of this phase has it as a top"
        # To look for the name elsewhere takes as long as the net is large: for the first few only.
        if len(self.faults) > _HINTED:
            return unknown
        return self._why_not(blob) or did_you_mean(blob, self._tops, unknown)

    def above(self, blob: str, beyond: Collection[int] = ()) -> Set[int]:
        """Return the layers that the blob depends on, without data layers.

        The layers of `beyond` are not among them, nor is what only these depend on.
        """
        start = [self.writer[blob]] if blob in self.writer else []
        return {index for index in self.behind(start, beyond) if self.sources[index]}

    def behind(self, layers: Iterable[int], beyond: Collection[int] = ()) -> Set[int]:
        """Return these layers and all that they depend on, inputs and data layers included.

        The layers of `beyond` are not among them, nor is what only these depend on.
        """
        found: Set[int] = set()
        waiting = list(layers)
        while waiting:
            index = waiting.pop()
            if index not in found and index not in beyond:
                found.add(index)
                waiting += self.sources[index]
        return found
