"""Layers that exist as messages, written into a NetSpec beside those of its own functions."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from ..engine.caffe import Message, caffe
from ..proto import copied

Top = Any


def add_layers(net: Any, layers: Sequence[Message], tops: Mapping[str, Top]) -> Dict[str, Top]:
    """Add layers to a NetSpec exactly as they are, names and empty fields included, and return the Top of each blob.

    `tops` gives the Tops of blobs that none of the layers makes, under the names that the layers read them by.
    NetSpec's own functions take these Tops as bottoms as they take any other.
    """
    made = dict(tops)
    for layer in layers:
        function = _Given(layer, [made[blob] for blob in layer.bottom])
        for blob, top in zip(layer.top, function.tops):
            # A blob that is worked on in place has the key of its first Top already: each Top needs its own.
            net[_free(net, blob if blob not in layer.bottom else layer.name)] = made[blob] = top
        if not layer.top:
            net[_free(net, layer.name)] = function
    return made


def blob_of(net: Any, top: Top) -> str:
    """Return the name of an assigned Top's blob: for a layer in place that of the blob it works on."""
    return _blob_of(top, _keys(net))


def tops_of(net: Any) -> Dict[str, Top]:
    """Return the Top of each of a NetSpec's blobs, after all layers that work in place on it."""
    keys = _keys(net)
    # What has no `fn` is a layer without tops.
    return {_blob_of(top, keys): top for top in net.tops.values() if hasattr(top, "fn")}


def _keys(net: Any) -> Dict[int, str]:
    """Return what each Top was assigned to, by its identity; NetSpec itself goes by the first of several names."""
    keys: Dict[int, str] = {}
    for key, top in net.tops.items():
        keys.setdefault(id(top), key)
    return keys


def _blob_of(top: Top, keys: Mapping[int, str]) -> str:
    while not isinstance(top.fn, _Given) and top.fn.in_place:
        top = top.fn.inputs[0]
    return str(top.fn.layer.top[top.n]) if isinstance(top.fn, _Given) else keys.get(id(top), "")


def _free(net: Any, name: str) -> str:
    key, count = name, 1
    while key in net.tops:
        count += 1
        key = f"{name}#{count}"
    return key


class _Given:
    """A layer in the place of NetSpec's Function: it has its names already."""

    in_place = False

    def __init__(self, layer: Message, inputs: List[Top]) -> None:
        self.layer, self.inputs = copied(layer), inputs
        self.type_name = layer.type
        self.tops = tuple(caffe().net_spec.Top(self, n) for n in range(len(layer.top)))

    def _to_proto(self, layers: Dict[Any, Message], names: Dict[Any, str], autonames: Dict[str, int]) -> None:
        if self in layers:
            return
        for top in self.inputs:
            top._to_proto(layers, names, autonames)
        layers[self] = self.layer
