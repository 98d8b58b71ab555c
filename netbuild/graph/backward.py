"""Which layers the backward pass runs."""

from __future__ import annotations

from typing import Set

from ..layers import Inferred, Layers
from ..layers.roles import is_loss
from ..layers.training import wants_backward
from .flow import Flow


def backward(layers: Layers, shapes: Inferred, flow: Flow, *, everywhere: bool = False) -> Set[int]:
    """Return the layers that the backward pass runs (Net::Init): under a loss, and not below all that learns.

    `everywhere` is the net's `force_backward`.
    """
    under = flow.behind(index for index, layer in layers if is_loss(layer))
    reached: Set[int] = set()
    for index, layer in layers:
        blobs = shapes.params[index]
        own = everywhere or wants_backward(layer, None if blobs is None else len(blobs))
        if index in under and (own or not reached.isdisjoint(flow.sources[index])):
            reached.add(index)
    return reached
