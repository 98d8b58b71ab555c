import pytest
from google.protobuf.internal.encoder import _VarintBytes
from hypothesis import given
from hypothesis import strategies as st

from netbuild.errors import WeightsError
from netbuild.weights.wire import WireFile, encode_bytes, encode_varint


def fields(path, raw):
    path.write_bytes(raw)
    with WireFile(path) as file:
        return list(file.fields(0, len(raw)))


@given(st.integers(0, 2**64 - 1))
def test_varints_are_protobufs_own(value):
    assert encode_varint(value) == _VarintBytes(value)


def test_each_wire_type_by_hand(tmp_path):
    raw = bytes([0x08, 0x96, 0x01, 0x11, *range(8), 0x1A, 0x02, 0x61, 0x62, 0x25, 1, 2, 3, 4])
    found = fields(tmp_path / "f", raw)
    assert [(f.number, f.wire_type, f.value, f.end - f.start) for f in found] == [
        (1, 0, 150, 2),
        (2, 1, 0, 8),
        (3, 2, 0, 2),
        (4, 5, 0, 4),
    ]


@pytest.mark.parametrize(
    ("raw", "number", "value"),
    [
        (b"\x48" + b"\xff" * 9 + b"\x7f", 9, 2**64 - 1),
        (b"\xc8\x80\x80\x80\x00\x01", 9, 1),
        (b"\xc8\x80\x80\x80\x10\x01", 9, 1),
    ],
)
def test_numbers_longer_than_need_be_are_read_as_protobuf_does(tmp_path, raw, number, value):
    (field,) = fields(tmp_path / "f", raw)
    assert (field.number, field.value) == (number, value)


def test_a_payload_larger_than_the_window(tmp_path):
    raw = encode_bytes(5, b"x" * 10_000) + encode_bytes(6, b"end")
    path = tmp_path / "f"
    path.write_bytes(raw)
    with WireFile(path) as file:
        first, second = file.fields(0, file.size)
        assert file.payload(second, 10) == b"end"
        assert file.payload(first, 10_000) == b"x" * 10_000
        with pytest.raises(WeightsError, match="has 10000 bytes, at most 9999 expected"):
            file.payload(first, 9_999)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x0a\x05abc", "claims 5 bytes, 3 are left"),
        (b"\x0a\xff\xff\xff\xff\x7f", "claims 34359738367 bytes, 0 are left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "does not end"),
        (b"\x0a", "does not end"),
        (b"\x80\x80", "does not end"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "does not end"),
        (b"\xc8\x80\x80\x80\x80\x00\x01", "does not end"),
        (b"\x0a\x83\x80\x80\x80\x80\x00abc", "does not end"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0f\x00", "wire type 7"),
        (b"\x02\x00", "field number 0"),
        (b"\x11\x00\x00", "claims 8 bytes, 2 are left"),
    ],
)
def test_broken_bytes_are_refused_with_their_place(tmp_path, raw, reason):
    with pytest.raises(WeightsError, match=reason) as refused:
        fields(tmp_path / "f", raw)
    assert "byte" in str(refused.value)


def test_a_file_that_shrinks_is_an_error(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    with WireFile(path) as file:
        path.write_bytes(b"x" * 50)
        with pytest.raises(WeightsError, match="ends at byte 50 while being read"):
            file.read_into(memoryview(bytearray(100)), 0)
