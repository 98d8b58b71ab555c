"""Layers that exist as messages, written into a NetSpec beside those of its own functions."""

from __future__ import annotations

from itertools import islice
from typing import Any, Dict, List, Mapping, Sequence, Set

from ..errors import GraphError
from ..proto import copied, to_text
from ..schema import Message, netspec
from ..schema.programs import Collected, has_our_classes

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
    top = _worked_on(top)
    if isinstance(top.fn, _Given):
        return str(top.fn.layer.top[top.n])
    names: List[str] = [key for key, one in net.tops.items() if one is top]
    # NetSpec goes by the last of several.
    return names[-1] if names else ""


def carried_names(net: Any) -> Set[str]:
    """Return the names of the layers that were added as they are: no function of NetSpec chose them."""
    functions = (getattr(top, "fn", top) for top in net.tops.values())
    return {function.layer.name for function in functions if isinstance(function, _Given)}


class Blobs:
    """The Top of each of a NetSpec's blobs, after all layers that work in place on it, as more and more are written."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self._tops: Dict[str, Top] = {}
        self._keys: Dict[int, str] = {}
        """What each Top was assigned to, by its identity."""
        self._read = 0

    def tops(self) -> Dict[str, Top]:
        """Return the Top of each blob by its name, those of the layers that were written last included."""
        new = list(islice(self.net.tops.items(), self._read, None))
        self._read += len(new)
        self._keys.update((id(top), key) for key, top in new)
        for _, top in new:
            # What has no `fn` is a layer without tops.
            if hasattr(top, "fn"):
                self._tops[self._name(_worked_on(top))] = top
        return self._tops

    def _name(self, top: Top) -> str:
        return str(top.fn.layer.top[top.n]) if isinstance(top.fn, _Given) else self._keys.get(id(top), "")


def _worked_on(top: Top) -> Top:
    """Return the Top that has the blob's name: what layers in place work on has it, not they."""
    while top.fn.in_place:
        top = top.fn.inputs[0]
    return top


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
        self.tops = tuple(netspec().Top(self, n) for n in range(len(layer.top)))

    def _to_proto(self, layers: Dict[Any, Message], names: Dict[Any, str], autonames: Dict[str, int]) -> None:
        if self in layers:
            return
        for top in self.inputs:
            top._to_proto(layers, names, autonames)
        ours = has_our_classes() or isinstance(layers, Collected)
        layers[self] = self.layer if ours else _theirs(self.layer)


def _theirs(layer: Message) -> Message:
    """Return a layer as a message of the Caffe that the caller imported, whose NetSpec is asked for its net."""
    from google.protobuf import text_format

    try:
        return text_format.Parse(to_text(layer), netspec().caffe_pb2.LayerParameter())
    except text_format.ParseError as error:
        raise GraphError(
            f"layer {layer.name!r}: the Caffe that was imported does not know all of it ({error}); import netbuild "
            "before caffe, or give the NetSpec to a function of netbuild"
        ) from None
