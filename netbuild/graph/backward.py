"""Which layers the backward pass runs."""

from __future__ import annotations

from typing import Set

from ..layers import Inferred, Layers
from ..layers.training import is_loss
from .flow import Flow


def backward(layers: Layers, shapes: Inferred, flow: Flow, *, everywhere: bool = False) -> Set[int]:
    """Return the layers that the backward pass runs (Net::Init): under a loss, and not below all that learns.

    A parameter without an entry counts as learning there, also one of a BatchNorm, whose values never learn.
    `everywhere` is the net's `force_backward`.
    """
    losses = [index for index, layer in layers if is_loss(layer)]
    under = flow.behind(losses)
    reached: Set[int] = set()
    for index, layer in layers:
        blobs = shapes.params[index]
        unsaid = len(layer.param) < (0 if blobs is None else len(blobs))
        learns = unsaid or any(spec.lr_mult for spec in layer.param[: None if blobs is None else len(blobs)])
        passed = [source in reached for source in flow.sources[index]]
        if index in under and (everywhere or learns or any(passed)):
            reached.add(index)
    return reached
