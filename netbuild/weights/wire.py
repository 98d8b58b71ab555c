"""Protobuf's wire format over a file: fields are found without reading what they hold.

A message is a sequence of fields. Each is a tag (varint: field number * 8 + wire type) and a payload: a varint
(wire type 0), 8 bytes (1), a varint length and that many bytes (2), or 4 bytes (5). Groups (3, 4), which no
file of Caffe has, are refused. Every length is checked against the bytes that are left, and memory does not
grow with a claimed length. Format: https://protobuf.dev/programming-guides/encoding/

Numbers of fixed size that are not packed, one field each, come by the million: a run of them is one Field here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Iterator, List, NamedTuple, NoReturn, Optional, Tuple

from ..errors import WeightsError
from ..files import PathLike, existing_file

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WINDOW = 4096
_MAX_VARINT, _MAX_TAG = 10, 5
"""Bytes that a number may have, and a tag or a length."""
_ALL_BITS = (1 << 64) - 1
_FIXED_SIZES = {FIXED32: 4, FIXED64: 8}
_MAX_FIELDS = 1 << 19
"""Looked at in one opening of a file, sixty times as many as a ResNet-101 has: time and memory are bounded."""
_SHORTEST_RUN = 16
"""Fields looked at in the first step behind two that are alike."""


class Field(NamedTuple):
    """One field of a message, or a run of fields of fixed size that are alike but for their payloads."""

    number: int
    wire_type: int
    value: int
    """A varint's value."""
    tag: int
    """Where its tag begins."""
    start: int
    """Where its payload begins; that of a run's first field."""
    end: int
    """Where its payload ends; that of a run's last field."""


class WireFile:
    """A file opened for random reading through a small window, as a context manager."""

    def __init__(self, path: PathLike) -> None:
        self.path = existing_file(path, "weights")
        self.fd = os.open(self.path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size
        self._window, self._base = b"", 0
        self._fields = 0

    def __enter__(self) -> WireFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message that fills the bytes [start, end)."""
        at = start
        while at < end:
            window, base = self._window_at(at)
            tag, payload = _varint(window, at - base, end - base, _MAX_TAG) or self._endless(at)
            number, wire_type = (tag & 0xFFFFFFFF) >> 3, tag & 7
            if not number:
                raise self._broken(at, "field number 0")
            value = 0
            if wire_type == BYTES:
                length, payload = _varint(window, payload, end - base, _MAX_TAG) or self._endless(at)
                after = payload + length
            elif wire_type == VARINT:
                value, after = _varint(window, payload, end - base) or self._endless(at)
            elif wire_type in _FIXED_SIZES:
                after = payload + _FIXED_SIZES[wire_type]
            else:
                raise self._broken(at, f"wire type {wire_type} in field {number}")
            if base + after > end:
                left = end - base - payload
                raise self._broken(at, f"field {number} claims {after - payload} bytes, {left} are left")
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise WeightsError(f"weights {str(self.path)!r}: has more than {_MAX_FIELDS} fields; damaged?")
            start, at = at, base + after
            if wire_type in _FIXED_SIZES and tag < 0x80 and window[after : after + 1] == bytes([tag]):
                at = self._run_end(tag, at, after - payload + 1, end)
            yield Field(number, wire_type, value, start, base + payload, at)

    def _run_end(self, tag: int, at: int, step: int, end: int) -> int:
        """Return where the fields of `step` bytes end that follow from `at` on and begin with this one-byte tag."""
        count = _SHORTEST_RUN
        while at + step <= end:
            tags = self.pread(at, min(count, (end - at) // step) * step)[::step]
            alike = len(tags) - len(tags.lstrip(bytes([tag])))
            at += alike * step
            if alike < len(tags):
                break
            count = min(2 * count, _WINDOW)
        return at

    def varints(self, field: Field, limit: int) -> List[int]:
        """Return the varints of a short packed field; more than `limit` bytes are refused."""
        data = self.payload(field, limit)
        values: List[int] = []
        at = 0
        while at < len(data):
            value, at = _varint(data, at, len(data)) or self._endless(field.start + at)
            values.append(value)
        return values

    def payload(self, field: Field, limit: int) -> bytes:
        """Return the payload of a short field; more than `limit` bytes are refused."""
        length = field.end - field.start
        if length > limit:
            raise self._broken(field.start, f"field {field.number} has {length} bytes, at most {limit} expected")
        window, base = self._window_at(field.start)
        offset = field.start - base
        return window[offset : offset + length] if offset + length <= len(window) else self.pread(field.start, length)

    def pread(self, at: int, length: int) -> bytes:
        """Return exactly `length` bytes; a file that has shrunk since it was opened is an error."""
        data = self._some(at, length)
        while len(data) < length:
            more = self._some(at + len(data), length - len(data))
            if not more:
                raise WeightsError(f"weights {str(self.path)!r}: ends at byte {at + len(data)} while being read")
            data += more
        return data

    def _some(self, at: int, length: int) -> bytes:
        try:
            return os.pread(self.fd, length, at)
        except OSError as error:  # a disk that fails, a file that its server has dropped
            raise WeightsError(
                f"weights {str(self.path)!r}: cannot be read at byte {at} ({error.strerror}); check its disk"
            ) from None

    def read_into(self, buffer: memoryview, at: int) -> None:
        """Fill the whole buffer from `at` on."""
        done = 0
        with suppress(OSError):  # pread says what is wrong
            done = os.preadv(self.fd, [buffer], at)
        if done < len(buffer):
            buffer[:] = self.pread(at, len(buffer))

    def _window_at(self, at: int) -> Tuple[bytes, int]:
        """Return bytes that hold `at` and two varints behind it, unless the file ends, and where they begin."""
        if not self._base <= at <= self._base + len(self._window) - 2 * _MAX_VARINT:
            self._window, self._base = self.pread(at, min(_WINDOW, self.size - at)), at
        return self._window, self._base

    def _endless(self, at: int) -> NoReturn:
        raise self._broken(at, "a number that does not end")

    def _broken(self, at: int, found: str) -> WeightsError:
        return WeightsError(
            f"weights {str(self.path)!r}: not a caffemodel, or damaged: byte {at} has {found}; "
            "compare its size or checksum with the original's"
        )


def _varint(data: bytes, at: int, end: int, longest: int = _MAX_VARINT) -> Optional[Tuple[int, int]]:
    """Return the varint at `at` and the offset behind it, None where it does not end before `end`.

    As in protobuf's own parser, of a number of more than 64 bits those beyond are dropped.
    """
    if at < end and data[at] < 0x80:
        return data[at], at + 1  # nearly all are of one byte
    value = 0
    for index in range(at, min(at + longest, end)):
        value |= (data[index] & 0x7F) << (7 * (index - at))
        if data[index] < 0x80:
            return value & _ALL_BITS, index + 1
    return None


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
