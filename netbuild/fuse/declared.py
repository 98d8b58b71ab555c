"""What a net declares of each of its layers: the authority that weights are held against."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Set, Tuple

from .. import proto
from ..graph.view import parameter_shapes, views
from ..proto.binary import serialised_layers
from ..schema import Message
from .fit import AnyShape


class Declared(NamedTuple):
    """A layer of the target net: its name and the shapes of its parameter blobs (None: an unknown layer type)."""

    name: str
    shapes: Optional[Sequence[AnyShape]]
    definition: bytes = b""
    """The serialised LayerParameter, without blobs; what is written."""
    shared: bool = False
    """Whether all its parameters are those of a layer before it: then a file need not hold it, and HDF5 does not."""

    @property
    def has_parameters(self) -> bool:
        """Whether the layer has parameters, or may have some."""
        return self.shapes is None or len(self.shapes) > 0


def declare(net: Message, shapes: Optional[Sequence[Optional[Sequence[AnyShape]]]] = None) -> List[Declared]:
    """Return what the net declares of each of its layers; `shapes` are their parameters', where they are known.

    A layer with parameters may be written once for each phase, as a BatchNorm on the batch's statistics in TRAIN: to
    Caffe, which copies by name, these are one layer.
    """
    declared: List[Declared] = []
    known: Set[str] = set()
    shapes = parameter_shapes(views(net)) if shapes is None else shapes
    definitions = list(serialised_layers(_without_values(net)))
    holders = [index for index, blobs in enumerate(shapes) if blobs is None or blobs]
    again = proto.written_again(net, holders)
    kinds = {_kind(net.layer[index]) for index in holders}
    for index, (layer, blobs) in enumerate(zip(net.layer, shapes)):
        # One without parameters of its own is that of a phase that the net is not made for.
        if index in again or (blobs == [] and _kind(layer) in kinds):
            continue
        own = {spec.name for spec in layer.param}
        shared = bool(own) and own <= known and len(layer.param) >= len(blobs or ())
        declared.append(Declared(layer.name, blobs, definitions[index], shared))
        known |= own - {""}
    return declared


def _kind(layer: Message) -> Tuple[str, str]:
    return layer.name, layer.type


def _without_values(net: Message) -> Message:
    """Return the net without the values that its definitions may carry themselves."""
    if not any(layer.blobs for layer in net.layer):
        return net
    bare = proto.copied(net)
    for layer in bare.layer:
        layer.ClearField("blobs")
    return bare
