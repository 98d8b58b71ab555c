"""Protobuf's wire format over a file: fields are found without reading what they hold.

A message is a sequence of fields. Each is a tag (varint: field number * 8 + wire type) and a payload: a varint
(wire type 0), 8 bytes (1), a varint length and that many bytes (2), or 4 bytes (5). Groups (3, 4), which no
file of Caffe has, are refused. Every length is checked against the bytes that are left, and memory does not
grow with a claimed length. Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import os
from typing import Iterator, NamedTuple, Tuple

from ..errors import WeightsError
from ..files import PathLike, existing_file

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WINDOW = 4096
_MAX_VARINT = 10


class Field(NamedTuple):
    """One field of a message: its payload is the bytes [start, end) of the file; `value` is a varint's value."""

    number: int
    wire_type: int
    value: int
    start: int
    end: int


class WireFile:
    """A file opened for random reading through a small window, as a context manager."""

    def __init__(self, path: PathLike) -> None:
        self.path = existing_file(path, "weights")
        self.fd = os.open(self.path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size
        self._window = b""
        self._window_start = 0

    def __enter__(self) -> WireFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message that fills the bytes [start, end)."""
        at = start
        while at < end:
            tag, payload = self.varint(at, end)
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise self._broken(at, f"field number {number}")
            value = 0
            if wire_type == BYTES:
                length, payload = self.varint(payload, end)
                after = payload + length
            elif wire_type == VARINT:
                value, after = self.varint(payload, end)
            elif wire_type in (FIXED32, FIXED64):
                after = payload + (4 if wire_type == FIXED32 else 8)
            else:
                raise self._broken(at, f"wire type {wire_type} in field {number}")
            if after > end:
                raise self._broken(at, f"field {number} claims {after - payload} bytes, {end - payload} are left")
            yield Field(number, wire_type, value, payload, after)
            at = after

    def varint(self, at: int, end: int) -> Tuple[int, int]:
        """Return the varint at `at`, which must end before `end`, and the offset behind it."""
        offset = at - self._window_start
        if 0 <= offset < len(self._window) and at < end and self._window[offset] < 0x80:
            return self._window[offset], at + 1  # nearly all are of one byte
        value = 0
        for index, byte in enumerate(self._look(at, min(_MAX_VARINT, end - at))):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >> 64:
                    break
                return value, at + index + 1
        raise self._broken(at, "a number that does not end")

    def payload(self, field: Field, limit: int) -> bytes:
        """Return the payload of a short field; more than `limit` bytes are refused."""
        length = field.end - field.start
        if length > limit:
            raise self._broken(field.start, f"field {field.number} has {length} bytes, at most {limit} expected")
        return self._look(field.start, length) if length <= _WINDOW else self.pread(field.start, length)

    def pread(self, at: int, length: int) -> bytes:
        """Return exactly `length` bytes; a file that has shrunk since it was opened is an error."""
        data = os.pread(self.fd, length, at)
        while len(data) < length:
            more = os.pread(self.fd, length - len(data), at + len(data))
            if not more:
                raise WeightsError(f"weights {str(self.path)!r}: ends at byte {at + len(data)} while being read")
            data += more
        return data

    def read_into(self, buffer: memoryview, at: int) -> None:
        """Fill the whole buffer from `at` on."""
        done = os.preadv(self.fd, [buffer], at)
        if done < len(buffer):
            buffer[:] = self.pread(at, len(buffer))

    def _look(self, at: int, length: int) -> bytes:
        offset = at - self._window_start
        if offset < 0 or offset + length > len(self._window):
            self._window = self.pread(at, max(length, min(_WINDOW, self.size - at)))
            self._window_start, offset = at, 0
        return self._window[offset : offset + length]

    def _broken(self, at: int, found: str) -> WeightsError:
        return WeightsError(
            f"weights {str(self.path)!r}: not a caffemodel, or damaged: byte {at} has {found}; "
            "compare its size or checksum with the original's"
        )


def encode_varint(value: int) -> bytes:
    """Return the bytes of a non-negative varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_header(number: int, length: int) -> bytes:
    """Return tag and length of a length-delimited field; its payload is to follow."""
    return encode_varint(number << 3 | BYTES) + encode_varint(length)


def encode_bytes(number: int, payload: bytes) -> bytes:
    """Return a whole length-delimited field."""
    return encode_header(number, len(payload)) + payload
