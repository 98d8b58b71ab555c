"""Give every name in a net another one: layers, blobs, shared parameters."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Set

from ..errors import GraphError
from ..proto import copied
from ..schema import Message

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
