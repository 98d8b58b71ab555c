"""Which layers begin with values that somebody chose, where training will not change them.

A frozen layer gets its values from a weight file, from its own definition (`blobs`), from a layer that it shares its
parameters with, or from fillers that say fixed ones, `bilinear` or a `constant` other than 0: an upsampling, the mean
of three colours. A frozen layer with none of these stays as chance or 0 made it, and nobody means that. Nor does
anybody where nothing trains at all, in a net without a loss, of a branch that is joined with those that have weights.
What reads these may be a head whose weights come later.
"""

from __future__ import annotations

from typing import Collection, Dict, List, Optional, Set

from ..layers.roles import is_loss
from ..layers.training import has_statistics_alone
from ..proto import fillers
from ..schema import TEST, TRAIN, Message
from .view import NetView, Views, views

_FIXED = ("bilinear", "constant")


def has_frozen_part(net: Message, of_phases: Optional[Views] = None) -> bool:
    """Tell whether a layer is frozen that is more than the statistics of one that learns.

    `of_phases` are views of the net where there are some already.
    """
    statistics = {layer.name for layer in net.layer if has_statistics_alone(layer)}
    return bool(_frozen(_and_train(_fitting(net, of_phases))) - statistics)


def unfilled(net: Message, stored: Collection[str], of_phases: Optional[Views] = None) -> List[str]:
    """Return the layers that would stay at values which nobody chose, where the layers `stored` get theirs from files.

    Layers of types that are not known here are not among them. `of_phases` are views of the net where there are some
    already. Raises GraphError where a layer does not fit.
    """
    known = _fitting(net, of_phases)
    trains = any(map(is_loss, net.layer))
    if trains:
        known = _and_train(known)
    filled = _filled(net, stored)
    doubtful = (_frozen(known) if trains else _beside(net, stored)) - filled
    shared = {spec.name for layer in net.layer if layer.name in filled for spec in layer.param} - {""}
    empty: Dict[str, None] = {}
    for index, layer in enumerate(net.layer):
        blobs = _parameters(known, index) if layer.name in doubtful else 0
        if blobs and not _shares_all(layer, blobs, shared):
            empty[layer.name] = None
    return list(empty)


def _filled(net: Message, stored: Collection[str]) -> Set[str]:
    """Return the layers with values from files, from their definition, or from fillers that give fixed ones."""
    return {layer.name for layer in net.layer if layer.name in stored or layer.blobs or _has_fixed_fillers(layer)}


def _fitting(net: Message, of_phases: Optional[Views] = None) -> List[NetView]:
    """Return the net in each phase that it is made for, where its shapes must fit."""
    made_for = list((of_phases or views(net)).values())
    for view in made_for:
        view.fitting_shapes()
    return made_for


def _and_train(made_for: List[NetView]) -> List[NetView]:
    """Return these views and that of TRAIN, where the net learns."""
    has_train = any(view.phase == TRAIN for view in made_for)
    return made_for if has_train else [*made_for, NetView(made_for[0].net, TRAIN)]


def _frozen(known: List[NetView]) -> Set[str]:
    """Return the layers with parameters that training does not change; what it changes in any phase, it changes."""
    changed: Dict[str, bool] = {}
    for view in known:
        for index, layer in view.layers:
            effect = view.training[index]
            if effect.parameters != 0 and effect.changes is not None:
                changed[layer.name] = changed.get(layer.name, False) or effect.changes
    return {name for name, change in changed.items() if not change}


def _parameters(known: List[NetView], index: int) -> int:
    """Return how many parameter blobs a layer has, 0 where that is not known."""
    return max(len(view.shapes.params.get(index) or ()) for view in known)


def _shares_all(layer: Message, blobs: int, shared: Collection[str]) -> bool:
    """Tell whether the layer has a name for each of its blobs, and shares all of them under these."""
    return len(layer.param) >= blobs and all(spec.name in shared for spec in layer.param)


def _beside(net: Message, stored: Collection[str]) -> Set[str]:
    """Return the layers that meet in a layer below with what the layers `stored` make, and read nothing of it."""
    view = NetView(net, TEST)
    below = {index for index, layer in view.layers if layer.name in stored}
    for index, _ in view.layers:
        if below.intersection(view.flow.sources[index]):
            below.add(index)
    return {net.layer[index].name for index in view.flow.behind(below) - below}


def _has_fixed_fillers(layer: Message) -> bool:
    """Tell whether the layer's fillers give values that may be meant to stay."""
    by_field = fillers(layer)
    first = by_field.get("weight_filler", by_field.get("filler"))
    fixed = all(filler.type in _FIXED for filler in by_field.values())
    return first is not None and fixed and (first.type == "bilinear" or first.value != 0)
