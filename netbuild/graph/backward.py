"""Which layers the backward pass runs."""

from __future__ import annotations

from typing import Set

from ..engine.caffe import Message
from ..layers import Inferred
from ..layers.training import is_loss, wants_backward
from ..proto import of_phase
from .flow import Flow


def backward(net: Message, phase: int, shapes: Inferred, flow: Flow) -> Set[int]:
    """Return the layers that the backward pass runs (Net::Init): under a loss, and not below all that learns."""
    layers = of_phase(net, phase)
    under = flow.behind(index for index, layer in layers if is_loss(layer))
    reached: Set[int] = set()
    for index, layer in layers:
        blobs = shapes.params[index]
        own = net.force_backward or wants_backward(layer, None if blobs is None else len(blobs))
        if index in under and (own or not reached.isdisjoint(flow.sources[index])):
            reached.add(index)
    return reached
