"""What each layer type keeps in memory: the windows that it lays out as Im2col does, all else as a process takes it."""

import os
import subprocess
from pathlib import Path

import pytest
from shape_nets import layer, net, source

from netbuild.costs.memory import FLOAT, layer_memory, own_parameters
from netbuild.engine.interpreter import chosen
from netbuild.graph.view import NetView
from netbuild.layers.lengths import count
from netbuild.schema import TEST, TRAIN

pytestmark = pytest.mark.usefixtures("slim")
ROOT = Path(__file__).resolve().parents[1]

IMAGE, VOLUME = (1, 4, 9, 8), (1, 4, 8, 8, 8)
WINDOWS = [
    ("kernel_size: 3 pad: 1", IMAGE),
    ("kernel_size: 3 pad: 1", VOLUME),
    ("kernel_size: 3 kernel_size: 1 kernel_size: 2", VOLUME),
    ("kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3", IMAGE),
    ("kernel_size: 1 stride_h: 1 stride_w: 2", IMAGE),
    ("kernel_size: 1 stride: 1 stride: 2", IMAGE),
    ("kernel_size: 1 pad_h: 0 pad_w: 1", IMAGE),
    ("kernel_size: 2 dilation: 3 group: 2", IMAGE),
    ("kernel_size: 3 axis: 2", (1, 1, 4, 8, 8)),
    ("kernel_size: 3 axis: -3", IMAGE),
]


def columns(kind, options, shape):
    """The values of windows that a layer lays out for the image of this shape."""
    text = source("x", *shape) + layer(kind, f"convolution_param {{ num_output: 4 {options} }}", "x", "y", "it")
    view = NetView(net(text), TEST)
    assert view.misfits == []
    return layer_memory(view)[1].columns // FLOAT, view.shapes.tops[1][0]


@pytest.mark.parametrize(("options", "shape"), WINDOWS, ids=str)
def test_windows_are_laid_out_as_by_im2col(caffe, tmp_path, options, shape):
    def of(bottom):
        text = source("x", *bottom) + layer("Im2col", f"convolution_param {{ {options} }}", "x", "y")
        (tmp_path / "net").write_text(text)
        return caffe.Net(str(tmp_path / "net"), TEST).blobs["y"].data.size

    assert columns("Convolution", options, shape)[0] == of(shape)
    found, top = columns("Deconvolution", options, shape)
    assert found == of(top)


def test_windows_by_hand():
    # 27 values of 4 channels at 8 x 8 x 8 places; one value of 4 channels at 9 x 4.
    assert columns("Convolution", "kernel_size: 3 pad: 1", VOLUME)[0] == 55_296
    assert columns("Convolution", "kernel_size: 1 stride_w: 2 stride_h: 1", IMAGE)[0] == 4 * 9 * 4
    assert columns("Convolution", "kernel_size: 1", VOLUME)[0] == 0


BIG, MANY = (2, 64, 128, 128), (2048, 1024)
"""8 MB each, 4 MB an image: memory for so much is taken from the system, and given back to it."""
MB = 1 << 20
OTHER = {"c": BIG}
ROWS = {"x": MANY, "label": (2048,)}
PAIR = {"x": MANY, "t": MANY}
MAXIMUM, WITHIN = "eltwise_param { operation: MAX }", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"
OWN_TOPS = ("AbsVal", "BNLL", "Bias", "ELU", "Exp", "Power", "ReLU", "Reverse", "Sigmoid", "Softmax", "TanH")
KEPT = [
    *((kind, "", {"x": BIG}, "y") for kind in (*OWN_TOPS, "BatchNorm", "Dropout", "LRN", "MVN", "PReLU", "Swish")),
    *((kind, "", {"x": BIG}, "y") for kind in ("Concat", "Flatten", "Scale", "Slice", "Split")),
    *((kind, "", {"x": BIG}, "x") for kind in ("BatchNorm", "Dropout", "PReLU", "ReLU", "Scale")),
    ("BatchNorm", "batch_norm_param { use_global_stats: true }", {"x": BIG}, "y"),
    ("Crop", "", {"x": BIG, "c": (2, 64, 100, 100)}, "y"),
    ("Convolution", "convolution_param { num_output: 8 kernel_size: 3 }", {"x": BIG}, "y"),
    ("Deconvolution", "convolution_param { num_output: 64 kernel_size: 2 }", {"x": BIG}, "y"),
    ("Dropout", "phase: TRAIN", {"x": BIG}, "y"),
    ("Dropout", "phase: TEST", {"x": BIG}, "y"),
    ("Eltwise", "", {"x": BIG, **OTHER}, "y"),
    ("Eltwise", MAXIMUM, {"x": BIG, **OTHER}, "y"),
    ("Im2col", "convolution_param { kernel_size: 2 }", {"x": BIG}, "y"),
    ("InnerProduct", "inner_product_param { num_output: 8 }", {"x": MANY}, "y"),
    ("LRN", WITHIN, {"x": BIG}, "y"),
    ("Pooling", "pooling_param { kernel_size: 2 }", {"x": BIG}, "y"),
    ("Pooling", "pooling_param { kernel_size: 2 pool: AVE }", {"x": BIG}, "y"),
    ("Reduction", "reduction_param { axis: 1 operation: MEAN }", {"x": BIG}, "y"),
    ("Reduction", "reduction_param { axis: 1 operation: ASUM }", {"x": BIG}, "y"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", {"x": BIG}, "y"),
    ("SPP", "spp_param { pyramid_height: 1 }", {"x": BIG}, "y"),
    ("SPP", "spp_param { pyramid_height: 5 }", {"x": BIG}, "y"),
    ("SPP", "spp_param { pyramid_height: 5 pool: AVE }", {"x": BIG}, "y"),
    ("Tile", "tile_param { tiles: 2 }", {"x": BIG}, "y"),
    ("Accuracy", "", ROWS, "y"),
    ("ArgMax", "", {"x": BIG}, "y"),
    ("ContrastiveLoss", "", {**PAIR, "label": (2048,)}, "y"),
    ("EuclideanLoss", "", PAIR, "y"),
    ("HingeLoss", "", ROWS, "y"),
    ("InfogainLoss", "", {**ROWS, "h": (1024, 1024)}, "y"),
    ("MultinomialLogisticLoss", "", ROWS, "y"),
    ("SigmoidCrossEntropyLoss", "", PAIR, "y"),
    ("SoftmaxWithLoss", "", ROWS, "y"),
    ("SoftmaxWithLoss", "loss_weight: 0", ROWS, "y"),
    ("Threshold", "", {"x": BIG}, "y"),
]
FORWARD_ONLY = ("Accuracy", "ArgMax", "Threshold")
UNROLLED = {"LSTM": (16, 64, 256), "RNN": (16, 128, 256)}


def net_of(kind, options, shapes, top, phase):
    """The layer alone on inputs; to train it, under a layer that learns and above a loss that keeps nothing."""
    text = "".join(source(f"in_{name}" if name == "x" else name, *shape) for name, shape in shapes.items())
    text += layer("Bias", "", "in_x", "x", "feed") + layer(kind, options, " ".join(shapes), top, "it")
    if phase == TRAIN and not kind.endswith("Loss"):
        text += layer("Reduction", "loss_weight: 1 reduction_param { operation: ASUM }", top, "end", "end")
    return text


IN_A_PROCESS_OF_ITS_OWN = """
import ctypes, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from netbuild.engine.caffe import caffe
from netbuild.schema import TRAIN

caffe = caffe()
# Huge pages, which some systems give unasked, would count what is not used (PR_SET_THP_DISABLE).
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)

def most_resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    Path("/proc/self/clear_refs").write_text("5")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

def pass_through(file, phase):
    loaded = caffe.Net(file, phase)
    for name in loaded.inputs:
        loaded.blobs[name].data[...] = 1
    loaded.forward()
    if phase == TRAIN:
        loaded.backward()
    return loaded

def measure(file, phase, warm):
    # Large blobs come from the system and go back to it, whatever was before.
    library = ctypes.CDLL(None)
    library.mallopt(-3, 1 << 17)
    # What the first pass of a process takes, BLAS and all, is no layer's.
    pass_through(warm, TRAIN)
    library.malloc_trim(0)
    most_resident()
    before = most_resident()
    loaded = pass_through(file, phase)
    return most_resident() - before

for line in sys.stdin:
    file, phase, warm = line.split()
    child = os.fork()
    if not child:
        print(measure(file, int(phase), warm), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def measuring(tmp_path_factory, engine):
    """A process in which no other test has been: it measures each net in a fork of its own."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not tell a process's peak memory anew (/proc/self/clear_refs)")
    warm = source("i", 8, 32, 16, 16) + layer("Convolution", "convolution_param { num_output: 9 kernel_size: 3 }", "i")
    warm += source("rows", 1024, 256) + layer("InnerProduct", "inner_product_param { num_output: 256 }", "rows", "ip")
    warm += layer("Softmax", "", "x", "z") + layer("Reduction", "loss_weight: 1", "z", "one", "one")
    file = tmp_path_factory.mktemp("warm") / "net"
    file.write_text(warm + layer("Reduction", "loss_weight: 1", "ip", "end", "end"))
    environment = {**os.environ, "GLOG_minloglevel": "2", "OPENBLAS_NUM_THREADS": "1"}
    command = [*chosen().command, "-c", IN_A_PROCESS_OF_ITS_OWN, str(ROOT)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        yield process, file
        process.stdin.close()


def taken(measuring, folder, text, phase):
    """The memory that a process takes for a net and a pass, at its peak."""
    process, warm = measuring
    (folder / "net").write_text(text)
    process.stdin.write(f"{folder / 'net'} {phase} {warm}\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def reckoned(text, phase):
    view = NetView(net(text), phase)
    assert view.misfits == []
    own = own_parameters(view.net, view.shapes.params)
    parameters = sum(FLOAT * count(shape) for blobs in own.values() for shape in blobs)
    return sum(one.total for one in layer_memory(view).values()) + parameters * (2 if phase == TRAIN else 1)


@pytest.mark.parametrize(("kind", "options", "shapes", "top"), KEPT, ids=lambda value: str(value)[:40])
def test_what_a_layer_keeps_is_what_a_process_takes(caffe, measuring, tmp_path, kind, options, shapes, top):
    if kind not in caffe.layer_type_list():
        pytest.skip(f"this Caffe has no {kind}")
    for phase in (TEST,) if kind in FORWARD_ONLY or options == "loss_weight: 0" else (TEST, TRAIN):
        text = net_of(kind, options, shapes, top, phase)
        found = taken(measuring, tmp_path, text, phase)
        assert found == pytest.approx(reckoned(text, phase), abs=2.5 * MB), (phase, found / MB)


@pytest.mark.parametrize("kind", UNROLLED)
def test_what_an_unrolled_net_keeps_is_about_what_a_process_takes(measuring, tmp_path, kind):
    shape = UNROLLED[kind]
    options = f"recurrent_param {{ num_output: {shape[-1]} weight_filler {{ type: 'xavier' }} }}"
    for phase in (TEST, TRAIN):
        text = net_of(kind, options, {"x": shape, "marks": shape[:2]}, "y", phase)
        assert taken(measuring, tmp_path, text, phase) == pytest.approx(reckoned(text, phase), rel=0.15)
