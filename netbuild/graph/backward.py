"""Which layers the backward pass runs, and where it cannot go on."""

from __future__ import annotations

from typing import Iterator, List, Set

from ..layers import Inferred, Layers
from ..layers.roles import is_loss, is_loss_layer
from ..layers.table import of
from ..layers.training import wants_backward
from ..schema import Message
from .flow import Flow


def backward(layers: Layers, shapes: Inferred, flow: Flow, *, everywhere: bool = False) -> Set[int]:
    """Return the layers that the backward pass runs (Net::Init): under a loss, and not below all that learns.

    `everywhere` is the net's `force_backward`, with which it runs them all.
    """
    if everywhere:
        return {index for index, _ in layers}
    return _reached(layers, shapes, flow, {index for index, layer in layers if is_loss(layer)})


def _reached(layers: Layers, shapes: Inferred, flow: Flow, losses: Set[int]) -> Set[int]:
    """Return the layers under these losses that learn, or that lie above what learns."""
    under = flow.behind(losses)
    reached: Set[int] = set()
    for index, layer in layers:
        blobs = shapes.params[index]
        own = wants_backward(layer, None if blobs is None else len(blobs))
        if index in under and (own or not reached.isdisjoint(flow.sources[index])):
            reached.add(index)
    return reached


def dead_ends(layers: Layers, shapes: Inferred, flow: Flow, *, everywhere: bool = False) -> Iterator[str]:
    """Yield the layers that have no gradient for a bottom that wants one: Caffe aborts when it trains them.

    `everywhere` is the net's `force_backward`.
    """
    losses = {index for index, layer in layers if is_loss(layer) and not is_forgotten(index, layer, flow)}
    learning = _reached(layers, shapes, flow, losses)
    reached = backward(layers, shapes, flow, everywhere=True) if everywhere else learning
    for index, layer in layers:
        sources = flow.sources[index]
        if index not in reached or len(sources) < len(layer.bottom):
            continue
        for position in _stops(layer):
            if _wants_gradient(layer, position, learns=sources[position] in learning, everywhere=everywhere):
                remedy = "" if of(layer).gradient.stops_all else ", or say propagate_down: false for this bottom"
                yield (
                    f"layer {layer.name!r} ({layer.type}): has no gradient for its bottom {layer.bottom[position]!r}, "
                    f"which the backward pass reaches: Caffe aborts when it trains the net; freeze what learns before "
                    f"it{remedy}"
                )


def _stops(layer: Message) -> List[int]:
    """Return the positions of the bottoms that the layer has no gradient for."""
    count = len(layer.bottom)
    return [position % count for position in of(layer).gradient.stops if position < count]


def _wants_gradient(layer: Message, position: int, *, learns: bool, everywhere: bool) -> bool:
    """Tell whether Caffe asks for the gradient of a bottom (Net::AppendBottom, and force_backward in Net::Init)."""
    given = () if of(layer).gradient.stops_all else layer.propagate_down
    wants = bool(given[position]) if position < len(given) else learns
    return wants or (everywhere and of(layer).gradient.forced)


def is_forgotten(index: int, layer: Message, flow: Flow) -> bool:
    """Tell whether a loss that has its weight by default does not count as one, because another layer reads it.

    It gets no Split: what is learnt from it comes from the losses beyond those that read it.
    """
    return is_loss_layer(layer) and not layer.loss_weight and any(flow.readers[top, index] for top in layer.top)
