"""Caffe against OpenCV: where they agree, where they do not, and what OpenCV cannot read."""

import json
import os
import sys

import numpy as np
import pytest
from commands import run
from nets import conv, data, layer, small

from netbuild import DataSource, Fusion, compare_engines, emit_files, proto
from netbuild.branches.source import alone
from netbuild.branches.table import find_builder
from netbuild.errors import CaffeError, NetbuildError, WeightsError
from netbuild.verify.engines import _agreement
from netbuild.verify.opencv import outputs

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


def filled(caffe, folder, text):
    """Write a net and weights that Caffe filled for it, statistics of BatchNorm included; return both paths."""
    path, weights = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(text)
    real = caffe.Net(os.fspath(path), caffe.TEST)
    rng = np.random.default_rng(0)
    for name, blobs in real.params.items():
        kind = real.layers[list(real._layer_names).index(name)].type
        for number, blob in enumerate(blobs):
            if kind == "BatchNorm":
                blob.data[...] = 1 if number == 2 else rng.uniform(0.5, 1.5, blob.data.shape)
            elif kind == "Scale":
                blob.data[...] = rng.uniform(0.5, 1.5, blob.data.shape)
    real.save(os.fspath(weights))
    return path, weights


@pytest.mark.parametrize(
    ("builder", "side"),
    [("caffenet", 227), ("googlenet", 224), ("squeezenet1_1", 227), ("mobilenet_v2", 224), ("resnet18", 224)],
)
def test_published_nets(caffe, tmp_path, builder, side):
    message, branch = alone(find_builder(builder))
    found = compare_engines(*filled(caffe, tmp_path, proto.to_text(message)))
    assert [one.blob for one in found] == [branch.seam]
    assert found[0].equal
    assert found[0].largest_value > 0


def test_a_fused_net_with_its_seams(fused, caffe):
    # The weights are those of both LeNets; the head has none yet, and its filler is at random in each engine.
    real = caffe.Net(os.fspath(fused / "train_val.prototxt"), os.fspath(fused / "init.caffemodel"), caffe.TEST)
    real.save(os.fspath(fused / "all.caffemodel"))
    with pytest.raises(WeightsError, match="init.caffemodel': holds no blobs for the layer 'ip2' of"):
        compare_engines(fused / "deploy.prototxt", fused / "init.caffemodel")
    for file, last in (("deploy.prototxt", "prob"), ("train_val.prototxt", "ip2")):
        found = compare_engines(fused / file, fused / "all.caffemodel")
        assert [one.blob for one in found] == ["a/ip1", "b/ip1", last]
        assert all(one.equal for one in found)


def test_a_difference_is_told(trained, caffe):
    # Both engines add 500 products and more, each in its own order: to the last bit they never agree.
    net, weights = trained / "lenet.prototxt", trained / "a.caffemodel"
    found = compare_engines(net, weights, tolerance=0)
    assert [one.equal for one in found] == [False]
    assert 0 < found[0].largest_difference < 1e-4 * found[0].largest_value
    told = run("verify", net, weights, "--engine", "opencv", "--tolerance", "0", code=1)
    assert "ip2 (20 x 5): OpenCV DIFFERS from Caffe: largest difference " in told
    assert "differ by more than 0 of" in told
    assert json.loads(run("verify", net, weights, "--engine", "opencv", "--json"))[0]["equal"]


@pytest.mark.parametrize(
    ("opencv", "difference", "equal"),
    [
        ([1, -4, 2.0003], 0.0003, True),
        ([1, -4, 2.0005], 0.0005, False),
        ([1, -4, np.nan], np.inf, False),
        ([1, -4], np.inf, False),
    ],
)
def test_agreement_is_a_share_of_the_largest_value(opencv, difference, equal):
    found = _agreement("x", np.array([[1, -4, 2]], np.float32), np.array(opencv, np.float32), 1e-4)
    assert found.largest_difference == pytest.approx(difference, rel=0.01)
    assert (found.largest_value, found.equal) == (4, equal)


def test_layer_types_that_opencv_does_not_read(caffe, tmp_path):
    text = (
        data() + layer("sum", "Reduction", "data", more="reduction_param { axis: 1 }") + layer("t", "Threshold", "sum")
    )
    path, weights = filled(caffe, tmp_path, text + conv("conv1", "data"))
    with pytest.raises(CaffeError, match=r"does not read the layer types of 'sum' \(Reduction\), 't' \(Threshold\)$"):
        compare_engines(path, weights)


def test_input_that_is_no_use(caffe, tmp_path, monkeypatch):
    path, weights = filled(caffe, tmp_path, small())
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(9))
    with pytest.raises(WeightsError, match=r"OpenCV reads a \.caffemodel; netbuild convert"):
        compare_engines(path, tmp_path / "w.h5")
    assert "--engine opencv goes with a TARGET.prototxt" in run("verify", weights, "--engine", "opencv", code=2)
    assert "--tolerance goes with" in run("verify", path, weights, "--tolerance", "1", code=2)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CaffeError, match=r"pip install 'opencv-python-headless<"):
        next(outputs("", "", {}, {}))
    with pytest.raises(NetbuildError, match=r"second engine needs cv2: pip install 'opencv-python-headless<"):
        compare_engines(path, weights)


def test_emitted_deploy_nets_are_read(tmp_path, caffe):
    source = DataSource(alone(find_builder("lenet"))[1].input, kind="input")
    emit_files(Fusion({"x": find_builder("lenet"), "y": find_builder("lenet")}, 4), source, tmp_path)
    path, weights = filled(caffe, tmp_path, (tmp_path / "deploy.prototxt").read_text())
    assert compare_engines(path, weights, seed=3)[-1].equal
