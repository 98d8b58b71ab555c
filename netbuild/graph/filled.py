"""Which layers begin with values that somebody chose, where training will not change them.

A frozen layer gets its values from a weight file, from its own definition (`blobs`), from a layer that it shares its
parameters with, or from fillers that say fixed ones, `bilinear` or a `constant` other than 0: an upsampling, the mean
of three colours. A frozen layer with none of these stays as chance or 0 made it, and nobody means that. Nor does
anybody where nothing trains at all, in a net without a loss, of a branch that is joined with those that have weights.
What reads these may be a head whose weights come later.
"""

from __future__ import annotations

from typing import Collection, Iterator, List, Optional, Sequence, Set, Tuple

from ..engine.caffe import TEST, Message
from ..layers import Shape, parameter_shapes
from ..layers.training import is_loss, learns
from ..proto import fillers, of_phase
from .flow import Flow

_FIXED = ("bilinear", "constant")


def frozen_layers(net: Message) -> List[str]:
    """Return the layers with parameters that training does not change."""
    return [layer.name for layer, _ in _frozen(net, parameter_shapes(net))]


def _frozen(net: Message, known: Sequence[Optional[List[Shape]]]) -> Iterator[Tuple[Message, List[Shape]]]:
    for layer, shapes in zip(net.layer, known):
        if shapes and learns(layer, len(shapes)) is False:
            yield layer, shapes


def unfilled(net: Message, stored: Collection[str]) -> List[str]:
    """Return the layers that would stay at values which nobody chose, where the layers `stored` get theirs from files.

    Layers of types that are not known here are not among them.
    """
    given = {layer.name for layer in net.layer if layer.name in stored or layer.blobs or _is_fixed(layer)}
    shared = {spec.name for layer in net.layer if layer.name in given for spec in layer.param} - {""}
    known = parameter_shapes(net)
    trains = any(map(is_loss, net.layer))
    frozen = {layer.name for layer, _ in _frozen(net, known)} if trains else _beside(net, stored)
    doubtful = frozen - given
    found: List[str] = []
    for layer, shapes in zip(net.layer, known):
        if not shapes or layer.name not in doubtful:
            continue
        if len(layer.param) < len(shapes) or not {spec.name for spec in layer.param} <= shared:
            found.append(layer.name)
    return found


def _beside(net: Message, stored: Collection[str]) -> Set[str]:
    """Return the layers that meet in a layer below with what the layers `stored` make, and read nothing of it."""
    layers = of_phase(net, TEST)
    flow = Flow(layers)
    below = {index for index, layer in layers if layer.name in stored}
    for index, _ in layers:
        below.update([index] if below.intersection(flow.sources[index]) else [])
    return {net.layer[index].name for index in flow.behind(below) - below}


def _is_fixed(layer: Message) -> bool:
    """Tell whether the layer's fillers say values that may be meant to stay."""
    told = fillers(layer)
    first = told.get("weight_filler", told.get("filler"))
    fixed = all(filler.type in _FIXED for filler in told.values())
    return first is not None and fixed and (first.type == "bilinear" or first.value != 0)
