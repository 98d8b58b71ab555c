"""What nets cost: against published figures, Caffe's own log, and the memory that its process takes."""

import csv
import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from commands import invoke
from nets import conv, data, fc, layer, net, relu, small

from netbuild import BranchSpec, Fusion, build, proto
from netbuild.branches.table import find_builder
from netbuild.costs.memory import layer_memory
from netbuild.costs.summary import summarize
from netbuild.emit.named import named_net
from netbuild.engine.interpreter import chosen
from netbuild.errors import GraphError
from netbuild.graph.feed import with_inputs
from netbuild.graph.view import NetView
from netbuild.layers.costs import multiply_adds
from netbuild.layers.lengths import values
from netbuild.schema import TEST, TRAIN

ROOT = Path(__file__).resolve().parents[1]

PUBLISHED = {
    # builder: (classes, learnt parameters, multiply-adds in units of 10**9), from the papers, their model zoos' pages and
    # Netscope; of GoogLeNet with both auxiliary classifiers.
    "lenet": (10, 431_080, 0.0023),
    "alexnet": (1000, 60_965_224, 0.724),
    "caffenet": (1000, 60_965_224, 0.724),
    "vgg16": (1000, 138_357_544, 15.47),
    "vgg19": (1000, 143_667_240, 19.63),
    "googlenet": (1000, 13_378_280, 1.59),
    "squeezenet1_0": (1000, 1_248_424, 0.861),
    "squeezenet1_1": (1000, 1_235_496, 0.388),
    "mobilenet_v1": (1000, 4_231_976, 0.569),
    "resnet50": (1000, 25_557_032, 3.86),
    "resnet101": (1000, 44_549_160, 7.57),
    "resnet152": (1000, 60_192_808, 11.28),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    classes, parameters, giga = PUBLISHED[name]
    found = summarize(named_net(name, classes))
    learnt = sum(one.parameters for one in found.layers if one.type != "BatchNorm")
    # The published ResNet-50 has a bias in its first convolution, which others count as none.
    assert learnt - (64 if name == "resnet50" else 0) == parameters
    assert found.totals[-1].multiply_adds / 1e9 == pytest.approx(giga, rel=0.006, abs=5e-5)
    assert (found.unknown, found.faults) == ((), ())


@pytest.mark.parametrize(
    ("text", "bottoms", "expected"),
    [
        # 6 outputs of 4 x 4, each of 3 x 3 windows over 4 channels, twice.
        (
            layer("c", "Convolution", "x", more="convolution_param { num_output: 6 kernel_size: 3 }"),
            [(2, 4, 6, 6)],
            2 * 6 * 4 * 4 * 9 * 4,
        ),
        (
            layer("c", "Convolution", "x", more="convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 2 }"),
            [(1, 4, 6, 6)],
            6 * 6 * 6 * 9 * 2,
        ),
        (
            layer("d", "Deconvolution", "x", more="convolution_param { num_output: 5 kernel_size: 2 stride: 2 }"),
            [(3, 4, 6, 6)],
            3 * 4 * 6 * 6 * 4 * 5,
        ),
        (fc("f", "x", 7), [(2, 4, 6, 6)], 2 * 4 * 6 * 6 * 7),
        (
            layer("f", "InnerProduct", "x", more="inner_product_param { num_output: 7 axis: 2 }"),
            [(5, 3, 8)],
            15 * 8 * 7,
        ),
        # Four gates from 8 inputs and from 6 outputs, at 5 steps of 2 streams.
        (
            layer("l", "LSTM", "x cont", more="recurrent_param { num_output: 6 }"),
            [(5, 2, 8), (5, 2)],
            10 * (4 * 6 * 8 + 4 * 6 * 6),
        ),
        (relu("r", "x"), [(2, 4)], 0),
        (conv("c", "x"), [(1, 4, None, 6)], None),
        (layer("p", "Python", "x"), [(1, 4)], None),
    ],
)
def test_multiply_adds_by_hand(text, bottoms, expected):
    one = net(text).layer[0]
    blobs = "".join(layer(name, "Input") for name in one.bottom)
    whole = net(blobs + proto.to_text(type(net(""))(layer=[one])))
    shapes = NetView(whole, TEST, inputs=dict(zip(one.bottom, bottoms))).shapes
    last = len(whole.layer) - 1
    assert multiply_adds(one, shapes.bottoms[last], shapes.tops[last], shapes.params[last]) == expected


def trainable(builder, batch, size, **parts):
    """A train_val net of one builder, or of several branches, on Input layers."""
    named = find_builder(builder)
    branches = {prefix: BranchSpec(named, frozen=frozen) for prefix, frozen in parts.items()}
    fusion = Fusion(branches, 10) if branches else Fusion({"": named}, 10, frozen=False)
    return with_inputs(build(fusion).message, {"data": (batch, *size), "label": (batch,)})


IMAGE = (3, 64, 64)
NETS = {
    "lenet": ("lenet", 500, (1, 28, 28), {}),
    "two-lenets": ("lenet", 500, (1, 28, 28), {"odd": True, "even": True}),
    "one-learns": ("lenet", 500, (1, 28, 28), {"odd": True, "even": False}),
    "mobilenet": ("mobilenet_v1", 16, IMAGE, {}),
    "two-squeezenets": ("squeezenet1_1", 32, IMAGE, {"a": True, "b": True}),
    "resnet": ("resnet18", 2, (3, 224, 224), {}),
    "two-resnets": ("resnet18", 2, (3, 224, 224), {"a": True, "b": True}),
}

IN_CAFFE = """
import sys
sys.path.insert(0, sys.argv[3])
import numpy as np
from netbuild.engine.caffe import caffe
np.ones((9, 9)).dot(np.ones((9, 9)))
caffe = caffe()
def resident():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmRSS"))
before = resident()
if sys.argv[2] == "TRAIN":
    solver = caffe.SGDSolver(sys.argv[1])
    solver.step(2)
else:
    net = caffe.Net(sys.argv[1], caffe.TEST)
    net.forward()
print(resident() - before)
"""

SOLVER = (
    'net: "%s" base_lr: 0.0001 momentum: 0.9 weight_decay: 0.0005 lr_policy: "fixed" max_iter: 9 '
    "snapshot_after_train: false test_iter: 1 test_interval: 1"
)


@pytest.fixture(params=NETS)
def a_net(request, tmp_path, engine):
    builder, batch, size, parts = NETS[request.param]
    message = trainable(builder, batch, size, **parts)
    proto.write(tmp_path / "net.prototxt", message)
    (tmp_path / "solver.prototxt").write_text(SOLVER % (tmp_path / "net.prototxt"))
    return message, tmp_path


def in_caffe(file, phase, log="2"):
    command = [*chosen().command, "-c", IN_CAFFE, str(file), phase, str(ROOT)]
    environment = {**os.environ, "GLOG_minloglevel": log, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_memory_is_what_the_process_takes(a_net, phase):
    message, folder = a_net
    found = summarize(message)
    need = found.training if phase == "TRAIN" else found.testing
    file = folder / ("solver.prototxt" if phase == "TRAIN" else "net.prototxt")
    assert int(in_caffe(file, phase).stdout) == pytest.approx(need.total, rel=0.03, abs=6 * 2**20)


def test_backward_and_blobs_are_those_of_caffes_log(a_net):
    message, folder = a_net
    log = in_caffe(folder / "solver.prototxt", "TRAIN", log="0").stderr.partition("Creating test net")[0]
    view = NetView(message, TRAIN)
    shapes, flow = view.shapes, view.flow
    reached = {message.layer[index].name for index in view.backward}
    told = set(re.findall(r"net\.cpp:\d+\] (\S+) needs backward computation", log))
    # Splits are Caffe's own layers.
    assert reached == {name for name in told if "_split" not in name}
    blobs = sum(values(shape) for tops in shapes.tops.values() for shape in tops)
    sizes = {key: dict(zip(message.layer[key[1]].top, shapes.tops[key[1]]))[key[0]] for key in flow.readers}
    splits = sum(len(readers) * values(sizes[key]) for key, readers in flow.readers.items() if len(readers) > 1)
    assert int(re.findall(r"Memory required for data: (\d+)", log)[-1]) == 4 * (blobs + splits)


def test_a_frozen_part_has_no_gradients():
    message = trainable("lenet", 8, (1, 28, 28), odd=True, even=False)
    taken = layer_memory(NetView(message, TRAIN))
    gradients = {message.layer[index].name: one.gradients for index, one in taken.items()}
    assert gradients["odd/conv2"] == 0
    assert gradients["even/conv2"] == 4 * 8 * 50 * 8 * 8


def test_memory_of_layers_by_hand():
    text = "".join(
        [
            data(),
            layer("label", "Input", more="input_param { shape { dim: 2 } }"),
            conv("conv1", "data"),
            layer("conv2", "Convolution", "conv1", more="convolution_param { num_output: 3 kernel_size: 1 }"),
            layer("flat", "Flatten", "conv2"),
            layer("drop", "Dropout", "flat"),
            layer("pool", "Pooling", "conv1", more="pooling_param { kernel_size: 2 stride: 2 }"),
            fc("fc1", "drop"),
            layer("loss", "SoftmaxWithLoss", "fc1 label"),
        ]
    )
    message = net(text)
    taken = layer_memory(NetView(message, TRAIN))
    told = {message.layer[index].name: tuple(one) for index, one in taken.items()}
    image = 2 * 36 * 4
    assert told == {
        "data": (4 * image, 0, 0, 0),
        "label": (8, 0, 0, 0),
        # Read by two layers: a gradient for each, and their sum; columns of one image, 9 values of 4 channels.
        "conv1": (4 * image, 3 * 4 * image, 0, 36 * 9 * 4 * 4),
        "conv2": (3 * image, 3 * image, 0, 0),
        "flat": (0, 0, 0, 0),
        "drop": (3 * image, 3 * image, 3 * image, 0),
        # Under no loss: nothing goes back. Where each maximum was is kept.
        "pool": (image, 0, image, 0),
        "fc1": (24, 24, 0, 0),
        # The probabilities, and a loss weight for each.
        "loss": (4, 4, 48, 0),
    }


def test_the_largest_batch_is_the_largest():
    message = trainable("squeezenet1_1", 4, IMAGE, a=True, b=True)
    memory = 1 << 30
    largest = summarize(message).testing.largest_batch(memory)
    assert summarize(message, batch=largest).testing.total <= memory
    assert summarize(message, batch=largest + 1).testing.total > memory
    assert summarize(message).testing.largest_batch(1000) == 0


def test_totals_add_up_and_shared_parameters_count_once():
    share = "param { name: 'w' } param { name: 'b' }"
    text = data() + conv("a/conv1", "data", more=share) + conv("b/conv1", "data", more=share)
    found = summarize(net(text + layer("concat", "Concat", "a/conv1 b/conv1")))
    assert [(one.branch, one.parameters) for one in found.totals] == [("a", 148), ("b", 0), ("", 0), (None, 148)]
    assert found.totals[-1].multiply_adds == 2 * 4 * 9 * 4 * 36
    # Nothing trains a net without a loss.
    assert {one.learns for one in found.layers} == {None}


def test_parameters_and_work_are_those_of_one_phase():
    """Of images of 16 x 16 in TRAIN and 8 x 8 in TEST: a fully connected layer has as many weights as multiplications."""
    fed = [
        layer(
            "d", "DummyData", tops="d", more=f"include {{ phase: {phase} }} dummy_data_param {{ shape {{ {dims} }} }}"
        )
        for phase, dims in (
            ("TRAIN", "dim: 4 dim: 1 dim: 16 dim: 16"),
            ("TEST", "dim: 4 dim: 1 dim: 8 dim: 8"),
        )
    ]
    found = summarize(proto.parsed("".join([*fed, fc("ip", "d", 3)])))
    (one,) = (one for one in found.layers if one.name == "ip")
    assert (one.multiply_adds, one.parameters) == (3 * 256, 3 * 256 + 3)


def test_what_is_not_known_is_said():
    found = summarize(net(layer("data", "HDF5Data", tops="data label") + fc("f", "data")))
    assert found.unknown == ("data", "f")
    assert found.testing is None
    assert found.layers[1].multiply_adds is None
    wrong = summarize(net(data() + layer("c", "Concat", "data other")))
    assert wrong.unknown == ("c",)


def test_the_size_of_the_first_image(tmp_path):
    from PIL import Image

    Image.new("L", (9, 7)).save(tmp_path / "one image.png")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/one image.png 3\n")
    source = f'image_data_param {{ source: "{tmp_path}/list.txt" batch_size: 5 is_color: false }}'
    text = layer("data", "ImageData", tops="data label", more=source) + conv("conv1", "data")
    assert summarize(net(text)).layers[1].shape == (5, 4, 7, 9)
    (tmp_path / "one image.png").write_text("no image")
    assert summarize(net(text)).layers[1].shape == (5, 4, None, None)
    (tmp_path / "list.txt").unlink()
    assert summarize(net(text), shapes={"data": (1, 1, 8, 8)}).layers[1].shape == (1, 4, 8, 8)
    with pytest.raises(GraphError, match=r"shapes image: the net has no such input; it has data, label"):
        summarize(net(text), shapes={"image": (1, 1, 8, 8)})


@pytest.fixture()
def summary(in_tmp):
    (in_tmp / "net.prototxt").write_text(small())
    return lambda *words, code=0: invoke("summary", "net.prototxt", *words, code=code)


def test_the_command(summary):
    result = summary()
    lines = result.stdout.splitlines()
    assert re.search(r"^conv1 +Convolution +\(N, 4, 6, 6\) +148 +5,184", result.stdout, re.MULTILINE)
    assert next(line for line in lines if line.startswith("total")).split()[:4] == ["total", "11", "368", "0"]
    assert "conv1" not in summary("--totals").stdout
    told = json.loads(summary("--json", "--batch", "8", "--memory", "0.5").stdout)
    assert [one["shape"] for one in told["layers"]][:2] == [[8, 4, 6, 6]] * 2
    assert told["testing"]["fits"][0]["memory"] == 2**29
    rows = list(csv.DictReader(io.StringIO(summary("--csv").stdout)))
    assert (rows[1]["name"], rows[1]["shape"], rows[1]["multiply_adds"]) == ("conv1", "2x4x6x6", "5184")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--csv", "--json"], 2, "exclude each other"),
        (["--classes", "3"], 1, "has its own classes"),
        (["--shape", "1,2"], 2, "expected BLOB=N,C,H,W"),
        (["--shape", "data=1,x"], 2, "expected BLOB=N,C,H,W (whole numbers)"),
        (["--shape", "data=1", "--shape", "data=2"], 2, "input 'data' is given twice"),
        (["--shape", "label=1,2"], 1, "no such input; it has data"),
        (["--prefix", "x"], 1, "no layer's name begins with 'x/'"),
    ],
)
def test_the_command_refuses(summary, words, code, told):
    assert told in summary(*words, code=code).output


def test_a_net_by_name():
    assert "did you mean 'lenet'" in invoke("summary", "lenett", code=1).output
    assert "431,080" in invoke("summary", "lenet", "--classes", "10").stdout
