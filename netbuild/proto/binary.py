"""Messages as bytes that a Caffe reads: each fork has field numbers of its own, and `schema()` has those of none."""

from __future__ import annotations

from typing import Any, List, Optional

from ..schema import Message
from ..schema.dialects import Dialect, dialects, schema_has_upstreams_numbers, upstream_dialect
from ..schema.messages import upstream_schema
from .unknown import left_out


def dialect_for(net: Message) -> Dialect:
    """Return the first Caffe that has all fields of a net, upstream where none has.

    Fields that no Caffe known here has do not count: they have no numbers.
    """
    if _upstreams(net) is not None:
        return upstream_dialect()
    text = _text(net)
    return next((dialect for dialect in dialects() if _of_text(text, net, dialect) is not None), upstream_dialect())


def serialised_layers(net: Message) -> List[bytes]:
    """Return the layers of a net as the bytes that the Caffe for it would write."""
    if _upstreams(net) is not None:
        return [bytes(layer.SerializeToString()) for layer in net.layer]
    dialect = dialect_for(net)
    return [serialised(layer, dialect) for layer in net.layer]


def serialised(message: Message, dialect: Dialect) -> bytes:
    """Return a layer or a net as the bytes that a Caffe would write.

    Of one with fields that this Caffe lacks there are only name and type: what is left might say something else.
    """
    if dialect == upstream_dialect():
        known = _upstreams(message)
        if known is not None:
            return bytes(known.SerializeToString())
    made = _of_text(_text(message), message, dialect)
    if made is None:
        made = getattr(dialect.classes(), message.DESCRIPTOR.name)(name=message.name)
        if hasattr(message, "type"):
            made.type = message.type
    return bytes(made.SerializeToString())


def _upstreams(message: Message) -> Optional[Message]:
    """Return a message as upstream has it, None where upstream lacks any of its fields; quicker than by its text."""
    if not schema_has_upstreams_numbers():
        return None
    raw = message.SerializeToString()
    made = getattr(upstream_schema(), message.DESCRIPTOR.name).FromString(raw)
    made.DiscardUnknownFields()
    return made if made.ByteSize() == len(raw) else None


def _text(message: Message) -> str:
    from google.protobuf import text_format

    return left_out(text_format.MessageToString(message))


def _of_text(text: str, message: Message, dialect: Dialect) -> Optional[Any]:
    """Return the message of a text as a Caffe has it, None where that lacks any of its fields."""
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, getattr(dialect.classes(), message.DESCRIPTOR.name)())
    except text_format.ParseError:
        return None
