"""Layers that are written in Python: their modules are found as pycaffe finds them in that folder, or it is said why not."""

import os
import re

import numpy as np
import pytest
from commands import run

LAYER = """import caffe
class Twice(caffe.Layer):
    def setup(self, bottom, top):
        pass
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff
"""
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "t" type: "Python" bottom: "c" top: "t" python_param { module: "own_layers" layer: "Twice" } }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s"'
VERIFY = ("verify", "net.prototxt", "w.caffemodel", "--branch", "=net.prototxt", "--weights", "=w.caffemodel")


@pytest.fixture()
def folder(pycaffe, tmp_path, monkeypatch):
    """A net with a Python layer, whose module is not there yet, and weights of its convolution."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    net = pycaffe.proto.caffe_pb2.NetParameter()
    layer = net.layer.add(name="c", type="Convolution")
    for shape in ((2, 1, 1, 1), (2,)):
        blob = layer.blobs.add(data=np.ones(shape, np.float32).ravel())
        blob.shape.dim.extend(shape)
    (tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    return tmp_path


def test_a_module_in_the_folder_is_found(folder):
    (folder / "own_layers.py").write_text(LAYER)
    assert "layers without a prefix: 3 layers up to t (1 x 2 x 2 x 2) bit-equal" in run(*VERIFY)


def test_a_module_on_pythonpath_is_found(folder, monkeypatch):
    (folder / "lib").mkdir()
    (folder / "lib" / "own_layers.py").write_text(LAYER)
    monkeypatch.setenv("PYTHONPATH", os.fspath(folder / "lib"))
    assert "bit-equal" in run(*VERIFY)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (None, "cannot be made: ModuleNotFoundError: No module named 'own_layers'; modules are looked for in the"),
        ("import nowhere", "cannot be made: ModuleNotFoundError: No module named 'nowhere'"),
        ("class Other: pass", "cannot be made: AttributeError: module 'own_layers' has no attribute 'Twice'"),
        (
            LAYER.replace("        pass", "        raise ValueError('no number')"),
            r"failed in setup: ValueError: no number \(.*own_layers.py:4\)",
        ),
        (LAYER.replace("2 * bottom[0]", "2 * bottom[1]"), r"failed in forward: IndexError: .*own_layers.py:8\)"),
    ],
)
def test_a_layer_that_fails_is_told_as_one(folder, module, said):
    """What it raises it raises in pycaffe, which prints the half of it, or nothing."""
    if module is not None:
        (folder / "own_layers.py").write_text(module)
    assert re.search(f"^Error: a Python layer of the net {said}", run(*VERIFY, code=1))
