"""What a planned weight file consists of, in the target's order."""

from __future__ import annotations

from typing import List, Mapping, Sequence, Union

from ..weights.entry import Entry, Made, Taken
from ..weights.values import mixed_channels, read_floats
from ..weights.wire import WireFile
from .plan import Copy, Declared, Plan


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
