"""The same bytes everywhere: in this Python and in that of the Caffe, with pycaffe's NetSpec and with ours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netbuild.engine.interpreter import chosen, this
from netbuild.errors import CaffeError
from netbuild.schema.messages import upstream_schema

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = '''
import importlib.util, os, sys

code, folder, hidden = sys.argv[1:]
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == hidden else find(name, package)
sys.path.insert(0, code)
os.chdir(folder)

from netbuild import BranchSpec, DataSource, Fusion, emit_files, fuse_weights, lenet, prototxt, resnet50
from netbuild.schema import netspec

with open("lstm.prototxt", "w") as file:
    file.write("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 dim: 1 dim: 4 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 3 dim: 2 } } }
layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" top: "l"
  recurrent_param { num_output: 5 weight_filler { type: "uniform" min: -0.08 max: 0.08 } } }
layer { name: "ip" type: "InnerProduct" bottom: "l" top: "ip" inner_product_param { num_output: 3 axis: 2 } }
""")
twin = dict(frozen=False, lr=0.1)
fusions = {
    "lenets": Fusion({"odd": lenet, "even": lenet}, 10),
    "resnets": Fusion({"a": resnet50, "b": BranchSpec(resnet50, frozen=False)}, 5),
    "siamese": Fusion({"p": BranchSpec(lenet, reads="one", **twin), "q": BranchSpec(lenet, reads="two", shares="p")}, 2),
    "lstm": Fusion({"a": BranchSpec(prototxt("lstm.prototxt", "ip"), reads={"x": "x", "cont": "cont"})}),
}
for name, fusion in fusions.items():
    emit_files(fusion, DataSource(kind="input"), name)
fuse_weights("lenets/deploy.prototxt", {"odd": "lenet.caffemodel", "even": "lenet.caffemodel"}, "init.caffemodel")
print(netspec().__name__)
'''
OURS, PYCAFFES = "netbuild.schema.own_netspec", "caffe.net_spec"
BLOBS = {"conv1": [(20, 1, 5, 5), (20,)], "conv2": [(50, 20, 5, 5), (50,)], "ip1": [(500, 800), (500,)]}
"""The shapes of LeNet's parameters."""


def weights(path: Path) -> None:
    """Write weights of a LeNet by protobuf."""
    random = np.random.default_rng(1)
    net = upstream_schema().NetParameter()
    for name, shapes in BLOBS.items():
        layer = net.layer.add(name=name, type="InnerProduct" if name == "ip1" else "Convolution")
        for shape in shapes:
            blob = layer.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data.extend(random.normal(size=shape).astype(np.float32).ravel().tolist())
    path.write_bytes(net.SerializeToString())


def made(command, folder, hidden=""):
    """Run the program; return what it wrote, by name, and which NetSpec it used."""
    folder.mkdir()
    weights(folder / "lenet.caffemodel")
    done = subprocess.run(
        [*command, "-c", PROGRAM, str(ROOT), str(folder), hidden], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return files, done.stdout.strip()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What this Python makes where no caffe can be found."""
    files, module = made([sys.executable], tmp_path_factory.mktemp("here") / "made", hidden="caffe")
    assert module == OURS
    assert len(files) == 1 + 1 + 3 * 3 + 1 + 2
    return files


def test_with_pycaffes_netspec(here, tmp_path):
    files, module = made([sys.executable], tmp_path / "made")
    if module != PYCAFFES:
        pytest.skip("there is no pycaffe in this interpreter")
    assert files == here


def test_in_the_python_of_the_caffe(here, tmp_path):
    """Another Python, numpy and protobuf."""
    try:
        engine = chosen()
    except CaffeError as error:
        pytest.skip(str(error))
    if engine.command == this().command:
        pytest.skip("the Caffe is in this Python")
    files, module = made(engine.command, tmp_path / "made")
    assert module == PYCAFFES
    assert files == here
