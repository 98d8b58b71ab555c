import struct
import tracemalloc
from functools import partial

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import mutated

from netbuild import fuse_weights
from netbuild.errors import WeightsError
from netbuild.fuse.live import read_values
from netbuild.weights.index import index, kind_of
from netbuild.weights.wire import WireFile, encode_bytes, encode_varint


def write(path, message):
    path.write_bytes(message.SerializeToString())
    return path


def values(path):
    """Everything in a file as {layer: [array, ...]}, read by netbuild."""
    model = index(path)
    with WireFile(path) as file:
        return {layer.name: [read_values(file, blob) for blob in layer.blobs] for layer in model.layers}


def blob(message, array, **fields):
    message.shape.dim.extend(array.shape)
    message.data.extend(array.ravel())
    for name, value in fields.items():
        getattr(message, name).extend(value)


def test_current_layers_with_diffs_and_long_definitions(pb, tmp_path):
    net = pb.NetParameter(name="n")
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    layer = net.layer.add(name="conv", type="Convolution")
    blob(layer.blobs.add(), weights, diff=[9] * 6)
    layer.convolution_param.num_output = 2
    net.layer.add(name="relu", type="ReLU")
    found = values(write(tmp_path / "m", net))
    assert list(found) == ["conv"]
    np.testing.assert_array_equal(found["conv"][0], weights)


def test_layers_of_before_2015_with_four_number_shapes(pb, tmp_path):
    net = pb.NetParameter(name="old")
    layer = net.layers.add(name="fc", type=pb.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    path = write(tmp_path / "m", net)
    assert index(path).layers[0].blobs[0].legacy
    assert values(path)["fc"][0].shape == (1, 1, 2, 3)


def test_doubles_win_over_floats_as_in_caffe(pb, tmp_path):
    net = pb.NetParameter()
    stored = net.layer.add(name="fc").blobs.add(double_data=[0.1, 0.2], data=[1, 2])
    stored.shape.dim.append(2)
    found = values(write(tmp_path / "m", net))["fc"][0]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [0.1, 0.2])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=6),
            st.lists(st.lists(st.floats(width=32, allow_nan=False), max_size=5), max_size=3),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_file_that_protobuf_writes_is_read_alike(pb, tmp_path, layers):
    net = pb.NetParameter(name="any")
    expected = {}
    for number, (name, blobs, old) in enumerate(layers):
        name = f"{name}{number}"
        layer = (net.layers if old else net.layer).add(name=name)
        for data in blobs:
            blob(layer.blobs.add(), np.array(data, np.float32))
        if blobs:
            expected[name] = blobs
    found = values(write(tmp_path / "m", net))
    assert {name: [array.tolist() for array in arrays] for name, arrays in found.items()} == expected


def damaged(draw, raw):
    """One way of many in which bytes go wrong."""
    at, other = sorted(draw(st.lists(st.integers(0, len(raw)), min_size=2, max_size=2)))
    way = draw(st.sampled_from(["flip", "cut", "drop", "repeat", "insert", "grow"]))
    if way == "flip" and at < len(raw):
        return raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
    if way == "grow" and at < len(raw):  # a number of one byte becomes the same in more, or a larger one
        return (
            raw[:at]
            + bytes([raw[at] | 0x80, *draw(st.sampled_from([[0], [1], [0x80, 0], [0xFF] * 8 + [1]]))])
            + raw[at + 1 :]
        )
    middle = {"drop": b"", "repeat": raw[at:other] * 2, "insert": draw(st.binary(max_size=12)) + raw[at:other]}
    return raw[:at] if way == "cut" else raw[:at] + middle.get(way, b"") + raw[other:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=600)
@given(st.data())
def test_damaged_files_are_read_as_protobuf_reads_them_or_refused(pb, tmp_path, data):
    raw, random = data.draw(st.sampled_from(oracle.seeds())), data.draw(st.randoms())
    for _ in range(data.draw(st.integers(0, 3))):
        way = data.draw(st.sampled_from(["bytes", "fields"]))
        raw = damaged(data.draw, raw) if way == "bytes" else mutated(raw, partial(damaged, data.draw), random)
    path = tmp_path / "m"
    path.write_bytes(raw)
    oracle.judge(raw, path)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xa2\x06\xff\xff\xff\xff\x7f" + b"x" * 100,  # a layer that claims 32 GiB
        encode_bytes(100, encode_bytes(7, encode_bytes(7, b"\x08\xff\xff\xff\xff\x07"))),  # a length of 2**31 - 1
        encode_bytes(100, encode_bytes(7, encode_bytes(7, b"\x08\x01" * 500_000))),
        encode_bytes(100, encode_bytes(1, b"n" * 1_000_000)),
        encode_bytes(100, b"\x3a\x00" * 500_000),
        encode_bytes(100, encode_bytes(7, b"\x2a\x04\0\0\0\0" * 170_000)),
        encode_bytes(100, encode_bytes(7, b"\x2d\0\0\0\0\xad\0\0\0\0\0" * 90_000)),
        b"\xa2\x06\x00" * 330_000,
        b"\x0a\x00" * 500_000,
        b"\xa2\x06\x00" + b"\x0a\x00\x12\x00" * 250_000,
    ],
    ids=["layer", "length", "axes", "name", "blobs", "pieces", "tags", "layers", "fields", "definition"],
)
def test_no_file_makes_memory_grow_with_what_it_claims(tmp_path, raw):
    (tmp_path / "m").write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError):
            index(tmp_path / "m")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_wrong_count_is_refused(pb, tmp_path):
    net = pb.NetParameter()
    stored = net.layer.add(name="fc").blobs.add(data=[1, 2, 3])
    stored.shape.dim.extend([2, 2])
    with pytest.raises(WeightsError, match=r"blob 0 of layer 'fc' has shape \(2, 2\), that is 4 values.*12 bytes"):
        index(write(tmp_path / "m", net))


FLOAT, DOUBLE = st.floats(width=32, allow_nan=False), st.floats(allow_nan=False)


def in_pieces(field, kind, packed, pieces):
    """Values as a writer may lay them down: packed in pieces, or each behind a tag, which may be longer than need be."""
    size = struct.calcsize(kind)
    for values, long_tag in pieces:
        raws = [struct.pack("<" + kind, value) for value in values]
        if packed:
            yield encode_bytes(field, b"".join(raws))
        else:
            tag = field << 3 | (5 if size == 4 else 1)
            yield b"".join((bytes([tag | 0x80, 0]) if long_tag else bytes([tag])) + raw for raw in raws)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_values_packed_or_not_in_any_pieces(pb, tmp_path, data):
    doubles = data.draw(st.booleans())
    number, kind, value = (8, "d", DOUBLE) if doubles else (5, "f", FLOAT)
    body = b""
    for packed in data.draw(st.lists(st.booleans(), min_size=1, max_size=4)):
        pieces = data.draw(st.lists(st.tuples(st.lists(value, max_size=40), st.booleans()), max_size=2))
        body += b"".join(in_pieces(number, kind, packed, pieces))
    oracle = pb.BlobProto.FromString(body)
    count = len(oracle.double_data) or len(oracle.data)
    blob = encode_bytes(7, encode_bytes(1, encode_varint(count))) + body
    path = tmp_path / "m"
    path.write_bytes(encode_bytes(100, encode_bytes(1, b"a") + encode_bytes(7, blob)))
    assert values(path)["a"][0].tolist() == (list(oracle.double_data) or list(oracle.data))


def test_a_million_values_that_are_not_packed_are_one_span(pb, tmp_path):
    expected = np.random.default_rng(0).normal(size=1_000_000).astype("<f4")
    raw = np.empty((expected.size, 5), np.uint8)
    raw[:, 0], raw[:, 1:] = 0x2D, expected.view(np.uint8).reshape(-1, 4)
    blob = encode_bytes(7, encode_bytes(1, encode_varint(expected.size))) + raw.tobytes()
    path = tmp_path / "m"
    path.write_bytes(encode_bytes(100, encode_bytes(1, b"a") + encode_bytes(7, blob)))
    assert len(index(path).layers[0].blobs[0].spans) == 1
    np.testing.assert_array_equal(values(path)["a"][0], expected)
    (tmp_path / "t.prototxt").write_text(
        'layer { name: "x/a" type: "Parameter" top: "p" parameter_param { shape { dim: 1000000 } } }'
    )
    fuse_weights(tmp_path / "t.prototxt", {"x": path}, tmp_path / "out")
    stored = pb.NetParameter.FromString((tmp_path / "out").read_bytes()).layer[0].blobs[0].data
    np.testing.assert_array_equal(np.array(stored, "<f4"), expected)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (encode_bytes(7, encode_bytes(7, b"\x08\x01") + b"\x2d\0\0\x80\x3f" * 2), "holds 8 bytes"),
        (encode_bytes(7, encode_bytes(5, b"\0" * 5)), "end within a value"),
        (encode_bytes(7, encode_bytes(7, b"\x08\x80\x80\x80\x80\x08\x08\0")), "one longer than 2147483647"),
        (encode_bytes(7, encode_bytes(7, b"\x08\x01" * 33)), "more than 32 axes"),
        (encode_bytes(7, b"\x08\x00\x10" + b"\xff" * 9 + b"\x01"), "one longer than 2147483647"),  # num 0, channels -1
        (b"\x3a\x00" * 5000, "more than 4096 fields"),
        (encode_bytes(7, b"\x2a\x01\x00" * 5000), "more than 4096 pieces"),
        (encode_bytes(7, b"\x08\x00" * 530_000), "more than 524288 fields"),
    ],
    ids=["unpacked", "uneven", "long axis", "axes", "negative axis", "blobs", "pieces", "fields"],
)
def test_what_no_net_reaches_is_refused(tmp_path, layer, reason):
    (tmp_path / "m").write_bytes(encode_bytes(100, layer))
    with pytest.raises(WeightsError, match=reason):
        index(tmp_path / "m")


def test_layers_of_2013_are_refused_with_the_remedy(pb, tmp_path):
    net = pb.NetParameter()
    net.layers.add().layer.name = "conv"
    with pytest.raises(WeightsError, match="upgrade_net_proto_binary"):
        index(write(tmp_path / "m", net))


def test_other_files_are_told_apart(pb, tmp_path):
    state = write(tmp_path / "s", pb.SolverState(iter=7, learned_net="x"))
    assert kind_of(state) == "solverstate"
    with pytest.raises(WeightsError, match="is a solverstate; give the .caffemodel that was saved with it"):
        index(state)
    (tmp_path / "t").write_text("name: 'LeNet'")
    with pytest.raises(WeightsError, match="is a prototxt; give the weights of that net"):
        index(tmp_path / "t")
    with pytest.raises(WeightsError, match="holds no layers"):
        index(write(tmp_path / "n", pb.NetParameter(name="nothing")))


def test_a_file_that_caffe_saved(caffe, trained):
    net = caffe.Net(str(trained / "lenet.prototxt"), str(trained / "a.caffemodel"), caffe.TEST)
    found = values(trained / "a.caffemodel")
    assert list(found) == list(net.params)
    for name, blobs in net.params.items():
        for expected, array in zip(blobs, found[name]):
            assert expected.data.tobytes() == array.tobytes()
            assert expected.data.shape == array.shape
