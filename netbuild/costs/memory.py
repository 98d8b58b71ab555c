"""How much memory Caffe takes for a net, layer by layer, reckoned from the definition.

What counts is what Caffe 1.0 touches, for memory is taken at the first use: the values of each blob (in-place layers,
Split, Reshape and Flatten share theirs), the gradients of blobs that the backward pass reaches, what layers keep
for themselves, and the parameters: in training three times over, as values, gradients and history (SGD), those of
frozen layers included. All in bytes of float32 on the CPU.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set

from ..graph.flow import Flow, in_place
from ..graph.view import NetView
from ..layers import Shape
from ..layers.costs import column_values, kept_values
from ..layers.in_place import hands_on
from ..layers.lengths import count, values
from ..layers.row import Use
from ..layers.training import phase_of
from ..proto import written_again
from ..schema import TRAIN, Message

FLOAT = 4
TRAINING_COPIES = 3
"""Of each parameter in training: its values, its gradient, and SGD's history."""


class Bytes(NamedTuple):
    """What a layer takes, besides its parameters."""

    blobs: int
    """The values of its tops."""
    gradients: int
    """Their gradients."""
    kept: int
    """What it keeps for itself, and grows with the batch; of data layers, the batches that they fill ahead."""
    columns: int
    """What it lays out for one image, whatever the batch: the values of a convolution's windows, say."""

    @property
    def batch(self) -> int:
        """What grows with the batch."""
        return self.blobs + self.gradients + self.kept

    @property
    def total(self) -> int:
        """All of it."""
        return self.batch + self.columns


def layer_memory(view: NetView) -> Dict[int, Optional[Bytes]]:
    """Return what each layer of a net takes in its phase, by index; None where a shape is not known."""
    phase, shapes, flow = view.phase, view.shapes, view.flow
    reached = view.backward if phase == TRAIN else set()
    taken: Dict[int, Optional[Bytes]] = {}
    for index, layer in view.layers:
        tops, bottoms = shapes.tops[index], shapes.bottoms[index]
        if shapes.params[index] is None or any(values(shape) is None for shape in (*tops, *bottoms)):
            taken[index] = None
            continue
        alters = any(in_place(layer, name) for name in layer.top)
        use = Use(layer, bottoms, tops, phase_of(layer, phase), index in reached, alters)
        taken[index] = _bytes(use, [_splits(flow, index, name) for name in layer.top])
    return taken


def _bytes(use: Use, splits: Sequence[int]) -> Bytes:
    """Return what a layer takes; `splits` is for how many readers Caffe splits each of its tops."""
    sizes = [FLOAT * count(shape) for shape in use.tops]
    owns = [not (hands_on(use.layer) or in_place(use.layer, name)) for name in use.layer.top]
    gradients = [size * (own + readers) for size, own, readers in zip(sizes, owns, splits)]
    return Bytes(
        blobs=sum(size for size, own in zip(sizes, owns) if own),
        gradients=sum(gradients) if use.backward else 0,
        kept=FLOAT * kept_values(use),
        columns=FLOAT * column_values(use),
    )


def own_parameters(net: Message, shapes: Mapping[int, Optional[List[Shape]]]) -> Dict[int, List[Shape]]:
    """Return each layer's parameter blobs without those that an earlier layer shares with it by name.

    One that is written again for another phase has none of its own.
    """
    again = written_again(net, (index for index, blobs in shapes.items() if blobs))
    seen: Set[str] = set()
    own: Dict[int, List[Shape]] = {}
    for index, blobs in shapes.items():
        names = [spec.name for spec in net.layer[index].param]
        listed = [] if index in again else blobs or []
        own[index] = [shape for position, shape in enumerate(listed) if not ({*names[position : position + 1]} & seen)]
        seen.update(name for name in names if name)
    return own


def _splits(flow: Flow, index: int, blob: str) -> int:
    """Return for how many readers Caffe splits the blob: each then has a gradient of its own."""
    readers = len(flow.readers.get((blob, index), ()))
    return readers if readers > 1 else 0
