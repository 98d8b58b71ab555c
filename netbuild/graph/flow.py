"""Which layer makes and which layers read each blob, in the order that Caffe runs them."""

from __future__ import annotations

from collections import defaultdict
from typing import Collection, Dict, Iterable, List, Sequence, Set, Tuple

from .._caffe import Message
from ..errors import did_you_mean

SHARING = ("Flatten", "Reshape", "Split")
"""Layers whose tops are their bottom's values, in the memory of the bottom."""
Layers = Sequence[Tuple[int, Message]]
"""Layers of one phase, each with its index in the net."""


def in_place(layer: Message, blob: str) -> bool:
    """Tell whether Caffe takes the layer to work in place on the blob: as top and bottom of one position."""
    return any(top == bottom == blob for top, bottom in zip(layer.top, layer.bottom))


class Flow:
    """Who writes and who reads each version of each blob, an in-place layer making a new version of its blob."""

    def __init__(self, layers: Layers) -> None:
        self.writer: Dict[str, int] = {}
        self.sources: Dict[int, List[int]] = {}
        self.readers: Dict[Tuple[str, int], List[int]] = defaultdict(list)
        self.faults: List[str] = []
        self._tops = [top for _, layer in layers for top in layer.top]
        for index, layer in layers:
            self._read(index, layer)
            self._write(index, layer)
        by_index = dict(layers)
        for (blob, _), readers in self.readers.items():
            for index in readers:
                others = [by_index[other].name for other in readers if other != index]
                if others and in_place(by_index[index], blob):
                    self.faults.append(
                        f"layer {by_index[index].name!r} works in place on {blob!r}, which layer {others[0]!r} reads "
                        "too: give it a top of its own"
                    )

    def _read(self, index: int, layer: Message) -> None:
        self.sources[index] = []
        for blob in layer.bottom:
            if blob in self.writer:
                self.readers[blob, self.writer[blob]].append(index)
                self.sources[index].append(self.writer[blob])
            elif blob:
                self.faults.append(f"layer {layer.name!r}: unknown bottom {blob!r}; {self._hint(blob)}")

    def _write(self, index: int, layer: Message) -> None:
        for top in layer.top:
            if top in self.writer and not in_place(layer, top):
                self.faults.append(f"layer {layer.name!r}: top {top!r} is already made by another layer; rename it")
            self.writer[top] = index

    def _hint(self, blob: str) -> str:
        if blob in self._tops:
            return "the layer that makes it comes later; move it up"
        return did_you_mean(blob, dict.fromkeys(self._tops), "no layer of this phase has it as a top")

    def above(self, blob: str, beyond: Collection[int] = ()) -> Set[int]:
        """Return the layers that the blob depends on, data layers left out, and the layers of `beyond` with all that
        only these depend on."""
        found: Set[int] = set()
        waiting = [self.writer[blob]] if blob in self.writer else []
        while waiting:
            index = waiting.pop()
            if index not in found and index not in beyond and self.sources[index]:
                found.add(index)
                waiting += self.sources[index]
        return found

    def behind(self, layers: Iterable[int]) -> Set[int]:
        """Return these layers and all that they depend on, inputs and data layers included."""
        found: Set[int] = set()
        waiting = list(layers)
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += self.sources[index]
        return found
