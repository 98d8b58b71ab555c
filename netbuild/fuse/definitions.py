"""What a weight file itself says of its layers: Caffe stores each one's definition beside its values."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Collection, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import GraphError, NetbuildWarning, WeightsError, some
from ..proto import parsed, to_text
from ..proto.upgrade import upgraded
from ..schema import Message, schema, values_of
from ..schema.definitions import kind_of
from ..schema.dialects import Dialect, schema_has_upstreams_numbers, upstream_dialect
from ..schema.messages import upstream_schema
from ..weights.caffemodel import NET_LAYER, NET_V1_LAYERS
from ..weights.model import Definition, Layer, Model
from ..weights.wire import WireFile, encode_bytes
from .writer import Place, Writer, writer_of

Part = Optional[Layer]
"""What has a definition: a layer, or (None) the net itself."""
_MAX_DEFINITION = 1 << 20
"""Bytes; a layer without values takes a few hundred."""


class Stored(NamedTuple):
    """What a weight file says of its net."""

    net: Message
    """The fields of the net itself, without layers: its name, its inputs."""
    layers: Sequence[Tuple[Layer, Message]]
    """The file's layers with their definitions in the current format, which have no values."""
    dialect: Dialect
    """The Caffe whose field numbers the file has."""


def stored(model: Model, wanted: Collection[str] = ()) -> Stored:
    """Return what a weight file holds besides values, of all its layers or of those of the wanted names.

    HDF5 files hold no definitions: they give the names alone. A file of a fork is read by the messages of that fork.
    What no Caffe known here reads, and what two read otherwise, is left out of the definitions, with a NetbuildWarning.
    """
    with WireFile(model.path) as file:
        own = _raw(file, model.definition, None)
        definitions = [(layer, _raw(file, layer.definition, layer)) for layer in model.all_layers]
        plain = schema_has_upstreams_numbers() and _is_upstreams(own) and _is_upstreams(_as_net(definitions))
        writer = Writer(upstream_dialect()) if plain else writer_of(model, file)
    read = _by_number if plain else partial(_by_name, writer)
    layers = [
        (layer, _current(read(layer, raw, model.path), layer, model.path))
        for layer, raw in definitions
        if not wanted or layer.name in wanted
    ]
    net = read(None, own, model.path)
    _tell(writer, model.path)
    return Stored(net, layers, writer.dialect)


def renewed(net: Message, path: str) -> Message:
    """Return what a weight file holds of a net, in the current format."""
    try:
        return upgraded(net, path)
    except ValueError:  # protobuf takes text that is none from a file, and not from us
        raise _not_text(path) from None


def _raw(file: WireFile, definition: Definition, layer: Part) -> bytes:
    size = sum(end - start for start, end in definition.ranges)
    if size > _MAX_DEFINITION:
        raise WeightsError(
            f"weights {str(file.path)!r}: the definition of {_called(layer)} has {size:,} bytes; damaged?"
        )
    return b"".join(file.pread(start, end - start) for start, end in definition.ranges)


def _called(layer: Part) -> str:
    return "the net" if layer is None else f"layer {layer.name!r}"


def _parse(classes: Any, layer: Part, raw: bytes) -> Optional[Message]:
    """Return a net of these classes that holds the definition alone, None where it does not parse."""
    net = classes.NetParameter()
    part = net if layer is None else (net.layers if layer.definition.v1 else net.layer).add()
    return None if _filled(part, raw) is None else net


def _filled(message: Message, raw: bytes) -> Optional[Message]:
    """Fill a message; return None where the bytes do not parse."""
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(raw)
    except (DecodeError, RuntimeError, UnicodeDecodeError):
        return None
    return message


def _as_net(definitions: Sequence[Tuple[Layer, bytes]]) -> bytes:
    """Return a net of these layers, in the order in which protobuf writes them."""
    old = b"".join(encode_bytes(NET_V1_LAYERS, raw) for layer, raw in definitions if layer.definition.v1)
    return old + b"".join(encode_bytes(NET_LAYER, raw) for layer, raw in definitions if not layer.definition.v1)


def _is_upstreams(raw: bytes) -> bool:
    """Tell whether upstream's messages know all that a net holds, as upstream writes it: its writer is upstream.

    Quicker than to look at each field: protobuf drops what it does not know, and writes the rest.
    """
    net = _filled(upstream_schema().NetParameter(), raw)
    if net is None:
        return False
    net.DiscardUnknownFields()
    return bool(net.SerializeToString() == raw)


def _by_number(layer: Part, raw: bytes, path: str) -> Message:
    """Return a net that holds the definition alone, read by upstream's numbers."""
    return _required(_parse(schema(), layer, raw), layer, path)


def _required(net: Optional[Message], layer: Part, path: str) -> Message:
    if net is None:
        raise WeightsError(f"weights {path!r}: the definition of {_called(layer)} is damaged")
    return net


def _by_name(writer: Writer, layer: Part, raw: bytes, path: str) -> Message:
    """Return a net that holds the definition alone, read by the numbers of its writer."""
    net = _required(_parse(writer.dialect.classes(), layer, raw), layer, path)
    _clear(net, writer.disputed)
    try:
        return parsed(to_text(net))
    except (ValueError, GraphError):
        raise _not_text(path) from None


def _clear(message: Message, disputed: Collection[Place]) -> None:
    """Take the fields out of a message whose meaning is not known."""
    owner = kind_of(message.DESCRIPTOR)
    for field, value in message.ListFields():
        values = values_of(field, value)
        if (owner, field.number) in disputed:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for inner in values:
                _clear(inner, disputed)
        elif field.enum_type is not None and any((kind_of(field.enum_type), number) in disputed for number in values):
            message.ClearField(field.name)


def _current(net: Message, layer: Layer, path: str) -> Message:
    """Return a layer's definition in the current format, of the net that holds it alone."""
    current = renewed(net, path) if layer.definition.v1 else net
    one = current.layer[0]
    if isinstance(one.type, bytes):  # what protobuf cannot decode
        raise _not_text(path)
    if not one.name:
        one.name = layer.name
    return one


def _not_text(path: str) -> WeightsError:
    return WeightsError(f"weights {path!r}: the definition of a layer holds a name that is not UTF-8")


def _tell(writer: Writer, path: str) -> None:
    """Warn of what is left out of the definitions."""
    if writer.misfits:
        _warn(
            f"weights {path!r}: {writer.dialect.name} fits its layer definitions best of all Caffes known here, and "
            f"does not read field {_places(writer.misfits)}; left out of the definitions, values are not touched"
        )
    if writer.disputed:
        rivals = ", ".join([writer.dialect.name, *writer.rivals])
        _warn(
            f"weights {path!r}: its layer definitions may be of {rivals}, which differ in what they mean by "
            f"field {_places(writer.disputed)}; left out of the definitions, values are not touched"
        )


def _warn(text: str) -> None:
    warnings.warn(text, NetbuildWarning, stacklevel=4)


def _places(places: Mapping[Place, str]) -> str:
    return some(
        [f"{number} of {kind}" + (f" (layer {layer!r})" if layer else "") for (kind, number), layer in places.items()]
    )
