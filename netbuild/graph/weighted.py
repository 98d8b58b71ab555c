"""What Caffe makes of a loss that another layer reads: a Split comes between, and takes the loss_weight along."""

from __future__ import annotations

from typing import Collection, Iterator, List

from ..layers import Layers
from ..layers.roles import has_more_than_a_loss, is_loss
from ..schema import Message
from .backward import is_forgotten
from .flow import Flow


def weight_faults(layers: Layers, flow: Flow) -> Iterator[str]:
    """Yield the losses of several tops one of which counts and is read.

    Its Split has the weight of that top (InsertSplits), the layer none at all, and a loss without any gives itself one
    for its first top alone (LossLayer::LayerSetUp).
    """
    for index, layer in layers:
        if len(layer.top) > 1 and has_more_than_a_loss(layer):
            for blob in _counted_and_read(index, layer, flow):
                yield (
                    f"layer {layer.name!r} ({layer.type}): its top {blob!r} has a loss_weight and is read by another "
                    "layer, and Caffe aborts; let no layer read it, or give the loss one top"
                )


def lost_weights(layers: Layers, flow: Flow, reached: Collection[int]) -> Iterator[str]:
    """Yield the losses that Caffe does not train on; `reached` are the layers that the backward pass is to run.

    A Split that has the weight of one top leaves none to the layer's others. A loss that has its weight by default gets
    no Split; where those that read it lead to no loss, Net::Init lets the backward pass end there.
    """
    under = flow.behind(index for index, layer in layers if is_loss(layer))
    for index, layer in layers:
        if index not in reached:
            continue
        where = f"layer {layer.name!r} ({layer.type})"
        lost = _lost(index, layer, flow)
        if lost and _counted_and_read(index, layer, flow):
            yield (
                f"{where}: another top of it is read and has a loss_weight, and Caffe forgets that of {lost[0]!r}; let "
                "a layer of its own make the loss"
            )
        readers = [reader for top in layer.top for reader in flow.readers[top, index]]
        if is_forgotten(index, layer, flow) and under.isdisjoint(readers):
            yield (
                f"{where}: another layer reads its top {layer.top[0]!r}, and without a loss_weight Caffe then learns "
                "nothing from it; give it loss_weight: 1"
            )


def _counted_and_read(index: int, layer: Message, flow: Flow) -> List[str]:
    return [top for top, weight in zip(layer.top, layer.loss_weight) if weight and flow.readers[top, index]]


def _lost(index: int, layer: Message, flow: Flow) -> List[str]:
    return [top for top, weight in zip(layer.top, layer.loss_weight) if weight and not flow.readers[top, index]]
