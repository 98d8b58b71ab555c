"""What a planned weight file consists of, in the target's order."""

from __future__ import annotations

from typing import List, Mapping, Sequence

from ..weights.entry import CopiedBlob, Entry, NewBlob, OutputBlob
from ..weights.values import mixed_channels, read_floats
from ..weights.wire import WireFile
from .decision import Copy
from .declared import Declared
from .plan import Plan


def entries(plan: Plan, target: Sequence[Declared], new: Mapping[str, Sequence[NewBlob]] = {}) -> List[Entry]:
    """Return the layers of the planned file, in the target's order; `new` gives blobs of layers that are not copied.

    Layers that the plan leaves to their fillers, or to layers that they share with, are not among them: Caffe aborts on
    a layer entry with fewer blobs than its net has.
    """
    copied = {copy.target: _blobs(copy) for copy in plan.copies}
    skipped = {*plan.left_to_fillers, *plan.shared} - set(new)
    return [
        Entry(layer.name, layer.definition, [*copied.get(layer.name, ()), *new.get(layer.name, ())])
        for layer in target
        if layer.name not in skipped
    ]


def _blobs(copy: Copy) -> List[OutputBlob]:
    blobs: List[OutputBlob] = [CopiedBlob(shape, copy.path, blob) for blob, shape in zip(copy.blobs, copy.shapes)]
    if copy.channels:
        with WireFile(copy.path) as file:
            floats = read_floats(file, copy.blobs[0])
        values = mixed_channels(floats, copy.blobs[0].shape, copy.shapes[0][1], copy.channels)
        blobs[0] = NewBlob(copy.shapes[0], values)
    return blobs
