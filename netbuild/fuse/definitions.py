"""What a weight file itself says of its layers: Caffe stores each one's definition beside its values."""

from __future__ import annotations

from typing import Collection, Iterator, Tuple

from ..errors import WeightsError
from ..proto.upgrade import upgraded
from ..schema import Message, schema
from ..weights.model import Definition, Layer, Model
from ..weights.wire import WireFile

_MAX_DEFINITION = 1 << 20
"""Bytes; a layer without values takes a few hundred."""


def stored_net(model: Model) -> Message:
    """Return the fields of the net itself that the file holds, without layers: its name, its inputs."""
    net = schema().NetParameter()
    with WireFile(model.path) as file:
        _parse(net, file, model.definition, "the net")
    return net


def stored_layers(model: Model, wanted: Collection[str] = ()) -> Iterator[Tuple[Layer, Message]]:
    """Yield the file's layers, or those of the wanted names, with their definitions in the current format.

    Definitions have no values. HDF5 files hold none: they give the name alone.
    """
    net_class = schema().NetParameter
    with WireFile(model.path) as file:
        for layer in model.all_layers:
            if wanted and layer.name not in wanted:
                continue
            net = net_class()
            stored = (net.layers if layer.definition.v1 else net.layer).add()
            _parse(stored, file, layer.definition, f"layer {layer.name!r}")
            if layer.definition.v1:
                stored = renewed(net, model.path).layer[0]
            if isinstance(stored.type, bytes):  # what protobuf cannot decode
                raise _not_text(model.path)
            if not stored.name:
                stored.name = layer.name
            yield layer, stored


def renewed(net: Message, path: str) -> Message:
    """Return what a weight file holds of a net, in the current format."""
    try:
        return upgraded(net, path)
    except ValueError:  # protobuf takes text that is none from a file, and not from us
        raise _not_text(path) from None


def _not_text(path: str) -> WeightsError:
    return WeightsError(f"weights {path!r}: the definition of a layer holds a name that is not UTF-8")


def _parse(message: Message, file: WireFile, definition: Definition, what: str) -> None:
    size = sum(end - start for start, end in definition.ranges)
    if size > _MAX_DEFINITION:
        raise WeightsError(f"weights {str(file.path)!r}: the definition of {what} has {size:,} bytes; damaged?")
    raw = b"".join(file.pread(start, end - start) for start, end in definition.ranges)
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(raw)
    except (DecodeError, RuntimeError, UnicodeDecodeError):
        raise WeightsError(f"weights {str(file.path)!r}: the definition of {what} is damaged") from None
