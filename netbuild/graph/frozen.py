"""Whether a branch that is called frozen is: in its learning rates, its statistics, its noise and the net's loss."""

from __future__ import annotations

from typing import Iterator, List

from .. import names
from ..engine.caffe import TEST, Message
from ..errors import GraphError
from ..layers import survey
from ..layers.training import is_loss, is_loss_layer
from ..proto import phases
from .freeze import is_stochastic_pooling

_SHOWN = 5


def require_frozen(net: Message, prefix: str) -> None:
    """Raise GraphError where a layer of the branch would learn, drift, act at random or add to the loss in training."""
    faults = list(dict.fromkeys(fault for phase in phases(net) for fault in _faults(net, prefix, phase)))
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        heading = f"branch {prefix!r} is to be frozen, but its builder left"
        raise GraphError("\n  ".join([heading, *faults[:_SHOWN], *more]))


def _faults(net: Message, prefix: str, phase: int) -> Iterator[str]:
    for index, shapes in survey(net, phase)[0].params.items():
        layer = net.layer[index]
        if names.local(prefix, layer.name) is None:
            continue
        learning: List[Message] = [spec for spec in layer.param if spec.lr_mult or spec.decay_mult]
        if shapes and (learning or len(layer.param) < len(shapes)):
            yield (
                f"layer {layer.name!r} ({layer.type}) learning: give each of its {len(shapes)} blobs a param with "
                f"lr_mult 0 and decay_mult 0, as netbuild.blocks.param_specs({len(shapes)}, frozen=True) does"
            )
        if is_loss(layer):
            remedy = "set its loss_weight to 0" if is_loss_layer(layer) else "leave its loss_weight out"
            yield f"layer {layer.name!r} ({layer.type}) in the net's loss: {remedy}"
        quiet = layer.HasField("phase") and layer.phase == TEST
        if layer.type == "BatchNorm" and not (layer.batch_norm_param.use_global_stats or quiet):
            yield f"layer {layer.name!r} (BatchNorm) updating its statistics: set use_global_stats: true"
        if (layer.type == "Dropout" or is_stochastic_pooling(layer)) and not quiet:
            yield f"layer {layer.name!r} ({layer.type}) at random: leave it out, or set phase: TEST on the layer"
