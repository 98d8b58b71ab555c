"""Whether branches that are called frozen are: training changes nothing in them, and they add nothing to the loss."""

from __future__ import annotations

from typing import Collection, Dict, Iterator

from ..engine.caffe import TEST, TRAIN, Message
from ..errors import GraphError
from ..layers.roles import is_loss, is_loss_layer
from ..layers.training import Effect, draws
from .view import NetView

_SHOWN = 5


def require_frozen(net: Message, prefixes: Collection[str]) -> None:
    """Raise GraphError where a layer of these branches would learn, drift, act at random or add to the loss."""
    faults: Dict[str, Dict[str, None]] = {prefix: {} for prefix in prefixes}
    for phase in (TRAIN, TEST):
        view = NetView(net, phase)
        members = view.by_owner(prefixes)
        for prefix in prefixes:
            for index in members.get(prefix, ()):
                faults[prefix].update(dict.fromkeys(_faults(net.layer[index], view.training[index])))
    for prefix, found in faults.items():
        if found:
            more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
            heading = f"branch {prefix!r} is to be frozen, but its builder left"
            raise GraphError("\n  ".join([heading, *list(found)[:_SHOWN], *more]))


def _faults(layer: Message, effect: Effect) -> Iterator[str]:
    """Yield what keeps a layer from being frozen, each with what to do."""
    what = f"layer {layer.name!r} ({layer.type})"
    if effect.parameters and effect.wants_backward:
        state = "learning" if effect.learns else "in the backward pass"
        yield (
            f"{what} {state}: give each of its {effect.parameters} blobs a param with lr_mult 0 and decay_mult 0, as "
            f"netbuild.blocks.param_specs({effect.parameters}, frozen=True) does"
        )
    if is_loss(layer):
        remedy = "set its loss_weight to 0" if is_loss_layer(layer) else "leave its loss_weight out"
        yield f"{what} in the net's loss: {remedy}"
    if effect.drifts:
        yield f"{what} updating its statistics: set use_global_stats: true"
    if effect.draws:
        yield f"{what} at random: {_remedy_for_chance(layer)}"


def _remedy_for_chance(layer: Message) -> str:
    quiet = type(layer)()
    quiet.CopyFrom(layer)
    quiet.phase = TEST
    if draws(quiet, TRAIN):
        return "leave it out, or let it fill its tops with a constant"
    return "leave it out, or set phase: TEST on the layer"
