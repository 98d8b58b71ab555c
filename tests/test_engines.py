"""Caffe against OpenCV: where they agree, where they do not, and what OpenCV cannot read."""

import json
import os
import sys

import numpy as np
import pytest
from commands import invoke
from nets import conv, data, fc, layer, small

from netbuild import DataSource, Fusion, compare_engines, emit_files, proto
from netbuild.branches.source import alone
from netbuild.branches.table import find_builder
from netbuild.errors import CaffeError, WeightsError
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
    for file, last in (("deploy.prototxt", "prob"), ("train_val.prototxt", "ip2")):
        found = compare_engines(fused / file, fused / "all.caffemodel")
        assert [one.blob for one in found] == ["a/ip1", "b/ip1", last]
        assert all(one.equal for one in found)


BATCH = layer("bn", "BatchNorm", "conv1", more="batch_norm_param { use_global_stats: false }")


def test_another_result_is_a_difference(caffe, tmp_path):
    # Of this field OpenCV makes another layer: normalisation by each image's own statistics.
    path, weights = filled(caffe, tmp_path, data(shape=(1, 4, 6, 6)) + conv("conv1", "data") + BATCH + fc("end", "bn"))
    found = compare_engines(path, weights)
    assert [one.equal for one in found] == [False]
    assert compare_engines(path, weights, tolerance=1e9)[0].equal
    told = invoke("verify", path, weights, "--engine", "opencv", code=1).output
    assert "end (1 x 3): OpenCV DIFFERS from Caffe: largest difference " in told
    assert "differ by more than 0.0001" in told
    assert json.loads(invoke("verify", path, weights, "--engine", "opencv", "--json", "--tolerance", "1e9").stdout)[0][
        "equal"
    ]


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
    assert "no --branch or --weights" in invoke("verify", weights, "--engine", "opencv", code=2).output
    assert "--tolerance goes with" in invoke("verify", path, weights, "--tolerance", "1", code=2).output
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CaffeError, match=r"pip install 'netbuild\[opencv\]'"):
        next(outputs("", "", {}, {}, {}))


def test_emitted_deploy_nets_are_read(tmp_path, caffe):
    source = DataSource(alone(find_builder("lenet"))[1].input, kind="input")
    emit_files(Fusion({"x": find_builder("lenet"), "y": find_builder("lenet")}, 4), source, tmp_path)
    path, weights = filled(caffe, tmp_path, (tmp_path / "deploy.prototxt").read_text())
    assert compare_engines(path, weights, seed=3)[-1].equal
