"""Give every name in a net another one: layers, blobs, shared parameters."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set

from ..errors import GraphError
from ..layers import Shape
from ..names import free
from ..proto import by_name, copied
from ..schema import Message
from .view import Views

Change = Callable[[str], str]

_NAMED_BY = {"compile_net_state": ("kept_bn_layers", "negative_conv_names"), "mem_param": ("exclude_blob",)}
"""Options of a net that name layers or blobs, each with its lists of names."""


def renamed(net: Message, change: Change, inputs: Mapping[str, str] = {}) -> Message:
    """Return the net with `change` applied to each name in it, as `partial(names.qualify, "odd")` does it.

    The fields that carry names are a layer's `name`, `bottom`, `top` and `param.name`, and a few of the net's own. A
    layer without a name stays without. `inputs` maps blobs that no
    layer of the net makes to the names they have outside. A layer that works in place on such a blob gets a top of
    its own, for others may read the blob too; the layers after it read that top.
    Raises GraphError where a layer makes another blob of the name that an input has outside: the two would be one.
    """
    _require_apart(net, change, inputs)
    result = copied(net)
    _rename_options(result, change)
    now: Dict[str, str] = dict(inputs)
    for layer in result.layer:
        if layer.name:
            layer.name = change(layer.name)
        bottoms = [now.get(blob) or change(blob) for blob in layer.bottom]
        tops: List[str] = [change(blob) for blob in layer.top]
        now.update(zip(layer.top, tops))
        layer.bottom[:], layer.top[:] = bottoms, tops
        for spec in layer.param:
            if spec.name:
                spec.name = change(spec.name)
    return result


def named_apart(net: Message, of_phases: Views) -> Message:
    """Return a net in which every layer has a name, and none that another layer of the same phase has.

    Where Caffe copies weights by name, names of layers without weights mean nothing to it: they may be missing, or
    stand twice. A branch needs them, for they say whose the layer is. Of several layers of a name the one with weights
    keeps it. A layer without a name is called as its first top, or as its type where it has none.
    Raises GraphError for a layer with weights and no name, which weight files could not give any under a new one.
    """
    change: Dict[int, str] = {}
    for view in of_phases.values():
        groups, params = by_name(view.layers), view.shapes.params
        taken = {*groups, *(change.get(index, "") for index, _ in view.layers)}
        for name, indices in groups.items():
            keeper = next((index for index in indices if params.get(index)), indices[0])
            for index in indices:
                if index not in change and not (name and index == keeper):
                    layer = view.by_index[index]
                    _require_no_weights(index, layer, params[index])
                    change[index] = free(name or next(iter(layer.top), layer.type.lower()), taken)
                    taken.add(change[index])
    if not change:
        return net
    result = copied(net)
    for index, name in change.items():
        result.layer[index].name = name
    return result


def _require_no_weights(index: int, layer: Message, blobs: Optional[Sequence[Shape]]) -> None:
    if blobs or (blobs is None and not layer.name):
        raise GraphError(
            f"layer {index} ({layer.type}) has weights and no name, and a branch's weights are found by name: give it "
            "one, in the prototxt and in its weight file"
        )


def _rename_options(net: Message, change: Change) -> None:
    """Rename the layers and blobs that the net's own options name, all of them forks'."""
    for option, lists in _NAMED_BY.items():
        if net.HasField(option):
            for field in lists:
                named = getattr(getattr(net, option), field)
                named[:] = list(map(change, named))
    for part in net.multinode.model_parallel:
        part.layer_from = change(part.layer_from)
        if part.layer_to:
            part.layer_to = change(part.layer_to)


def _require_apart(net: Message, change: Change, inputs: Mapping[str, str]) -> None:
    """Raise GraphError where a top would get the name that an input has outside; to work in place on it is no clash."""
    fed_by: Dict[str, List[str]] = {}
    for blob, outer in inputs.items():
        fed_by.setdefault(outer, []).append(blob)
    for layer in net.layer if inputs else ():
        for top in layer.top:
            outer = change(top)
            others = [blob for blob in fed_by.get(outer, ()) if blob != top]
            if others:
                raise GraphError(
                    f"what feeds its input {others[0]!r} is called {outer!r}, and so would be the top of its layer "
                    f"{layer.name!r} ({layer.type}): feed it from a blob of another name"
                )


def names_in(net: Message) -> Set[str]:
    """Return the names of a net's layers and blobs."""
    return {name for layer in net.layer for name in (layer.name, *layer.top)}
