"""Parameters that two branches have in common: siamese nets."""

from __future__ import annotations

from typing import Dict

from .. import names
from ..engine.caffe import TEST, Message
from ..errors import GraphError
from ..layers import infer
from ..proto import copied


def shared(net: Message, prefix: str, owner: str) -> Message:
    """Return the net with the branch `prefix` on the parameters of the branch `owner`, which has the same layers.

    Both branches' blobs get the same `param` name, and the sharer the owner's multipliers: Caffe then keeps one blob
    for both. Raises GraphError where the owner has no layer of the same name, type and number of blobs.
    """
    result = copied(net)
    owners: Dict[str, Message] = {layer.name: layer for layer in result.layer}
    for index, shapes in infer(net, TEST).params.items():
        layer = result.layer[index]
        own_name = names.local(prefix, layer.name)
        if own_name is None or not shapes:
            continue
        twin = owners.get(names.qualify(owner, own_name))
        if twin is None or twin.type != layer.type:
            raise GraphError(
                f"branch {prefix!r} cannot share the parameters of {owner!r}: its layer {own_name!r} ({layer.type}) "
                f"has no counterpart there"
            )
        for position in range(len(shapes)):
            if len(twin.param) == position:
                twin.param.add()
            if not twin.param[position].name:
                twin.param[position].name = f"{twin.name}_{position}"
        del layer.param[:]
        layer.param.extend(twin.param)
    return result
