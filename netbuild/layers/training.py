"""Whether a layer's parameters change in training, and what that makes smaller."""

from __future__ import annotations

from typing import Optional

from ..engine.caffe import TEST, Message


def learns(layer: Message, blobs: Optional[int]) -> Optional[bool]:
    """Tell whether training changes any of the layer's parameter blobs; None where it has none.

    `blobs` is their number, None where it is not known: then only the layer's own `param` entries tell. A blob without
    an entry learns, for Caffe's default is lr_mult 1. BatchNorm's blobs have no rate that counts: they follow the batch
    unless `use_global_stats` or the layer's own `phase: TEST` holds them (BatchNormLayer::LayerSetUp).
    """
    if blobs == 0 or (blobs is None and not layer.param):
        return None
    if layer.type == "BatchNorm":
        held = layer.batch_norm_param.use_global_stats or (layer.HasField("phase") and layer.phase == TEST)
        return not held
    unsaid = blobs is not None and len(layer.param) < blobs
    return unsaid or any(spec.lr_mult != 0 for spec in layer.param[:blobs])


def is_loss(layer: Message) -> bool:
    """Tell whether training makes the layer's top smaller."""
    return any(layer.loss_weight) if layer.loss_weight else is_loss_layer(layer)


def is_loss_layer(layer: Message) -> bool:
    """Tell whether the layer is one of Caffe's losses, whose top counts 1 unless it says otherwise (LossLayer)."""
    return bool(layer.type.endswith("Loss"))
