"""Figures of weight files, against numpy over protobuf's own parse and against what Caffe saves."""

import json
import math
import os
import subprocess
import sys
from functools import partial

import commands
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from netbuild import fuse_weights, weight_report
from netbuild.weights import figures as figures_of_blobs
from netbuild.weights.wire import encode_bytes

run = partial(commands.run, "weights")


def write(path, net):
    path.write_bytes(net.SerializeToString())
    return path


def put(blob, array):
    blob.shape.dim.extend(array.shape)
    (blob.double_data if array.dtype == np.float64 else blob.data).extend(array.ravel())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([np.float32, np.float64]).flatmap(lambda kind: arrays(kind, st.integers(0, 30))))
def test_figures_are_numpys(pb, tmp_path, array):
    net = pb.NetParameter()
    put(net.layer.add(name="x", type="Scale").blobs.add(), array)
    (figures,) = weight_report(write(tmp_path / "m", net)).blobs
    finite = array[np.isfinite(array)].astype(np.float64)
    assert (figures.nan, figures.infinite) == (np.isnan(array).sum(), np.isinf(array).sum())
    assert (figures.values, figures.bytes) == (array.size, array.nbytes)
    if not finite.size:
        assert (figures.min, figures.max, figures.mean) == (None, None, None)
        return
    assert (figures.min, figures.max) == (finite.min(), finite.max())
    with np.errstate(over="ignore"):
        mean = finite.sum() / finite.size
    if math.isfinite(mean):
        assert figures.mean == pytest.approx(mean, rel=1e-9, abs=1e-9 * np.abs(finite).max())


NUMBERS = {
    np.float32: st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e-45, 3.4e38]),
    np.float64: st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308, -1.7e308]),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_format_is_what_protobuf_parses(pb, tmp_path, data):
    """Current and old layers, shapes of both kinds, floats and doubles, packed and not."""
    stored = pb.NetParameter()
    body = b""
    for number in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from([np.float32, np.float64]))
        array = np.array(data.draw(st.lists(NUMBERS[kind], max_size=40)), np.dtype(kind).newbyteorder("<"))
        shape = pb.BlobProto(shape=pb.BlobShape(dim=array.shape))
        if data.draw(st.booleans()):
            shape = pb.BlobProto(num=1, channels=1, height=1, width=array.size)
        field = 5 if kind is np.float32 else 8
        blob = shape.SerializeToString()
        if data.draw(st.booleans()):
            blob += encode_bytes(field, array.tobytes())
        else:
            tag = bytes([field << 3 | (5 if kind is np.float32 else 1)])
            blob += b"".join(tag + value.tobytes() for value in array)
        name = f"layer{number}".encode()
        if data.draw(st.booleans()):
            body += encode_bytes(100, encode_bytes(1, name) + encode_bytes(7, blob))
        else:
            body += encode_bytes(2, encode_bytes(4, name) + encode_bytes(6, blob))
    (tmp_path / "m").write_bytes(body)
    stored.ParseFromString(body)
    found = {figures.layer: figures for figures in weight_report(tmp_path / "m").blobs}
    assert len(found) == len(stored.layer) + len(stored.layers)
    for layer in (*stored.layer, *stored.layers):
        figures, blob = found[layer.name], layer.blobs[0]
        values = np.array(list(blob.double_data) or list(blob.data), np.float64)
        finite = values[np.isfinite(values)]
        assert figures.values == values.size == math.prod(figures.shape)
        assert (figures.nan, figures.infinite) == (np.isnan(values).sum(), np.isinf(values).sum())
        assert (figures.min, figures.max) == ((finite.min(), finite.max()) if finite.size else (None, None))
        if finite.size and np.abs(finite).max() < 1e300:
            expected = math.fsum(finite) / finite.size
            assert figures.mean == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(finite).max())


def test_sums_beyond_doubles_are_no_mean_and_no_warning(pb, tmp_path):
    net = pb.NetParameter()
    put(net.layer.add(name="x").blobs.add(), np.array([1.7e308, -1.7e308] * 64))
    (figures,) = weight_report(write(tmp_path / "m", net)).blobs
    assert (figures.min, figures.max, figures.mean) == (-1.7e308, 1.7e308, None)


def test_values_in_many_steps_and_pieces(pb, tmp_path, monkeypatch):
    monkeypatch.setattr(figures_of_blobs, "_STEP", 64)
    array = np.random.default_rng(0).normal(size=1001).astype(np.float32)
    array[[5, 700]] = np.nan, -np.inf
    net = pb.NetParameter()
    put(net.layer.add(name="x").blobs.add(), array)
    (figures,) = weight_report(write(tmp_path / "m", net)).blobs
    assert (figures.nan, figures.infinite) == (1, 1)
    assert figures.mean == pytest.approx(array[np.isfinite(array)].mean(dtype=np.float64))


@pytest.mark.parametrize("way", ["save", "save_hdf5"])
def test_a_file_that_caffe_saved(caffe, trained, tmp_path, way):
    net = caffe.Net(os.fspath(trained / "lenet.prototxt"), os.fspath(trained / "a.caffemodel"), caffe.TEST)
    getattr(net, way)(os.fspath(tmp_path / "x"))
    report = weight_report(tmp_path / "x")
    found = {(one.layer, one.number): one for one in report.blobs}
    assert len(found) == sum(len(blobs) for blobs in net.params.values())
    for name, blobs in net.params.items():
        for number, blob in enumerate(blobs):
            one = found[name, number]
            assert (one.shape, one.values) == (blob.data.shape, blob.data.size)
            assert (one.min, one.max) == (blob.data.min(), blob.data.max())
    assert report.bytes == (tmp_path / "x").stat().st_size
    assert not report.remarks


def batch_norm(net, name, factor, kind="BatchNorm"):
    layer = net.layer.add(name=name, type=kind)
    for values in ([1, 2], [3, 4], [factor]):
        put(layer.blobs.add(), np.array(values, np.float32))


def test_what_looks_wrong_is_told(pb, tmp_path):
    net = pb.NetParameter()
    batch_norm(net, "good", 999)
    batch_norm(net, "dead", 0)
    batch_norm(net, "three", 0, kind="Python")
    put(net.layer.add(name="fc").blobs.add(), np.array([np.nan, 1, np.inf, -np.inf], np.float32))
    put(net.layer.add(name="fc").blobs.add(), np.array([1], np.float32))
    net.layers.add(name="old", type=pb.V1LayerParameter.INNER_PRODUCT).blobs.add(
        num=1, channels=1, height=1, width=1, data=[1]
    )
    output = run(write(tmp_path / "m", net))
    assert "not finite: 1 values are NaN and 2 infinite in fc: the training diverged" in output
    assert "BatchNorm with factor 0: dead: never trained" in output
    assert "several layers of one name: fc" in output
    assert "(layers of before 2015, shapes of four numbers): 'netbuild convert' brings" in output
    assert "old    InnerProduct" in output
    report = json.loads(run(tmp_path / "m", "--json", "--layer", "fc"), parse_constant=pytest.fail)
    assert [(blob["layer"], blob["nan"], blob["min"]) for blob in report["blobs"]] == [("fc", 1, 1.0), ("fc", 0, 1.0)]


def test_a_net_that_diverged_is_one_sentence(pb, tmp_path):
    net = pb.NetParameter()
    for number in range(6):
        put(net.layer.add(name=f"fc{number}").blobs.add(), np.full(3, np.nan, np.float32))
    (remark,) = weight_report(write(tmp_path / "m", net)).remarks
    assert remark.startswith("not finite: 18 values are NaN and 0 infinite in fc0, fc1, fc2, fc3 and 2 more:")


@pytest.mark.parametrize(
    ("kind", "array", "told"),
    [
        ("InnerProduct", np.zeros((3, 4)), True),
        ("Convolution", np.full((2, 1, 3, 3), 0.5), True),
        ("Convolution", np.eye(3), False),
        ("Scale", np.ones(4), False),
        ("Parameter", np.zeros((3, 4)), False),
        ("InnerProduct", np.zeros((1, 4)), False),
        ("InnerProduct", np.full((3, 4), np.nan), False),
    ],
)
def test_weights_without_a_filler_are_told(pb, tmp_path, kind, array, told):
    net = pb.NetParameter()
    layer = net.layer.add(name="x", type=kind)
    put(layer.blobs.add(), array.astype(np.float32))
    put(layer.blobs.add(), np.zeros(3, np.float32))
    remarks = weight_report(write(tmp_path / "m", net)).remarks
    assert any("weights that are all alike: x: never trained" in remark for remark in remarks) == told


def test_a_filler_that_caffe_was_not_given_is_told(caffe, tmp_path):
    (tmp_path / "n.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 } } }'
        'layer { name: "fc" type: "InnerProduct" bottom: "d" top: "fc" inner_product_param { num_output: 2 } }'
    )
    caffe.Net(os.fspath(tmp_path / "n.prototxt"), caffe.TEST).save(os.fspath(tmp_path / "m"))
    assert "weights that are all alike: fc" in run(tmp_path / "m")


def test_doubles_and_values_that_are_not_packed_are_told(pb, tmp_path):
    net = pb.NetParameter()
    put(net.layer.add(name="twice").blobs.add(), np.array([0.1, 0.2]))
    assert "doubles: twice: Caffe rounds them" in run(write(tmp_path / "m", net))
    blob = encode_bytes(7, b"\x08\x02") + b"\x2d\0\0\x80\x3f" * 2
    (tmp_path / "m").write_bytes(encode_bytes(100, encode_bytes(1, b"a") + encode_bytes(7, blob)))
    assert "an old format (values that are not packed): 'netbuild convert'" in run(tmp_path / "m")


def test_no_layer_of_the_pattern_and_no_blobs_are_told(pb, tmp_path):
    net = pb.NetParameter()
    net.layer.add(name="relu", type="ReLU")
    output = run(write(tmp_path / "m", net))
    assert output.endswith("0 layers with 0 blobs of 0 values\nno layer has blobs: a net without its weights\n")
    put(net.layer.add(name="fc").blobs.add(), np.ones(1, np.float32))
    output = run(write(tmp_path / "m", net), "--layer", "odd/*", code=1)
    assert output.startswith("Error: --layer 'odd/*': no layer with blobs in ")
    assert output.endswith("has such a name; there are fc\n")


def test_names_do_not_command_the_terminal(pb, tmp_path):
    net = pb.NetParameter()
    for _ in range(2):
        put(net.layer.add(name="a\x1b[31m\nb").blobs.add(), np.ones(1, np.float32))
    output = run(write(tmp_path / "m", net))
    assert "\x1b" not in output
    assert output.count(r"a\x1b[31m\nb") == 3
    assert len(output.splitlines()) == 5


def test_a_reader_that_leaves_is_no_fault(pb, tmp_path):
    net = pb.NetParameter()
    for number in range(3000):
        put(net.layer.add(name=f"layer{number}").blobs.add(), np.ones(1, np.float32))
    command = [sys.executable, "-m", "netbuild_cli.main", "weights", os.fspath(write(tmp_path / "m", net))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_batch_norm_in_hdf5_is_told_with_care(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for number, values in enumerate(([1, 2], [3, 4], [0])):
            file[f"data/bn/{number}"] = np.array(values, "<f4")
        for number, values in enumerate(([1, 2], [3, 4], [5])):
            file[f"data/trained/{number}"] = np.array(values, "<f4")
        for number, values in enumerate(([[1, 2]], [[3, 4]], [0])):
            file[f"data/other/{number}"] = np.array(values, "<f4")
    (remark,) = weight_report(tmp_path / "m.h5").remarks
    assert "factor 0: bn: the file tells no type; if this is a BatchNorm, it was never trained" in remark


def test_fuse_tells_of_an_untrained_batch_norm_and_weights_of_its_sources(pb, tmp_path):
    net = pb.NetParameter()
    batch_norm(net, "bn", 0)
    source = write(tmp_path / "s", net)
    (tmp_path / "t.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }'
        'layer { name: "a/bn" type: "BatchNorm" bottom: "data" top: "a/bn" }'
    )
    fused = fuse_weights(tmp_path / "t.prototxt", {"a": source}, tmp_path / "o")
    assert fused.planned.untrained == ("a/bn",)
    assert "a: from s (SHA-256 " in run(tmp_path / "o")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.touch(), str])
def test_what_is_no_weight_file_is_one_sentence(tmp_path, make):
    make(tmp_path / "x")
    assert run(tmp_path / "x", code=1).startswith("Error: weights ")


def test_a_solverstate_is_one_sentence(pb, tmp_path):
    state = write(tmp_path / "x.solverstate", pb.SolverState(iter=7, learned_net="x"))
    assert "is a solverstate; give the .caffemodel" in run(state, code=1)
