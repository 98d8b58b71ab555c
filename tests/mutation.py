"""Damage inside a protobuf message: a part changes, and the lengths around it are made right again.

Bytes changed at random nearly always break a length, and what stands behind it is never read.
"""

from google.protobuf.internal.decoder import _DecodeVarint
from google.protobuf.message import DecodeError

from netbuild.weights.wire import encode_bytes


def fields(raw):
    """Split a message into [(its field number, the whole field, its payload or None)]; [] where it is none."""
    found, at = [], 0
    try:
        while at < len(raw):
            tag, start = _DecodeVarint(raw, at)
            sizes = {1: 8, 5: 4}
            if tag & 7 == 0:
                _, end = _DecodeVarint(raw, start)
            elif tag & 7 == 2:
                length, start = _DecodeVarint(raw, start)
                end = start + length
            else:
                end = start + sizes[tag & 7]
            if end > len(raw):
                return []
            found.append((tag >> 3, raw[at:end], raw[start:end] if tag & 7 == 2 else None))
            at = end
    except (DecodeError, IndexError, KeyError):
        return []
    return found


def mutated(raw, change, random):
    """Return the message after `change` of some part of it, or with a field left out, repeated, emptied or moved."""
    found = fields(raw)
    if not found or random.random() < 0.1:
        return change(raw)
    at = random.randrange(len(found))
    number, whole, payload = found[at]
    parts = [field for _, field, _ in found]
    way = random.random()
    if way < 0.6:
        parts[at] = change(whole) if payload is None else encode_bytes(number, mutated(payload, change, random))
    elif way < 0.7 and payload is not None:
        parts[at] = encode_bytes(number, b"")
    elif way < 0.8:
        parts.insert(random.randrange(len(parts) + 1), parts.pop(at))
    elif way < 0.9:
        parts.insert(random.randrange(len(parts) + 1), whole)
    else:
        del parts[at]
    return b"".join(parts)
