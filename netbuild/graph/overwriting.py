"""Who overwrites what: blobs that are one memory under several names, and layers that work in place on it."""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..layers import Inferred, Layers
from ..layers.in_place import (
    ABORTS,
    ELSE,
    GRADIENT,
    gradient_needs,
    gradient_reads_bottoms,
    gradient_reads_tops,
    hands_on,
    in_place_deed,
    keeps_memory,
    leaves,
)
from ..layers.row import Left
from ..schema import Message
from .flow import works_in_place

_REMEDY = "give it a top of its own"


class _Blob(NamedTuple):
    """A blob as one layer has left it."""

    writers: List[int]
    """The layers that write its memory, in their order; the list is shared by all names of that memory."""
    written: int
    """How many of them had written when the blob got its values."""

    @property
    def overwriter(self) -> Optional[int]:
        """The first that has written over these values since."""
        return self.writers[self.written] if self.written < len(self.writers) else None


class _Spoilers:
    """Who leaves too little of a blob: for all blobs of one memory found in one go, so that many take no longer."""

    def __init__(self, layers: Mapping[int, Message]) -> None:
        self._layers = layers
        self._first: Dict[Tuple[int, Left], List[Optional[int]]] = {}

    def first(self, blob: _Blob, needed: Left) -> Optional[int]:
        """Return the first that overwrites the blob and leaves less of it than is needed."""
        key = id(blob.writers), needed
        if key not in self._first:
            self._first[key] = self._from_each_on(blob.writers, needed)
        return self._first[key][blob.written]

    def _from_each_on(self, writers: Sequence[int], needed: Left) -> List[Optional[int]]:
        """Return for each writer the first from it on that leaves less than is needed; None behind the last."""
        first: List[Optional[int]] = [None]
        for writer in reversed(writers):
            first.append(writer if leaves(self._layers[writer]) < needed else first[-1])
        return first[::-1]


class Overwriting:
    """The memory of one phase's blobs, followed through a forward pass."""

    def __init__(self, layers: Layers, shapes: Inferred) -> None:
        self._layers = dict(layers)
        self._shapes = shapes
        self._blobs: Dict[str, _Blob] = {}
        self._makers: Dict[str, Message] = {}
        """The layer that has made each blob last, also where it handed on another's memory."""
        self._read_back: List[Tuple[int, str, _Blob]] = []
        """Layers with a blob, of the values it had then, that their backward pass will read."""
        self.faults: List[str] = []
        for index, layer in layers:
            self._read(index, layer)
            self._write(index, layer)

    def _read(self, index: int, layer: Message) -> None:
        for name in layer.bottom:
            blob = self._blobs.get(name)
            if blob is not None and blob.overwriter is not None:
                writer = self._layers[blob.overwriter]
                self.faults.append(
                    f"layer {writer.name!r} works in place on {writer.top[0]!r}, the same memory as {name!r}, which "
                    f"layer {layer.name!r} reads after it: {_REMEDY}"
                )
            if blob is not None and gradient_reads_bottoms(layer) and name not in layer.top:
                self._read_back.append((index, name, blob))

    def _write(self, index: int, layer: Message) -> None:
        for position, top in enumerate(layer.top):
            within = works_in_place(layer, position)
            before = self._before(layer, position if within else 0)
            if within and before is not None:
                self._judge(index, layer, top, before)
                before.writers.append(index)
            shares = within or hands_on(layer)
            writers = before.writers if before is not None and shares else [index]
            self._blobs[top], self._makers[top] = _Blob(writers, len(writers)), layer
            if gradient_reads_tops(layer, in_place=within):
                self._read_back.append((index, top, self._blobs[top]))

    def _before(self, layer: Message, position: int) -> Optional[_Blob]:
        """Return the bottom of this position as it is before the layer; None where the layer or its bottom is first."""
        return self._blobs.get(layer.bottom[position]) if layer.bottom else None

    def _judge(self, index: int, layer: Message, blob: str, before: _Blob) -> None:
        where = f"layer {layer.name!r} ({layer.type}) works in place on {blob!r}"
        deed = in_place_deed(layer, self._shapes.bottoms[index], self._shapes.tops[index])
        source, last = self._layers[before.writers[0]], self._makers[blob]
        if deed not in (None, GRADIENT):
            self.faults.append(f"{where}: {deed}; {_REMEDY}")
        elif any(weight for top, weight in zip(last.top, last.loss_weight) if top == blob):
            self.faults.append(
                f"{where}, which layer {last.name!r} makes a loss of by its loss_weight: {ABORTS}; {_REMEDY}"
            )
        elif keeps_memory(source, self._shapes.tops[before.writers[0]]):
            self.faults.append(
                f"{where}, which layer {source.name!r} ({source.type}) keeps from one pass to the next: {ELSE} from "
                f"the second on; {_REMEDY}"
            )

    def wrong_gradients(self, reached: Set[int]) -> Iterator[str]:
        """Yield what Caffe computes another gradient of, among the layers that the backward pass reaches."""
        for index in sorted(reached):
            yield from self._wrong_in_itself(index)
        spoilers = _Spoilers(self._layers)
        for index, name, blob in self._read_back:
            if index in reached:
                yield from self._wrong_by_others(self._layers[index], name, blob, spoilers)

    def _wrong_in_itself(self, index: int) -> Iterator[str]:
        layer = self._layers[index]
        blobs = [blob for position, blob in enumerate(layer.top) if works_in_place(layer, position)]
        if blobs and in_place_deed(layer, self._shapes.bottoms[index], self._shapes.tops[index]) == GRADIENT:
            for blob in blobs:
                yield f"layer {layer.name!r} ({layer.type}) works in place on {blob!r}: {GRADIENT}; {_REMEDY}"

    def _wrong_by_others(self, layer: Message, name: str, blob: _Blob, spoilers: _Spoilers) -> Iterator[str]:
        # What overwrites a bottom may leave nothing of it: only for tops is it known what is enough.
        index = spoilers.first(blob, gradient_needs(layer)) if name in layer.top else blob.overwriter
        if index is not None:
            first = self._layers[index]
            yield (
                f"layer {first.name!r} works in place on {first.top[0]!r}, and the gradient of layer "
                f"{layer.name!r} ({layer.type}) reads what {name!r} was before: {GRADIENT}; {_REMEDY}"
            )
