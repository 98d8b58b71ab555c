"""Parameters that two branches have in common: siamese nets."""

from __future__ import annotations

from typing import Collection

from .. import names
from ..errors import GraphError
from ..schema import Message
from .freeze import Edit


def share(edit: Edit, prefix: str, owner: str, layers: Collection[int]) -> None:
    """Put the branch `prefix`, the layers of these indices, on the parameters of the branch `owner`, which has the
    same layers.

    Both branches' blobs get the same `param` name, and the sharer the owner's multipliers: Caffe then keeps one blob
    for both. Raises GraphError where the owner has no layer of the same name, type and number of blobs.
    """
    for index in sorted(layers):
        layer, blobs = edit.net.layer[index], edit.blobs.get(index)
        own_name = names.local(prefix, layer.name)
        if own_name is None or not blobs:
            continue
        twin = edit.named(names.qualify(owner, own_name), layer)
        if twin is None or twin.type != layer.type:
            raise GraphError(
                f"branch {prefix!r} cannot share the parameters of {owner!r}: its layer {own_name!r} ({layer.type}) "
                f"has no counterpart there"
            )
        _name_parameters(twin, blobs)
        del layer.param[:]
        layer.param.extend(twin.param)
        edit.rates_changed(layer)


def _name_parameters(layer: Message, blobs: int) -> None:
    """Give each parameter of the layer a name of its own, where it has none."""
    for position in range(blobs):
        if len(layer.param) == position:
            layer.param.add()
        if not layer.param[position].name:
            layer.param[position].name = f"{layer.name}_{position}"
