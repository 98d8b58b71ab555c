"""One malformed file for each row, its bytes by hand, and what protobuf says of it."""

import oracle
import pytest

from netbuild.errors import WeightsError
from netbuild.weights.index import index

# a2 06 layer (field 100), 3a blobs (7), 2a data (5), 42 double_data (8); in a blob 3a is the shape, 08 its axis or num.
VALUE = b"\x00\x00\x80\x3f"
BOTH, OURS = "refused by protobuf too", "refused by netbuild only"
REFUSED = [
    ("a tag alone", b"\xa2", "byte 0 has a number that does not end", BOTH),
    ("a tag without a length", b"\xa2\x06", "byte 0 has a number that does not end", BOTH),
    ("a layer cut short", b"\xa2\x06\x05\x0a\x01a", "byte 0 has field 100 claims 5 bytes, 3 are left", BOTH),
    ("a layer of 32 GiB", b"\xa2\x06\xff\xff\xff\xff\x7f", "claims 34359738367 bytes, 0 are left", BOTH),
    ("a length in ten bytes", b"\xa2\x06" + b"\xff" * 9 + b"\x01", "a number that does not end", BOTH),
    ("a tag in six bytes", b"\xa2\x86\x80\x80\x80\x00\x00", "byte 0 has a number that does not end", BOTH),
    ("field 0", b"\x00\x00", "byte 0 has field number 0", BOTH),
    ("field 0 as bytes", b"\x02\x00", "byte 0 has field number 0", BOTH),
    ("a group", b"\xa3\x06\xa4\x06", "byte 0 has wire type 3 in field 100", OURS),
    ("a group's end", b"\xa4\x06", "byte 0 has wire type 4 in field 100", BOTH),
    ("a group that stays open", b"\xa3\x06", "byte 0 has wire type 3 in field 100", BOTH),
    ("wire type 6", b"\xa6\x06\x00", "byte 0 has wire type 6 in field 100", BOTH),
    ("wire type 7", b"\xa7\x06\x00", "byte 0 has wire type 7 in field 100", BOTH),
    ("layers that are numbers", b"\xa0\x06\x01", "holds no layers; is it a caffemodel?", OURS),
    ("a net's name alone", b"\x0a\x01n", "holds no layers; is it a caffemodel?", OURS),
    ("a solverstate's first byte", b"\x08\x01\xa2\x06\x00", "is a solverstate", OURS),
    ("a name beyond its layer", b"\xa2\x06\x03\x0a\x02a\xa2\x06\x00", "claims 2 bytes, 1 are left", BOTH),
    ("a name in Latin-1", b"\xa2\x06\x03\x0a\x01\xe9", "the name at byte 5 is not UTF-8", OURS),
    ("half a character", b"\xa2\x06\x03\x0a\x01\xc3", "the name at byte 5 is not UTF-8", OURS),
    ("a phase cut short", b"\xa2\x06\x02\x50\x80", "byte 3 has a number that does not end", BOTH),
    ("a blob beyond its layer", b"\xa2\x06\x02\x3a\x01\x08", "claims 1 bytes, 0 are left", BOTH),
    ("a blob without values", b"\xa2\x06\x02\x3a\x00", r"shape \(\), that is 1 values, but holds 0 bytes", OURS),
    ("values beyond their blob", b"\xa2\x06\x04\x3a\x02\x2a\x04" + VALUE, "claims 4 bytes, 0 are left", BOTH),
    ("three bytes of a float", b"\xa2\x06\x07\x3a\x05\x2a\x03" + VALUE[:3], "end within a value", BOTH),
    ("five bytes of floats", b"\xa2\x06\x09\x3a\x07\x2a\x05" + VALUE + b"\x00", "end within a value", BOTH),
    ("half a double", b"\xa2\x06\x08\x3a\x06\x42\x04" + VALUE, "end within a value", BOTH),
    ("a float that is not packed, cut short", b"\xa2\x06\x05\x3a\x03\x2d\x00\x00", "claims 4 bytes, 2 are left", BOTH),
    (
        "fewer values than the shape",
        b"\xa2\x06\x0c\x3a\x0a\x3a\x02\x08\x02\x2a\x04" + VALUE,
        "is 2 values.*4 bytes",
        OURS,
    ),
    (
        "more values than the shape",
        b"\xa2\x06\x10\x3a\x0e\x3a\x02\x08\x01\x2a\x08" + VALUE * 2,
        "is 1 values.*8 bytes",
        OURS,
    ),
    (
        "values beside a length of 0",
        b"\xa2\x06\x0c\x3a\x0a\x3a\x02\x08\x00\x2a\x04" + VALUE,
        "is 0 values.*4 bytes",
        OURS,
    ),
    ("num alone of the old shape", b"\xa2\x06\x0a\x3a\x08\x08\x01\x2a\x04" + VALUE, r"\(1, 0, 0, 0\), that is 0", OURS),
    ("num wins over the shape", b"\xa2\x06\x0e\x3a\x0c\x08\x00\x3a\x02\x08\x01\x2a\x04" + VALUE, "is 0 values", OURS),
    (
        "doubles win over floats",
        b"\xa2\x06\x1a\x3a\x18\x3a\x02\x08\x02\x42\x08" + VALUE * 2 + b"\x2a\x08" + VALUE * 2,
        "is 2 values, but holds 8 bytes of 8-byte values",
        OURS,
    ),
    ("an axis of -1", b"\xa2\x06\x0f\x3a\x0d\x3a\x0b\x08" + b"\xff" * 9 + b"\x01", "one longer than 2147483647", OURS),
    ("an axis of 2**31", b"\xa2\x06\x0a\x3a\x08\x3a\x06\x08\x80\x80\x80\x80\x08", "one longer than 2147483647", OURS),
    ("an axis cut short", b"\xa2\x06\x06\x3a\x04\x3a\x02\x08\x80", "a number that does not end", BOTH),
    ("packed axes cut short", b"\xa2\x06\x07\x3a\x05\x3a\x03\x0a\x01\x80", "a number that does not end", BOTH),
    ("packed axes beyond the shape", b"\xa2\x06\x06\x3a\x04\x3a\x02\x0a\x05", "claims 5 bytes, 0 are left", BOTH),
    (
        "a product of 2**64",
        b"\xa2\x06\x12\x3a\x10\x3a\x0e\x0a\x0c" + b"\x80\x80\x04" * 4,
        "more than 2147483647 values",
        OURS,
    ),
    (
        "lengths beside a 0 that no blob has",
        b"\xa2\x06\x12\x3a\x10\x3a\x0e\x0a\x0c\x00" + b"\x80\x80\x04" * 3 + b"\x01\x01",
        r"shape \(0, 65536, 65536, 65536, 1, 1\), more than 2147483647 values",
        OURS,
    ),
    ("a layer of 2013", b"\x12\x02\x0a\x00", "a Caffe of 2013", OURS),
    ("an old layer's blob cut short", b"\x12\x02\x32\x01", "claims 1 bytes, 0 are left", BOTH),
    ("text", b"a net", "not a caffemodel, or damaged", BOTH),
    ("zeros", bytes(64), "is empty but for zeros", BOTH),
    ("a page of HTML", b"<!DOCTYPE html><html>404 Not Found</html>", "is a web page", BOTH),
]


@pytest.mark.parametrize(("raw", "reason", "by"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_malformed_file_is_refused(tmp_path, raw, reason, by):
    path = tmp_path / "m"
    path.write_bytes(raw)
    with pytest.raises(WeightsError, match=reason):
        index(path)
    assert (oracle.parsed(raw) is None) == (by == BOTH)
    assert not oracle.judge(raw, path)


TAKEN = [
    ("an empty layer", b"\xa2\x06\x00"),
    ("an unknown field", b"\xa2\x06\x00\xf8\x3f\x01"),
    ("the last of two names", b"\xa2\x06\x06\x0a\x01a\x0a\x01b"),
    ("a length longer than need be", b"\xa2\x06\x83\x80\x80\x80\x00\x0a\x01a"),
    ("a name that is a number is passed over", b"\xa2\x06\x02\x08\x05"),
    (
        "no double does not win over a float",
        b"\xa2\x06\x0e\x3a\x0c\x42\x00\x3a\x02\x08\x01\x2a\x04" + VALUE + b"\x2a\x00",
    ),
    ("no values for a length of 0", b"\xa2\x06\x06\x3a\x04\x3a\x02\x08\x00"),
    ("a scalar without a shape", b"\xa2\x06\x08\x3a\x06\x2a\x04" + VALUE),
    ("a shape in two pieces", b"\xa2\x06\x14\x3a\x12\x3a\x02\x08\x01\x2a\x08" + VALUE * 2 + b"\x3a\x02\x08\x02"),
    ("the last of two nums", b"\xa2\x06\x12\x3a\x10\x08\x05\x10\x01\x18\x01\x20\x01\x08\x01\x2a\x04" + VALUE),
    ("layers of both kinds", b"\xa2\x06\x03\x0a\x01a\x12\x03\x22\x01b"),
]


@pytest.mark.parametrize("raw", [raw for _, raw in TAKEN], ids=[name for name, _ in TAKEN])
def test_an_odd_file_is_read_as_protobuf_reads_it(tmp_path, raw):
    path = tmp_path / "m"
    path.write_bytes(raw)
    assert oracle.parsed(raw) is not None
    assert oracle.judge(raw, path)


def test_the_judge_takes_the_seeds(tmp_path):
    path = tmp_path / "m"
    taken = []
    for raw in oracle.seeds():
        path.write_bytes(raw)
        taken.append(oracle.judge(raw, path))
    assert taken == [True, True, True, False, True, True]  # the fourth is of 2013
