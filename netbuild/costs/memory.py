"""How much memory Caffe takes for a net, layer by layer, reckoned from the definition.

What counts is what Caffe 1.0 touches, for memory is taken at the first use: the values of each blob (in-place layers,
Split, Reshape and Flatten share theirs), the gradients of blobs that the backward pass reaches, what layers keep
for themselves, and the parameters: in training three times over, as values, gradients and history (SGD), those of
frozen layers included. All in bytes of float32 on the CPU.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set

from ..engine.caffe import TRAIN, Message
from ..graph.flow import Flow, in_place
from ..graph.view import NetView
from ..layers import Shape
from ..layers.costs import values
from ..layers.in_place import hands_on

FLOAT = 4
TRAINING_COPIES = 3
"""Of each parameter in training: its values, its gradient, and SGD's history."""
_PREFETCHED = ("Data", "ImageData", "WindowData")
"""Data layers that fill batches ahead, and hand them on as they are."""


class Bytes(NamedTuple):
    """What a layer takes, besides its parameters."""

    blobs: int
    """The values of its tops."""
    gradients: int
    """Their gradients."""
    kept: int
    """What it keeps for itself, and grows with the batch."""
    columns: int
    """The window's values that a convolution lays out for one image, whatever the batch."""

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
    found: Dict[int, Optional[Bytes]] = {}
    for index, layer in view.layers:
        tops, bottoms = shapes.tops[index], shapes.bottoms[index]
        if shapes.params[index] is None or any(values(shape) is None for shape in (*tops, *bottoms)):
            found[index] = None
            continue
        shares = hands_on(layer)
        sizes = {name: FLOAT * _count(shape) for name, shape in zip(layer.top, tops)}
        own = [name for name in sizes if not (shares or in_place(layer, name))]
        gradients = [size * ((name in own) + _splits(flow, index, name)) for name, size in sizes.items()]
        found[index] = Bytes(
            sum(sizes[name] for name in own) * _batches_ahead(layer),
            sum(gradients) if index in reached else 0,
            FLOAT * _kept(layer, phase, bottoms, tops, index in reached),
            FLOAT * _columns(layer, bottoms, tops),
        )
    return found


def own_parameters(net: Message, shapes: Mapping[int, Optional[List[Shape]]]) -> Dict[int, List[Shape]]:
    """Return each layer's parameter blobs without those that an earlier layer shares with it by name."""
    seen: Set[str] = set()
    found: Dict[int, List[Shape]] = {}
    for index, blobs in shapes.items():
        names = [spec.name for spec in net.layer[index].param]
        found[index] = [
            shape for position, shape in enumerate(blobs or []) if not ({*names[position : position + 1]} & seen)
        ]
        seen.update(name for name in names if name)
    return found


def _splits(flow: Flow, index: int, blob: str) -> int:
    """Return for how many readers Caffe splits the blob: each then has a gradient of its own."""
    readers = len(flow.readers.get((blob, index), ()))
    return readers if readers > 1 else 0


def _batches_ahead(layer: Message) -> int:
    return int(layer.data_param.prefetch) if layer.type in _PREFETCHED else 1


def _kept(layer: Message, phase: int, bottoms: Sequence[Shape], tops: Sequence[Shape], reached: bool) -> int:
    """Return the number of values that the layer keeps beside its tops, as its Reshape and Forward_cpu have it."""
    bottom, top = (_count(shapes[0]) if shapes else 0 for shapes in (bottoms, tops))
    alters = any(in_place(layer, name) for name in layer.top)
    if layer.type == "BatchNorm":
        return (3 if reached and alters else 2) * bottom
    if layer.type in ("Scale", "PReLU"):
        return bottom if alters else 0
    if layer.type == "Dropout":
        return bottom if phase == TRAIN and not layer.HasField("phase") else 0
    if layer.type == "Pooling":
        masks = layer.pooling_param.pool != layer.pooling_param.AVE and len(tops) == 1
        return top if masks else 0
    if layer.type == "LRN":
        across = layer.lrn_param.norm_region == layer.lrn_param.ACROSS_CHANNELS
        return (1 if across else 4) * bottom
    if layer.type == "Eltwise":
        return top if layer.eltwise_param.operation == layer.eltwise_param.MAX else 0
    return bottom if layer.type in ("SoftmaxWithLoss", "SigmoidCrossEntropyLoss", "InfogainLoss") else 0


def _columns(layer: Message, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
    """Return the values of im2col for one image; windows of 1 x 1 need none."""
    if layer.type not in ("Convolution", "Deconvolution") or not (bottoms and tops):
        return 0
    image, slid = (bottoms[0], tops[0]) if layer.type == "Convolution" else (tops[0], bottoms[0])
    p = layer.convolution_param
    window = _window(p)
    plain = window == 1 and set(p.stride) <= {1} and not any(p.pad) and not (p.stride_h > 1 or p.pad_h or p.pad_w)
    if plain or image is None or slid is None:
        return 0
    axis = p.axis
    return window * (image[axis] or 0) * _count(slid[axis + 1 :])


def _window(p: Message) -> int:
    if p.HasField("kernel_h") or p.HasField("kernel_w"):
        return int(p.kernel_h * p.kernel_w)
    sides = list(p.kernel_size)
    return int(sides[0] ** 2 if len(sides) == 1 else _count(tuple(sides)))


def _count(shape: Shape) -> int:
    return values(shape) or 0
