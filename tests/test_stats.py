"""Figures of weight files, against numpy over protobuf's own parse and against what Caffe saves."""

import json
import math
import os

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from netbuild_cli.main import main

from netbuild import fuse_weights, weight_report
from netbuild.weights import stats


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["weights", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


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


def test_values_in_many_steps_and_pieces(pb, tmp_path, monkeypatch):
    monkeypatch.setattr(stats, "_STEP", 64)
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
    assert "layer 'fc', blob 0: 1 values are NaN and 2 infinite, of 4" in output
    assert "BatchNorm with factor 0: dead: never trained" in output
    assert "several layers of one name: fc" in output
    assert "'netbuild convert' brings them up to date" in output
    assert "old    InnerProduct" in output
    report = json.loads(run(tmp_path / "m", "--json", "--layer", "fc"), parse_constant=pytest.fail)
    assert [(blob["layer"], blob["nan"], blob["min"]) for blob in report["blobs"]] == [("fc", 1, 1.0), ("fc", 0, 1.0)]


def test_a_batch_norm_in_hdf5_is_told_by_its_blobs(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for number, values in enumerate(([1, 2], [3, 4], [0])):
            file[f"data/bn/{number}"] = np.array(values, "<f4")
    assert "BatchNorm with factor 0: bn" in run(tmp_path / "m.h5")


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
