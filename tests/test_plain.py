"""Values as plain bytes: what is sent is what comes, to the bit, and from bytes of others nothing comes."""

import contextlib
import io
import math
import struct
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from netbuild.engine import plain
from netbuild.engine.child import run
from netbuild.engine.ending import KilledError
from netbuild.errors import CaffeError, GraphError, NetbuildError
from netbuild.features.part import Task
from netbuild.soundness.data_fault import Severity
from netbuild.train import events
from netbuild.train.job import Beginning, Place, Rest
from netbuild.train.run import EndedError

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
)
KEYS = st.one_of(st.integers(), st.text(), st.tuples(st.text(), st.integers()))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(KEYS, inner), st.sets(st.integers())
    ),
    max_leaves=20,
)
ARRAYS = arrays.arrays(
    st.one_of(
        arrays.floating_dtypes(sizes=(16, 32, 64)),
        arrays.integer_dtypes(),
        arrays.unsigned_integer_dtypes(),
        arrays.boolean_dtypes(),
        arrays.complex_number_dtypes(sizes=(64, 128)),
        arrays.unicode_string_dtypes(),
        arrays.byte_string_dtypes(),
        arrays.datetime64_dtypes(),
    ),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


def same(one, two):
    """Whether two values are the same, to the bit and to the type."""
    if isinstance(one, float):
        return type(one) is type(two) and struct.pack("<d", one) == struct.pack("<d", two)
    if isinstance(one, (np.ndarray, np.generic)):
        return (type(one), one.dtype, one.shape, one.tobytes()) == (type(two), two.dtype, two.shape, two.tobytes())
    if isinstance(one, (list, tuple)):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    return type(one) is type(two) and one == two


def travelled(value):
    return plain.unpacked(plain.packed(value))


@given(VALUES)
def test_values_come_as_they_were(value):
    assert same(value, travelled(value))


@given(ARRAYS)
def test_arrays_come_to_the_bit(array):
    assert same(array, travelled(array))
    assert same(array[..., ::-1] if array.ndim else array, travelled(array[..., ::-1] if array.ndim else array))


@given(VALUES, st.data())
def test_what_is_cut_short_is_told(value, data):
    content = plain.packed(value)
    short = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(plain.BrokenError):
        plain.unpacked(short)


@given(st.binary())
def test_bytes_of_others_are_told_or_hold_a_value(content):
    with contextlib.suppress(plain.BrokenError):
        plain.unpacked(content)


def test_the_bytes_are_those_that_are_written_down():
    assert plain.packed(None) == b"N"
    assert plain.packed(-2) == b"I" + struct.pack("<Q", 1) + b"\xfe"
    assert plain.packed(0.5) == b"D" + struct.pack("<d", 0.5)
    assert plain.packed({"a": [True]}) == b"M" + struct.pack("<Q", 1) + b"S" + struct.pack("<Q", 1) + b"aL" + (
        struct.pack("<Q", 1) + b"T"
    )
    array = np.array([[1, 2]], ">i2")
    shape = b"U" + struct.pack("<Q", 2) + b"".join(b"I" + struct.pack("<Q", 1) + bytes([n]) for n in (1, 2))
    expected = b"A" + struct.pack("<Q", 3) + b">i2" + shape + struct.pack("<Q", 4) + b"\0\1\0\2"
    assert plain.packed(array) == expected


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.float64("nan"),
        np.int64(-1),
        np.bool_(True),
        np.str_("é"),
        np.array(3.5),
        np.empty((0, 3), np.float32),
        np.array([np.nan, -0.0, np.inf], ">f4"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1),
    ],
)
def test_what_numpy_has(value):
    assert same(value, travelled(value))


def test_a_file_name_that_is_not_utf_8():
    name = b"\xff\xfe.png".decode("utf-8", "surrogateescape")
    assert travelled(name) == name
    assert travelled(Path(name)) == Path(name)
    assert travelled(PurePosixPath("a/b")) == Path("a/b")


def test_arrays_can_be_written_to_and_a_large_one_comes_through_a_pipe():
    array = travelled(np.zeros((3, 2), np.float32))
    array += 1
    (back,) = run("jobs:echo", values=np.arange(3 << 20, dtype=np.float32))
    assert same(back, np.arange(3 << 20, dtype=np.float32))


@pytest.mark.parametrize(
    "value",
    [
        events.Stepped(3, 0.25, 1e-3),
        events.Tested(4, {"accuracy": 0.5}),
        Task("train", 2, {"data": b"a.png 0\n"}, 7),
        Place(Path("/run"), "s", True, Rest("net.prototxt", ("a", "b"))),
        Beginning(("w",), None, "x"),
        Severity.ABSENT,
        [Severity.WRONG, (events.Stepped(1, 2.0, 3.0),)],
    ],
)
def test_classes_of_netbuild_come_as_themselves(value):
    back = travelled(value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("kind", [NetbuildError, GraphError, CaffeError, KilledError])
def test_errors_keep_their_class_and_text(kind):
    back = travelled(kind("layer 'x' is wrong"))
    assert (type(back), str(back)) == (kind, "layer 'x' is wrong")


def test_errors_keep_what_else_they_hold():
    back = travelled(EndedError("it ended", 7, Path("run/log.csv")))
    assert (str(back), back.iteration, back.log) == ("it ended", 7, Path("run/log.csv"))


def test_an_error_of_a_callers_own_class_comes_as_the_one_of_ours_that_it_is():
    class Own(GraphError):
        pass

    assert type(travelled(Own("x"))) is GraphError


@pytest.mark.parametrize("value", [object(), {1: object()}, np.array([object()]), ValueError("x"), math, 1j, len])
def test_what_is_not_plain_is_not_sent(value):
    stream = io.BytesIO()
    with pytest.raises(TypeError, match="cannot be sent"):
        plain.write([1, value], stream)
    assert stream.getvalue() == b""


def of_class(name, kind=b"O"):
    return kind + struct.pack("<Q", len(name)) + name + plain.packed({})


@pytest.mark.parametrize(
    "content",
    [
        of_class(b"pathlib:Path"),
        of_class(b"os:system"),
        of_class(b"netbuild.errors:GraphError"),
        of_class(b"netbuild.files:existing_file"),
        of_class(b"netbuild.engine.child:os.system"),
        of_class(b"netbuild.nowhere:X"),
        of_class(b"netbuild.train.events:Stepped"),
        of_class(b"netbuild.train.events:Stepped", b"X"),
        of_class(b"netbuild.train.events:Stepped", b"G"),
        b"A" + struct.pack("<Q", 1) + b"O" + plain.packed((1,)) + struct.pack("<Q", 8) + bytes(8),
        b"A" + struct.pack("<Q", 3) + b"<f4" + plain.packed((2,)) + struct.pack("<Q", 4) + bytes(4),
        b"A" + struct.pack("<Q", 3) + b"<f4" + plain.packed((1 << 60,)) + struct.pack("<Q", 1 << 62),
        b"L" + struct.pack("<Q", 1 << 60),
        b"S" + struct.pack("<Q", 1 << 62) + b"x",
        b"L" + struct.pack("<Q", 1) * 2,
        (b"L" + struct.pack("<Q", 1)) * 100_000,
    ],
)
def test_nothing_comes_of_bytes_that_are_not_ours(content):
    with pytest.raises(plain.BrokenError):
        plain.unpacked(content)


def test_no_module_of_others_is_even_loaded():
    assert "this" not in sys.modules
    with pytest.raises(plain.BrokenError, match="this: is not of netbuild"):
        plain.unpacked(of_class(b"this:s"))
    assert "this" not in sys.modules


def test_a_stream_holds_one_value_after_the_other():
    stream = io.BytesIO()
    for value in (1, "two", plain.END):
        plain.write(value, stream)
    stream.seek(0)
    assert [plain.read(stream), plain.read(stream)] == [1, "two"]
    assert plain.read(stream) is plain.END
    with pytest.raises(plain.BrokenError):
        plain.read(stream)
