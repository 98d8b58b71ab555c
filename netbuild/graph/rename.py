"""Give every name in a net another one: layers, blobs, shared parameters."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Set

from ..engine.caffe import Message
from ..errors import GraphError
from ..proto import copied

Change = Callable[[str], str]


def renamed(net: Message, change: Change, inputs: Mapping[str, str] = {}) -> Message:
    """Return the net with `change` applied to each name in it, as `partial(names.qualify, "odd")` does it.

    The fields that carry names are a layer's `name`, `bottom`, `top` and `param.name`. `inputs` maps blobs that no
    layer of the net makes to the names they have outside. A layer that works in place on such a blob gets a top of
    its own, for others may read the blob too; the layers after it read that top.
    Raises GraphError where a layer makes another blob of the name that an input has outside: the two would be one.
    """
    for blob, outer in inputs.items():
        maker = _maker(net, change, blob, outer)
        if maker is not None:
            raise GraphError(
                f"what feeds its input {blob!r} is called {outer!r}, and so would be the top of its layer "
                f"{maker.name!r} ({maker.type}): feed it from a blob of another name"
            )
    result = copied(net)
    now: Dict[str, str] = dict(inputs)
    for layer in result.layer:
        layer.name = change(layer.name)
        bottoms = [now.get(blob) or change(blob) for blob in layer.bottom]
        tops: List[str] = [change(blob) for blob in layer.top]
        now.update(zip(layer.top, tops))
        layer.bottom[:], layer.top[:] = bottoms, tops
        for spec in layer.param:
            if spec.name:
                spec.name = change(spec.name)
    return result


def _maker(net: Message, change: Change, blob: str, outer: str) -> Optional[Message]:
    """Return the layer whose top would get the name `outer`, but for those that work in place on the input `blob`."""
    return next((layer for layer in net.layer for top in layer.top if change(top) == outer and top != blob), None)


def names_in(net: Message) -> Set[str]:
    """Return the names of a net's layers and blobs."""
    return {name for layer in net.layer for name in (layer.name, *layer.top)}
