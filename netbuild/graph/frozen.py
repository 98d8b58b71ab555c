"""Whether branches that are called frozen are: training changes nothing in them, and they add nothing to the loss."""

from __future__ import annotations

from typing import Collection, Dict, Iterator, Mapping

from ..errors import GraphError
from ..layers.roles import is_loss, is_loss_layer
from ..layers.training import Effect, draws, has_own_rates, held_by
from ..proto import copied
from ..schema import TEST, TRAIN, Message
from .view import NetView, Views

_SHOWN = 5


def require_frozen(of_phases: Views, branches: Mapping[str, Collection[str]]) -> None:
    """Raise GraphError where a layer of these branches would learn, drift, act at random or add to the loss.

    `of_phases` are views of one net, `branches` the names of each branch's layers by its prefix.
    """
    branch_of = {name: prefix for prefix, layers in branches.items() for name in layers}
    faults: Dict[str, Dict[str, None]] = {prefix: {} for prefix in branches}
    for view in _in_both(of_phases):
        for index, layer in view.layers:
            if layer.name in branch_of:
                faults[branch_of[layer.name]].update(dict.fromkeys(_faults(layer, view.training[index])))
    for prefix, found in faults.items():
        if found:
            more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
            heading = f"branch {prefix!r} is to be frozen, but its builder left"
            raise GraphError("\n  ".join([heading, *list(found)[:_SHOWN], *more]))


def _in_both(of_phases: Views) -> Iterator[NetView]:
    """Yield the view of TRAIN, then that of TEST; one that is not there is made of the other."""
    for phase in (TRAIN, TEST):
        yield of_phases.get(phase) or next(iter(of_phases.values())).in_phase(phase)


def _faults(layer: Message, effect: Effect) -> Iterator[str]:
    """Yield what keeps a layer from being frozen, each with what to do."""
    what = f"layer {layer.name!r} ({layer.type})"
    if has_own_rates(layer):
        yield f"{what} learning at a rate of its own, whatever its entries say: put scale and bias into a Scale layer"
    elif effect.parameters and effect.wants_backward:
        state = "learning" if effect.learns else "in the backward pass"
        yield (
            f"{what} {state}: give each of its {effect.parameters} blobs a param with lr_mult 0 and decay_mult 0, as "
            f"netbuild.blocks.param_specs({effect.parameters}, frozen=True) does"
        )
    if is_loss(layer):
        remedy = "set its loss_weight to 0" if is_loss_layer(layer) else "leave its loss_weight out"
        yield f"{what} in the net's loss: {remedy}"
    if effect.drifts:
        yield f"{what} updating its statistics: set {held_by(layer)}"
    elif effect.on_stored_statistics is False:
        yield f"{what} normalising by each batch, with no statistics to store: put a layer in its place that does not"
    if effect.draws:
        yield f"{what} at random: {_remedy_for_chance(layer)}"


def _remedy_for_chance(layer: Message) -> str:
    quiet = copied(layer)
    quiet.phase = TEST
    if draws(quiet, TRAIN):
        return "leave it out, or let it fill its tops with a constant"
    return "leave it out, or set phase: TEST on the layer"
